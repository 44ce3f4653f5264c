//! What is left when the gateway closes, or has given up connecting, is put and committed before it is closed, and kept.

use std::time::Duration;

use iotcore_gateway::{
    Event, Failure, Outcome,
    cause::TransportEnd,
    command_error::CommandError,
    options::Reconnect,
    store::StoreFailureKind::{Broken, Full, Unreachable},
};

use super::{
    super::peer::{Harness, Sent, failed, seconds},
    Kit, failure, lingering,
};

const NOTHING: [&str; 0] = [];

fn close(kit: &mut Kit) {
    let now = kit.now;
    kit.gateway.close(now);
}

/// Closes, and waits for as long as something could still be sent: from now on, only the store is awaited.
fn close_in_vain(kit: &mut Kit) {
    close(kit);
    kit.wait(seconds(10));
}

fn hang_up(kit: &mut Kit) {
    let now = kit.now;
    kit.gateway.handle_disconnected(TransportEnd::HungUp, now);
}

/// Asserts that nothing is left to be done, nor will be.
fn assert_over(kit: &mut Kit) {
    assert!(kit.gateway.is_closed());
    assert_eq!(kit.gateway.poll_timeout(), None);
    let now = kit.now;
    if let Some(through) = kit.disk.commit.take() {
        kit.gateway.handle_stored(through, now);
    }
    kit.gateway.handle_store_failed(failure(Full), now);
    assert_eq!(kit.events(), [], "after Closed");
    assert_eq!(kit.gateway.poll_timeout(), None, "a deadline after Closed");
    assert_eq!(kit.ops(), NOTHING, "an operation after Closed");
}

#[test]
fn nothing_counts_as_stored_while_the_store_is_not_there() {
    for fails_at in [Broken, Unreachable] {
        let mut kit = Kit::offline();
        kit.publish_own("1");
        kit.ops();
        kit.commit();
        kit.publish_own("2");
        kit.ops();
        kit.fail(fails_at);
        let is_there = fails_at == Broken;
        assert_eq!(kit.gateway.unsent().next().unwrap().is_stored, is_there);
        close(&mut kit);
        kit.wait(seconds(30));
        assert!(kit.gateway.is_closed());
        let stored = kit.events().into_iter().filter_map(|event| match event {
            Event::Failed { unsent, .. } => unsent.map(|unsent| unsent.is_stored),
            _ => None,
        });
        assert_eq!(stored.collect::<Vec<_>>(), [is_there, false]);
    }
}

#[test]
fn what_was_stored_counts_again_once_the_store_is_back() {
    let mut kit = Kit::offline();
    kit.publish_own("1");
    kit.ops();
    kit.fail(Unreachable);
    kit.wait(seconds(10));
    kit.ops();
    kit.commit();
    assert!(kit.gateway.unsent().all(|unsent| unsent.is_stored));
}

#[test]
fn a_gateway_without_a_connection_closes_once_the_store_has_what_is_left() {
    let mut kit = Kit::offline();
    let op = kit.publish_own("1");
    let now = kit.now;
    let close = kit.gateway.close(now);
    kit.wait(seconds(10));
    assert!(!kit.gateway.is_closed());
    assert_eq!(kit.ops(), ["put 1 1", "commit 1"]);
    assert!(!kit.gateway.unsent().next().unwrap().is_stored);
    kit.commit();
    let events = kit.events();
    assert_eq!(events[0], Event::Stored { op });
    assert_eq!(failed(&events, op), Some(&Failure::Closed));
    assert!(matches!(&events[1], Event::Failed { unsent: Some(unsent), .. } if unsent.is_stored));
    let outcome = Outcome::Closed;
    assert_eq!(events[2], Event::Done { op: close, outcome });
    let Event::Closed { unsent } = &events[3] else {
        panic!("{events:?}");
    };
    assert!(matches!(&unsent[..], [unsent] if unsent.is_stored));
    assert_eq!(kit.durable(), ["1"]);
    assert_over(&mut kit);
}

#[test]
fn a_gateway_whose_store_has_everything_does_not_wait_for_it() {
    let mut kit = Kit::offline();
    kit.publish_own("1");
    kit.save();
    close_in_vain(&mut kit);
    kit.events();
    assert_over(&mut kit);
    assert_eq!(kit.durable(), ["1"], "it stays");
}

