//! When the store cannot be written.

use std::time::Duration;

use iotcore_gateway::{
    Event, Options, Publication,
    command_error::PublishErrorKind,
    message::QoS,
    options::OnStoreFailure,
    store::StoreFailureKind::{self, Broken, Full, ReadOnly},
};

use super::{
    super::peer::{Harness, seconds},
    Kit, failure, lingering,
};

const NOTHING: [&str; 0] = [];

fn in_memory() -> Options {
    let mut options = lingering(Duration::ZERO);
    options.durability.on_failure = OnStoreFailure::Memory;
    options
}

fn failed_by(kind: StoreFailureKind) -> Event {
    let failure = failure(kind);
    Event::StoreFailed { failure }
}

fn publish(kit: &mut Kit, qos: QoS) -> Result<(), PublishErrorKind> {
    let publication = Publication::telemetry(kit.gateway.own_key(), "x").qos(qos);
    let now = kit.now;
    let published = kit.gateway.publish(publication, now);
    published.map(|_| ()).map_err(|error| error.kind)
}

#[test]
fn what_was_not_made_durable_is_put_again_with_the_same_numbers() {
    let mut kit = Kit::offline();
    let ops = ["1", "2", "3"].map(|payload| kit.publish_own(payload));
    assert_eq!(kit.ops(), ["put 1 1", "commit 1"]);
    kit.fail(Broken);
    assert_eq!(kit.ops(), NOTHING);
    kit.wait(seconds(2));
    let expected = ["put 1 1", "put 2 2", "put 3 3", "commit 3"];
    assert_eq!(kit.ops(), expected);
    assert_eq!(kit.events(), [failed_by(Broken)]);
    kit.fail(Broken);
    kit.wait(seconds(4));
    assert_eq!(kit.ops(), expected);
    kit.commit();
    let stored = ops.map(|op| Event::Stored { op });
    let mut events = kit.events();
    assert_eq!(events.pop(), Some(Event::StoreRecovered));
    assert_eq!(events, stored);
    assert_eq!(kit.durable(), ["1", "2", "3"]);
}

#[test]
fn it_is_tried_again_with_backoff_which_begins_anew_once_it_can_be_written() {
    let mut kit = Kit::offline();
    kit.publish_own("x");
    let waits = |kit: &mut Kit, count: usize| -> Vec<u64> {
        let waits = (0..count).map(|_| {
            assert!(!kit.ops().is_empty());
            kit.fail(Broken);
            let before = kit.now;
            kit.step();
            (kit.now - before).as_secs()
        });
        waits.collect()
    };
    let first = waits(&mut kit, 7);
    assert_eq!(first[..5], [1, 2, 4, 8, 16]);
    assert!(first[5..].iter().all(|wait| (24..=32).contains(wait)));
    kit.save();
    kit.publish_own("y");
    assert_eq!(waits(&mut kit, 2), [1, 2]);
}

#[test]
fn a_failure_is_reported_once_and_again_if_it_is_of_another_kind() {
    let mut kit = Kit::offline();
    kit.publish_own("x");
    let mut reported = Vec::new();
    for kind in [Full, Full, ReadOnly, ReadOnly, Full] {
        kit.ops();
        kit.fail(kind);
        reported.extend(kit.events());
        kit.step();
    }
    let expected = [Full, ReadOnly, Full].map(failed_by);
    assert_eq!(reported, expected);
    kit.save();
    assert!(kit.events().contains(&Event::StoreRecovered));
    kit.publish_own("y");
    kit.ops();
    kit.fail(Full);
    assert_eq!(kit.events(), [failed_by(Full)]);
}

#[test]
fn under_refuse_nothing_that_would_be_stored_is_accepted_until_it_works() {
    let mut kit = Kit::offline();
    publish(&mut kit, QoS::AtLeastOnce).unwrap();
    kit.ops();
    kit.fail(Full);
    let refused = publish(&mut kit, QoS::AtLeastOnce);
    assert_eq!(refused, Err(PublishErrorKind::StoreFailed));
    let state = Publication::state(kit.gateway.own_key(), "x");
    let now = kit.now;
    let refused = kit.gateway.publish(state, now).unwrap_err();
    assert_eq!(refused.kind, PublishErrorKind::StoreFailed);
    assert!(refused.to_string().contains("store"));
    publish(&mut kit, QoS::AtMostOnce).unwrap();
    kit.wait(seconds(2));
    let refused = publish(&mut kit, QoS::AtLeastOnce);
    assert_eq!(
        refused,
        Err(PublishErrorKind::StoreFailed),
        "it is being tried"
    );
    kit.save();
    assert!(kit.events().contains(&Event::StoreRecovered));
    publish(&mut kit, QoS::AtLeastOnce).unwrap();
}

#[test]
fn under_memory_all_is_accepted_and_put_once_it_works() {
    let mut kit = Kit::from(Harness::new(in_memory()));
    kit.publish_own("1");
    kit.ops();
    kit.fail(Full);
    kit.publish_own("2");
    assert_eq!(kit.ops(), NOTHING, "before the backoff is over");
    kit.wait(seconds(2));
    assert_eq!(kit.save(), ["put 1 1", "put 2 2", "commit 2"]);
    assert_eq!(kit.durable(), ["1", "2"]);
}

