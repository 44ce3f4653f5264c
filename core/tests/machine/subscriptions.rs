//! Subscribing and unsubscribing, for devices and the gateway itself.

use iotcore_gateway::{DeviceKey, Event, Failure, OpId, Options, Outcome, QoS, Subscription};

use super::peer::{CONFIG, Sent, Session, seconds};

fn subscribe(session: &mut Session, device: DeviceKey, qos: QoS) -> OpId {
    session
        .gateway
        .subscribe(device, Subscription::Config, qos, session.now)
        .unwrap()
}

fn unsubscribe(session: &mut Session, device: DeviceKey) -> OpId {
    session
        .gateway
        .unsubscribe(device, Subscription::Config, session.now)
        .unwrap()
}

/// A device that is subscribed to its configs.
fn subscribed() -> (Session, DeviceKey) {
    let (mut session, device) = Session::attached(Options::default());
    subscribe(&mut session, device, QoS::AtLeastOnce);
    let id = session.expect_subscribe(CONFIG);
    session.suback(id, 1);
    session.events();
    (session, device)
}

#[test]
fn a_suback_completes_it_with_what_was_asked() {
    for (qos, code) in [(QoS::AtMostOnce, 0), (QoS::AtLeastOnce, 1)] {
        let (mut session, device) = Session::attached(Options::default());
        let op = subscribe(&mut session, device, qos);
        let Sent::Subscribe {
            id,
            filter,
            qos: asked,
        } = session.next_sent()
        else {
            panic!()
        };
        assert_eq!((&filter[..], asked), (CONFIG, code));
        session.suback(id, code);
        assert_eq!(session.ended(op), Some(Ok(Outcome::Subscribed(qos))));
    }
}

#[test]
fn a_refused_subscription_fails_and_is_wanted_again_on_the_next_connection() {
    let (mut session, device) = Session::attached(Options::default());
    let op = subscribe(&mut session, device, QoS::AtLeastOnce);
    let id = session.expect_subscribe(CONFIG);
    session.suback(id, 0x80);
    let refused = Failure::SubscriptionRefused(Subscription::Config);
    assert_eq!(session.ended(op), Some(Err(refused.clone())));
    session.wait(seconds(50));
    assert_eq!(session.sent(), []);
    session.reconnect();
    session.acknowledge_attach("device-1");
    let id = session.expect_subscribe(CONFIG);
    session.suback(id, 0x80);
    let subscription = Subscription::Config;
    assert!(session.events().contains(&Event::SubscriptionLost {
        device,
        subscription,
        failure: refused
    }));
}

#[test]
fn a_missing_suback_fails_it_and_it_is_tried_again_on_another_identifier() {
    let (mut session, device) = Session::attached(Options::default());
    let op = subscribe(&mut session, device, QoS::AtLeastOnce);
    let late = session.expect_subscribe(CONFIG);
    session.wait(seconds(30));
    assert_eq!(session.ended(op), Some(Err(Failure::TimedOut(seconds(30)))));
    session.step();
    let second = session.expect_subscribe(CONFIG);
    assert_ne!(late, second);
    session.suback(late, 0x80);
    assert_eq!(
        session.events(),
        [],
        "a late answer says nothing of the second attempt"
    );
    session.suback(second, 1);
    session.deliver(CONFIG, "{}", Some(1));
    assert!(matches!(session.events()[..], [Event::Config { .. }]));
}

#[test]
fn every_connection_subscribes_again_and_the_operation_ends_once() {
    let (mut session, device) = Session::attached(Options::default());
    let op = subscribe(&mut session, device, QoS::AtLeastOnce);
    let id = session.expect_subscribe(CONFIG);
    session.suback(id, 1);
    assert_eq!(
        session.ended(op),
        Some(Ok(Outcome::Subscribed(QoS::AtLeastOnce)))
    );
    for _ in 0..3 {
        session.reconnect();
        session.acknowledge_attach("device-1");
        let id = session.expect_subscribe(CONFIG);
        session.suback(id, 1);
        assert_eq!(session.ended(op), None);
    }
}

#[test]
fn the_gateways_own_subscriptions_come_before_any_attach() {
    let mut session = Session::dialing(Options::default());
    session.begin_attach("device-1");
    let own = session.gateway.own_key();
    subscribe(&mut session, own, QoS::AtLeastOnce);
    session.connect();
    session.expect_subscribe("/devices/gw-1/config");
    session.expect_publish("/devices/device-1/attach");
}

