//! A device's life: one test for each row of its table, and for the order in which answers may come.

use iotcore_gateway::{
    CommandError, DeviceId, DeviceState, ErrorType, Event, Failure, Options, Outcome, Publication,
    PublishError, PublishErrorKind, QoS, Subscription, Token,
};

use super::peer::{ATTACH, EVENTS, Sent, Session, UNIX_NOW, failed, seconds};

#[test]
fn a_puback_attaches_and_only_then_are_subscriptions_and_publications_sent() {
    let mut session = Session::open(Options::default());
    let (device, op) = session.begin_attach("device-1");
    let now = session.now;
    session
        .gateway
        .subscribe(device, Subscription::Config, QoS::AtLeastOnce, now)
        .unwrap();
    session
        .gateway
        .subscribe(device, Subscription::Commands, QoS::AtMostOnce, now)
        .unwrap();
    session.publish(device, "21.5");

    let id = session.expect_publish(ATTACH);
    session.wait(seconds(20));
    assert_eq!(session.sent(), [], "nothing goes before the PUBACK");
    session.puback(id);

    assert!(matches!(&session.sent()[..], [
        Sent::Subscribe { filter: config, qos: 1, .. },
        Sent::Subscribe { filter: commands, qos: 0, .. },
        Sent::Publish { topic, payload, id: Some(_), dup: false },
    ] if config == "/devices/device-1/config"
        && commands == "/devices/device-1/commands/#"
        && topic == EVENTS
        && payload == b"21.5"));
    let events = session.events();
    assert_eq!(
        events[..2],
        [
            Event::Attached { device },
            Event::Done {
                op,
                outcome: Outcome::Attached
            },
        ]
    );
}

