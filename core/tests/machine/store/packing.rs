//! The memory of publications moves together after a peak, while some are on their way into the store.

use std::time::Duration;

use iotcore_gateway::{OpId, quota::Quota};

use super::{super::peer::Harness, Kit, lingering};

/// Publishes 4,000 events without a connection, of which every fortieth is left, and the last of all; `at_peak` is called
/// before the others are cancelled.
fn after_a_peak(at_peak: impl Fn(&mut Kit)) -> (Kit, Vec<OpId>, Vec<String>) {
    let mut options = lingering(Duration::ZERO);
    options.quota = Quota::unpaced();
    options.device_queue.messages = 5_000;
    let mut kit = Kit::from(Harness::new(options));
    let ops: Vec<_> = (0..4_000)
        .map(|n| kit.publish_own(&n.to_string()))
        .collect();
    at_peak(&mut kit);
    let is_left = |n: usize| n % 40 == 39;
    for (n, op) in ops.iter().enumerate() {
        if !is_left(n) {
            kit.cancel(*op);
        }
    }
    let left = ops.iter().enumerate().filter(|(n, _)| is_left(*n));
    let (texts, left) = left.map(|(n, op)| (n.to_string(), *op)).unzip();
    (kit, left, texts)
}

/// Makes everything durable, and compares it with what is left.
fn assert_stored(mut kit: Kit, left: &[OpId], texts: &[String]) {
    let before = kit.stored();
    kit.save();
    kit.wait(Duration::from_secs(1));
    kit.save();
    let mut stored: Vec<_> = before.into_iter().filter(|op| left.contains(op)).collect();
    stored.extend(kit.stored());
    stored.dedup();
    assert_eq!(stored, left);
    assert_eq!(kit.durable(), texts);
    let puts = kit.disk.durable.keys().copied();
    assert!(puts.is_sorted());
    for op in left {
        kit.cancel(*op);
    }
    kit.wait(Duration::from_secs(1));
    kit.save();
    assert_eq!(kit.disk.durable.len(), 0);
    assert_eq!(kit.gateway.stats().stored_bytes, 0);
}

#[test]
fn those_that_were_not_put_are_put_in_their_order() {
    let (kit, left, texts) = after_a_peak(|kit| {
        kit.next_op();
        kit.next_op();
    });
    assert_stored(kit, &left, &texts);
}

#[test]
fn those_that_are_being_put_are_put_and_reported_in_their_order() {
    let (kit, left, texts) = after_a_peak(|kit| {
        kit.ops();
        kit.commit();
        (0..2_000).for_each(|_| assert!(kit.next_op().is_some()));
    });
    assert_stored(kit, &left, &texts);
}

#[test]
fn those_that_are_being_committed_are_reported_in_their_order() {
    let (kit, left, texts) = after_a_peak(|kit| {
        kit.ops();
        kit.commit();
        kit.ops();
    });
    assert_stored(kit, &left, &texts);
}

#[test]
fn those_that_are_durable_are_removed() {
    let (kit, left, texts) = after_a_peak(|kit| {
        kit.save();
    });
    assert_stored(kit, &left, &texts);
}

#[test]
fn a_state_in_flight_is_removed_with_the_delivery_of_a_newer_one() {
    let mut options = lingering(Duration::ZERO);
    options.quota = Quota::unpaced();
    options.device_queue.messages = 5_000;
    let mut kit = Kit::from(Harness::new(options));
    let own = kit.gateway.own_key();
    let ops: Vec<_> = (0..4_000)
        .map(|n| kit.publish_own(&n.to_string()))
        .collect();
    kit.publish_state(own, "older");
    kit.save();
    kit.events();
    let now = kit.now;
    kit.gateway.open(now).unwrap();
    kit.transport_up();
    kit.connack(0);
    let first = kit.sent_payloads();
    assert_eq!(first[0].0, "older");
    ops[100..].iter().for_each(|op| kit.cancel(*op));
    kit.publish_state(own, "newer");
    kit.save();
    kit.events();
    kit.puback(first[1].1);
    let sent = kit.sent_payloads();
    let newer = sent.iter().find(|(payload, _)| payload == "newer").unwrap();
    kit.puback(newer.1);
    kit.save();
    let left: Vec<_> = (1..100).map(|n| n.to_string()).collect();
    assert_eq!(kit.durable(), left);
    assert_eq!(kit.gateway.stats().stored, 99);
}
