//! Error reports: what each code does to what it is about, whichever shape it has.

use iotcore_gateway::{
    DetachCause, DeviceKey, DeviceState, ErrorReport, ErrorType, Event, Failure, OpId, Options,
    Outcome, QoS, Subscription,
};

use super::peer::{CONFIG, GATEWAY, Session, seconds};

const CODES: [&str; 7] = [
    "GATEWAY_ATTACHMENT_ERROR",
    "GATEWAY_DEVICE_NOT_FOUND",
    "GATEWAY_INVALID_MQTT_TOPIC",
    "GATEWAY_UNEXPECTED_PACKET_ID",
    "GATEWAY_UNEXPECTED_MESSAGE_TYPE",
    "GATEWAY_DETACHMENT_DEVICE_ERROR",
    "UNKNOWN",
];

fn subscribe(session: &mut Session, device: DeviceKey) -> OpId {
    session
        .gateway
        .subscribe(device, Subscription::Config, QoS::AtLeastOnce, session.now)
        .unwrap()
}

fn report(session: &mut Session, payload: &str) {
    session.deliver(&format!("/devices/{GATEWAY}/errors"), payload, None);
}

#[test]
fn every_code_in_both_shapes_is_an_event_that_tells_all() {
    let about = r#""message_type":"PUBLISH","topic":"/t","packet_id":10"#;
    for code in CODES {
        for about in [
            about.to_owned(),
            format!(r#""mqtt_message_info":{{{about}}}"#),
        ] {
            let payload = format!(
                r#"{{"error_type":"{code}","description":"why","device_id":"device-7",{about}}}"#
            );
            let (mut session, _) = Session::attached(Options::default());
            report(&mut session, &payload);
            let told = ErrorReport::parse(payload.as_bytes()).unwrap();
            assert_eq!(told.error_type().as_str(), code);
            assert_eq!(told.message().unwrap().packet_id().map(u16::from), Some(10));
            assert_eq!(session.events(), [Event::ErrorReport(told)]);
        }
    }
}

#[test]
fn an_invalid_topic_fails_that_publication_and_no_other() {
    let (mut session, device) = Session::attached(Options::default());
    let first = session.publish(device, "1");
    session.publish(device, "2");
    let ids = session.sent_ids();
    session.report("GATEWAY_INVALID_MQTT_TOPIC", "device-1", Some(ids[0]));
    let events = session.events();
    assert!(
        matches!(&events[..], [Event::Failed { op, failure: Failure::Reported(_), .. }, Event::ErrorReport(_)] if *op == first)
    );
    assert_eq!(session.gateway.stats().in_flight, 1);
    session.puback(ids[0]);
    assert_eq!(session.events(), [], "its late PUBACK completes nothing");
}

#[test]
fn unknown_about_a_publication_sends_it_again_later() {
    let (mut session, device) = Session::attached(Options::default());
    let op = session.publish(device, "1");
    let id = session.expect_publish("/devices/device-1/events");
    session.report("UNKNOWN", "device-1", Some(id));
    assert_eq!(session.ended(op), None);
    session.wait(seconds(30));
    assert_eq!(session.sent_payloads(), [("1".to_owned(), id)]);
}

#[test]
fn reports_of_unexpected_packets_change_nothing() {
    for code in [
        "GATEWAY_UNEXPECTED_PACKET_ID",
        "GATEWAY_UNEXPECTED_MESSAGE_TYPE",
    ] {
        let (mut session, device) = Session::attached(Options::default());
        session.publish(device, "1");
        let id = session.expect_publish("/devices/device-1/events");
        for packet_id in [Some(id), None] {
            session.report(code, "device-1", packet_id);
            assert!(matches!(session.events()[..], [Event::ErrorReport(_)]));
        }
        assert_eq!(
            session.gateway.device_state(device),
            Some(DeviceState::Attached)
        );
        assert_eq!(session.gateway.stats().in_flight, 1);
    }
}

#[test]
fn reports_of_unexpected_packets_end_no_attach_and_no_detach() {
    for code in [
        "GATEWAY_UNEXPECTED_PACKET_ID",
        "GATEWAY_UNEXPECTED_MESSAGE_TYPE",
    ] {
        let mut session = Session::open(Options::default());
        let (device, attach) = session.begin_attach("device-1");
        let id = session.expect_publish("/devices/device-1/attach");
        session.report(code, "device-1", Some(id));
        session.puback(id);
        assert_eq!(session.ended(attach), Some(Ok(Outcome::Attached)));
        let detach = session.gateway.detach(device, session.now).unwrap();
        let id = session.expect_publish("/devices/device-1/detach");
        session.report(code, "device-1", Some(id));
        session.puback(id);
        assert_eq!(session.ended(detach), Some(Ok(Outcome::Detached)));
    }
}

#[test]
fn unknown_without_a_packet_identifier_is_about_the_attach_unless_it_names_another_topic() {
    let mut session = Session::open(Options::default());
    let (device, _) = session.begin_attach("device-1");
    session.sent();
    let unknown = |topic: &str| {
        format!(r#"{{"error_type":"UNKNOWN","description":"","device_id":"device-1"{topic}}}"#)
    };
    let state = unknown(r#","mqtt_message_info":{"topic":"/devices/device-1/state"}"#);
    report(&mut session, &state);
    let device_state = |session: &Session| session.gateway.device_state(device);
    assert_eq!(device_state(&session), Some(DeviceState::Attaching));
    let attach = unknown(r#","mqtt_message_info":{"topic":"/devices/device-1/attach"}"#);
    for about in [attach, unknown("")] {
        report(&mut session, &about);
        assert_eq!(device_state(&session), Some(DeviceState::Retrying));
        session.step();
        session.expect_publish("/devices/device-1/attach");
        assert_eq!(device_state(&session), Some(DeviceState::Attaching));
    }
}

#[test]
fn a_device_not_found_for_a_subscription_attaches_and_subscribes_again() {
    let (mut session, device) = Session::attached(Options::default());
    let op = subscribe(&mut session, device);
    let id = session.expect_subscribe(CONFIG);
    session.report("GATEWAY_DEVICE_NOT_FOUND", "device-1", Some(id));
    assert_eq!(session.ended(op), None);
    session.step();
    session.acknowledge_attach("device-1");
    let id = session.expect_subscribe(CONFIG);
    session.suback(id, 1);
    let subscribed = Outcome::Subscribed(QoS::AtLeastOnce);
    assert_eq!(session.ended(op), Some(Ok(subscribed)));
}

#[test]
fn an_invalid_topic_fails_that_subscription_until_the_next_connection() {
    let (mut session, device) = Session::attached(Options::default());
    let op = subscribe(&mut session, device);
    let id = session.expect_subscribe(CONFIG);
    session.report("GATEWAY_INVALID_MQTT_TOPIC", "device-1", Some(id));
    assert!(matches!(session.ended(op), Some(Err(Failure::Reported(_)))));
    session.wait(seconds(50));
    assert_eq!(session.sent(), []);
    session.reconnect();
    session.acknowledge_attach("device-1");
    session.expect_subscribe(CONFIG);
}

#[test]
fn a_device_not_found_for_a_packet_puts_it_back_and_attaches_again() {
    let (mut session, device) = Session::attached(Options::default());
    session.publish(device, "1");
    let id = session.expect_publish("/devices/device-1/events");
    session.report("GATEWAY_DEVICE_NOT_FOUND", "device-1", Some(id));
    let events = session.events();
    assert!(
        matches!(&events[0], Event::Detached { cause: DetachCause::Reported(report), .. } if *report.error_type() == ErrorType::DeviceNotFound)
    );
    session.step();
    session.acknowledge_attach("device-1");
    let again = session.expect_publish("/devices/device-1/events");
    assert_ne!(again, id, "a new PUBLISH");
}

#[test]
fn a_late_report_about_a_packet_of_an_earlier_attachment_detaches_nothing() {
    let (mut session, device) = Session::attached(Options::default());
    session.publish(device, "1");
    session.publish(device, "2");
    let ids = session.sent_ids();
    session.report("GATEWAY_DEVICE_NOT_FOUND", "device-1", Some(ids[0]));
    session.step();
    session.acknowledge_attach("device-1");
    session.report("GATEWAY_DEVICE_NOT_FOUND", "device-1", Some(ids[1]));
    assert_eq!(
        session.gateway.device_state(device),
        Some(DeviceState::Attached)
    );
}

#[test]
fn a_report_about_a_detach_fails_it() {
    let (mut session, device) = Session::attached(Options::default());
    let op = session.gateway.detach(device, session.now).unwrap();
    let id = session.expect_publish("/devices/device-1/detach");
    session.report("UNKNOWN", "device-1", Some(id));
    assert!(matches!(session.ended(op), Some(Err(Failure::Reported(_)))));
}

#[test]
fn what_is_not_a_report_is_told_with_the_reason() {
    let mut session = Session::open(Options::default());
    for payload in ["", "no JSON", "[]", "{}"] {
        report(&mut session, payload);
        assert!(
            matches!(&session.events()[..], [Event::UnreadableErrorReport { payload: found, .. }] if found == payload)
        );
    }
    assert!(session.gateway.is_open());
}

#[test]
fn a_report_of_a_device_that_is_not_ours_is_an_event_only() {
    let mut session = Session::open(Options::default());
    for code in CODES {
        session.report(code, "stranger", Some(1));
        assert!(matches!(session.events()[..], [Event::ErrorReport(_)]));
    }
    assert!(session.gateway.is_open());
}
