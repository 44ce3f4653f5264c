//! A deadline is kept as a date, so that time counts that passes while the machine is off.

use std::time::Duration;

use iotcore_gateway::{Event, Failure, Publication, auth::UnixTime};

use super::{
    super::peer::{Harness, UNIX_NOW, failed, seconds},
    Kit, lingering,
};

/// Returns a gateway that has learnt the date, and accepts something that expires after a minute.
fn with_deadline(date: Option<UnixTime>) -> Kit {
    let mut kit = Kit::offline();
    if let Some(date) = date {
        let now = kit.now;
        let auth = iotcore_gateway::DeviceAuth::ByAssociation;
        let id = "device-1".try_into().unwrap();
        kit.gateway.attach(id, auth, date, now).unwrap();
    }
    kit.wait(seconds(5));
    let own = kit.gateway.own_key();
    kit.accept(Publication::telemetry(own, "x").expires_after(seconds(60)));
    kit
}

/// Restarts at this date; returns the events after this time.
fn restarted_at(kit: Kit, date: UnixTime, after: Duration) -> (Kit, Vec<Event>) {
    let kept = kit.disk.durable[&1].clone();
    let mut kit = Kit {
        harness: Harness::new(lingering(Duration::ZERO)),
        disk: kit.disk,
    };
    let op = kept.restore(1, &mut kit, date);
    kit.wait(after);
    let events = kit.events();
    let expired = failed(&events, op);
    assert!(expired.is_none_or(|failure| *failure == Failure::Expired));
    (kit, events)
}

#[test]
fn it_is_a_date_that_counts_from_the_acceptance() {
    let mut kit = with_deadline(Some(UNIX_NOW));
    kit.save();
    let deadline = UNIX_NOW.saturating_add(seconds(65));
    assert_eq!(kit.disk.durable[&1].deadline, Some(deadline));
    let mut later = with_deadline(Some(UNIX_NOW));
    later.wait(seconds(30));
    later.save();
    assert_eq!(later.disk.durable[&1].deadline, Some(deadline));
}

#[test]
fn one_that_waits_after_a_restart_has_what_is_left_of_its_time() {
    let mut kit = with_deadline(Some(UNIX_NOW));
    kit.save();
    let date = UNIX_NOW.saturating_add(seconds(25));
    let (mut kit, events) = restarted_at(kit, date, Duration::from_millis(39_999));
    assert_eq!(events, []);
    let left = kit.gateway.unsent().next().unwrap().expires_after;
    assert_eq!(left, Some(Duration::from_millis(1)));
    kit.wait(Duration::from_millis(1));
    assert_eq!(kit.events().len(), 1);
    kit.wait(seconds(1));
    assert_eq!(kit.save(), ["remove 1", "commit 1"]);
}

#[test]
fn one_that_has_expired_while_the_machine_was_off_fails_at_the_next_timeout_and_is_removed() {
    let mut kit = with_deadline(Some(UNIX_NOW));
    kit.save();
    let date = UNIX_NOW.saturating_add(seconds(100_000));
    let (mut kit, events) = restarted_at(kit, date, Duration::ZERO);
    assert_eq!(events.len(), 1);
    kit.wait(seconds(1));
    assert_eq!(kit.save(), ["remove 1", "commit 1"]);
    assert_eq!(kit.disk.durable.len(), 0);
}

#[test]
fn without_a_date_or_with_that_of_a_machine_without_a_clock_battery_a_record_has_no_deadline() {
    for date in [
        None,
        Some(UnixTime::from_secs(3)),
        Some(UnixTime::from_secs(1_577_836_700)),
    ] {
        let mut kit = with_deadline(date);
        kit.save();
        assert_eq!(kit.disk.durable[&1].deadline, None, "{date:?}");
        let (_, events) = restarted_at(kit, UNIX_NOW, seconds(10_000));
        assert_eq!(events, [], "{date:?}: it does not expire");
    }
}

#[test]
fn nothing_that_was_found_expires_early_on_a_machine_that_boots_in_1970() {
    let mut kit = with_deadline(Some(UNIX_NOW));
    kit.save();
    let (kit, events) = restarted_at(kit, UnixTime::from_secs(0), seconds(1_000_000));
    assert_eq!(events, []);
    assert_eq!(kit.gateway.stats().stored, 1);
}

#[test]
fn one_that_never_expires_has_no_date() {
    let mut kit = Kit::offline();
    kit.publish_own("x");
    kit.save();
    assert_eq!(kit.disk.durable[&1].deadline, None);
}
