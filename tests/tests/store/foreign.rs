//! Files with the name of a segment that are none.

use iotcore_gateway::store::{LogOptions, Recovery, StoreSeq};

use super::{
    World,
    model::{client, commit, segment},
    unread_starts::{newest_used, open},
};

const SMALL: LogOptions = LogOptions {
    segment_bytes: 4096,
    max_bytes: 64 * 4096,
};

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
        let foreign = bytes.len() as u64;
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
            assert_eq!(log.stats().disk_bytes + foreign, world.disk.used());
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
    let (_, _, recovered) = open(&mut world.disk, |number| number == made_up);
    assert_eq!((recovered.foreign, recovered.set_aside), (None, 1));
    assert_eq!(recovered.damaged.places, 1);
}

#[test]
fn numbers_never_end_although_a_file_that_somebody_made_up_is_far_ahead() {
    for made_up in [1 << 20, 1 << 28, 1 << 60] {
        let mut world = World::new(1, SMALL);
        world.put(1, 100);
        commit(&mut world);
        world.disk.insert(segment(made_up), vec![0; 4096]);
        world.restart();
        let mut last = 0;
        for _ in 0..3 {
            let newest = newest_used(&world.disk);
            let (log, _, recovered) = open(&mut world.disk, |number| number == newest);
            let next = recovered.highest_seq.unwrap().next();
            assert!(
                next.as_u64() > last && next.next() > next,
                "{next} after {last}"
            );
            world.log = log;
            world.was_unread = true;
            world.skip_to(next.as_u64());
            last = world.put(1, 100);
            commit(&mut world);
        }
    }
}
