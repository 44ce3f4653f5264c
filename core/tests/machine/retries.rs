//! Retries: operations that are not answered or fail temporarily are retried with backoff.

use std::time::Duration;

use iotcore_gateway::{DeviceKey, Failure, Options, Outcome, QoS, Subscription};

use super::peer::{ATTACH, CONFIG, EVENTS, Harness, Sent, seconds};

/// Asserts that a delay is `expected` seconds, plus up to one second of jitter.
fn assert_wait(wait: Duration, expected: u64) {
    assert!(
        wait >= seconds(expected) && wait <= seconds(expected + 1),
        "{wait:?}"
    );
}

fn subscribe(harness: &mut Harness, device: DeviceKey) {
    let (config, qos) = (Subscription::Config, QoS::AtLeastOnce);
    let subscribing = harness.gateway.subscribe(device, config, qos, harness.now);
    subscribing.unwrap();
}

/// Advances the time to the next attach of this device; returns the time passed and its packet identifier.
fn next_attach(harness: &mut Harness) -> (Duration, u16) {
    let start = harness.now;
    harness.step();
    let packet_id = harness.expect_publish(ATTACH);
    (harness.now - start, packet_id)
}

#[test]
fn repeated_attach_failures_increase_the_backoff() {
    let mut harness = Harness::open(Options::default());
    harness.begin_attach("device-1");
    let mut packet_id = harness.expect_publish(ATTACH);
    for expected in [1, 2, 4, 8] {
        harness.report("UNKNOWN", "device-1", Some(packet_id));
        let (wait, next) = next_attach(&mut harness);
        assert_wait(wait, expected);
        packet_id = next;
    }
}

#[test]
fn repeated_detachments_increase_the_backoff_until_an_attachment_has_lasted() {
    let (mut harness, _) = Harness::attached(Options::default());
    let detached = |harness: &mut Harness| {
        harness.report("GATEWAY_DETACHMENT_DEVICE_ERROR", "device-1", None);
        let (wait, packet_id) = next_attach(harness);
        harness.puback(packet_id);
        wait
    };
    for expected in [1, 2, 4] {
        let wait = detached(&mut harness);
        assert_wait(wait, expected);
    }
    harness.wait(seconds(60));
    assert_eq!(harness.sent(), [Sent::PingReq]);
    harness.receive(&[0xd0, 0]);
    assert!(detached(&mut harness) <= seconds(2));
}

#[test]
fn repeated_subscribe_timeouts_increase_the_backoff() {
    let mut options = Options::default();
    options.ack_timeout = seconds(1);
    let (mut harness, device) = Harness::attached(options);
    subscribe(&mut harness, device);
    for expected in [1, 2, 4, 8] {
        harness.expect_subscribe(CONFIG);
        harness.wait(seconds(1));
        let start = harness.now;
        harness.step();
        assert_wait(harness.now - start, expected);
    }
}

#[test]
fn an_unsubscribe_that_is_not_answered_is_sent_again() {
    let mut options = Options::default();
    options.ack_timeout = seconds(5);
    let (mut harness, device) = Harness::attached(options);
    subscribe(&mut harness, device);
    let id = harness.expect_subscribe(CONFIG);
    harness.suback(id, 1);
    harness.events();
    let (config, now) = (Subscription::Config, harness.now);
    let op = harness.gateway.unsubscribe(device, config, now).unwrap();
    assert!(matches!(harness.next_sent(), Sent::Unsubscribe { .. }));
    harness.wait(seconds(5));
    assert_eq!(harness.ended(op), Some(Err(Failure::TimedOut(seconds(5)))));
    harness.step();
    assert!(matches!(harness.next_sent(), Sent::Unsubscribe { .. }));
    harness.wait(seconds(5));
    assert_eq!(harness.events(), [], "the subscription is not requested");
    harness.step();
    assert!(matches!(harness.next_sent(), Sent::Unsubscribe { .. }));
}

#[test]
fn a_late_timeout_processes_everything_that_is_overdue() {
    let (mut harness, device) = Harness::attached(Options::default());
    harness.publish(device, "1");
    let id = harness.sent_payloads()[0].1;
    harness.begin_attach("device-2");
    harness.expect_publish("/devices/device-2/attach");
    harness.now += seconds(33);
    harness.gateway.handle_timeout(harness.now);
    assert_eq!(harness.sent_payloads(), [("1".to_owned(), id)]);
    harness.now += seconds(10);
    harness.gateway.handle_timeout(harness.now);
    harness.expect_publish("/devices/device-2/attach");
}

#[test]
fn a_missing_puback_resends_the_publication_with_the_same_identifier_dup_and_backoff() {
    let mut options = Options::default();
    options.keep_alive = seconds(1_199);
    let (mut harness, device) = Harness::attached(options);
    let op = harness.publish(device, "1");
    let id = harness.expect_publish(EVENTS);
    for wait in [30, 60, 120, 240, 300, 300] {
        harness.wait(seconds(wait) - Duration::from_millis(1));
        assert_eq!(harness.sent(), [], "before {wait} s");
        harness.wait(Duration::from_millis(1));
        assert_eq!(
            harness.sent(),
            [Sent::Publish {
                topic: EVENTS.into(),
                payload: b"1".into(),
                id: Some(id),
                dup: true,
            }]
        );
    }
    harness.puback(id);
    assert_eq!(harness.ended(op), Some(Ok(Outcome::Acknowledged)));
    assert_eq!(harness.gateway.stats().resent, 6);
}

#[test]
fn of_two_publications_overdue_at_once_the_older_is_resent_first() {
    let mut options = Options::default();
    options.ack_timeout = seconds(2);
    options.max_ack_timeout = seconds(4);
    let (mut harness, device) = Harness::attached(options);
    harness.publish(device, "first");
    harness.sent();
    harness.wait(seconds(2));
    assert_eq!(harness.sent_payloads().len(), 1, "resent within 4 s");
    harness.wait(seconds(2));
    harness.publish(device, "second");
    harness.sent();
    harness.wait(seconds(2));
    let again = harness.sent_payloads().into_iter();
    let again: Vec<_> = again.map(|(payload, _)| payload).collect();
    assert_eq!(again, ["first", "second"]);
}
