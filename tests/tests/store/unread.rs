//! Files that cannot be read: they are left as they are, and what lives in them comes back.

use iotcore_gateway::store::{
    DiskOp, LogEvent, LogOptions, Recovered, Recovery, SegmentLog, SegmentNumber, StoreSeq,
};
use iotcore_gateway_testkit::disk::{DiskFault, Executed, FaultRates, LossyDisk};

use super::{
    World,
    model::{client, commit, segment},
};

const SMALL: LogOptions = LogOptions {
    segment_bytes: 4096,
    max_bytes: 64 * 4096,
};

/// Opens a disk on which one segment cannot be read; returns the numbers of the records.
fn open(disk: &mut LossyDisk, unread: SegmentNumber) -> (SegmentLog, Vec<u64>, Recovered) {
    let mut recovery = Recovery::new(&client(), SMALL, disk.files());
    let mut found = Vec::new();
    loop {
        found.extend(core::iter::from_fn(|| recovery.poll_record()));
        let Some(op) = recovery.poll_disk() else {
            break;
        };
        if matches!(op, DiskOp::Read { segment, .. } if segment == unread) {
            disk.fail(DiskFault::Read);
        }
        match disk.execute(&op) {
            Ok(Executed::Read(bytes)) => recovery.handle_read(&bytes),
            Ok(Executed::Done) => unreachable!("a recovery only reads"),
            Err(failure) => recovery.handle_failed(&failure),
        }
    }
    let (log, recovered) = recovery.finish().unwrap();
    let numbers = found.iter().map(|record| record.seq().as_u64());
    (log, numbers.collect(), recovered)
}

#[test]
fn a_segment_that_cannot_be_read_at_the_start_is_reported_and_left_alone_and_comes_back() {
    for unread in 1..=6 {
        let unread = segment(unread);
        let mut world = World::new(1, SMALL);
        for _ in 0..6 {
            world.put(1, 1_700);
            world.put(1, 1_700);
            commit(&mut world);
        }
        let bytes = world.disk.bytes(unread).to_vec();
        let (log, found, recovered) = open(&mut world.disk, unread);
        assert_eq!(found.len(), 10);
        assert_eq!(recovered.set_aside, 1);
        let damage = recovered.damaged;
        assert_eq!((damage.places, damage.bytes), (1, 3944));
        assert_eq!(log.stats().set_aside, 1);
        assert_eq!(log.stats().disk_bytes, world.disk.used());
        // The numbers of what could not be read are not used again.
        assert!(recovered.highest_seq.map(StoreSeq::as_u64) > Some(1 << 40));
        world.log = log;
        world.was_unread = true;
        // All others are delivered, and as much again: their segments are reclaimed.
        for number in found {
            world.remove(number);
            commit(&mut world);
        }
        for _ in 0..30 {
            let number = world.put(1, 1_700);
            commit(&mut world);
            world.remove(number);
            commit(&mut world);
        }
        assert!(world.log.stats().files <= 6, "{:?}", world.log.stats());
        assert_eq!(world.disk.bytes(unread), bytes);
        world.restart();
        assert_eq!(world.live().len(), 2);
        commit(&mut world);
        assert_eq!(world.log.stats().set_aside, 0);
    }
}

#[test]
fn numbers_are_given_once_although_the_newest_segment_cannot_be_read_at_start_after_start() {
    let mut world = World::new(1, SMALL);
    world.put(1, 1_700);
    commit(&mut world);
    let mut highest = 1;
    for _ in 0..8 {
        let files = world.disk.files().into_iter().map(|(number, _)| number);
        let is_used =
            |number: &SegmentNumber| world.disk.bytes(*number).iter().any(|byte| *byte != 0);
        let newest = files.filter(is_used).max().unwrap();
        let (log, _, recovered) = open(&mut world.disk, newest);
        assert_eq!(recovered.set_aside, 1);
        let above = recovered.highest_seq.map_or(0, StoreSeq::as_u64);
        assert!(above > highest, "{above} after {highest}");
        world.log = log;
        world.was_unread = true;
        world.skip_to(above + 1_000);
        highest = world.put(1, 1_700);
        commit(&mut world);
    }
    world.restart();
    assert_eq!(world.live().len(), 9);
}

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
    commit(&mut world);
    commit(&mut world);
    let stats = world.log.stats();
    assert!(stats.files <= 6, "{stats:?}");
    world.disk.cut_power();
    world.restart();
    assert_eq!(world.live(), [first]);
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
    let (mut log, _, _) = open(&mut world.disk, segment(99));
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
fn a_file_that_somebody_made_up_does_not_end_the_numbers_of_segments() {
    for bytes in [vec![], vec![0; 4096], vec![7; 4096]] {
        let mut world = World::new(1, SMALL);
        let made_up = segment(u64::MAX);
        world.disk.insert(made_up, bytes.clone());
        world.restart();
        for _ in 0..20 {
            world.put(1, 1_000);
            commit(&mut world);
        }
        world.restart();
        assert_eq!(world.live().len(), 20);
        assert_eq!(world.disk.bytes(made_up), bytes);
    }
}

#[test]
fn a_file_that_somebody_made_up_is_no_damage_and_is_reported_as_what_it_is() {
    for bytes in [vec![], vec![0; 4096], vec![7; 4096]] {
        let mut world = World::new(1, SMALL);
        let highest = world.put(1, 1_000);
        commit(&mut world);
        world.disk.insert(segment(u64::MAX), bytes);
        for _ in 0..2 {
            let mut recovery = Recovery::new(&client(), SMALL, world.disk.files());
            world.disk.read_all(&mut recovery);
            let (log, recovered) = recovery.finish().unwrap();
            assert_eq!(recovered.foreign, Some(segment(u64::MAX)));
            assert_eq!(recovered.set_aside, 0);
            assert!(recovered.damaged.is_none() && recovered.unfinished.is_none());
            // No number is skipped for it.
            assert_eq!(recovered.highest_seq.map(StoreSeq::as_u64), Some(highest));
            assert_eq!(log.stats().disk_bytes, world.disk.used());
        }
    }
}

#[test]
fn a_made_up_file_that_cannot_be_read_is_damage_as_any_other() {
    let mut world = World::new(1, SMALL);
    world.put(1, 1_000);
    commit(&mut world);
    let made_up = segment(u64::MAX);
    world.disk.insert(made_up, vec![7; 4096]);
    let (_, _, recovered) = open(&mut world.disk, made_up);
    assert_eq!((recovered.foreign, recovered.set_aside), (None, 1));
    assert_eq!(recovered.damaged.places, 1);
}
