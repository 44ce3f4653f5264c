//! Error reports: the effect of each code, in both formats.

use iotcore_gateway::{
    DeviceKey, Event, Failure, OpId, Options, Outcome,
    cause::DetachCause,
    device::DeviceState,
    error_report::{ErrorReport, ErrorType},
    message::{QoS, Subscription},
};

use super::peer::{CONFIG, GATEWAY, Harness, seconds};

const CODES: [&str; 7] = [
    "GATEWAY_ATTACHMENT_ERROR",
    "GATEWAY_DEVICE_NOT_FOUND",
    "GATEWAY_INVALID_MQTT_TOPIC",
    "GATEWAY_UNEXPECTED_PACKET_ID",
    "GATEWAY_UNEXPECTED_MESSAGE_TYPE",
    "GATEWAY_DETACHMENT_DEVICE_ERROR",
    "UNKNOWN",
];

fn subscribe(harness: &mut Harness, device: DeviceKey) -> OpId {
    harness
        .gateway
        .subscribe(device, Subscription::Config, QoS::AtLeastOnce, harness.now)
        .unwrap()
}

fn report(harness: &mut Harness, payload: &str) {
    harness.deliver(&format!("/devices/{GATEWAY}/errors"), payload, None);
}

#[test]
fn every_error_code_in_both_formats_is_an_event_with_all_fields() {
    let about = r#""message_type":"PUBLISH","topic":"/t","packet_id":10"#;
    for code in CODES {
        for about in [
            about.to_owned(),
            format!(r#""mqtt_message_info":{{{about}}}"#),
        ] {
            let payload = format!(
                r#"{{"error_type":"{code}","description":"why","device_id":"device-7",{about}}}"#
            );
            let (mut harness, _) = Harness::attached(Options::default());
            report(&mut harness, &payload);
            let report = ErrorReport::parse(payload.as_bytes()).unwrap();
            assert_eq!(report.error_type().as_str(), code);
            assert_eq!(
                report.message().unwrap().packet_id().map(u16::from),
                Some(10)
            );
            assert_eq!(harness.events(), [Event::ErrorReport(report)]);
        }
    }
}

#[test]
fn an_invalid_topic_fails_that_publication_and_no_other() {
    let (mut harness, device) = Harness::attached(Options::default());
    let first = harness.publish(device, "1");
    harness.publish(device, "2");
    let ids = harness.sent_ids();
    harness.report("GATEWAY_INVALID_MQTT_TOPIC", "device-1", Some(ids[0]));
    let events = harness.events();
    assert!(
        matches!(&events[..], [Event::Failed { op, failure: Failure::Reported(_), .. }, Event::ErrorReport(_)] if *op == first)
    );
    assert_eq!(harness.gateway.stats().in_flight, 1);
    harness.puback(ids[0]);
    assert_eq!(harness.events(), [], "a late PUBACK completes nothing");
}

#[test]
fn an_unknown_error_about_a_publication_resends_it_later() {
    let (mut harness, device) = Harness::attached(Options::default());
    let op = harness.publish(device, "1");
    let id = harness.expect_publish("/devices/device-1/events");
    harness.report("UNKNOWN", "device-1", Some(id));
    assert_eq!(harness.ended(op), None);
    harness.time_out(seconds(30));
    harness.expect_publish_again("/devices/device-1/events", id);
    assert_eq!(harness.sent(), [], "once");
}

/// Delivers a report about this topic and packet.
fn report_topic(harness: &mut Harness, code: &str, topic: &str, id: u16) {
    let about = format!(r#""message_type":"PUBLISH","topic":"{topic}","packet_id":{id}"#);
    let payload = format!(r#"{{"error_type":"{code}","mqtt_message_info":{{{about}}}}}"#);
    report(harness, &payload);
}

#[test]
fn a_report_that_says_not_to_retry_ends_the_publication_that_it_names() {
    for code in [
        "GATEWAY_INVALID_MQTT_TOPIC",
        "GATEWAY_UNEXPECTED_MESSAGE_TYPE",
        "GATEWAY_UNEXPECTED_PACKET_ID",
        "GATEWAY_BRAND_NEW_ERROR",
    ] {
        let (mut harness, device) = Harness::attached(Options::default());
        let op = harness.publish(device, "1");
        let topic = "/devices/device-1/events";
        let id = harness.expect_publish(topic);
        report_topic(&mut harness, code, topic, id);
        let ended = harness.ended(op);
        assert!(matches!(ended, Some(Err(Failure::Reported(_)))), "{code}");
        assert_eq!(harness.gateway.stats().in_flight, 0);
    }
}

#[test]
fn a_report_of_an_unknown_code_ends_the_subscription_that_it_names() {
    let (mut harness, device) = Harness::attached(Options::default());
    let op = subscribe(&mut harness, device);
    let id = harness.expect_subscribe(CONFIG);
    harness.report("GATEWAY_BRAND_NEW_ERROR", "device-1", Some(id));
    assert!(matches!(harness.ended(op), Some(Err(Failure::Reported(_)))));
}

#[test]
fn what_the_gateway_publishes_for_itself_ends_when_the_bridge_does_not_find_it() {
    for code in [
        "GATEWAY_DEVICE_NOT_FOUND",
        "GATEWAY_DETACHMENT_DEVICE_ERROR",
    ] {
        let mut harness = Harness::open(Options::default());
        let own = harness.gateway.own_key();
        let published = harness.publish(own, "1");
        let id = harness.expect_publish("/devices/gw-1/events");
        harness.report(code, GATEWAY, Some(id));
        let ended = harness.ended(published);
        assert!(matches!(ended, Some(Err(Failure::Reported(_)))), "{code}");
        let subscribed = subscribe(&mut harness, own);
        let id = harness.expect_subscribe("/devices/gw-1/config");
        harness.report(code, GATEWAY, Some(id));
        let ended = harness.ended(subscribed);
        assert!(matches!(ended, Some(Err(Failure::Reported(_)))), "{code}");
    }
}

#[test]
fn reports_of_unexpected_packets_change_nothing() {
    for code in [
        "GATEWAY_UNEXPECTED_PACKET_ID",
        "GATEWAY_UNEXPECTED_MESSAGE_TYPE",
    ] {
        let (mut harness, device) = Harness::attached(Options::default());
        harness.publish(device, "1");
        let id = harness.expect_publish("/devices/device-1/events");
        for packet_id in [Some(id), None] {
            harness.report(code, "device-1", packet_id);
            assert!(matches!(harness.events()[..], [Event::ErrorReport(_)]));
        }
        assert_eq!(
            harness.gateway.device_state(device),
            Some(DeviceState::Attached)
        );
        assert_eq!(harness.gateway.stats().in_flight, 1);
    }
}

#[test]
fn reports_of_unexpected_packets_do_not_end_an_attach_or_a_detach() {
    for code in [
        "GATEWAY_UNEXPECTED_PACKET_ID",
        "GATEWAY_UNEXPECTED_MESSAGE_TYPE",
    ] {
        let mut harness = Harness::open(Options::default());
        let (device, attach) = harness.begin_attach("device-1");
        let id = harness.expect_publish("/devices/device-1/attach");
        harness.report(code, "device-1", Some(id));
        harness.puback(id);
        assert_eq!(harness.ended(attach), Some(Ok(Outcome::Attached)));
        let detach = harness.gateway.detach(device, harness.now).unwrap();
        let id = harness.expect_publish("/devices/device-1/detach");
        harness.report(code, "device-1", Some(id));
        harness.puback(id);
        assert_eq!(harness.ended(detach), Some(Ok(Outcome::Detached)));
    }
}

#[test]
fn an_unknown_error_without_a_packet_identifier_applies_to_the_attach_unless_it_names_another_topic()
 {
    let mut harness = Harness::open(Options::default());
    let (device, _) = harness.begin_attach("device-1");
    harness.sent();
    let unknown = |topic: &str| {
        format!(r#"{{"error_type":"UNKNOWN","description":"","device_id":"device-1"{topic}}}"#)
    };
    let state = unknown(r#","mqtt_message_info":{"topic":"/devices/device-1/state"}"#);
    report(&mut harness, &state);
    let device_state = |harness: &Harness| harness.gateway.device_state(device);
    assert_eq!(device_state(&harness), Some(DeviceState::Attaching));
    let attach = unknown(r#","mqtt_message_info":{"topic":"/devices/device-1/attach"}"#);
    for about in [attach, unknown("")] {
        report(&mut harness, &about);
        assert_eq!(device_state(&harness), Some(DeviceState::Retrying));
        harness.step();
        harness.expect_publish("/devices/device-1/attach");
        assert_eq!(device_state(&harness), Some(DeviceState::Attaching));
    }
}

#[test]
fn device_not_found_for_a_subscription_reattaches_and_resubscribes_the_device() {
    let (mut harness, device) = Harness::attached(Options::default());
    let op = subscribe(&mut harness, device);
    let id = harness.expect_subscribe(CONFIG);
    harness.report("GATEWAY_DEVICE_NOT_FOUND", "device-1", Some(id));
    assert_eq!(harness.ended(op), None);
    harness.step();
    harness.acknowledge_attach("device-1");
    let id = harness.expect_subscribe(CONFIG);
    harness.suback(id, 1);
    let subscribed = Outcome::Subscribed(QoS::AtLeastOnce);
    assert_eq!(harness.ended(op), Some(Ok(subscribed)));
}

#[test]
fn an_invalid_topic_fails_that_subscription_until_the_next_connection() {
    let (mut harness, device) = Harness::attached(Options::default());
    let op = subscribe(&mut harness, device);
    let id = harness.expect_subscribe(CONFIG);
    harness.report("GATEWAY_INVALID_MQTT_TOPIC", "device-1", Some(id));
    assert!(matches!(harness.ended(op), Some(Err(Failure::Reported(_)))));
    harness.wait(seconds(50));
    assert_eq!(harness.sent(), []);
    harness.reconnect();
    harness.acknowledge_attach("device-1");
    harness.expect_subscribe(CONFIG);
}

#[test]
fn device_not_found_for_a_publication_requeues_it_and_reattaches_the_device() {
    let (mut harness, device) = Harness::attached(Options::default());
    harness.publish(device, "1");
    let id = harness.expect_publish("/devices/device-1/events");
    harness.report("GATEWAY_DEVICE_NOT_FOUND", "device-1", Some(id));
    let events = harness.events();
    assert!(
        matches!(&events[0], Event::Detached { cause: DetachCause::Reported(report), .. } if *report.error_type() == ErrorType::DeviceNotFound)
    );
    harness.step();
    harness.acknowledge_attach("device-1");
    let again = harness.expect_publish("/devices/device-1/events");
    assert_ne!(again, id, "a new PUBLISH");
}

#[test]
fn a_late_report_about_a_packet_of_an_earlier_attachment_detaches_nothing() {
    let (mut harness, device) = Harness::attached(Options::default());
    harness.publish(device, "1");
    harness.publish(device, "2");
    let ids = harness.sent_ids();
    harness.report("GATEWAY_DEVICE_NOT_FOUND", "device-1", Some(ids[0]));
    harness.step();
    harness.acknowledge_attach("device-1");
    harness.report("GATEWAY_DEVICE_NOT_FOUND", "device-1", Some(ids[1]));
    assert_eq!(
        harness.gateway.device_state(device),
        Some(DeviceState::Attached)
    );
}

#[test]
fn a_report_about_a_detach_fails_the_detach() {
    let (mut harness, device) = Harness::attached(Options::default());
    let op = harness.gateway.detach(device, harness.now).unwrap();
    let id = harness.expect_publish("/devices/device-1/detach");
    harness.report("UNKNOWN", "device-1", Some(id));
    assert!(matches!(harness.ended(op), Some(Err(Failure::Reported(_)))));
}

#[test]
fn an_unreadable_report_is_an_event_with_the_reason() {
    let mut harness = Harness::open(Options::default());
    for payload in ["", "no JSON", "[]", "{}"] {
        report(&mut harness, payload);
        assert!(
            matches!(&harness.events()[..], [Event::UnreadableErrorReport { payload: found, .. }] if found == payload)
        );
    }
    assert!(harness.gateway.is_open());
}

#[test]
fn a_report_about_an_unknown_device_is_only_an_event() {
    let mut harness = Harness::open(Options::default());
    for code in CODES {
        harness.report(code, "stranger", Some(1));
        assert!(matches!(harness.events()[..], [Event::ErrorReport(_)]));
    }
    assert!(harness.gateway.is_open());
}
