//! The record of a state that was replaced stays until a newer one of its device is durable or delivered.

use std::time::Duration;

use iotcore_gateway::{DeviceKey, Failure, Publication, message::QoS, quota::Quota};

use super::{
    super::peer::{Harness, failed, seconds},
    Kit, lingering,
};

const NOTHING: [&str; 0] = [];

/// Returns a gateway without a connection, and the device whose states are published.
fn offline() -> (Kit, DeviceKey) {
    let kit = Kit::offline();
    let own = kit.gateway.own_key();
    (kit, own)
}

/// Returns a gateway with an attached device whose states need not wait for each other.
fn unpaced(linger: Duration) -> (Kit, DeviceKey) {
    let mut options = lingering(linger);
    options.quota = Quota::unpaced();
    let (harness, device) = Harness::attached(options);
    (harness.into(), device)
}

/// Waits for as long as a removal does, and returns all operations.
fn settle(kit: &mut Kit) -> Vec<String> {
    kit.wait(seconds(1));
    kit.save()
}

#[test]
fn one_that_is_replaced_before_it_is_put_is_never_written() {
    let (mut kit, device) = offline();
    kit.publish_own("busy");
    assert_eq!(kit.ops().len(), 2);
    let older = kit.publish_state(device, "older");
    kit.publish_state(device, "newer");
    assert_eq!(failed(&kit.events(), older), Some(&Failure::Superseded));
    kit.commit();
    assert_eq!(kit.save(), ["put 3 newer", "commit 3"]);
    assert_eq!(settle(&mut kit), NOTHING);
}

#[test]
fn one_that_is_replaced_while_it_waits_for_its_acknowledgement_is_never_written() {
    let (mut kit, device) = Kit::attached(seconds(5));
    kit.publish_state(device, "in flight");
    let older = kit.publish_state(device, "older");
    kit.publish_state(device, "newer");
    assert_eq!(failed(&kit.events(), older), Some(&Failure::Superseded));
    kit.wait(seconds(5));
    let ops = kit.save();
    assert_eq!(ops, ["put 1 in flight", "put 2 newer", "commit 2"]);
}

#[test]
fn one_that_is_durable_stays_until_the_newer_one_is() {
    let (mut kit, device) = offline();
    kit.publish_state(device, "older");
    kit.save();
    kit.publish_state(device, "newer");
    assert_eq!(kit.ops(), ["put 2 newer", "commit 2"]);
    kit.wait(seconds(10));
    assert_eq!(kit.ops(), NOTHING);
    assert_eq!(kit.durable(), ["older"]);
    kit.commit();
    assert_eq!(kit.ops(), NOTHING, "the removal needs no haste");
    assert_eq!(settle(&mut kit), ["remove 1", "commit 2"]);
    assert_eq!(kit.durable(), ["newer"]);
}

#[test]
fn one_that_is_replaced_while_it_is_put_or_committed_stays_until_the_newer_one_is_durable() {
    for is_taken in [false, true] {
        let (mut kit, device) = offline();
        kit.publish_state(device, "older");
        assert_eq!(kit.next_op().as_deref(), Some("put 1 older"));
        if is_taken {
            assert_eq!(kit.ops(), ["commit 1"]);
        }
        kit.publish_state(device, "newer");
        kit.ops();
        kit.commit();
        assert_eq!(kit.durable(), ["older"]);
        assert_eq!(kit.ops(), ["put 2 newer", "commit 2"]);
        kit.commit();
        assert_eq!(kit.durable(), ["older", "newer"]);
        assert_eq!(settle(&mut kit), ["remove 1", "commit 2"]);
    }
}

#[test]
fn of_a_chain_all_that_may_be_in_the_store_stay_until_a_newer_one_is() {
    let (mut kit, device) = offline();
    kit.publish_state(device, "1");
    kit.save();
    kit.publish_state(device, "2");
    assert_eq!(kit.ops(), ["put 2 2", "commit 2"]);
    kit.publish_state(device, "3");
    kit.publish_state(device, "4");
    kit.fail(iotcore_gateway::store::StoreFailureKind::Broken);
    assert_eq!(kit.durable(), ["1"]);
    let mut all = Vec::new();
    while !kit.durable().contains(&"4") {
        kit.step();
        all.extend(kit.save());
        assert!(!kit.disk.durable.is_empty());
    }
    assert_eq!(all, ["put 4 4", "commit 4"]);
    assert_eq!(settle(&mut kit), ["remove 1", "remove 2", "commit 4"]);
    assert_eq!(kit.durable(), ["4"]);
}

