//! Subscribing and unsubscribing, for devices and the gateway itself.

use iotcore_gateway::{
    DeviceKey, Event, Failure, OpId, Options, Outcome,
    message::{QoS, Subscription},
};

use super::peer::{CONFIG, Harness, Sent, seconds};

fn subscribe(harness: &mut Harness, device: DeviceKey, qos: QoS) -> OpId {
    harness
        .gateway
        .subscribe(device, Subscription::Config, qos, harness.now)
        .unwrap()
}

fn unsubscribe(harness: &mut Harness, device: DeviceKey) -> OpId {
    harness
        .gateway
        .unsubscribe(device, Subscription::Config, harness.now)
        .unwrap()
}

/// Returns a device that is subscribed to its configs.
fn subscribed() -> (Harness, DeviceKey) {
    let (mut harness, device) = Harness::attached(Options::default());
    subscribe(&mut harness, device, QoS::AtLeastOnce);
    let id = harness.expect_subscribe(CONFIG);
    harness.suback(id, 1);
    harness.events();
    (harness, device)
}

#[test]
fn a_suback_completes_a_subscription_with_the_requested_qos() {
    for (qos, code) in [(QoS::AtMostOnce, 0), (QoS::AtLeastOnce, 1)] {
        let (mut harness, device) = Harness::attached(Options::default());
        let op = subscribe(&mut harness, device, qos);
        let Sent::Subscribe {
            id,
            filter,
            qos: asked,
        } = harness.next_sent()
        else {
            panic!()
        };
        assert_eq!((&filter[..], asked), (CONFIG, code));
        harness.suback(id, code);
        assert_eq!(harness.ended(op), Some(Ok(Outcome::Subscribed(qos))));
    }
}

#[test]
fn a_missing_suback_fails_the_operation_and_the_subscription_is_retried_with_another_identifier() {
    let (mut harness, device) = Harness::attached(Options::default());
    let op = subscribe(&mut harness, device, QoS::AtLeastOnce);
    let late = harness.expect_subscribe(CONFIG);
    harness.time_out(seconds(30));
    assert_eq!(harness.ended(op), Some(Err(Failure::TimedOut(seconds(30)))));
    harness.step();
    let second = harness.expect_subscribe(CONFIG);
    assert_ne!(late, second);
    assert_eq!(harness.sent(), [], "once");
    harness.suback(second, 1);
    harness.deliver(CONFIG, "{}", Some(1));
    assert!(matches!(harness.events()[..], [Event::Config { .. }]));
    harness.wait(seconds(50));
    assert_eq!(harness.sent(), [Sent::PubAck(1)], "it is not retried again");
}

#[test]
fn no_more_subscribe_packets_are_pending_than_the_window_allows() {
    let mut options = Options::default();
    options.subscribe_window = 2;
    let (mut harness, first) = Harness::attached(options);
    let others = ["device-2", "device-3"].map(|id| harness.attach(id));
    for device in [first].into_iter().chain(others) {
        subscribe(&mut harness, device, QoS::AtLeastOnce);
    }
    let id = harness.expect_subscribe(CONFIG);
    harness.expect_subscribe("/devices/device-2/config");
    assert_eq!(harness.sent(), []);
    harness.suback(id, 1);
    harness.expect_subscribe("/devices/device-3/config");
}

#[test]
fn every_connection_resubscribes_and_the_operation_ends_once() {
    let (mut harness, device) = Harness::attached(Options::default());
    let op = subscribe(&mut harness, device, QoS::AtLeastOnce);
    let id = harness.expect_subscribe(CONFIG);
    harness.suback(id, 1);
    assert_eq!(
        harness.ended(op),
        Some(Ok(Outcome::Subscribed(QoS::AtLeastOnce)))
    );
    for _ in 0..3 {
        harness.reconnect();
        harness.acknowledge_attach("device-1");
        let id = harness.expect_subscribe(CONFIG);
        harness.suback(id, 1);
        assert_eq!(harness.ended(op), None);
    }
}

#[test]
fn the_gateways_own_subscriptions_come_before_any_attach() {
    let mut harness = Harness::dialing(Options::default());
    harness.begin_attach("device-1");
    let own = harness.gateway.own_key();
    subscribe(&mut harness, own, QoS::AtLeastOnce);
    harness.connect();
    harness.expect_subscribe("/devices/gw-1/config");
    harness.expect_publish("/devices/device-1/attach");
}

#[test]
fn removing_a_device_does_not_affect_the_queued_subscriptions_of_others() {
    let (mut harness, gone) = Harness::attached(Options::default());
    let [stays, leaves] = ["device-2", "device-3"].map(|id| harness.attach(id));
    let own = harness.gateway.own_key();
    harness.publish(own, &"x".repeat(64 * 1024));
    for device in [gone, stays] {
        subscribe(&mut harness, device, QoS::AtLeastOnce);
    }
    for device in [gone, leaves] {
        harness.gateway.detach(device, harness.now).unwrap();
    }
    harness.report("GATEWAY_DEVICE_NOT_FOUND", "device-1", None);
    assert_eq!(harness.gateway.device_state(gone), None);
    harness.expect_publish("/devices/gw-1/events");
    harness.expect_subscribe("/devices/device-2/config");
    harness.expect_publish("/devices/device-3/detach");
    assert_eq!(harness.sent(), []);
}