#[test]
fn an_attach_without_a_token_is_an_empty_object_and_one_with_it_has_an_authorization() {
    let mut session = Session::open(Options::default());
    let token = Token::new("device.to.ken", session.now + seconds(60)).unwrap();
    session.begin_attach("device-1");
    session
        .gateway
        .attach(
            "device-2".try_into().unwrap(),
            Some(token),
            UNIX_NOW,
            session.now,
        )
        .unwrap();
    let payloads: Vec<_> = session
        .sent_payloads()
        .into_iter()
        .map(|(payload, _)| payload)
        .collect();
    assert_eq!(payloads, ["{}", r#"{"authorization":"device.to.ken"}"#]);
}

#[test]
fn a_reported_refusal_is_final_until_the_user_attaches_again() {
    let mut session = Session::open(Options::default());
    let (device, op) = session.begin_attach("device-1");
    let queued = session.publish(device, "21.5");
    let id = session.expect_publish(ATTACH);
    session.report("GATEWAY_ATTACHMENT_ERROR", "device-1", Some(id));

    let events = session.events();
    assert!(
        matches!(&events[0], Event::Failed { op: failed, failure: Failure::Reported(report), .. }
        if *failed == op && *report.error_type() == ErrorType::AttachmentError)
    );
    assert_eq!(failed(&events[1..2], queued), Some(&Failure::DeviceRefused));
    assert!(matches!(events[2], Event::ErrorReport(_)));

    let publication = Publication::telemetry(device, "22.0");
    let refused = session.gateway.publish(publication.clone(), session.now);
    assert_eq!(
        refused,
        Err(PublishError {
            kind: PublishErrorKind::DeviceRefused,
            publication
        })
    );
    session.wait(seconds(600));
    session.reconnect();
    assert_eq!(session.sent(), [], "not even after a reconnect");

    let (same, again) = session.begin_attach("device-1");
    assert_eq!(same, device);
    session.acknowledge_attach("device-1");
    assert_eq!(session.ended(again), Some(Ok(Outcome::Attached)));
}

#[test]
fn an_unknown_error_leaves_the_attach_pending_and_it_is_tried_again_with_backoff() {
    let mut session = Session::open(Options::default());
    let (_, op) = session.begin_attach("device-1");
    for _ in 0..3 {
        let id = session.expect_publish(ATTACH);
        session.report("UNKNOWN", "device-1", Some(id));
        assert_eq!(session.sent(), []);
        assert_eq!(session.ended(op), None);
        session.step();
    }
    session.acknowledge_attach("device-1");
    assert_eq!(session.ended(op), Some(Ok(Outcome::Attached)));
}

#[test]
fn silence_fails_the_attach_but_keeps_the_wish_and_the_connection() {
    let mut session = Session::open(Options::default());
    let (device, op) = session.begin_attach("device-1");
    session.expect_publish(ATTACH);
    session.wait(seconds(29));
    assert_eq!(session.ended(op), None);
    session.wait(seconds(1));
    assert_eq!(session.ended(op), Some(Err(Failure::TimedOut(seconds(30)))));
    assert!(session.gateway.is_open());
    assert_eq!(
        session.gateway.device_state(device),
        Some(DeviceState::Retrying)
    );
    session.step();
    session.acknowledge_attach("device-1");
    assert!(session.events().contains(&Event::Attached { device }));
}

#[test]
fn a_puback_that_comes_after_its_deadline_completes_nothing_else() {
    let mut session = Session::open(Options::default());
    let (device, _) = session.begin_attach("device-1");
    let late = session.expect_publish(ATTACH);
    session.wait(seconds(30));
    session.events();
    session.step();
    let second = session.expect_publish(ATTACH);
    assert_ne!(late, second);
    session.puback(late);
    assert_eq!(
        session.gateway.device_state(device),
        Some(DeviceState::Attaching)
    );
    session.puback(second);
    assert_eq!(
        session.gateway.device_state(device),
        Some(DeviceState::Attached)
    );
}

#[test]
fn a_puback_that_follows_the_refusal_changes_nothing() {
    let mut session = Session::open(Options::default());
    let (device, op) = session.begin_attach("device-1");
    let id = session.expect_publish(ATTACH);
    session.report("GATEWAY_ATTACHMENT_ERROR", "device-1", Some(id));
    assert!(matches!(session.ended(op), Some(Err(Failure::Reported(_)))));
    session.puback(id);
    assert_eq!(session.events(), []);
    assert_eq!(
        session.gateway.device_state(device),
        Some(DeviceState::Refused)
    );
}

#[test]
fn a_report_without_a_packet_identifier_is_about_the_attach_under_way() {
    let mut session = Session::open(Options::default());
    let (device, op) = session.begin_attach("device-1");
    session.expect_publish(ATTACH);
    session.report("GATEWAY_ATTACHMENT_ERROR", "device-1", None);
    assert!(matches!(session.ended(op), Some(Err(Failure::Reported(_)))));
    assert_eq!(
        session.gateway.device_state(device),
        Some(DeviceState::Refused)
    );
}

#[test]
fn a_report_of_another_device_with_the_same_packet_identifier_fails_nothing() {
    let mut session = Session::open(Options::default());
    let (device, op) = session.begin_attach("device-1");
    let id = session.expect_publish(ATTACH);
    session.report("GATEWAY_ATTACHMENT_ERROR", "device-9", Some(id));
    assert_eq!(session.ended(op), None);
    assert_eq!(
        session.gateway.device_state(device),
        Some(DeviceState::Attaching)
    );
}

/// What the bridge does to a device, what it is attached again after, and what must not be lost.
#[test]
fn attaching_an_attached_device_is_done_without_a_packet() {
    let (mut session, device) = Session::attached(Options::default());
    let (same, op) = session.begin_attach("device-1");
    assert_eq!(same, device);
    assert_eq!(session.ended(op), Some(Ok(Outcome::Attached)));
    assert_eq!(session.sent(), []);
}

#[test]
fn repeating_a_pending_attach_gives_the_same_operation() {
    let mut session = Session::open(Options::default());
    let first = session.begin_attach("device-1");
    let again = session.begin_attach("device-1");
    assert_eq!(first, again);
    assert_eq!(session.sent().len(), 1);
}

#[test]
fn the_gateway_needs_no_attach_for_itself() {
    let mut session = Session::open(Options::default());
    let id = super::peer::GATEWAY.try_into().unwrap();
    let refused = session.gateway.attach(id, None, UNIX_NOW, session.now);
    assert!(matches!(refused, Err(CommandError::OwnDevice(_))));
    let own = session.gateway.own_key();
    assert!(matches!(
        session.gateway.detach(own, session.now),
        Err(CommandError::OwnDevice(_))
    ));
    session.publish(own, "1");
    session.expect_publish("/devices/gw-1/events");
}

#[test]
fn a_device_is_found_by_its_id_and_named_by_its_key_until_it_is_detached() {
    let (mut session, device) = Session::attached(Options::default());
    let [ours, other, own] =
        ["device-1", "device-2", super::peer::GATEWAY].map(|id| DeviceId::try_from(id).unwrap());
    assert_eq!(session.gateway.device_key(&ours), Some(device));
    assert_eq!(session.gateway.device_id(device), Some(&ours));
    assert_eq!(session.gateway.device_key(&other), None);
    let own_key = session.gateway.own_key();
    assert_eq!(session.gateway.device_key(&own), Some(own_key));
    assert_eq!(session.gateway.device_id(own_key), Some(&own));

    session.gateway.detach(device, session.now).unwrap();
    let packet_id = session.expect_publish("/devices/device-1/detach");
    session.puback(packet_id);
    assert_eq!(session.gateway.device_key(&ours), None);
    assert_eq!(session.gateway.device_id(device), None);
}

#[test]
fn the_gateway_itself_is_attached_while_it_is_open() {
    let mut session = Session::dialing(Options::default());
    let own = session.gateway.own_key();
    let state = |session: &Session| session.gateway.device_state(own);
    assert_eq!(state(&session), Some(DeviceState::Waiting));
    session.connect();
    assert_eq!(state(&session), Some(DeviceState::Attached));
    session.lose_connection();
    assert_eq!(state(&session), Some(DeviceState::Waiting));
}

#[test]
fn an_answer_that_came_leaves_no_deadline_but_that_of_the_keep_alive() {
    let mut session = Session::open(Options::default());
    let ping = Some(session.now + seconds(55));
    assert_eq!(
        session.gateway.poll_timeout(),
        ping,
        "errors are subscribed"
    );
    let device = session.attach("device-1");
    assert_eq!(session.gateway.poll_timeout(), ping, "attached");
    session
        .gateway
        .subscribe(device, Subscription::Config, QoS::AtLeastOnce, session.now)
        .unwrap();
    let packet_id = session.expect_subscribe("/devices/device-1/config");
    session.suback(packet_id, 1);
    assert_eq!(session.gateway.poll_timeout(), ping, "subscribed");
    session.gateway.detach(device, session.now).unwrap();
    let packet_id = session.expect_publish("/devices/device-1/detach");
    session.puback(packet_id);
    assert_eq!(session.gateway.poll_timeout(), ping, "detached");
}

#[test]
fn no_more_devices_are_taken_than_the_limit() {
    let mut options = Options::default();
    options.quota.max_devices = 2;
    let mut session = Session::open(options);
    for id in ["device-1", "device-2"] {
        session.attach(id);
    }
    let refused =
        session
            .gateway
            .attach("device-3".try_into().unwrap(), None, UNIX_NOW, session.now);
    assert_eq!(refused, Err(CommandError::TooManyDevices(2)));
    assert_eq!(session.sent(), []);
}

#[test]
fn a_device_that_is_detached_before_its_turn_leaves_the_others_theirs() {
    let mut options = Options::default();
    options.attach_window = 1;
    let mut session = Session::open(options);
    session.begin_attach("device-1");
    let (gone, _) = session.begin_attach("device-2");
    session.begin_attach("device-3");
    let op = session.gateway.detach(gone, session.now).unwrap();
    assert_eq!(session.ended(op), Some(Ok(Outcome::Detached)));
    session.acknowledge_attach("device-1");
    session.acknowledge_attach("device-3");
    assert_eq!(session.sent(), []);
}