#[test]
fn one_stays_until_the_newer_one_is_acknowledged_if_that_is_first() {
    let (mut kit, device) = unpaced(seconds(60));
    kit.lose_connection();
    kit.publish_state(device, "older");
    kit.save();
    kit.redial();
    kit.publish_state(device, "newer");
    assert_eq!(kit.ops(), ["put 2 newer", "commit 2"]);
    kit.wait(seconds(1));
    assert_eq!(kit.durable(), ["older"]);
    kit.acknowledge_attach("device-1");
    let sent = kit.sent_payloads();
    assert_eq!(sent[0].0, "newer");
    kit.puback(sent[0].1);
    kit.commit();
    assert_eq!(kit.save(), ["remove 1", "remove 2", "commit 2"]);
    assert_eq!(kit.disk.durable.len(), 0);
}

#[test]
fn one_is_removed_once_a_newer_one_is_acknowledged_although_the_newest_waits() {
    let (mut kit, device) = Kit::attached(seconds(60));
    kit.lose_connection();
    kit.publish_state(device, "1");
    kit.save();
    kit.redial();
    kit.publish_state(device, "2");
    kit.acknowledge_attach("device-1");
    let sent = kit.sent_payloads();
    assert_eq!(sent[0].0, "2");
    assert_eq!(kit.ops(), ["put 2 2", "commit 2"]);
    kit.publish_state(device, "3");
    kit.puback(sent[0].1);
    kit.commit();
    let removed = ["put 3 3", "remove 1", "remove 2", "commit 3"];
    assert_eq!(kit.save(), removed);
}

#[test]
fn one_stays_until_the_newer_one_at_qos_0_was_handed_over() {
    let (mut kit, device) = unpaced(seconds(60));
    kit.lose_connection();
    kit.publish_state(device, "older");
    kit.save();
    kit.accept(Publication::state(device, "newer").qos(QoS::AtMostOnce));
    assert_eq!(settle(&mut kit), NOTHING);
    assert_eq!(kit.durable(), ["older"]);
    kit.redial();
    kit.acknowledge_attach("device-1");
    assert_eq!(kit.sent_texts(), ["newer"]);
    assert_eq!(settle(&mut kit), ["remove 1", "commit 1"]);
}

#[test]
fn one_is_put_at_once_while_an_older_one_may_be_in_the_store() {
    let (mut kit, device) = Kit::attached(seconds(60));
    kit.publish_state(device, "1");
    kit.sent();
    kit.wait(seconds(60));
    kit.publish(device, "telemetry");
    assert_eq!(kit.save(), ["put 1 1", "commit 1"]);
    kit.publish_state(device, "2");
    let ops = kit.save();
    assert_eq!(ops, ["put 2 telemetry", "put 3 2", "commit 3"]);
}

#[test]
fn one_that_was_delivered_is_removed_at_once_if_a_newer_one_is_there() {
    for is_newer_first in [false, true] {
        let (mut kit, device) = Kit::attached(seconds(60));
        kit.publish_state(device, "older");
        let id = kit.sent_ids()[0];
        kit.wait(seconds(60));
        kit.save();
        if is_newer_first {
            kit.publish_state(device, "newer");
            assert_eq!(kit.save(), ["put 2 newer", "commit 2"]);
            kit.puback(id);
            assert_eq!(kit.save(), ["remove 1", "commit 2"]);
        } else {
            kit.puback(id);
            assert_eq!(kit.ops(), NOTHING, "nothing replaces it");
            kit.publish_state(device, "newer");
            assert_eq!(kit.save(), ["remove 1", "commit 1"]);
        }
    }
}

#[test]
fn one_in_flight_is_removed_with_the_delivery_of_a_newer_one() {
    let (mut kit, device) = unpaced(Duration::ZERO);
    kit.publish_state(device, "older");
    kit.save();
    kit.publish_state(device, "newer");
    let sent = kit.sent_payloads();
    assert_eq!(kit.ops(), ["put 2 newer", "commit 2"]);
    kit.puback(sent.last().unwrap().1);
    kit.commit();
    assert_eq!(kit.save(), ["remove 1", "remove 2", "commit 2"]);
    assert_eq!(kit.gateway.stats().stored_bytes, 0);
    assert_eq!(kit.gateway.stats().stored, 0);
    assert_eq!(kit.gateway.stats().queued, 1, "it has not ended");
    kit.puback(sent[0].1);
    assert_eq!(settle(&mut kit), NOTHING);
    assert_eq!(kit.gateway.stats().queued, 0);
}