#[test]
fn an_unsubscribe_completes_with_unsuback() {
    let (mut harness, device) = subscribed();
    let op = unsubscribe(&mut harness, device);
    let Sent::Unsubscribe { id, filter } = harness.next_sent() else {
        panic!()
    };
    assert_eq!(filter, CONFIG);
    harness.unsuback(id);
    assert_eq!(harness.ended(op), Some(Ok(Outcome::Unsubscribed)));
    harness.reconnect();
    harness.acknowledge_attach("device-1");
    assert_eq!(harness.sent(), []);
}

#[test]
fn unsubscribing_without_a_subscription_completes_immediately() {
    let (mut harness, device) = Harness::attached(Options::default());
    let op = unsubscribe(&mut harness, device);
    assert_eq!(harness.ended(op), Some(Ok(Outcome::Unsubscribed)));
    assert_eq!(harness.sent(), []);
}

#[test]
fn a_lost_connection_completes_an_unsubscribe() {
    let (mut harness, device) = subscribed();
    let op = unsubscribe(&mut harness, device);
    assert!(matches!(harness.next_sent(), Sent::Unsubscribe { .. }));
    harness.lose_connection();
    assert_eq!(harness.ended(op), Some(Ok(Outcome::Unsubscribed)));
    harness.redial();
    harness.acknowledge_attach("device-1");
    assert_eq!(harness.sent(), []);
}

#[test]
fn a_subscription_that_was_not_sent_waits_for_the_next_attachment() {
    let (mut harness, device) = Harness::attached(Options::default());
    let own = harness.gateway.own_key();
    harness.publish(own, &"x".repeat(64 * 1024));
    let op = subscribe(&mut harness, device, QoS::AtLeastOnce);
    harness.report("GATEWAY_DEVICE_NOT_FOUND", "device-1", None);
    harness.expect_publish("/devices/gw-1/events");
    assert_eq!(harness.sent(), []);
    harness.step();
    harness.acknowledge_attach("device-1");
    let id = harness.expect_subscribe(CONFIG);
    assert_eq!(harness.sent(), [], "once");
    harness.suback(id, 1);
    let subscribed = Outcome::Subscribed(QoS::AtLeastOnce);
    assert_eq!(harness.ended(op), Some(Ok(subscribed)));
}

#[test]
fn a_config_received_between_two_subscribe_attempts_is_delivered() {
    let (mut harness, device) = Harness::attached(Options::default());
    subscribe(&mut harness, device, QoS::AtLeastOnce);
    harness.expect_subscribe(CONFIG);
    harness.wait(seconds(30));
    harness.events();
    harness.deliver(CONFIG, "{}", Some(1));
    assert!(matches!(harness.events()[..], [Event::Config { .. }]));
}

#[test]
fn a_config_is_delivered_until_the_unsuback() {
    let (mut harness, device) = Harness::attached(Options::default());
    subscribe(&mut harness, device, QoS::AtLeastOnce);
    let id = harness.expect_subscribe(CONFIG);
    harness.suback(id, 1);
    let own = harness.gateway.own_key();
    harness.publish(own, &"x".repeat(64 * 1024));
    unsubscribe(&mut harness, device);
    harness.events();
    let is_delivered = |harness: &mut Harness| {
        harness.deliver(CONFIG, "{}", None);
        matches!(harness.events()[..], [Event::Config { .. }])
    };
    assert!(is_delivered(&mut harness), "UNSUBSCRIBE is not sent yet");
    harness.expect_publish("/devices/gw-1/events");
    let Sent::Unsubscribe { id, .. } = harness.next_sent() else {
        panic!()
    };
    assert!(is_delivered(&mut harness), "UNSUBACK is due");
    harness.unsuback(id);
    harness.events();
    assert!(!is_delivered(&mut harness));
}

#[test]
fn a_new_subscription_request_supersedes_the_pending_one_and_the_last_one_takes_effect() {
    let (mut harness, device) = Harness::attached(Options::default());
    let first = subscribe(&mut harness, device, QoS::AtLeastOnce);
    let id = harness.expect_subscribe(CONFIG);
    let second = unsubscribe(&mut harness, device);
    assert_eq!(harness.ended(first), Some(Err(Failure::Superseded)));
    assert_eq!(harness.sent(), [], "only one request at a time");
    harness.suback(id, 1);
    let Sent::Unsubscribe { id, .. } = harness.next_sent() else {
        panic!()
    };
    let third = subscribe(&mut harness, device, QoS::AtMostOnce);
    assert_eq!(harness.ended(second), Some(Err(Failure::Superseded)));
    harness.unsuback(id);
    let id = harness.expect_subscribe(CONFIG);
    harness.suback(id, 0);
    assert_eq!(
        harness.ended(third),
        Some(Ok(Outcome::Subscribed(QoS::AtMostOnce)))
    );
}

