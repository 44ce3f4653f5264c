//! What a folder has, and what is done to it, once as much is removed as is put.

use iotcore_gateway::store::{DiskOp, LogOptions};

use super::{World, model::commit};

const SMALL: LogOptions = LogOptions {
    segment_bytes: 4096,
    max_bytes: 16 * 4096,
};

#[test]
fn one_old_record_does_not_keep_the_segments_of_all_that_followed() {
    let mut world = World::new(1, SMALL);
    let old = world.put(1, 100);
    for _ in 0..300 {
        let number = world.put(1, 150);
        commit(&mut world);
        world.remove(number);
    }
    commit(&mut world);
    world.disk.cut_power();
    world.restart();
    assert!(world.live().contains(&old));
    assert!(world.log.stats().files <= 5, "{:?}", world.log.stats());
}

#[test]
fn no_file_is_created_or_deleted_in_steady_state_also_beside_an_old_record() {
    for is_beside in [false, true] {
        let mut world = World::new(1, SMALL);
        if is_beside {
            world.put(1, 100);
        }
        let mut changes = 0;
        for round in 0..300 {
            let number = world.put(1, 150);
            world.commit();
            world.remove(number);
            loop {
                let op = world.log.poll_disk();
                let is_change = matches!(op, Some(DiskOp::Create { .. } | DiskOp::Delete { .. }));
                changes += usize::from(is_change && round >= 100);
                if !world.step() {
                    break;
                }
            }
        }
        assert_eq!(changes, 0, "{is_beside}");
    }
}

#[test]
fn restarts_in_a_row_do_not_fill_the_folder() {
    let mut world = World::new(1, SMALL);
    for _ in 0..20 {
        world.put(1, 100);
    }
    commit(&mut world);
    for _ in 0..50 {
        world.put(1, 10);
        commit(&mut world);
        world.restart();
        world.run();
    }
    assert!(world.log.stats().files <= 8, "{:?}", world.log.stats());
    assert_eq!(world.live().len(), 70);
}

#[test]
fn a_hundred_messages_a_commit_write_at_most_1_6_times_their_payload() {
    const PAYLOAD: usize = 256;
    let options = LogOptions {
        segment_bytes: 256 * 1024,
        ..LogOptions::default()
    };
    let mut world = World::new(1, options);
    let mut written = 0;
    for round in 0..200 {
        if round == 100 {
            written = world.disk.counts().device_bytes;
        }
        let numbers: Vec<u64> = (0..100).map(|_| world.put(1, PAYLOAD)).collect();
        commit(&mut world);
        numbers.into_iter().for_each(|number| world.remove(number));
    }
    let written = world.disk.counts().device_bytes - written;
    let payload = (100 * 100 * PAYLOAD) as u64;
    assert!(written * 10 <= payload * 16, "{written} for {payload}");
}