#[test]
fn one_is_removed_once_all_newer_ones_have_ended() {
    for qos in [QoS::AtLeastOnce, QoS::AtMostOnce] {
        let (mut kit, device) = offline();
        kit.publish_state(device, "older");
        kit.save();
        kit.publish_own("busy");
        kit.ops();
        let newer = kit.accept(Publication::state(device, "newer").qos(qos));
        assert_eq!(kit.ops(), NOTHING);
        kit.cancel(newer);
        kit.commit();
        let ops = settle(&mut kit);
        assert_eq!(ops[0], "remove 1");
        assert_eq!(ops.len(), 2);
        assert_eq!(kit.durable(), ["busy"]);
    }
}

#[test]
fn one_that_was_in_flight_and_lost_is_removed_if_the_newer_one_is_durable_already() {
    let (mut kit, device) = Kit::attached(Duration::ZERO);
    kit.publish_state(device, "older");
    kit.sent();
    kit.publish_state(device, "newer");
    assert_eq!(kit.save().len(), 4);
    assert_eq!(settle(&mut kit), NOTHING, "the older one has not ended");
    assert_eq!(kit.durable(), ["older", "newer"]);
    kit.lose_connection();
    assert_eq!(settle(&mut kit), ["remove 1", "commit 2"]);
}

#[test]
fn one_that_was_in_flight_and_lost_stays_until_the_newer_one_is_durable() {
    let (mut kit, device) = Kit::attached(seconds(1));
    kit.publish_state(device, "older");
    kit.sent();
    kit.wait(seconds(1));
    assert_eq!(kit.save(), ["put 1 older", "commit 1"]);
    kit.publish_state(device, "newer");
    kit.lose_connection();
    assert_eq!(kit.ops(), ["put 2 newer", "commit 2"]);
    kit.wait(seconds(5));
    assert_eq!(kit.durable(), ["older"]);
    kit.commit();
    assert_eq!(settle(&mut kit), ["remove 1", "commit 2"]);
}

#[test]
fn one_that_is_cancelled_is_removed_although_no_newer_one_is_durable() {
    let (mut kit, device) = offline();
    let older = kit.publish_state(device, "older");
    kit.save();
    kit.cancel(older);
    assert_eq!(settle(&mut kit), ["remove 1", "commit 1"]);
}

#[test]
fn the_states_of_devices_do_not_wait_for_each_other() {
    let mut kit = Kit::offline();
    let own = kit.gateway.own_key();
    let (device, _) = kit.begin_attach("device-1");
    kit.publish_state(own, "own 1");
    kit.publish_state(device, "device 1");
    kit.save();
    kit.publish_state(own, "own 2");
    assert_eq!(kit.save(), ["put 3 own 2", "commit 3"]);
    assert_eq!(settle(&mut kit), ["remove 1", "commit 3"]);
    assert_eq!(kit.durable(), ["device 1", "own 2"]);
}

#[test]
fn a_state_after_those_of_a_device_that_was_detached_begins_anew() {
    let (mut kit, _) = offline();
    let (device, _) = kit.begin_attach("device-1");
    kit.publish_state(device, "1");
    kit.publish_state(device, "2");
    kit.save();
    let now = kit.now;
    kit.gateway.detach(device, now).unwrap();
    kit.wait(seconds(11));
    kit.save();
    assert_eq!(kit.disk.durable.len(), 0);
    let (device, _) = kit.begin_attach("device-2");
    kit.publish_state(device, "3");
    kit.save();
    kit.publish_state(device, "4");
    assert_eq!(kit.ops().len(), 2);
    assert!(kit.durable().contains(&"3"), "{:?}", kit.durable());
}

#[test]
fn the_room_of_a_replaced_state_is_reserved_for_as_long_as_its_record_stays() {
    let (mut kit, device) = offline();
    kit.publish_state(device, "1");
    kit.save();
    assert_eq!(kit.gateway.stats().stored_bytes, 321);
    kit.publish_state(device, "2");
    assert_eq!(kit.gateway.stats().stored_bytes, 642);
    assert_eq!(kit.gateway.stats().stored, 0);
    kit.save();
    assert_eq!(kit.gateway.stats().stored_bytes, 321);
    assert_eq!(kit.gateway.stats().stored, 1);
}

#[test]
fn a_crash_between_two_states_restores_the_older_one_or_both_and_sends_the_newest() {
    let (mut kit, device) = offline();
    kit.publish_state(device, "older");
    kit.save();
    kit.publish_state(device, "newer");
    kit.ops();
    let (kit, ops) = kit.restart(lingering(Duration::ZERO));
    assert_eq!(ops.len(), 1);
    assert_eq!(kit.gateway.unsent().next().unwrap().payload, "older");
}
