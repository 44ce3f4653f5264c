//! What the log does in situations that are made on purpose.

use iotcore_gateway::{
    ClientId,
    store::{
        Damage, DiskOp, LogEvent, LogOptions, OpenError, Recovery, SegmentLog, StoreFailureKind,
        StoreOp,
    },
};
use iotcore_gateway_testkit::disk::{DiskFault, Executed, Fate, FaultRates, LossyDisk};

use super::{
    World,
    model::{Content, client, commit, segment, seq},
};

const SMALL: LogOptions = LogOptions {
    segment_bytes: 4096,
    max_bytes: 16 * 4096,
};

fn world_with(records: usize) -> World {
    let mut world = World::new(1, SMALL);
    for _ in 0..records {
        world.put(1, 100);
    }
    commit(&mut world);
    world
}

/// Opens a disk; returns the numbers of the records, and what is damaged, whether or not it may be an unfinished write.
fn open(disk: &mut LossyDisk) -> (SegmentLog, Vec<u64>, Damage) {
    let mut recovery = Recovery::new(&client(), SMALL, disk.files());
    let found = disk.read_all(&mut recovery);
    let (log, recovered) = recovery.finish().unwrap();
    let damage = Damage {
        places: recovered.damaged.places + recovered.unfinished.places,
        bytes: recovered.damaged.bytes + recovered.unfinished.bytes,
    };
    (
        log,
        found.iter().map(|record| record.seq().as_u64()).collect(),
        damage,
    )
}

#[test]
fn nothing_is_written_before_a_commit_and_nothing_for_an_empty_one() {
    let mut world = World::new(1, SMALL);
    world.run();
    let before = world.disk.counts().operations;
    commit(&mut world);
    assert_eq!(world.disk.counts().operations, before);
    world.put(1, 100);
    world.run();
    assert_eq!(world.disk.counts().operations, before);
    assert_eq!(world.disk.files(), []);
}

#[test]
fn any_flipped_bit_costs_one_record_at_most_and_is_reported() {
    let world = world_with(12);
    let used = 144 + 12 * 164 + 20;
    for offset in 0..used {
        for bit in [0, 5] {
            let mut disk = world.disk.clone();
            disk.flip_bit(segment(1), offset, bit);
            let (_, found, damage) = open(&mut disk);
            assert!(found.len() >= 11, "bit {bit} of {offset}: {found:?}");
            let is_lost = found.len() < 12;
            assert!(
                !is_lost || damage.places == 1,
                "bit {bit} of {offset}: {damage:?}"
            );
        }
    }
}

#[test]
fn a_folder_of_another_client_is_refused_and_not_touched() {
    let mut world = world_with(3);
    let other = ClientId::new(
        client().project().clone(),
        client().location().clone(),
        client().registry().clone(),
        "gateway-2".try_into().unwrap(),
    );
    let mut recovery = Recovery::new(&other, SMALL, world.disk.files());
    assert_eq!(world.disk.read_all(&mut recovery), []);
    let refusal = recovery.finish().unwrap_err();
    let owner = client().to_string().into();
    assert_eq!(refusal, OpenError::OtherClient { client: owner });
    assert!(refusal.to_string().contains("gateway-1"), "{refusal}");
}

#[test]
fn a_folder_of_a_newer_version_is_refused_whatever_follows_the_version() {
    let mut disk = LossyDisk::new(1);
    let mut bytes = b"iotgwseg\x02\0\0\0".to_vec();
    let checksum = crc32(&bytes);
    bytes.extend_from_slice(&checksum.to_le_bytes());
    bytes.extend_from_slice(&[0xff; 4000]);
    disk.insert(segment(9), bytes);
    let mut recovery = Recovery::new(&client(), SMALL, disk.files());
    assert_eq!(disk.read_all(&mut recovery), []);
    let refusal = recovery.finish().unwrap_err();
    assert_eq!(refusal, OpenError::NewerVersion { version: 2 });
}

/// CRC-32, bit by bit.
fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(u32::MAX, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| {
            (crc >> 1) ^ if crc & 1 == 1 { 0xedb8_8320 } else { 0 }
        })
    })
}

