//! States that were found in the store at the start.

use std::time::Duration;

use iotcore_gateway::{Failure, OpId};

use super::{
    super::peer::{failed, seconds},
    Kit, lingering,
};

const NOTHING: [&str; 0] = [];

/// Returns a gateway that was restarted when both the older and the newer state were durable, and the removal of the older
/// one was not.
fn restarted() -> (Kit, Vec<OpId>) {
    let mut kit = Kit::offline();
    let own = kit.gateway.own_key();
    kit.publish_state(own, "older");
    kit.save();
    kit.publish_state(own, "newer");
    kit.save();
    assert_eq!(kit.durable(), ["older", "newer"]);
    kit.restart(lingering(Duration::ZERO))
}

#[test]
fn one_that_was_found_is_replaced_by_a_newer_one_that_was_found_and_removed() {
    let (mut kit, ops) = restarted();
    assert_eq!(failed(&kit.events(), ops[0]), Some(&Failure::Superseded));
    kit.wait(seconds(1));
    assert_eq!(kit.save(), ["remove 1", "commit 2"]);
    assert_eq!(kit.durable(), ["newer"]);
    assert_eq!(kit.gateway.stats().stored, 1);
    assert_eq!(kit.gateway.stats().stored_bytes, 320 + "newer".len());
    let now = kit.now;
    kit.gateway.open(now).unwrap();
    kit.connect();
    assert_eq!(kit.sent_texts(), ["newer"]);
}

#[test]
fn one_that_was_found_stays_until_the_one_that_replaces_it_is_durable() {
    let (mut kit, ops) = restarted();
    kit.wait(seconds(1));
    kit.save();
    let own = kit.gateway.own_key();
    kit.publish_state(own, "newest");
    assert_eq!(failed(&kit.events(), ops[1]), Some(&Failure::Superseded));
    assert_eq!(kit.ops(), ["put 3 newest", "commit 3"]);
    kit.wait(seconds(5));
    assert_eq!(kit.ops(), NOTHING);
    assert_eq!(kit.durable(), ["newer"]);
    kit.commit();
    kit.wait(seconds(1));
    assert_eq!(kit.save(), ["remove 2", "commit 3"]);
    assert_eq!(kit.durable(), ["newest"]);
}

#[test]
fn one_that_was_found_is_removed_once_it_is_acknowledged() {
    let (mut kit, _) = restarted();
    let now = kit.now;
    kit.gateway.open(now).unwrap();
    kit.connect();
    let id = kit.sent_ids()[0];
    kit.puback(id);
    kit.wait(seconds(1));
    assert_eq!(kit.save(), ["remove 1", "remove 2", "commit 2"]);
}
