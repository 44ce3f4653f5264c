//! Answers to SUBSCRIBE and UNSUBSCRIBE that arrive after their operation has ended.

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
fn a_late_suback_subscribes_and_the_operation_stays_failed() {
    for is_asked_again in [false, true] {
        let (mut harness, device) = Harness::attached(Options::default());
        let op = subscribe(&mut harness, device, QoS::AtLeastOnce);
        let late = harness.expect_subscribe(CONFIG);
        harness.time_out(seconds(30));
        assert_eq!(harness.ended(op), Some(Err(Failure::TimedOut(seconds(30)))));
        let second = is_asked_again.then(|| {
            harness.step();
            harness.expect_subscribe(CONFIG)
        });
        harness.suback(late, 1);
        let again = subscribe(&mut harness, device, QoS::AtLeastOnce);
        let subscribed = Outcome::Subscribed(QoS::AtLeastOnce);
        assert_eq!(harness.ended(again), Some(Ok(subscribed)));
        if let Some(second) = second {
            harness.suback(second, 1);
        }
        harness.wait(seconds(20));
        assert_eq!(harness.events(), []);
        assert_eq!(harness.sent(), [], "it is not asked for again");
        assert_eq!(harness.gateway.stats().unsolicited, 0);
    }
}

#[test]
fn what_may_still_be_done_late_is_undone_when_something_else_is_wanted() {
    // SUBSCRIBE is overdue, and the user does not want it any more.
    let (mut harness, device) = Harness::attached(Options::default());
    subscribe(&mut harness, device, QoS::AtLeastOnce);
    let late = harness.expect_subscribe(CONFIG);
    harness.time_out(seconds(30));
    harness.events();
    let op = unsubscribe(&mut harness, device);
    let Sent::Unsubscribe { id, .. } = harness.next_sent() else {
        panic!()
    };
    harness.suback(late, 1);
    assert_eq!(harness.events(), []);
    harness.unsuback(id);
    assert_eq!(harness.ended(op), Some(Ok(Outcome::Unsubscribed)));

    // UNSUBSCRIBE is overdue, and the user wants the subscription again: before it is overdue, or after.
    for is_early in [true, false] {
        let (mut harness, device) = subscribed();
        unsubscribe(&mut harness, device);
        assert!(matches!(harness.next_sent(), Sent::Unsubscribe { .. }));
        if is_early {
            subscribe(&mut harness, device, QoS::AtLeastOnce);
            harness.events();
        }
        harness.time_out(seconds(30));
        if !is_early {
            subscribe(&mut harness, device, QoS::AtLeastOnce);
        }
        harness.events();
        let id = harness.expect_subscribe(CONFIG);
        harness.suback(id, 1);
        harness.deliver(CONFIG, "{}", Some(1));
        let events = harness.events();
        assert!(matches!(events.last(), Some(Event::Config { .. })));
    }
}

#[test]
fn a_suback_after_a_report_failed_its_subscription_does_not_complete_the_next_attempt() {
    let (mut harness, device) = Harness::attached(Options::default());
    subscribe(&mut harness, device, QoS::AtLeastOnce);
    let late = harness.expect_subscribe(CONFIG);
    harness.report("GATEWAY_INVALID_MQTT_TOPIC", "device-1", Some(late));
    harness.events();
    let op = subscribe(&mut harness, device, QoS::AtLeastOnce);
    let id = harness.expect_subscribe(CONFIG);
    harness.suback(late, 0x80);
    assert_eq!(harness.ended(op), None);
    harness.suback(id, 1);
    let subscribed = Outcome::Subscribed(QoS::AtLeastOnce);
    assert_eq!(harness.ended(op), Some(Ok(subscribed)));
}