#[test]
fn what_is_acknowledged_during_a_close_is_removed_before_its_end() {
    let (mut kit, device) = Kit::attached(seconds(60));
    kit.publish(device, "1");
    kit.publish(device, "2");
    assert_eq!(kit.save(), NOTHING);
    let ids = kit.sent_ids();
    close(&mut kit);
    assert_eq!(kit.save(), ["put 1 1", "put 2 2", "commit 2"]);
    kit.puback(ids[0]);
    assert_eq!(kit.save(), ["remove 1", "commit 2"], "at once");
    kit.puback(ids[1]);
    assert_eq!(kit.sent(), [Sent::Disconnect]);
    hang_up(&mut kit);
    assert!(!kit.gateway.is_closed());
    assert_eq!(kit.save(), ["remove 2", "commit 2"]);
    assert_eq!(kit.disk.durable.len(), 0);
    kit.events();
    assert_over(&mut kit);
}

#[test]
fn what_is_not_acknowledged_in_time_is_kept_and_restored() {
    let (mut kit, device) = Kit::attached(seconds(60));
    let ops = ["1", "2"].map(|payload| kit.publish(device, payload));
    close(&mut kit);
    kit.save();
    kit.wait(seconds(10));
    kit.sent();
    hang_up(&mut kit);
    let events = kit.events();
    for op in ops {
        assert_eq!(failed(&events, op), Some(&Failure::Closed));
    }
    assert_eq!(kit.save(), NOTHING);
    assert_over(&mut kit);
    let (kit, ops) = kit.restart(lingering(seconds(60)));
    assert_eq!(ops.len(), 2);
    let unsent = kit.gateway.unsent().map(|unsent| unsent.payload);
    assert_eq!(unsent.collect::<Vec<_>>(), ["1", "2"]);
}

#[test]
fn a_commit_that_is_never_answered_holds_up_the_close_for_a_second_after_the_drain_timeout() {
    let mut kit = Kit::offline();
    kit.publish_own("1");
    kit.ops();
    close_in_vain(&mut kit);
    kit.wait(Duration::from_millis(999));
    assert!(!kit.gateway.is_closed());
    kit.wait(Duration::from_millis(1));
    kit.events();
    assert_over(&mut kit);
}

#[test]
fn a_store_that_fails_is_tried_again_during_a_close() {
    let mut kit = Kit::offline();
    let op = kit.publish_own("1");
    close(&mut kit);
    kit.ops();
    kit.fail(Broken);
    kit.wait(seconds(10));
    assert!(!kit.gateway.is_closed());
    assert_eq!(kit.save(), ["put 1 1", "commit 1"]);
    let events = kit.events();
    assert!(events.contains(&Event::Stored { op }));
    assert!(events.contains(&Event::StoreRecovered));
    assert_over(&mut kit);
}

#[test]
fn a_store_that_goes_on_failing_holds_up_the_close_for_a_second_after_the_drain_timeout() {
    let mut kit = Kit::offline();
    kit.publish_own("1");
    close(&mut kit);
    let start = kit.now;
    while !kit.gateway.is_closed() {
        if !kit.ops().is_empty() {
            kit.fail(Broken);
        } else {
            kit.step();
        }
    }
    assert_eq!(kit.now - start, seconds(11));
    kit.events();
    assert_over(&mut kit);
}

#[test]
fn a_failure_that_comes_after_the_close_is_none_any_more() {
    let mut kit = Kit::offline();
    let op = kit.publish_own("1");
    kit.publish_own("2");
    kit.save();
    kit.publish_own("3");
    kit.ops();
    kit.cancel(op);
    close_in_vain(&mut kit);
    kit.wait(seconds(10));
    kit.events();
    let now = kit.now;
    kit.gateway.handle_store_failed(failure(Broken), now);
    assert_over(&mut kit);
    kit.wait(seconds(60));
    assert_over(&mut kit);
}

#[test]
fn one_that_ends_while_the_store_is_awaited_is_removed_before_the_end() {
    let mut kit = Kit::offline();
    let op = kit.publish_own("1");
    close_in_vain(&mut kit);
    assert_eq!(kit.ops(), ["put 1 1", "commit 1"]);
    kit.cancel(op);
    kit.commit();
    assert!(!kit.gateway.is_closed());
    assert_eq!(kit.save(), ["remove 1", "commit 1"]);
    kit.events();
    assert_over(&mut kit);
}