#[test]
fn a_refusal_of_what_is_not_wanted_any_more_does_not_fail_the_newer_request() {
    let by_suback: fn(&mut Harness, u16) = |harness, id| harness.suback(id, 0x80);
    let by_report: fn(&mut Harness, u16) =
        |harness, id| harness.report("GATEWAY_INVALID_MQTT_TOPIC", "device-1", Some(id));
    for refuse in [by_suback, by_report] {
        let (mut harness, device) = Harness::attached(Options::default());
        subscribe(&mut harness, device, QoS::AtLeastOnce);
        let id = harness.expect_subscribe(CONFIG);
        let op = subscribe(&mut harness, device, QoS::AtMostOnce);
        refuse(&mut harness, id);
        assert_eq!(harness.ended(op), None);
        let id = harness.expect_subscribe(CONFIG);
        harness.suback(id, 0);
        let subscribed = Outcome::Subscribed(QoS::AtMostOnce);
        assert_eq!(harness.ended(op), Some(Ok(subscribed)));
    }
}

#[test]
fn repeating_a_pending_subscription_request_returns_the_same_operation() {
    let (mut harness, device) = Harness::attached(Options::default());
    let first = subscribe(&mut harness, device, QoS::AtLeastOnce);
    assert_eq!(subscribe(&mut harness, device, QoS::AtLeastOnce), first);
    assert_eq!(harness.sent().len(), 1);
}

#[test]
fn a_subscription_request_that_is_already_fulfilled_completes_without_a_packet() {
    let (mut harness, device) = subscribed();
    let op = subscribe(&mut harness, device, QoS::AtLeastOnce);
    assert_eq!(
        harness.ended(op),
        Some(Ok(Outcome::Subscribed(QoS::AtLeastOnce)))
    );
    assert_eq!(harness.sent(), []);
}

#[test]
fn a_refused_errors_topic_is_reported_and_blocks_nothing() {
    let mut harness = Harness::dialing(Options::default());
    harness.begin_attach("device-1");
    harness.transport_up();
    harness.sent();
    harness.connack(0);
    let Sent::Subscribe { id, .. } = harness.next_sent() else {
        panic!()
    };
    harness.acknowledge_attach("device-1");
    harness.suback(id, 0x80);
    let events = harness.events();
    assert!(events.contains(&Event::ErrorsTopicUnavailable {
        failure: Failure::ErrorsTopicRefused
    }));
    assert!(harness.gateway.is_open());
}

#[test]
fn an_errors_topic_subscription_that_times_out_is_reported_once_and_asked_for_again_with_backoff() {
    let errors = "/devices/gw-1/errors";
    let mut options = Options::default();
    options.keep_alive = seconds(1_199);
    options.stable_after = seconds(1_199);
    let mut harness = Harness::dialing(options);
    harness.transport_up();
    harness.sent();
    harness.connack(0);
    let mut ids = vec![harness.expect_subscribe(errors)];
    harness.events();
    for wait in [1, 2, 4, 8] {
        harness.step();
        let failure = Failure::TimedOut(seconds(30));
        let report = Event::ErrorsTopicUnavailable { failure };
        let expected = if ids.len() == 1 { vec![report] } else { vec![] };
        assert_eq!(harness.events(), expected, "attempt {}", ids.len());
        let failed = harness.now;
        harness.step();
        let waited = harness.now - failed;
        assert!(
            waited >= seconds(wait) && waited <= seconds(wait + 1),
            "{waited:?}"
        );
        ids.push(harness.expect_subscribe(errors));
    }
    for id in ids {
        harness.suback(id, 0);
        harness.wait(seconds(50));
        assert_eq!(harness.sent(), [], "the first answer ends the attempts");
    }
    assert_eq!(harness.events(), []);
    assert_eq!(
        harness.gateway.stats().unsolicited,
        0,
        "a late answer is not unsolicited"
    );
}

#[test]
fn counters_are_kept_across_connections() {
    let mut harness = Harness::open(Options::default());
    for unsolicited in 1..=3 {
        harness.puback(999);
        assert_eq!(harness.gateway.stats().unsolicited, unsolicited);
        harness.reconnect();
        assert_eq!(harness.gateway.stats().unsolicited, unsolicited);
    }
}

#[test]
fn a_suback_for_another_kind_of_packet_is_counted_and_ignored() {
    let (mut harness, device) = Harness::attached(Options::default());
    harness.publish(device, "1");
    let id = harness.expect_publish("/devices/device-1/events");
    harness.suback(id, 1);
    harness.unsuback(id);
    harness.puback(999);
    assert_eq!(harness.events(), []);
    assert_eq!(harness.gateway.stats().unsolicited, 3);
}