#[test]
fn a_recovery_that_was_not_read_to_its_end_is_refused() {
    let world = world_with(3);
    let recovery = Recovery::new(&client(), SMALL, world.disk.files());
    assert_eq!(recovery.finish().unwrap_err(), OpenError::Unfinished);
}

#[test]
fn a_put_with_the_same_number_replaces_the_record_and_a_remove_of_no_record_does_nothing() {
    let mut disk = LossyDisk::new(1);
    let (mut log, _, _) = open(&mut disk);
    let content = |len| Content {
        accepted: 9,
        device: 1,
        len,
    };
    content(10).put(&mut log, 5);
    log.apply(StoreOp::Remove { seq: seq(4) }).unwrap();
    content(20).put(&mut log, 5);
    log.apply(StoreOp::Commit { through: seq(5) }).unwrap();
    disk.run(&mut log);
    assert_eq!(
        log.poll_event(),
        Some(LogEvent::Committed { through: seq(5) })
    );
    assert_eq!(log.stats().records, 1);
    let mut recovery = Recovery::new(&client(), SMALL, disk.files());
    let found = disk.read_all(&mut recovery);
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].record().payload.len(), 20);
}

#[test]
fn a_record_that_is_larger_than_a_segment_has_one_of_its_own() {
    let mut world = World::new(1, SMALL);
    let large = world.put(1, 10_000);
    let small = world.put(2, 10);
    commit(&mut world);
    world.disk.cut_power();
    world.restart();
    assert_eq!(world.live(), [large, small]);
    world.remove(large);
    commit(&mut world);
    world.remove(small);
    commit(&mut world);
    assert!(
        world.log.stats().disk_bytes <= 4 * 4096,
        "{:?}",
        world.log.stats()
    );
}

#[test]
fn a_failed_sync_is_never_trusted_again() {
    let mut world = world_with(5);
    world.put(1, 100);
    world.disk.fail(DiskFault::Sync);
    world.commit();
    world.run();
    assert_eq!(world.failures, 1);
    commit(&mut world);
    // All of it is in another file by now.
    let files = world.disk.files();
    let records = |number| {
        let bytes = world.disk.bytes(number).windows(8);
        bytes.filter(|bytes| *bytes == b"device-1").count()
    };
    let newer = files.iter().filter(|(number, _)| *number > segment(1));
    assert!(newer.map(|(number, _)| records(*number)).max() >= Some(6));
    world.disk.cut_power_with(|| Fate::Lost);
    world.restart();
    assert_eq!(world.live().len(), 6);
}

#[test]
fn a_remove_does_not_become_durable_before_what_it_waited_for_is_relied_on_again() {
    // A state, and a newer one that replaces it once it is durable. Then any operation fails, and any power cut follows.
    for failing in 0..10 {
        for again in 0..10 {
            for cut in 0..60 {
                let mut world = World::new(failing * 900 + again * 30 + cut, SMALL);
                let old = world.put(1, 1_500);
                commit(&mut world);
                let new = world.put(1, 1_500);
                commit(&mut world);
                world.remove(old);
                world.commit();
                for _ in 0..failing % 10 {
                    world.step();
                }
                world.disk.fail(DiskFault::Any);
                world.run();
                world.commit();
                for _ in 0..again % 10 {
                    world.step();
                }
                world.disk.fail(DiskFault::Any);
                for _ in 0..cut % 20 {
                    world.step();
                }
                world.disk.fail_nothing();
                world.disk.cut_power();
                world.restart();
                assert!(world.live().contains(&new));
            }
        }
    }
}

#[test]
fn a_full_disk_is_reported_and_works_again_once_there_is_room() {
    let mut world = world_with(20);
    world.disk.set_limit(world.disk.used() + 1_000);
    for _ in 0..20 {
        world.put(1, 500);
    }
    world.commit();
    world.run();
    assert_eq!(world.failures, 1);
    assert!(
        world.disk.used() <= 4 * 4096,
        "what could not be created is deleted"
    );
    world.disk.set_limit(u64::MAX);
    commit(&mut world);
    world.disk.cut_power();
    world.restart();
    assert_eq!(world.live().len(), 40);
}