#[test]
fn under_memory_the_room_in_the_store_is_still_bounded() {
    let mut options = in_memory();
    options.quota.max_telemetry_bytes = 1_000;
    options.quota.max_state_bytes = 1_000;
    options.durability.max_bytes = 3_000;
    let mut kit = Kit::from(Harness::new(options));
    kit.publish_own("1");
    kit.ops();
    kit.fail(Full);
    let accepted = (0..100).take_while(|_| publish(&mut kit, QoS::AtLeastOnce).is_ok());
    assert_eq!(accepted.count(), 3_000 / 321 - 1);
    let refused = publish(&mut kit, QoS::AtLeastOnce);
    assert_eq!(refused, Err(PublishErrorKind::Blocked));
}

#[test]
fn removals_that_were_not_made_durable_are_repeated() {
    let mut kit = Kit::offline();
    let ops = ["1", "2", "3"].map(|payload| kit.publish_own(payload));
    kit.save();
    kit.cancel(ops[0]);
    kit.wait(seconds(1));
    assert_eq!(kit.ops(), ["remove 1", "commit 3"]);
    kit.cancel(ops[1]);
    kit.fail(Broken);
    assert_eq!(kit.durable(), ["1", "2", "3"]);
    kit.wait(seconds(2));
    assert_eq!(kit.save(), ["remove 1", "remove 2", "commit 3"]);
    assert_eq!(kit.durable(), ["3"]);
    kit.wait(seconds(5));
    assert_eq!(kit.save(), NOTHING);
}

#[test]
fn one_that_ends_while_the_store_fails_is_removed_and_not_put_again() {
    let mut kit = Kit::offline();
    let op = kit.publish_own("1");
    kit.ops();
    kit.fail(Broken);
    kit.cancel(op);
    kit.wait(seconds(2));
    assert_eq!(kit.save(), ["remove 1", "commit 1"]);
    assert!(kit.events().contains(&Event::StoreRecovered));
}

#[test]
fn what_has_ended_meanwhile_is_removed_with_the_group_that_shows_that_the_store_works() {
    let mut kit = Kit::from(Harness::open(lingering(seconds(60))));
    let own = kit.gateway.own_key();
    // The group that fails has the last publication that there is, which is acknowledged with the next group.
    kit.publish(own, "1");
    let id = kit.sent_ids()[0];
    kit.wait(seconds(60));
    kit.ops();
    kit.fail(Broken);
    kit.puback(id);
    kit.wait(seconds(2));
    assert_eq!(kit.ops(), ["remove 1", "commit 1"]);
    kit.fail(Broken);
    let refused = publish(&mut kit, QoS::AtLeastOnce);
    assert_eq!(refused, Err(PublishErrorKind::StoreFailed));
    kit.wait(seconds(3));
    kit.save();
    assert!(kit.events().contains(&Event::StoreRecovered));
    publish(&mut kit, QoS::AtLeastOnce).unwrap();
}

#[test]
fn a_failure_in_the_middle_of_a_group_repeats_all_of_it() {
    let mut kit = Kit::offline();
    kit.publish_own("0");
    kit.ops();
    for payload in ["1", "2", "3"] {
        kit.publish_own(payload);
    }
    kit.commit();
    assert_eq!(kit.next_op().as_deref(), Some("put 2 1"));
    assert_eq!(kit.next_op().as_deref(), Some("put 3 2"));
    kit.fail(Full);
    assert_eq!(kit.ops(), NOTHING);
    kit.wait(seconds(2));
    let expected = ["put 2 1", "put 3 2", "put 4 3", "commit 4"];
    assert_eq!(kit.save(), expected);
    assert_eq!(kit.durable(), ["0", "1", "2", "3"]);
}

#[test]
fn a_failure_of_nothing_changes_nothing() {
    let run = |has_failure: bool| {
        let mut options = lingering(Duration::ZERO);
        options.durability.on_failure = OnStoreFailure::Refuse;
        let mut kit = Kit::from(Harness::open(options));
        if has_failure {
            let now = kit.now;
            kit.gateway.handle_store_failed(failure(Full), now);
        }
        publish(&mut kit, QoS::AtLeastOnce).unwrap();
        kit.save();
        kit.lose_connection();
        (
            kit.events(),
            kit.gateway.poll_timeout().map(|at| at - kit.now),
        )
    };
    assert_eq!(run(true), run(false));
}

#[test]
fn what_is_acknowledged_meanwhile_is_done_and_does_not_stay_behind() {
    let mut options = lingering(Duration::ZERO);
    options.durability.on_failure = OnStoreFailure::Memory;
    let (harness, device) = Harness::attached(options);
    let mut kit = Kit::from(harness);
    kit.publish(device, "1");
    kit.publish(device, "2");
    kit.ops();
    kit.fail(Broken);
    let ids = kit.sent_ids();
    ids.into_iter().for_each(|id| kit.puback(id));
    kit.wait(seconds(2));
    assert_eq!(kit.save(), ["remove 1", "commit 2"]);
    assert_eq!(kit.disk.written.len(), 0);
    assert_eq!(kit.gateway.stats().stored_bytes, 0);
}
