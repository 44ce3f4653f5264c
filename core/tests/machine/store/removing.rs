//! When removals are committed.

use std::time::Duration;

use iotcore_gateway::{DeviceKey, OpId, quota::Quota};

use super::{
    super::peer::{Harness, seconds},
    Kit, lingering,
};

const NOTHING: [&str; 0] = [];

/// Returns a gateway whose device has so many publications in the store, all of them in flight, and their packet identifiers.
fn with_stored(count: usize) -> (Kit, DeviceKey, Vec<u16>) {
    let mut options = lingering(seconds(1));
    options.quota = Quota::unpaced();
    options.window = 4_000;
    options.device_window = 4_000;
    options.device_queue.messages = 4_000;
    let (mut harness, device) = Harness::attached(options);
    harness.widen(device, count);
    let mut kit = Kit::from(harness);
    for n in 0..count {
        kit.publish(device, &n.to_string());
    }
    kit.wait(seconds(1));
    assert_eq!(kit.save().len(), count + 1);
    kit.events();
    let ids = kit.sent_ids();
    assert_eq!(ids.len(), count);
    (kit, device, ids)
}

#[test]
fn a_removal_is_committed_by_itself_after_a_second() {
    let (mut kit, _, ids) = with_stored(3);
    kit.puback(ids[0]);
    kit.wait(Duration::from_millis(600));
    kit.puback(ids[2]);
    kit.wait(Duration::from_millis(399));
    assert_eq!(kit.ops(), NOTHING);
    kit.wait(Duration::from_millis(1));
    assert_eq!(kit.ops(), ["remove 1", "remove 3", "commit 3"]);
    kit.commit();
    kit.wait(seconds(20));
    assert_eq!(kit.ops(), NOTHING);
}

#[test]
fn one_that_is_cancelled_is_removed_at_once_with_those_that_wait() {
    let (mut kit, _, ids) = with_stored(3);
    kit.puback(ids[1]);
    kit.lose_connection();
    assert_eq!(kit.ops(), NOTHING);
    let waiting = kit.gateway.unsent().next().unwrap().op;
    kit.cancel(waiting);
    assert_eq!(kit.ops(), ["remove 2", "remove 1", "commit 3"]);
}

#[test]
fn those_of_a_device_that_is_detached_are_removed_at_once() {
    let mut kit = Kit::offline();
    let (device, _) = kit.begin_attach("device-1");
    kit.publish(device, "1");
    kit.publish(device, "2");
    kit.save();
    kit.events();
    let now = kit.now;
    kit.gateway.detach(device, now).unwrap();
    while kit.events().is_empty() {
        assert_eq!(kit.ops(), NOTHING);
        kit.step();
    }
    assert_eq!(kit.save(), ["remove 1", "remove 2", "commit 2"]);
}

#[test]
fn a_thousand_removals_are_committed_at_once() {
    let (mut kit, _, ids) = with_stored(1_500);
    for id in &ids[..999] {
        kit.puback(*id);
    }
    assert_eq!(kit.ops(), NOTHING);
    kit.puback(ids[999]);
    let ops = kit.ops();
    assert_eq!(ops.len(), 1_001);
    assert_eq!(ops[999..], ["remove 1000", "commit 1500"]);
    for id in &ids[1_000..] {
        kit.puback(*id);
    }
    kit.commit();
    assert_eq!(kit.ops(), NOTHING);
    kit.wait(seconds(1));
    assert_eq!(kit.ops().len(), 501);
}

#[test]
fn a_removal_is_committed_with_the_next_group() {
    let (mut kit, device, ids) = with_stored(1);
    kit.puback(ids[0]);
    kit.lose_connection();
    assert_eq!(kit.ops(), NOTHING);
    kit.publish(device, "next");
    assert_eq!(kit.ops(), ["put 2 next", "remove 1", "commit 2"]);
    kit.commit();
    kit.wait(seconds(1));
    assert_eq!(kit.ops(), NOTHING, "it is removed once");
}

#[test]
fn a_removal_during_a_commit_waits_a_second_from_when_it_came() {
    let (mut kit, device, ids) = with_stored(2);
    kit.puback(ids[0]);
    kit.wait(seconds(1));
    assert_eq!(kit.ops(), ["remove 1", "commit 2"]);
    kit.puback(ids[1]);
    kit.wait(Duration::from_millis(500));
    kit.commit();
    assert_eq!(kit.ops(), NOTHING);
    kit.wait(Duration::from_millis(500));
    assert_eq!(kit.ops(), ["remove 2", "commit 2"]);
    kit.publish(device, "3");
    kit.wait(seconds(5));
    kit.commit();
    assert_eq!(kit.ops(), ["put 3 3", "commit 3"]);
}

#[test]
fn a_removal_that_waited_for_a_second_during_a_commit_follows_it_at_once() {
    let (mut kit, _, ids) = with_stored(2);
    kit.puback(ids[0]);
    kit.wait(seconds(1));
    assert_eq!(kit.ops(), ["remove 1", "commit 2"]);
    kit.puback(ids[1]);
    kit.wait(seconds(3));
    assert_eq!(kit.ops(), NOTHING);
    kit.commit();
    assert_eq!(kit.ops(), ["remove 2", "commit 2"]);
}

#[test]
fn one_acknowledged_while_its_put_is_being_committed_is_removed_with_a_later_group() {
    let (mut kit, device) = Kit::attached(Duration::ZERO);
    let ops: [OpId; 2] = ["1", "2"].map(|payload| kit.publish(device, payload));
    let ids = kit.sent_ids();
    assert_eq!(kit.ops(), ["put 1 1", "commit 1"]);
    kit.puback(ids[0]);
    assert_eq!(kit.ops(), NOTHING);
    kit.commit();
    assert_eq!(kit.ops(), ["put 2 2", "remove 1", "commit 2"]);
    kit.commit();
    assert_eq!(kit.stored(), [ops[1]]);
    assert_eq!(kit.durable(), ["2"]);
}

#[test]
fn one_acknowledged_while_it_waits_for_another_commit_is_never_written() {
    let (mut kit, device) = Kit::attached(Duration::ZERO);
    kit.publish(device, "1");
    kit.publish(device, "2");
    let ids = kit.sent_ids();
    assert_eq!(kit.ops(), ["put 1 1", "commit 1"]);
    kit.puback(ids[1]);
    kit.commit();
    kit.wait(seconds(5));
    assert_eq!(kit.save(), NOTHING);
}

#[test]
fn a_removal_that_was_lost_costs_a_duplicate() {
    let (mut kit, device) = Kit::attached(Duration::ZERO);
    kit.publish(device, "1");
    kit.save();
    let id = kit.sent_ids()[0];
    kit.puback(id);
    let (mut kit, ops) = kit.restart(lingering(Duration::ZERO));
    assert_eq!(ops.len(), 1);
    let now = kit.now;
    kit.gateway.open(now).unwrap();
    kit.connect();
    kit.attach("device-1");
    assert_eq!(kit.sent_texts(), ["1"]);
}