#[test]
fn commands_are_refused_while_the_store_is_awaited() {
    let mut kit = Kit::offline();
    kit.publish_own("1");
    close_in_vain(&mut kit);
    let now = kit.now;
    assert_eq!(kit.gateway.open(now), Err(CommandError::Closed));
    assert!(!kit.gateway.wants_transport());
    let token = kit.token();
    kit.gateway.handle_connected(token, super::UNIX_NOW, now);
    assert_eq!(kit.sent(), []);
    kit.gateway.handle_disconnected(TransportEnd::Broken, now);
    assert_eq!(kit.save(), ["put 1 1", "commit 1"]);
    kit.events();
    assert_over(&mut kit);
}

#[test]
fn a_gateway_that_gave_up_connecting_waits_for_the_store_too_and_keeps_the_rest() {
    let mut options = lingering(seconds(1));
    options.reconnect = Reconnect::Attempts(0);
    let mut kit = Kit::from(Harness::dialing(options));
    let op = kit.publish_own("1");
    kit.ops();
    let now = kit.now;
    kit.gateway
        .handle_disconnected(TransportEnd::DialFailed, now);
    assert!(!kit.gateway.is_closed());
    assert!(!kit.gateway.wants_transport());
    kit.commit();
    let events = kit.events();
    assert_eq!(failed(&events, op), Some(&Failure::GaveUp));
    assert!(matches!(events.last(), Some(Event::Closed { unsent }) if unsent.len() == 1));
    assert_eq!(kit.durable(), ["1"]);
    assert_over(&mut kit);
}

#[test]
fn a_close_while_a_gateway_that_gave_up_awaits_the_store_ends_with_it() {
    let mut options = lingering(seconds(1));
    options.reconnect = Reconnect::Attempts(0);
    let mut kit = Kit::from(Harness::dialing(options));
    kit.publish_own("1");
    let now = kit.now;
    kit.gateway
        .handle_disconnected(TransportEnd::DialFailed, now);
    kit.wait(seconds(9));
    close(&mut kit);
    kit.wait(Duration::from_millis(999));
    assert!(!kit.gateway.is_closed());
    kit.save();
    assert_over_after_events(&mut kit);
}

fn assert_over_after_events(kit: &mut Kit) {
    let events = kit.events();
    assert!(matches!(events.last(), Some(Event::Closed { .. })));
    assert_over(kit);
}

#[test]
fn a_close_during_an_attempt_to_connect_removes_at_once_what_is_acknowledged_then() {
    let mut kit = Kit::from(Harness::dialing(lingering(seconds(60))));
    kit.publish_own("1");
    kit.publish_own("2");
    kit.save();
    kit.transport_up();
    close(&mut kit);
    kit.connack(0);
    let ids = kit.sent_ids();
    kit.puback(ids[0]);
    assert!(kit.gateway.is_open());
    assert_eq!(kit.save(), ["remove 1", "commit 2"]);
}

#[test]
fn removals_that_wait_are_committed_before_the_end() {
    let mut kit = Kit::offline();
    kit.publish_own("1");
    kit.save();
    let now = kit.now;
    kit.gateway.open(now).unwrap();
    kit.connect();
    let id = kit.sent_ids()[0];
    kit.puback(id);
    assert_eq!(kit.ops(), NOTHING);
    close(&mut kit);
    assert!(!kit.gateway.is_closed());
    assert_eq!(kit.save(), ["remove 1", "commit 1"]);
    hang_up(&mut kit);
    kit.events();
    assert_over(&mut kit);
}

#[test]
fn without_a_drain_timeout_the_store_has_a_second() {
    let mut options = lingering(Duration::ZERO);
    options.drain_timeout = Duration::ZERO;
    for is_in_time in [false, true] {
        let mut kit = Kit::from(Harness::new(options.clone()));
        kit.publish_own("1");
        close(&mut kit);
        kit.wait(Duration::from_millis(999));
        assert!(!kit.gateway.is_closed());
        match is_in_time {
            true => assert_eq!(kit.save(), ["put 1 1", "commit 1"]),
            false => kit.wait(Duration::from_millis(1)),
        }
        kit.events();
        assert_over(&mut kit);
    }
}

#[test]
fn a_state_that_was_replaced_is_removed_before_the_end_and_the_newest_is_kept() {
    let mut kit = Kit::offline();
    let own = kit.gateway.own_key();
    kit.publish_state(own, "1");
    kit.save();
    kit.publish_state(own, "2");
    close_in_vain(&mut kit);
    let expected = ["put 2 2", "commit 2", "remove 1", "commit 2"];
    assert_eq!(kit.save(), expected);
    assert_eq!(kit.durable(), ["2"]);
    kit.events();
    assert_over(&mut kit);
}
