//! Starts that cannot read a file: it is left as it is, and what lives in it comes back.

use iotcore_gateway::store::{
    Damage, DiskOp, LogOptions, Recovered, Recovery, SegmentLog, SegmentNumber, StoreSeq,
};
use iotcore_gateway_testkit::disk::{DiskFault, Executed, LossyDisk};

use super::{
    World,
    model::{client, commit, segment},
};

const SMALL: LogOptions = LogOptions {
    segment_bytes: 4096,
    max_bytes: 64 * 4096,
};

/// Opens a disk on which some segments cannot be read; returns the numbers of the records.
pub(crate) fn open(
    disk: &mut LossyDisk,
    is_unread: impl Fn(SegmentNumber) -> bool,
) -> (SegmentLog, Vec<u64>, Recovered) {
    let mut recovery = Recovery::new(&client(), SMALL, disk.files());
    let mut found = Vec::new();
    loop {
        found.extend(core::iter::from_fn(|| recovery.poll_record()));
        let Some(op) = recovery.poll_disk() else {
            break;
        };
        if matches!(op, DiskOp::Read { segment, .. } if is_unread(segment)) {
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
        let (log, found, recovered) = open(&mut world.disk, |number| number == unread);
        assert_eq!(found.len(), 10);
        assert_eq!(recovered.set_aside, 1);
        let damage = recovered.damaged;
        assert_eq!((damage.places, damage.bytes), (1, 3944));
        assert_eq!(log.stats().set_aside, 1);
        assert_eq!(log.stats().disk_bytes, world.disk.used());
        // The numbers of what could not be read are not used again.
        assert!(recovered.highest_seq.map(StoreSeq::as_u64) > Some(1 << 36));
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
    for has_spares in [false, true] {
        let mut world = World::new(1, SMALL);
        if has_spares {
            drained(&mut world);
        }
        world.put(1, 1_700);
        commit(&mut world);
        start_without_the_newest(world);
    }
}

/// Fills a folder, and empties it: some segments are kept for later.
fn drained(world: &mut World) {
    let numbers: Vec<u64> = (0..20).map(|_| world.put(1, 1_700)).collect();
    commit(world);
    for number in numbers {
        world.remove(number);
        commit(world);
    }
}

fn start_without_the_newest(mut world: World) {
    let before = world.live().len();
    let mut highest = 100;
    for _ in 0..8 {
        let newest = newest_used(&world.disk);
        let (log, _, recovered) = open(&mut world.disk, |number| number == newest);
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
    assert_eq!(world.live().len(), before + 8);
}

/// Asserts that a start which can read all reports so many damaged places, and nothing as unfinished.
fn assert_damaged(disk: &mut LossyDisk, places: u64) {
    let (_, _, recovered) = open(disk, |_| false);
    let reported = (recovered.damaged.places, recovered.unfinished);
    assert_eq!(reported, (places, Damage::default()));
}

/// Goes on with a log after a start.
fn go_on(world: &mut World, log: SegmentLog, recovered: &Recovered) {
    world.log = log;
    world.was_unread = true;
    world.skip_to(recovered.highest_seq.unwrap().as_u64() + 1);
}

/// Returns the last segment that was written to: the header of another names its own number.
pub(crate) fn newest_used(disk: &LossyDisk) -> SegmentNumber {
    let files = disk.files().into_iter().map(|(number, _)| number);
    let is_used = |number: &SegmentNumber| {
        let own = number.as_u64().to_le_bytes();
        disk.bytes(*number).get(16..24) == Some(&own)
    };
    files.filter(is_used).max().unwrap()
}

#[test]
fn damage_is_reported_also_after_a_start_that_could_not_read_the_newest_segment() {
    for is_unread in [false, true] {
        let mut world = World::new(1, SMALL);
        world.put(1, 1_700);
        commit(&mut world);
        let (log, _, recovered) = open(&mut world.disk, |_| is_unread);
        world.log = log;
        world.was_unread = is_unread;
        world.skip_to(recovered.highest_seq.unwrap().as_u64() + 1);
        for _ in 0..20 {
            world.put(1, 1_700);
            world.put(1, 1_700);
            commit(&mut world);
        }
        let mut used: Vec<_> = world
            .disk
            .files()
            .iter()
            .map(|(number, _)| *number)
            .collect();
        used.retain(|number| *number <= newest_used(&world.disk));
        world.disk.flip_bit(used[used.len() / 2], 600, 3);
        assert_damaged(&mut world.disk, 1);
        let segment = used[used.len() / 2 + 2];
        world.disk.execute(&DiskOp::Delete { segment }).unwrap();
        assert_damaged(&mut world.disk, 2);
    }
}

#[test]
fn damage_in_what_could_not_be_read_is_reported_once_it_can_be() {
    let mut world = World::new(1, SMALL);
    for _ in 0..3 {
        world.put(1, 1_000);
        commit(&mut world);
    }
    let (log, _, recovered) = open(&mut world.disk, |_| true);
    go_on(&mut world, log, &recovered);
    world.put(1, 1_000);
    commit(&mut world);
    world.disk.flip_bit(segment(1), 600, 3);
    let (_, found, recovered) = open(&mut world.disk, |_| false);
    assert_eq!((recovered.damaged.places, found.len()), (1, 3));
}

#[test]
fn a_file_that_can_never_be_read_does_not_make_each_start_write_all_the_others_anew() {
    let mut world = World::new(1, SMALL);
    world.put(1, 1_700);
    commit(&mut world);
    for _ in 0..5 {
        let before = world.disk.counts().device_bytes;
        let (log, _, recovered) = open(&mut world.disk, |number| number == segment(1));
        world.log = log;
        world.was_unread = true;
        commit(&mut world);
        let written = world.disk.counts().device_bytes - before;
        assert!(written <= 4 * 4096, "{written} bytes");
        world.skip_to(recovered.highest_seq.unwrap().as_u64() + 1);
        for _ in 0..20 {
            world.put(1, 1_700);
            commit(&mut world);
        }
    }
}

#[test]
fn files_that_are_set_aside_take_nothing_of_the_limit() {
    let mut world = World::new(
        1,
        LogOptions {
            max_bytes: 24 * 4096,
            ..SMALL
        },
    );
    let fill = |world: &mut World| {
        for _ in 0..20 {
            world.put(1, 1_700);
            world.put(1, 1_700);
            commit(world);
        }
    };
    fill(&mut world);
    let (log, _, recovered) = open(&mut world.disk, |_| true);
    go_on(&mut world, log, &recovered);
    fill(&mut world);
}

#[test]
fn what_cannot_be_read_any_more_when_it_is_returned_is_one_place_and_few_reads() {
    let options = LogOptions {
        segment_bytes: 1024 * 1024,
        max_bytes: 64 * 1024 * 1024,
    };
    let mut world = World::new(1, options);
    let records = 5_000;
    for _ in 0..records {
        world.put(1, 60);
    }
    commit(&mut world);
    let mut recovery = Recovery::new(&client(), options, world.disk.files());
    let mut found = 0;
    loop {
        found += core::iter::from_fn(|| recovery.poll_record()).count();
        let Some(op) = recovery.poll_disk() else {
            break;
        };
        if found > 0 {
            world.disk.set_unreadable(|_| true);
        }
        match world.disk.execute(&op) {
            Ok(Executed::Read(bytes)) => recovery.handle_read(&bytes),
            Ok(Executed::Done) => unreachable!("a recovery only reads"),
            Err(failure) => recovery.handle_failed(&failure),
        }
    }
    assert!(found > 0 && found < records, "{found}");
    let (_, recovered) = recovery.finish().unwrap();
    assert_eq!((recovered.damaged.places, recovered.set_aside), (1, 1));
    assert!(
        world.disk.counts().failed <= 32,
        "{:?}",
        world.disk.counts()
    );
    world.disk.set_unreadable(|_| false);
    world.was_unread = true;
    world.restart();
    assert_eq!(world.live().len(), records);
}

#[test]
fn a_file_whose_size_was_not_known_is_set_aside_until_it_is() {
    let mut world = World::new(1, SMALL);
    world.put(1, 100);
    commit(&mut world);
    let files = world
        .disk
        .files()
        .into_iter()
        .map(|(number, _)| (number, 0));
    let mut recovery = Recovery::new(&client(), SMALL, files);
    world.disk.read_all(&mut recovery);
    let (log, recovered) = recovery.finish().unwrap();
    assert!(recovered.set_aside > 0, "{recovered:?}");
    go_on(&mut world, log, &recovered);
    world.put(1, 100);
    commit(&mut world);
    world.restart();
    assert_eq!(world.live().len(), 2);
}

#[test]
fn once_a_file_can_be_read_again_damage_behind_it_is_reported_and_starts_write_little() {
    let mut world = World::new(1, SMALL);
    for _ in 0..20 {
        world.put(1, 1_700);
        world.put(1, 1_700);
        commit(&mut world);
    }
    let mut written = 0;
    for start in 0..4 {
        written = world.disk.counts().device_bytes;
        let is_unread = |number| start == 0 && number == segment(5);
        let (log, _, recovered) = open(&mut world.disk, is_unread);
        go_on(&mut world, log, &recovered);
        world.put(1, 100);
        commit(&mut world);
        written = world.disk.counts().device_bytes - written;
    }
    assert!(written <= 8 * 4096, "{written} bytes");
    world.disk.flip_bit(segment(12), 600, 3);
    let segment = segment(14);
    world.disk.execute(&DiskOp::Delete { segment }).unwrap();
    assert_damaged(&mut world.disk, 2);
}

#[test]
fn damage_in_front_of_the_last_write_is_reported_also_in_a_file_that_could_not_be_read() {
    let mut world = World::new(1, SMALL);
    world.put(1, 400);
    commit(&mut world);
    let gone = world.put(1, 3_000);
    commit(&mut world);
    world.remove(gone);
    for _ in 0..3 {
        world.put(1, 1_000);
        commit(&mut world);
    }
    let newest = newest_used(&world.disk);
    assert!(newest > segment(1));
    let (log, _, recovered) = open(&mut world.disk, |number| number == newest);
    go_on(&mut world, log, &recovered);
    world.put(1, 100);
    commit(&mut world);
    world.disk.flip_bit(newest, 600, 3);
    let (_, _, recovered) = open(&mut world.disk, |_| false);
    assert_eq!(recovered.damaged.places, 1, "{recovered:?}");
}

#[test]
fn beside_a_bad_sector_all_that_was_found_is_returned() {
    let options = LogOptions {
        segment_bytes: 1024 * 1024,
        max_bytes: 64 * 1024 * 1024,
    };
    let mut world = World::new(1, options);
    for _ in 0..2_000 {
        world.put(1, 300);
    }
    commit(&mut world);
    let mut recovery = Recovery::new(&client(), options, world.disk.files());
    let mut found = 0;
    loop {
        found += core::iter::from_fn(|| recovery.poll_record()).count();
        let Some(op) = recovery.poll_disk() else {
            break;
        };
        if matches!(op, DiskOp::Read { segment: of, offset, len }
            if of == segment(1) && (offset..offset + len as u64).contains(&300_000))
        {
            world.disk.fail(DiskFault::Read);
        }
        match world.disk.execute(&op) {
            Ok(Executed::Read(bytes)) => recovery.handle_read(&bytes),
            Ok(Executed::Done) => unreachable!("a recovery only reads"),
            Err(failure) => recovery.handle_failed(&failure),
        }
    }
    let (log, recovered) = recovery.finish().unwrap();
    assert_eq!(log.stats().records, found, "{recovered:?}");
    assert!(found > 1_700, "{found}");
    assert_eq!((recovered.damaged.places, recovered.set_aside), (1, 1));
}