#[test]
fn a_device_that_goes_takes_no_turn_of_another_with_it() {
    let (mut session, gone) = Session::attached(Options::default());
    let [stays, leaves] = ["device-2", "device-3"].map(|id| session.attach(id));
    let own = session.gateway.own_key();
    session.publish(own, &"x".repeat(64 * 1024));
    for device in [gone, stays] {
        subscribe(&mut session, device, QoS::AtLeastOnce);
    }
    for device in [gone, leaves] {
        session.gateway.detach(device, session.now).unwrap();
    }
    session.report("GATEWAY_DEVICE_NOT_FOUND", "device-1", None);
    assert_eq!(session.gateway.device_state(gone), None);
    session.expect_publish("/devices/gw-1/events");
    session.expect_subscribe("/devices/device-2/config");
    session.expect_publish("/devices/device-3/detach");
    assert_eq!(session.sent(), []);
}

#[test]
fn unsubscribing_ends_with_unsuback() {
    let (mut session, device) = subscribed();
    let op = unsubscribe(&mut session, device);
    let Sent::Unsubscribe { id, filter } = session.next_sent() else {
        panic!()
    };
    assert_eq!(filter, CONFIG);
    session.unsuback(id);
    assert_eq!(session.ended(op), Some(Ok(Outcome::Unsubscribed)));
    session.reconnect();
    session.acknowledge_attach("device-1");
    assert_eq!(session.sent(), []);
}

#[test]
fn unsubscribing_what_is_not_subscribed_is_done_at_once() {
    let (mut session, device) = Session::attached(Options::default());
    let op = unsubscribe(&mut session, device);
    assert_eq!(session.ended(op), Some(Ok(Outcome::Unsubscribed)));
    assert_eq!(session.sent(), []);
}

#[test]
fn a_lost_connection_completes_an_unsubscribe() {
    let (mut session, device) = subscribed();
    let op = unsubscribe(&mut session, device);
    assert!(matches!(session.next_sent(), Sent::Unsubscribe { .. }));
    session.lose_connection();
    assert_eq!(session.ended(op), Some(Ok(Outcome::Unsubscribed)));
    session.redial();
    session.acknowledge_attach("device-1");
    assert_eq!(session.sent(), []);
}

#[test]
fn a_subscription_that_could_not_go_out_waits_for_the_next_attachment() {
    let (mut session, device) = Session::attached(Options::default());
    let own = session.gateway.own_key();
    session.publish(own, &"x".repeat(64 * 1024));
    let op = subscribe(&mut session, device, QoS::AtLeastOnce);
    session.report("GATEWAY_DEVICE_NOT_FOUND", "device-1", None);
    session.expect_publish("/devices/gw-1/events");
    assert_eq!(session.sent(), []);
    session.step();
    session.acknowledge_attach("device-1");
    let id = session.expect_subscribe(CONFIG);
    assert_eq!(session.sent(), [], "once");
    session.suback(id, 1);
    let subscribed = Outcome::Subscribed(QoS::AtLeastOnce);
    assert_eq!(session.ended(op), Some(Ok(subscribed)));
}

#[test]
fn a_config_that_comes_between_two_attempts_to_subscribe_is_delivered() {
    let (mut session, device) = Session::attached(Options::default());
    subscribe(&mut session, device, QoS::AtLeastOnce);
    session.expect_subscribe(CONFIG);
    session.wait(seconds(30));
    session.events();
    session.deliver(CONFIG, "{}", Some(1));
    assert!(matches!(session.events()[..], [Event::Config { .. }]));
}

#[test]
fn a_config_is_delivered_until_the_unsuback() {
    let (mut session, device) = Session::attached(Options::default());
    subscribe(&mut session, device, QoS::AtLeastOnce);
    let id = session.expect_subscribe(CONFIG);
    session.suback(id, 1);
    let own = session.gateway.own_key();
    session.publish(own, &"x".repeat(64 * 1024));
    unsubscribe(&mut session, device);
    session.events();
    let is_delivered = |session: &mut Session| {
        session.deliver(CONFIG, "{}", None);
        matches!(session.events()[..], [Event::Config { .. }])
    };
    assert!(is_delivered(&mut session), "UNSUBSCRIBE has no room yet");
    session.expect_publish("/devices/gw-1/events");
    let Sent::Unsubscribe { id, .. } = session.next_sent() else {
        panic!()
    };
    assert!(is_delivered(&mut session), "UNSUBACK is due");
    session.unsuback(id);
    session.events();
    assert!(!is_delivered(&mut session));
}

