//! Files that were deleted, emptied or exchanged by somebody else, and damage of what was written last.

use iotcore_gateway::store::{DiskOp, LogOptions, Recovered, Recovery, SegmentNumber, StoreOp};
use iotcore_gateway_testkit::disk::LossyDisk;

use super::{
    World,
    model::{Content, client, commit, segment, seq},
};

const SMALL: LogOptions = LogOptions {
    segment_bytes: 4096,
    max_bytes: 64 * 4096,
};

/// Returns a disk with six segments of two records each, of which all but the last are proven.
fn six() -> LossyDisk {
    let mut world = World::new(1, SMALL);
    for _ in 0..6 {
        world.put(1, 1_700);
        world.put(1, 1_700);
        commit(&mut world);
    }
    world.disk
}

/// Returns a segment that was written to six times.
fn written_six_times() -> Vec<u8> {
    let mut world = World::new(1, SMALL);
    for _ in 0..6 {
        world.put(1, 100);
        commit(&mut world);
    }
    world.disk.bytes(segment(1)).to_vec()
}

/// Returns a disk with these files only.
fn with(files: &[(SegmentNumber, Vec<u8>)]) -> LossyDisk {
    let mut disk = LossyDisk::new(1);
    for (number, bytes) in files {
        disk.insert(*number, bytes.clone());
    }
    disk
}

fn read(disk: &mut LossyDisk) -> Recovered {
    let mut recovery = Recovery::new(&client(), SMALL, disk.files());
    let _records = disk.read_all(&mut recovery);
    recovery.finish().unwrap().1
}

fn files(disk: &LossyDisk) -> Vec<(SegmentNumber, Vec<u8>)> {
    let files = disk.files().into_iter();
    files
        .map(|(number, _)| (number, disk.bytes(number).to_vec()))
        .collect()
}

#[test]
fn a_segment_that_is_missing_between_others_is_reported() {
    let all = files(&six());
    assert!(read(&mut with(&all)).damaged.is_none());
    for missing in 2..=5 {
        let mut left = all.clone();
        left.retain(|(number, _)| *number != segment(missing));
        let recovered = read(&mut with(&left));
        assert_eq!((recovered.records, recovered.damaged.places), (10, 1));
    }
    // The oldest one may have been given back.
    assert!(read(&mut with(&all[1..])).damaged.is_none());
}

#[test]
fn a_segment_that_was_emptied_zeroed_or_overwritten_is_reported() {
    for bytes in [vec![], vec![0; 4096], vec![0x5a; 4096], vec![0; 100]] {
        for damaged in 0..5 {
            let mut all = files(&six());
            all[damaged].1.clone_from(&bytes);
            let recovered = read(&mut with(&all));
            assert_eq!((recovered.records, recovered.damaged.places), (10, 1));
            assert_eq!(recovered.damaged.bytes, bytes.len() as u64);
        }
    }
}

#[test]
fn segments_whose_names_were_exchanged_are_reported() {
    for (one, other) in [(0, 1), (1, 3), (0, 4), (3, 4)] {
        let mut all = files(&six());
        let bytes = all[one].1.clone();
        all[one].1 = core::mem::replace(&mut all[other].1, bytes);
        let recovered = read(&mut with(&all));
        assert_eq!(recovered.records, 8);
        assert!(recovered.damaged.places >= 1, "{recovered:?}");
    }
}

#[test]
fn damage_in_front_of_a_later_write_is_reported_although_the_end_is_damaged_as_well() {
    let bytes = written_six_times();
    // The third record, and the last with the end: the fifth write has begun, so the fourth was durable.
    let mut damaged = bytes.clone();
    damaged[152 + 2 * 164 + 60] ^= 1;
    damaged[152 + 5 * 164..].fill(0);
    let recovered = read(&mut with(&[(segment(1), damaged)]));
    assert_eq!((recovered.records, recovered.damaged.places), (4, 1));
    // What was written last need not have been confirmed.
    let mut damaged = bytes;
    damaged[152 + 5 * 164..].fill(0);
    let recovered = read(&mut with(&[(segment(1), damaged)]));
    assert_eq!((recovered.records, recovered.damaged.places), (5, 0));
}

#[test]
fn a_segment_that_was_cut_off_is_reported_unless_only_its_first_write_was_begun() {
    let bytes = written_six_times();
    for len in (152..2_048).step_by(4) {
        let recovered = read(&mut with(&[(segment(1), bytes[..len].to_vec())]));
        match recovered.records {
            // Nothing need have been confirmed.
            0 | 1 => assert!(recovered.damaged.is_none(), "{len}"),
            2..6 => assert_eq!(recovered.damaged.places, 1, "{len}"),
            // The end may be cut off.
            records => assert_eq!(records, 6, "{len}"),
        }
    }
    let recovered = read(&mut with(&[(segment(1), bytes[..2_048].to_vec())]));
    assert_eq!((recovered.records, recovered.damaged.places), (6, 0));
}

#[test]
fn a_number_that_a_file_had_before_its_new_name_was_lost_is_not_given_again() {
    let mut world = World::new(1, SMALL);
    for _ in 0..3 {
        world.put(1, 1_700);
        world.put(1, 1_700);
        commit(&mut world);
    }
    let renamed = world.disk.bytes(segment(3)).to_vec();
    let newest = segment(3);
    for (segment, _) in world.disk.files() {
        if segment >= newest {
            world.disk.execute(&DiskOp::Delete { segment }).unwrap();
        }
    }
    world.disk.insert(segment(2), renamed);
    let mut recovery = Recovery::new(&client(), SMALL, world.disk.files());
    world.disk.read_all(&mut recovery);
    let (mut log, _) = recovery.finish().unwrap();
    for number in 100..140 {
        let content = Content {
            accepted: number,
            device: 1,
            len: 1_500,
        };
        content.put(&mut log, number);
        let through = seq(number);
        log.apply(StoreOp::Commit { through }).unwrap();
        while let Some(op) = log.poll_disk() {
            if let DiskOp::Create { segment: to, .. } | DiskOp::Recycle { to, .. } = op {
                assert!(to > newest, "{op:?}");
            }
            world.disk.step(&mut log);
        }
    }
}
