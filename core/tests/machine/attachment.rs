//! Attaching devices: one test for each row of the lifecycle table, and for the order of the answers.

use iotcore_gateway::{
    DeviceAuth, DeviceId, Event, Failure, Options, Outcome, Publication,
    auth::Token,
    command_error::{CommandError, PublishError, PublishErrorKind},
    device::DeviceState,
    error_report::ErrorType,
    message::{QoS, Subscription},
};

use super::peer::{ATTACH, EVENTS, Harness, Sent, UNIX_NOW, failed, seconds};

#[test]
fn subscriptions_and_publications_are_sent_only_after_the_puback_of_the_attach() {
    let mut harness = Harness::open(Options::default());
    let (device, op) = harness.begin_attach("device-1");
    let now = harness.now;
    harness
        .gateway
        .subscribe(device, Subscription::Config, QoS::AtLeastOnce, now)
        .unwrap();
    harness
        .gateway
        .subscribe(device, Subscription::Commands, QoS::AtMostOnce, now)
        .unwrap();
    harness.publish(device, "21.5");

    let id = harness.expect_publish(ATTACH);
    harness.wait(seconds(20));
    assert_eq!(harness.sent(), [], "nothing is sent before the PUBACK");
    harness.puback(id);

    assert!(matches!(&harness.sent()[..], [
        Sent::Subscribe { filter: config, qos: 1, .. },
        Sent::Subscribe { filter: commands, qos: 0, .. },
        Sent::Publish { topic, payload, id: Some(_), dup: false },
    ] if config == "/devices/device-1/config"
        && commands == "/devices/device-1/commands/#"
        && topic == EVENTS
        && payload == b"21.5"));
    let events = harness.events();
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
    let mut harness = Harness::open(Options::default());
    let token = Token::new("device.to.ken", harness.now + seconds(60)).unwrap();
    harness.begin_attach("device-1");
    harness
        .gateway
        .attach(
            "device-2".try_into().unwrap(),
            DeviceAuth::Token(token),
            UNIX_NOW,
            harness.now,
        )
        .unwrap();
    let payloads: Vec<_> = harness
        .sent_payloads()
        .into_iter()
        .map(|(payload, _)| payload)
        .collect();
    assert_eq!(payloads, ["{}", r#"{"authorization":"device.to.ken"}"#]);
}

#[test]
fn a_reported_refusal_is_permanent_until_the_user_attaches_again() {
    let mut harness = Harness::open(Options::default());
    let (device, op) = harness.begin_attach("device-1");
    let queued = harness.publish(device, "21.5");
    let id = harness.expect_publish(ATTACH);
    harness.report("GATEWAY_ATTACHMENT_ERROR", "device-1", Some(id));

    let events = harness.events();
    assert!(
        matches!(&events[0], Event::Failed { op: failed, failure: Failure::Reported(report), .. }
        if *failed == op && *report.error_type() == ErrorType::AttachmentError)
    );
    assert_eq!(failed(&events[1..2], queued), Some(&Failure::DeviceRefused));
    assert!(matches!(events[2], Event::ErrorReport(_)));

    let publication = Publication::telemetry(device, "22.0");
    let refused = harness.gateway.publish(publication.clone(), harness.now);
    assert_eq!(
        refused,
        Err(PublishError {
            kind: PublishErrorKind::DeviceRefused,
            publication
        })
    );
    harness.wait(seconds(600));
    harness.reconnect();
    assert_eq!(harness.sent(), [], "not even after a reconnect");

    let (same, again) = harness.begin_attach("device-1");
    assert_eq!(same, device);
    harness.acknowledge_attach("device-1");
    assert_eq!(harness.ended(again), Some(Ok(Outcome::Attached)));
}

#[test]
fn an_unknown_error_leaves_the_attach_pending_and_it_is_retried_with_backoff() {
    let mut harness = Harness::open(Options::default());
    let (_, op) = harness.begin_attach("device-1");
    for _ in 0..3 {
        let id = harness.expect_publish(ATTACH);
        harness.report("UNKNOWN", "device-1", Some(id));
        assert_eq!(harness.sent(), []);
        assert_eq!(harness.ended(op), None);
        harness.step();
    }
    harness.acknowledge_attach("device-1");
    assert_eq!(harness.ended(op), Some(Ok(Outcome::Attached)));
}

#[test]
fn a_missing_puback_fails_the_attach_operation_but_the_device_is_retried_and_the_connection_kept() {
    let mut harness = Harness::open(Options::default());
    let (device, op) = harness.begin_attach("device-1");
    let id = harness.expect_publish(ATTACH);
    harness.time_out(seconds(30));
    assert_eq!(harness.ended(op), Some(Err(Failure::TimedOut(seconds(30)))));
    assert!(harness.gateway.is_open());
    assert_eq!(
        harness.gateway.device_state(device),
        Some(DeviceState::Retrying)
    );
    harness.step();
    harness.expect_publish_again(ATTACH, id);
    assert_eq!(harness.sent(), [], "once");
    harness.puback(id);
    assert_eq!(harness.events(), [Event::Attached { device }]);
}

#[test]
fn a_puback_after_its_deadline_attaches_the_device_and_the_operation_stays_failed() {
    for is_asked_again in [false, true] {
        let mut harness = Harness::open(Options::default());
        let (device, op) = harness.begin_attach("device-1");
        let id = harness.expect_publish(ATTACH);
        harness.time_out(seconds(30));
        assert_eq!(harness.ended(op), Some(Err(Failure::TimedOut(seconds(30)))));
        if is_asked_again {
            harness.step();
            harness.expect_publish_again(ATTACH, id);
        }
        harness.puback(id);
        assert_eq!(harness.events(), [Event::Attached { device }]);
        harness.wait(seconds(20));
        assert_eq!(harness.sent(), [], "it is not attached again");
        assert_eq!(harness.events(), []);
    }
}

#[test]
fn a_puback_after_its_deadline_completes_no_attach_with_another_token() {
    let mut harness = Harness::open(Options::default());
    let (device, _) = harness.begin_attach("device-1");
    let late = harness.expect_publish(ATTACH);
    harness.time_out(seconds(30));
    harness.events();
    let id = "device-1".try_into().unwrap();
    let auth = DeviceAuth::Token(harness.token());
    let attaching = harness.gateway.attach(id, auth, UNIX_NOW, harness.now);
    let (_, op) = attaching.unwrap();
    harness.step();
    let second = harness.expect_publish(ATTACH);
    assert_ne!(late, second);
    harness.puback(late);
    assert_eq!(harness.events(), []);
    assert_eq!(
        harness.gateway.device_state(device),
        Some(DeviceState::Attaching)
    );
    harness.puback(second);
    assert_eq!(harness.ended(op), Some(Ok(Outcome::Attached)));
    assert_eq!(harness.gateway.stats().unsolicited, 0);
}

#[test]
fn a_puback_that_follows_the_refusal_changes_nothing() {
    let mut harness = Harness::open(Options::default());
    let (device, op) = harness.begin_attach("device-1");
    let id = harness.expect_publish(ATTACH);
    harness.report("GATEWAY_ATTACHMENT_ERROR", "device-1", Some(id));
    assert!(matches!(harness.ended(op), Some(Err(Failure::Reported(_)))));
    harness.puback(id);
    assert_eq!(harness.events(), []);
    assert_eq!(
        harness.gateway.device_state(device),
        Some(DeviceState::Refused)
    );
}

#[test]
fn a_report_without_a_packet_identifier_applies_to_the_pending_attach() {
    let mut harness = Harness::open(Options::default());
    let (device, op) = harness.begin_attach("device-1");
    harness.expect_publish(ATTACH);
    harness.report("GATEWAY_ATTACHMENT_ERROR", "device-1", None);
    assert!(matches!(harness.ended(op), Some(Err(Failure::Reported(_)))));
    assert_eq!(
        harness.gateway.device_state(device),
        Some(DeviceState::Refused)
    );
}

#[test]
fn a_report_of_another_device_with_the_same_packet_identifier_fails_nothing() {
    let mut harness = Harness::open(Options::default());
    let (device, op) = harness.begin_attach("device-1");
    let id = harness.expect_publish(ATTACH);
    harness.report("GATEWAY_ATTACHMENT_ERROR", "device-9", Some(id));
    assert_eq!(harness.ended(op), None);
    assert_eq!(
        harness.gateway.device_state(device),
        Some(DeviceState::Attaching)
    );
}

#[test]
fn attaching_an_attached_device_completes_without_a_packet() {
    let (mut harness, device) = Harness::attached(Options::default());
    let (same, op) = harness.begin_attach("device-1");
    assert_eq!(same, device);
    assert_eq!(harness.ended(op), Some(Ok(Outcome::Attached)));
    assert_eq!(harness.sent(), []);
}

#[test]
fn repeating_a_pending_attach_returns_the_same_operation() {
    let mut harness = Harness::open(Options::default());
    let first = harness.begin_attach("device-1");
    let again = harness.begin_attach("device-1");
    assert_eq!(first, again);
    assert_eq!(harness.sent().len(), 1);
}

#[test]
fn the_gateway_needs_no_attach_for_itself() {
    let mut harness = Harness::open(Options::default());
    let id = super::peer::GATEWAY.try_into().unwrap();
    let refused = harness
        .gateway
        .attach(id, DeviceAuth::ByAssociation, UNIX_NOW, harness.now);
    assert!(matches!(refused, Err(CommandError::OwnDevice(_))));
    let own = harness.gateway.own_key();
    assert!(matches!(
        harness.gateway.detach(own, harness.now),
        Err(CommandError::OwnDevice(_))
    ));
    harness.publish(own, "1");
    harness.expect_publish("/devices/gw-1/events");
}

#[test]
fn device_ids_and_keys_resolve_to_each_other_until_the_device_is_detached() {
    let (mut harness, device) = Harness::attached(Options::default());
    let [ours, other, own] =
        ["device-1", "device-2", super::peer::GATEWAY].map(|id| DeviceId::try_from(id).unwrap());
    assert_eq!(harness.gateway.device_key(&ours), Some(device));
    assert_eq!(harness.gateway.device_id(device), Some(&ours));
    assert_eq!(harness.gateway.device_key(&other), None);
    let own_key = harness.gateway.own_key();
    assert_eq!(harness.gateway.device_key(&own), Some(own_key));
    assert_eq!(harness.gateway.device_id(own_key), Some(&own));

    harness.gateway.detach(device, harness.now).unwrap();
    let packet_id = harness.expect_publish("/devices/device-1/detach");
    harness.puback(packet_id);
    assert_eq!(harness.gateway.device_key(&ours), None);
    assert_eq!(harness.gateway.device_id(device), None);
}

#[test]
fn the_gateway_itself_is_attached_while_it_is_open() {
    let mut harness = Harness::dialing(Options::default());
    let own = harness.gateway.own_key();
    let state = |harness: &Harness| harness.gateway.device_state(own);
    assert_eq!(state(&harness), Some(DeviceState::Waiting));
    harness.connect();
    assert_eq!(state(&harness), Some(DeviceState::Attached));
    harness.lose_connection();
    assert_eq!(state(&harness), Some(DeviceState::Waiting));
}

#[test]
fn after_all_answers_the_keep_alive_is_the_only_deadline() {
    let mut harness = Harness::open(Options::default());
    let ping = Some(harness.now + seconds(55));
    assert_eq!(
        harness.gateway.poll_timeout(),
        ping,
        "errors are subscribed"
    );
    let device = harness.attach("device-1");
    assert_eq!(harness.gateway.poll_timeout(), ping, "attached");
    harness
        .gateway
        .subscribe(device, Subscription::Config, QoS::AtLeastOnce, harness.now)
        .unwrap();
    let packet_id = harness.expect_subscribe("/devices/device-1/config");
    harness.suback(packet_id, 1);
    assert_eq!(harness.gateway.poll_timeout(), ping, "subscribed");
    harness.gateway.detach(device, harness.now).unwrap();
    let packet_id = harness.expect_publish("/devices/device-1/detach");
    harness.puback(packet_id);
    assert_eq!(harness.gateway.poll_timeout(), ping, "detached");
}

#[test]
fn attaching_more_devices_than_the_limit_is_refused() {
    let mut options = Options::default();
    options.quota.max_devices = 2;
    let mut harness = Harness::open(options);
    for id in ["device-1", "device-2"] {
        harness.attach(id);
    }
    let refused = harness.gateway.attach(
        "device-3".try_into().unwrap(),
        DeviceAuth::ByAssociation,
        UNIX_NOW,
        harness.now,
    );
    assert_eq!(refused, Err(CommandError::TooManyDevices(2)));
    assert_eq!(harness.sent(), []);
}

#[test]
fn detaching_a_device_whose_attach_is_queued_does_not_affect_other_queued_attaches() {
    let mut options = Options::default();
    options.attach_window = 1;
    let mut harness = Harness::open(options);
    harness.begin_attach("device-1");
    let (gone, _) = harness.begin_attach("device-2");
    harness.begin_attach("device-3");
    let op = harness.gateway.detach(gone, harness.now).unwrap();
    assert_eq!(harness.ended(op), Some(Ok(Outcome::Detached)));
    harness.acknowledge_attach("device-1");
    harness.acknowledge_attach("device-3");
    assert_eq!(harness.sent(), []);
}
