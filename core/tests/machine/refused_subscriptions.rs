//! Subscriptions that the bridge refuses, or grants at a lower quality of service.

use std::time::Duration;

use iotcore_gateway::{
    DeviceKey, Event, Failure, OpId, Options, Outcome,
    message::{QoS, Subscription},
};

use super::peer::{CONFIG, Harness, Sent, seconds};

const REFUSED: u8 = 0x80;

const ERRORS: &str = "/devices/gw-1/errors";

fn subscribe(harness: &mut Harness, device: DeviceKey) -> OpId {
    harness
        .gateway
        .subscribe(device, Subscription::Config, QoS::AtLeastOnce, harness.now)
        .unwrap()
}

fn refusal() -> Failure {
    Failure::SubscriptionRefused(Subscription::Config)
}

/// Answers pings until a SUBSCRIBE of this filter is sent; returns its packet identifier.
fn next_subscribe(harness: &mut Harness, filter: &str) -> u16 {
    loop {
        for sent in harness.sent() {
            match sent {
                Sent::Subscribe {
                    id, filter: found, ..
                } if found == filter => return id,
                Sent::PingReq => harness.receive(&Sent::PingReq.answer().unwrap()),
                other => panic!("{other:?}"),
            }
        }
        harness.step();
    }
}

/// Refuses a subscription, and each time that it is asked for again; returns how long it took each time.
fn waits_after_refusals(harness: &mut Harness, id: u16, filter: &str, count: usize) -> Vec<u64> {
    let mut id = id;
    let mut waits = Vec::new();
    for _ in 0..count {
        harness.suback(id, REFUSED);
        let since = harness.now;
        id = next_subscribe(harness, filter);
        waits.push((harness.now - since).as_secs());
    }
    harness.suback(id, REFUSED);
    waits
}

#[test]
fn a_refused_subscription_fails_and_is_granted_when_it_is_asked_for_again() {
    for is_own in [false, true] {
        let (mut harness, device) = Harness::attached(Options::default());
        let (device, filter) = match is_own {
            true => (harness.gateway.own_key(), "/devices/gw-1/config"),
            false => (device, CONFIG),
        };
        let op = subscribe(&mut harness, device);
        let id = harness.expect_subscribe(filter);
        harness.suback(id, REFUSED);
        assert_eq!(harness.ended(op), Some(Err(refusal())));
        harness.wait(Duration::from_millis(999));
        assert_eq!(harness.sent(), [], "not before a second");
        let id = next_subscribe(&mut harness, filter);
        harness.suback(id, 1);
        assert_eq!(harness.events(), []);
        let again = subscribe(&mut harness, device);
        let subscribed = Outcome::Subscribed(QoS::AtLeastOnce);
        assert_eq!(harness.ended(again), Some(Ok(subscribed)));
        assert_eq!(harness.sent(), []);
    }
}

#[test]
fn the_delay_after_refusals_doubles_up_to_5_minutes() {
    let (mut harness, device) = Harness::attached(Options::default());
    subscribe(&mut harness, device);
    let id = harness.expect_subscribe(CONFIG);
    let waits = waits_after_refusals(&mut harness, id, CONFIG, 12);
    for (n, wait) in waits.into_iter().enumerate() {
        let (least, most) = match n {
            0..=8 => (1 << n, (1 << n) + 1),
            _ => (225, 300),
        };
        assert!((least..=most).contains(&wait), "{n}: {wait} s");
    }
}

#[test]
fn each_later_refusal_is_reported_for_a_device_and_only_the_first_for_the_errors_topic() {
    let (mut harness, device) = Harness::attached(Options::default());
    subscribe(&mut harness, device);
    let id = harness.expect_subscribe(CONFIG);
    harness.suback(id, REFUSED);
    harness.events();
    let lost = Event::SubscriptionLost {
        device,
        subscription: Subscription::Config,
        failure: refusal(),
    };
    let lost = [lost];
    for _ in 0..2 {
        let id = next_subscribe(&mut harness, CONFIG);
        harness.suback(id, REFUSED);
        assert_eq!(harness.events(), lost);
    }

    let mut harness = Harness::dialing(Options::default());
    harness.transport_up();
    harness.sent();
    harness.connack(0);
    let id = harness.expect_subscribe(ERRORS);
    harness.events();
    let waits = waits_after_refusals(&mut harness, id, ERRORS, 3);
    assert!(waits.is_sorted() && waits[2] >= 4, "{waits:?}");
    let failure = Failure::ErrorsTopicRefused;
    let told = [Event::ErrorsTopicUnavailable { failure }];
    assert_eq!(harness.events(), told);
}