#[test]
fn a_changed_mind_supersedes_the_first_wish_and_ends_where_the_last_one_wants() {
    let (mut session, device) = Session::attached(Options::default());
    let first = subscribe(&mut session, device, QoS::AtLeastOnce);
    let id = session.expect_subscribe(CONFIG);
    let second = unsubscribe(&mut session, device);
    assert_eq!(session.ended(first), Some(Err(Failure::Superseded)));
    assert_eq!(session.sent(), [], "one after the other");
    session.suback(id, 1);
    let Sent::Unsubscribe { id, .. } = session.next_sent() else {
        panic!()
    };
    let third = subscribe(&mut session, device, QoS::AtMostOnce);
    assert_eq!(session.ended(second), Some(Err(Failure::Superseded)));
    session.unsuback(id);
    let id = session.expect_subscribe(CONFIG);
    session.suback(id, 0);
    assert_eq!(
        session.ended(third),
        Some(Ok(Outcome::Subscribed(QoS::AtMostOnce)))
    );
}

#[test]
fn a_pending_wish_repeated_is_the_same_operation() {
    let (mut session, device) = Session::attached(Options::default());
    let first = subscribe(&mut session, device, QoS::AtLeastOnce);
    assert_eq!(subscribe(&mut session, device, QoS::AtLeastOnce), first);
    assert_eq!(session.sent().len(), 1);
}

#[test]
fn a_wish_that_holds_already_is_done_without_a_packet() {
    let (mut session, device) = subscribed();
    let op = subscribe(&mut session, device, QoS::AtLeastOnce);
    assert_eq!(
        session.ended(op),
        Some(Ok(Outcome::Subscribed(QoS::AtLeastOnce)))
    );
    assert_eq!(session.sent(), []);
}

#[test]
fn a_refused_errors_topic_is_told_and_blocks_nothing() {
    let mut session = Session::dialing(Options::default());
    session.begin_attach("device-1");
    session.transport_up();
    session.sent();
    session.connack(0);
    let Sent::Subscribe { id, .. } = session.next_sent() else {
        panic!()
    };
    session.acknowledge_attach("device-1");
    session.suback(id, 0x80);
    let events = session.events();
    assert!(events.contains(&Event::ErrorsTopicUnavailable {
        failure: Failure::ErrorsTopicRefused
    }));
    assert!(session.gateway.is_open());
}

#[test]
fn an_errors_topic_that_is_not_answered_in_time_is_told_once() {
    let mut session = Session::dialing(Options::default());
    session.transport_up();
    session.sent();
    session.connack(0);
    let id = session.expect_subscribe("/devices/gw-1/errors");
    session.events();
    session.wait(seconds(30));
    let failure = Failure::TimedOut(seconds(30));
    assert_eq!(
        session.events(),
        [Event::ErrorsTopicUnavailable { failure }]
    );
    session.suback(id, 0);
    assert_eq!(session.events(), []);
    assert_eq!(
        session.gateway.stats().unsolicited,
        0,
        "late is not strange"
    );
}

#[test]
fn what_was_counted_outlives_the_connection() {
    let mut session = Session::open(Options::default());
    for unsolicited in 1..=3 {
        session.puback(999);
        assert_eq!(session.gateway.stats().unsolicited, unsolicited);
        session.reconnect();
        assert_eq!(session.gateway.stats().unsolicited, unsolicited);
    }
}

#[test]
fn a_suback_for_another_kind_of_packet_is_counted_and_ignored() {
    let (mut session, device) = Session::attached(Options::default());
    session.publish(device, "1");
    let id = session.expect_publish("/devices/device-1/events");
    session.suback(id, 1);
    session.unsuback(id);
    session.puback(999);
    assert_eq!(session.events(), []);
    assert_eq!(session.gateway.stats().unsolicited, 3);
}

#[test]
fn a_suback_that_comes_after_a_report_failed_its_subscription_says_nothing_of_the_next() {
    let (mut session, device) = Session::attached(Options::default());
    subscribe(&mut session, device, QoS::AtLeastOnce);
    let late = session.expect_subscribe(CONFIG);
    session.report("GATEWAY_INVALID_MQTT_TOPIC", "device-1", Some(late));
    session.events();
    let op = subscribe(&mut session, device, QoS::AtLeastOnce);
    let id = session.expect_subscribe(CONFIG);
    session.suback(late, 0x80);
    assert_eq!(session.ended(op), None);
    session.suback(id, 1);
    let subscribed = Outcome::Subscribed(QoS::AtLeastOnce);
    assert_eq!(session.ended(op), Some(Ok(subscribed)));
}
