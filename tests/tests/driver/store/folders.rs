//! The store in a folder of the machine's disk, and on the lossy disk, checked as any store is.

use std::{fs, num::NonZeroU64, path::Path};

use iotcore_gateway::driver::error::StoreError;
use iotcore_gateway::driver::store::{SegmentStore, Store};
use iotcore_gateway::message::{Priority, PublicationTopic, QoS};
use iotcore_gateway::store::{LogOptions, Record, SegmentNumber, StoreFailureKind, StoreOp};
use iotcore_gateway_testkit::{simulation::SimDisk, store_check};

use super::super::client_id;

#[test]
fn a_folder_keeps_what_a_store_has_to_keep() {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("driver-store-check");
    drop(fs::remove_dir_all(&folder));
    store_check::check(|| SegmentStore::open(&folder)).unwrap();
    fs::remove_dir_all(folder).unwrap();
}

#[test]
fn segments_of_any_size_keep_what_a_store_has_to_keep() {
    for segment_bytes in [4_096, 16_384, 1_048_576] {
        let disk = SimDisk::new(7);
        let log = LogOptions {
            segment_bytes,
            ..LogOptions::default()
        };
        store_check::check(|| Ok(SegmentStore::on(disk.clone()).options(log))).unwrap();
    }
}

#[cfg(unix)]
#[test]
fn a_start_ends_where_a_segment_is_not_there_as_a_file() {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("driver-store-unreachable");
    drop(fs::remove_dir_all(&folder));
    // EISDIR says nothing about what was written: nothing is set aside, and nothing reused.
    fs::create_dir_all(folder.join("0000000000000001.seg")).unwrap();
    let mut store = SegmentStore::open(&folder).unwrap();
    let refused = store.restore(&client_id(), &mut |_, _| {});
    let Err(StoreError::Unreadable(failure)) = refused else {
        panic!("{refused:?}");
    };
    assert_eq!(failure.kind, StoreFailureKind::Unreachable);
    assert!(failure.to_string().contains("mounted"), "{failure}");
    fs::remove_dir_all(folder).unwrap();
}

/// Puts or removes messages with these numbers, and commits that.
fn change(store: &mut SegmentStore<SimDisk>, numbers: std::ops::Range<u64>, is_put: bool) {
    let client = client_id();
    let number = |number| NonZeroU64::new(number).unwrap();
    let through = number(numbers.end - 1).into();
    for accepted in numbers.map(number) {
        let record = Record {
            accepted,
            device: client.gateway(),
            topic: &PublicationTopic::Telemetry(None),
            qos: QoS::AtLeastOnce,
            payload: &[7; 500],
            deadline: None,
            priority: Priority::Ordinary,
            tag: None,
        };
        let seq = accepted.into();
        let op = match is_put {
            true => StoreOp::Put { seq, record },
            false => StoreOp::Remove { seq },
        };
        store.apply(op).unwrap();
    }
    store.apply(StoreOp::Commit { through }).unwrap();
    store.tidy();
}

#[test]
fn what_rots_while_the_store_is_in_use_is_reported() {
    let disk = SimDisk::new(7);
    let log = LogOptions {
        segment_bytes: 4_096,
        ..LogOptions::default()
    };
    let mut store = SegmentStore::on(disk.clone()).options(log);
    store.restore(&client_id(), &mut |_, _| {}).unwrap();
    change(&mut store, 1..2, true);
    let first = SegmentNumber::from_file_name("0000000000000001.seg").unwrap();
    disk.with(|disk| disk.flip_bit(first, 400, 3));
    assert!(store.damage().is_none());
    for round in 1..20 {
        let numbers = 10 * round..10 * round + 5;
        change(&mut store, numbers.clone(), true);
        change(&mut store, numbers, false);
    }
    assert_eq!(store.damage().places, 1);
}