#[test]
fn a_reconnect_neither_resets_the_delay_after_refusals_nor_asks_before_its_end() {
    let (mut harness, device) = Harness::attached(Options::default());
    subscribe(&mut harness, device);
    let id = harness.expect_subscribe(CONFIG);
    waits_after_refusals(&mut harness, id, CONFIG, 5);
    let refused = harness.now;
    for _ in 0..3 {
        harness.reconnect();
        harness.acknowledge_attach("device-1");
        assert_eq!(harness.sent(), [], "not asked for at once");
    }
    let id = next_subscribe(&mut harness, CONFIG);
    let waited = harness.now - refused;
    assert!((32..=33).contains(&waited.as_secs()), "{waited:?}");
    let waits = waits_after_refusals(&mut harness, id, CONFIG, 1);
    assert!((64..=65).contains(&waits[0]), "{waits:?}");

    // What became due without a connection is asked for once there is one.
    harness.lose_connection();
    harness.wait(seconds(310));
    harness.redial();
    harness.acknowledge_attach("device-1");
    harness.expect_subscribe(CONFIG);
}

#[test]
fn a_grant_resets_the_delay_after_refusals() {
    let (mut harness, device) = Harness::attached(Options::default());
    subscribe(&mut harness, device);
    let id = harness.expect_subscribe(CONFIG);
    waits_after_refusals(&mut harness, id, CONFIG, 4);
    let id = next_subscribe(&mut harness, CONFIG);
    harness.suback(id, 1);
    harness.reconnect();
    harness.acknowledge_attach("device-1");
    let id = harness.expect_subscribe(CONFIG);
    let waits = waits_after_refusals(&mut harness, id, CONFIG, 1);
    assert_eq!(waits, [1]);
}

#[test]
fn the_user_does_not_wait_for_the_delay_after_refusals() {
    let (mut harness, device) = Harness::attached(Options::default());
    subscribe(&mut harness, device);
    let id = harness.expect_subscribe(CONFIG);
    waits_after_refusals(&mut harness, id, CONFIG, 4);
    let op = subscribe(&mut harness, device);
    let id = harness.expect_subscribe(CONFIG);
    harness.suback(id, 1);
    let subscribed = Outcome::Subscribed(QoS::AtLeastOnce);
    assert_eq!(harness.ended(op), Some(Ok(subscribed)));
    harness.wait(seconds(50));
    assert_eq!(harness.sent(), [], "it is not asked for again");
}

#[test]
fn unsubscribing_from_what_was_refused_ends_the_attempts() {
    let (mut harness, device) = Harness::attached(Options::default());
    subscribe(&mut harness, device);
    let id = harness.expect_subscribe(CONFIG);
    harness.suback(id, REFUSED);
    let config = Subscription::Config;
    let op = harness.gateway.unsubscribe(device, config, harness.now);
    let ended = harness.ended(op.unwrap());
    assert_eq!(ended, Some(Ok(Outcome::Unsubscribed)));
    harness.wait(seconds(50));
    assert_eq!(harness.sent(), []);
    harness.reconnect();
    harness.acknowledge_attach("device-1");
    assert_eq!(harness.sent(), []);
}

#[test]
fn a_grant_at_qos_0_instead_of_1_is_told_each_time_and_is_not_asked_for_again() {
    let (mut harness, device) = Harness::attached(Options::default());
    let op = subscribe(&mut harness, device);
    let id = harness.expect_subscribe(CONFIG);
    harness.suback(id, 0);
    let subscription = Subscription::Config;
    let downgraded = Event::SubscriptionDowngraded {
        device,
        subscription,
    };
    let outcome = Outcome::Subscribed(QoS::AtMostOnce);
    let done = |op| Event::Done { op, outcome };
    assert_eq!(harness.events(), [downgraded.clone(), done(op)]);
    harness.wait(seconds(50));
    assert_eq!(harness.sent(), [], "it is not asked for again");
    let again = subscribe(&mut harness, device);
    assert_eq!(harness.events(), [done(again)]);
    assert_eq!(harness.sent(), []);

    harness.reconnect();
    harness.acknowledge_attach("device-1");
    let id = harness.expect_subscribe(CONFIG);
    harness.events();
    harness.suback(id, 0);
    assert_eq!(harness.events(), [downgraded]);
}

#[test]
fn a_grant_of_what_is_not_wanted_any_more_is_no_downgrade() {
    let (mut harness, device) = Harness::attached(Options::default());
    subscribe(&mut harness, device);
    let id = harness.expect_subscribe(CONFIG);
    let (config, now) = (Subscription::Config, harness.now);
    let op = harness
        .gateway
        .subscribe(device, config, QoS::AtMostOnce, now);
    harness.events();
    harness.suback(id, 0);
    assert_eq!(harness.events(), []);
    let id = harness.expect_subscribe(CONFIG);
    harness.suback(id, 1);
    let ended = harness.ended(op.unwrap());
    let subscribed = Outcome::Subscribed(QoS::AtMostOnce);
    assert_eq!(ended, Some(Ok(subscribed)), "at most what was asked for");
}