#[test]
fn a_write_that_fails_in_the_middle_of_a_record_costs_nothing_that_was_confirmed() {
    for seed in 0..200 {
        let mut world = World::new(seed, SMALL);
        for _ in 0..4 {
            world.put(1, 200);
        }
        commit(&mut world);
        world.put(1, 700);
        world.disk.fail(DiskFault::Full);
        world.commit();
        world.run();
        world.disk.cut_power();
        world.restart();
        assert!(world.live().len() >= 4);
        world.put(1, 700);
        commit(&mut world);
    }
}

#[test]
fn at_its_limit_it_refuses_puts_and_takes_removes() {
    let mut world = World::new(1, SMALL);
    while world.failures == 0 {
        world.put(1, 1_000);
        world.commit();
        world.run();
    }
    let live = world.live();
    assert!(live.len() >= 30, "{} of 16 segments", live.len());
    // What could not be put is given up, and the rest is removed one by one.
    world.restart();
    for number in world.live() {
        world.remove(number);
        commit(&mut world);
    }
    world.put(1, 1_000);
    commit(&mut world);
    assert!(world.log.stats().files <= 5, "{:?}", world.log.stats());
}

#[test]
fn its_limit_is_an_error_that_says_so() {
    let mut disk = LossyDisk::new(1);
    let (mut log, _, _) = open(&mut disk);
    let content = Content {
        accepted: 1,
        device: 1,
        len: 70_000,
    };
    content.put(&mut log, 1);
    log.apply(StoreOp::Commit { through: seq(1) }).unwrap();
    disk.run(&mut log);
    let Some(LogEvent::Failed(failure)) = log.poll_event() else {
        panic!("it does not fit");
    };
    assert_eq!(failure.kind, StoreFailureKind::Full);
    assert!(failure.to_string().contains("65536"), "{failure}");
    assert_eq!(disk.files(), []);
}

#[test]
fn what_was_removed_stays_away_when_its_segment_is_recycled() {
    let mut world = World::new(1, SMALL);
    for _ in 0..300 {
        let number = world.put(1, 150);
        commit(&mut world);
        world.remove(number);
        commit(&mut world);
        let mut disk = world.disk.clone();
        disk.cut_power();
        let (_, found, damage) = open(&mut disk);
        assert_eq!((found, damage), (vec![], Damage::default()));
    }
    assert!(world.log.stats().files <= 4, "{:?}", world.log.stats());
}

#[test]
fn a_segment_that_cannot_be_read_is_not_given_back() {
    let mut world = World::new(1, SMALL);
    let kept = world.put(1, 100);
    world.disk.set_rates(FaultRates {
        read: 100,
        ..FaultRates::default()
    });
    for _ in 0..120 {
        let number = world.put(1, 150);
        commit(&mut world);
        world.remove(number);
    }
    assert_eq!(world.log.stats().lost, 0);
    world.disk.set_rates(FaultRates::default());
    for _ in 0..30 {
        let number = world.put(1, 150);
        commit(&mut world);
        world.remove(number);
    }
    commit(&mut world);
    assert!(world.log.stats().files <= 5, "{:?}", world.log.stats());
    world.restart();
    assert!(world.live().contains(&kept));
}

#[test]
fn an_operation_is_polled_until_it_is_answered() {
    let mut disk = LossyDisk::new(1);
    let (mut log, _, _) = open(&mut disk);
    assert_eq!(log.poll_disk(), Some(DiskOp::SyncFolder));
    assert_eq!(log.poll_disk(), Some(DiskOp::SyncFolder));
    log.handle_read(b"nothing was asked for");
    let op = log.poll_disk().unwrap();
    assert_eq!(disk.execute(&op), Ok(Executed::Done));
    log.handle_done();
    assert_eq!(log.poll_disk(), None);
    log.handle_done();
    assert_eq!(log.poll_disk(), None);
}
