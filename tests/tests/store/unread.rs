//! Files that cannot be read while the log is in use: they are left as they are, and what lives in them comes back.

use std::collections::VecDeque;

use iotcore_gateway::store::{LogEvent, LogOptions, StoreSeq};
use iotcore_gateway_testkit::disk::{DiskFault, FaultRates};

use super::{
    World,
    model::{commit, segment},
    unread_starts::open,
};

const SMALL: LogOptions = LogOptions {
    segment_bytes: 4096,
    max_bytes: 64 * 4096,
};

fn fail_reads(world: &mut World, is_failing: bool) {
    world.disk.set_rates(FaultRates {
        read: if is_failing { 100 } else { 0 },
        ..FaultRates::default()
    });
}

/// Puts and removes one record after the other.
fn put_and_remove(world: &mut World, records: usize) {
    for _ in 0..records {
        let number = world.put(1, 150);
        world.commit();
        world.run();
        world.remove(number);
    }
}

#[test]
fn a_segment_that_cannot_be_repaired_is_set_aside_and_loses_nothing() {
    let mut world = World::new(1, SMALL);
    let first = world.put(1, 100);
    world.put(1, 100);
    commit(&mut world);
    // The last one is not relied on after a restart.
    world.restart();
    fail_reads(&mut world, true);
    put_and_remove(&mut world, 120);
    assert!(world.was_unread, "it is reported");
    assert!(world.failures <= 3, "{} failures", world.failures);
    let stats = world.log.stats();
    assert_eq!((stats.set_aside, stats.lost), (1, 0));
    assert!(stats.files <= 6, "{stats:?}");
    fail_reads(&mut world, false);
    commit(&mut world);
    world.disk.cut_power();
    world.restart();
    let live = world.live();
    assert!(live.contains(&first) && live.len() == 2, "{live:?}");
}

#[test]
fn a_segment_that_can_be_read_after_all_is_repaired_and_not_set_aside() {
    let mut world = World::new(1, SMALL);
    let first = world.put(1, 100);
    let second = world.put(1, 100);
    commit(&mut world);
    world.restart();
    for _ in 0..3 {
        world.disk.fail(DiskFault::Read);
        world.commit();
        world.run();
    }
    assert_eq!(world.failures, 2);
    assert_eq!(world.log.stats().set_aside, 0);
    world.remove(first);
    commit(&mut world);
    world.disk.cut_power();
    world.restart();
    assert_eq!(world.live(), [second]);
}

#[test]
fn upkeep_that_cannot_read_sets_nothing_aside_and_goes_on_once_it_can() {
    let mut world = World::new(1, SMALL);
    let first = world.put(1, 100);
    commit(&mut world);
    fail_reads(&mut world, true);
    // Little of the first segment lives.
    put_and_remove(&mut world, 120);
    let stats = world.log.stats();
    assert_eq!((stats.set_aside, stats.lost, world.failures), (0, 0, 0));
    assert!(stats.files > 6, "{stats:?}");
    fail_reads(&mut world, false);
    put_and_remove(&mut world, 60);
    commit(&mut world);
    let stats = world.log.stats();
    assert!(stats.files <= 6, "{stats:?}");
    world.disk.cut_power();
    world.restart();
    assert_eq!(world.live(), [first]);
}

#[test]
fn a_commit_waits_once_a_segment_at_most_for_what_upkeep_cannot_read() {
    let mut world = World::new(1, SMALL);
    world.put(1, 100);
    commit(&mut world);
    fail_reads(&mut world, true);
    put_and_remove(&mut world, 200);
    let failed = world.disk.counts().failed;
    let segments = world.disk.files().last().unwrap().0.as_u64();
    assert!(failed > 0 && failed <= segments, "{failed} of {segments}");
}

#[test]
fn a_segment_that_cannot_be_read_is_set_aside_once_its_room_is_needed() {
    let mut world = World::new(1, SMALL);
    let first = world.put(1, 100);
    commit(&mut world);
    fail_reads(&mut world, true);
    put_and_remove(&mut world, 2_000);
    assert!(world.was_unread, "it is reported");
    let stats = world.log.stats();
    assert_eq!((stats.set_aside, stats.lost), (1, 0));
    assert!(world.failures <= 3, "{} failures", world.failures);
    fail_reads(&mut world, false);
    world.restart();
    assert!(world.live().contains(&first));
}

#[test]
fn a_segment_that_is_set_aside_is_named_by_an_event() {
    let mut world = World::new(1, SMALL);
    world.put(1, 100);
    commit(&mut world);
    let (mut log, _, _) = open(&mut world.disk, |_| false);
    let mut events = Vec::new();
    for _ in 0..3 {
        world.disk.set_rates(FaultRates {
            read: 100,
            ..FaultRates::default()
        });
        log.apply(iotcore_gateway::store::StoreOp::Commit {
            through: StoreSeq::FIRST,
        })
        .unwrap();
        world.disk.run(&mut log);
        events.extend(core::iter::from_fn(|| log.poll_event()));
    }
    let is_set_aside = |event: &LogEvent| matches!(event, LogEvent::SetAside { segment: of, .. } if *of == segment(1));
    assert!(events.iter().any(is_set_aside), "{events:?}");
    assert!(matches!(events.last(), Some(LogEvent::Committed { .. })));
}

#[test]
fn files_that_are_set_aside_take_as_much_as_the_limit_at_most() {
    let options = LogOptions {
        segment_bytes: 4096,
        max_bytes: 16 * 4096,
    };
    let mut world = World::new(1, options);
    fail_reads(&mut world, true);
    let mut old = VecDeque::new();
    for round in 0..600 {
        if round % 2 == 0 {
            old.push_back(world.put(1, 150));
        }
        let number = world.put(1, 1_700);
        world.commit();
        world.run();
        world.remove(number);
        if old.len() > 20 {
            old.pop_front()
                .into_iter()
                .for_each(|old| world.remove(old));
        }
    }
    assert!(world.log.stats().files <= 2 * 20, "{:?}", world.log.stats());
    assert!(world.failures > 0, "it is full");
}
