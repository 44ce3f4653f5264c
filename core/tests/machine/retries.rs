//! Retries: operations that are not answered or fail temporarily are retried with backoff.

use std::time::Duration;

use iotcore_gateway::{
    DeviceKey, Event, Failure, Options, Outcome,
    message::{QoS, Subscription},
};

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
        let sent = harness.now;
        harness.step();
        assert!(matches!(
            harness.events()[..],
            [Event::Failed { .. } | Event::SubscriptionLost { .. }]
        ));
        assert_wait(harness.now - sent, 1);
        let failed = harness.now;
        harness.step();
        assert_wait(harness.now - failed, expected);
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
    harness.time_out(seconds(5));
    assert_eq!(harness.ended(op), Some(Err(Failure::TimedOut(seconds(5)))));
    harness.step();
    assert!(matches!(harness.next_sent(), Sent::Unsubscribe { .. }));
    harness.time_out(seconds(5));
    assert_eq!(harness.events(), [], "the subscription is not requested");
    harness.step();
    assert!(matches!(harness.next_sent(), Sent::Unsubscribe { .. }));
}

#[test]
fn a_late_timeout_processes_everything_that_is_overdue() {
    let (mut harness, device) = Harness::attached(Options::default());
    harness.publish(device, "1");
    let id = harness.sent_payloads()[0].1;
    let (_, op) = harness.begin_attach("device-2");
    let attach = harness.expect_publish("/devices/device-2/attach");
    harness.now += seconds(33);
    harness.gateway.handle_timeout(harness.now);
    harness.expect_publish_again(EVENTS, id);
    assert_eq!(harness.sent(), []);
    assert_eq!(harness.ended(op), Some(Err(Failure::TimedOut(seconds(30)))));
    harness.now += seconds(10);
    harness.gateway.handle_timeout(harness.now);
    harness.expect_publish_again("/devices/device-2/attach", attach);
}

#[test]
fn inputs_and_commands_at_a_late_time_run_no_timers() {
    let (mut harness, device) = Harness::attached(Options::default());
    let published = harness.publish(device, "1");
    let id = harness.expect_publish(EVENTS);
    let (other, attach) = harness.begin_attach("device-2");
    let attach_id = harness.expect_publish("/devices/device-2/attach");
    // Everything is overdue, the PINGREQ and its answer too.
    harness.now += seconds(200);
    harness.publish(harness.gateway.own_key(), "2");
    subscribe(&mut harness, device);
    harness.expect_publish("/devices/gw-1/events");
    harness.expect_subscribe(CONFIG);
    assert_eq!(harness.sent(), []);
    harness.puback(attach_id);
    harness.puback(id);
    let events = harness.events();
    assert!(events.contains(&Event::Attached { device: other }));
    for (op, outcome) in [
        (attach, Outcome::Attached),
        (published, Outcome::Acknowledged),
    ] {
        assert!(events.contains(&Event::Done { op, outcome }), "{events:?}");
    }
    harness.lose_connection();
    assert!(!harness.gateway.wants_transport());
    harness.now += seconds(60);
    let own = harness.gateway.own_key();
    harness.publish(own, "3");
    assert!(!harness.gateway.wants_transport(), "the backoff is a timer");
    harness.gateway.handle_timeout(harness.now);
    assert!(harness.gateway.wants_transport());
    harness.gateway.close(harness.now);
    harness.now += seconds(60);
    harness.transport_up();
    assert!(!harness.gateway.is_closed(), "so is the limit of a close");
    harness.gateway.handle_timeout(harness.now);
    assert!(!harness.gateway.wants_transport());
}

#[test]
fn a_missing_puback_resends_the_publication_with_the_same_identifier_dup_and_backoff() {
    let mut options = Options::default();
    options.keep_alive = seconds(1_199);
    let (mut harness, device) = Harness::attached(options);
    let op = harness.publish(device, "1");
    let id = harness.expect_publish(EVENTS);
    let mut sent_at = harness.now;
    for wait in [30, 60, 120, 240, 300, 300] {
        harness.wait(sent_at + seconds(wait) - Duration::from_millis(1) - harness.now);
        assert_eq!(harness.sent(), [], "before {wait} s");
        harness.step();
        assert_wait(harness.now - sent_at, wait);
        sent_at = harness.now;
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

/// Publishes three times, reports the time when all are overdue, and returns the packet identifiers.
fn three_overdue(harness: &mut Harness, device: DeviceKey) -> [u16; 3] {
    let ids = ["1", "2", "3"].map(|payload| {
        harness.publish(device, payload);
        harness.expect_publish(EVENTS)
    });
    harness.now += seconds(31);
    harness.gateway.handle_timeout(harness.now);
    ids
}

#[test]
fn of_overdue_publications_that_nothing_has_overtaken_the_oldest_is_resent_as_a_probe() {
    let (mut harness, device) = Harness::attached(Options::default());
    let ids = three_overdue(&mut harness, device);
    harness.expect_publish_again(EVENTS, ids[0]);
    assert_eq!(harness.sent(), [], "one probe at a time");
    for (id, interval) in [(ids[1], 6), (ids[2], 12)] {
        let last = harness.now;
        harness.step();
        assert_eq!(harness.now - last, seconds(interval));
        harness.expect_publish_again(EVENTS, id);
        assert_eq!(harness.sent(), []);
    }
    for id in ids {
        harness.puback(id);
    }
    harness.wait(seconds(17));
    assert_eq!(harness.sent(), [], "nothing is unanswered");
    assert_eq!(harness.gateway.stats().resent, 3);
}

#[test]
fn overdue_publications_are_resent_in_order_once_the_answer_to_a_later_one_has_overtaken_them() {
    let (mut harness, device) = Harness::attached(Options::default());
    let [first, second, third] = three_overdue(&mut harness, device);
    harness.expect_publish_again(EVENTS, first);
    harness.publish(device, "4");
    let fourth = harness.expect_publish(EVENTS);
    harness.puback(fourth);
    assert_eq!(harness.sent(), [], "only a timeout judges");
    let answered = harness.now;
    harness.step();
    assert_eq!(harness.now, answered, "without any wait");
    harness.expect_publish_again(EVENTS, second);
    harness.expect_publish_again(EVENTS, third);
    assert_eq!(harness.sent(), [], "the first was sent again already");
    assert_eq!(harness.gateway.stats().resent, 3);
}

#[test]
fn a_deadline_counts_from_the_hand_over_and_allows_half_a_millisecond_for_each_byte() {
    let mut options = Options::default();
    options.keep_alive = seconds(1_199);
    options.stable_after = seconds(1_199);
    let (mut harness, device) = Harness::attached(options);
    // The PUBACK of the first proves that the peer has read it: its bytes do not count for the second.
    harness.publish(device, &"x".repeat(1_000));
    let first = harness.expect_publish(EVENTS);
    harness.puback(first);
    harness.publish(device, "1");
    let bytes = harness.gateway.poll_transmit().len() as u32;
    harness.wait(seconds(10));
    let second = harness.expect_publish(EVENTS);
    let handed_over = harness.now;
    harness.step();
    let allowance = Duration::from_micros(500) * bytes;
    assert_eq!(harness.now - handed_over, seconds(30) + allowance);
    harness.expect_publish_again(EVENTS, second);
}
