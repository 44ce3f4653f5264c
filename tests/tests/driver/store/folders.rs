//! The store in a folder of the machine's disk, and on the lossy disk, checked as any store is.

use std::{fs, path::Path};

use iotcore_gateway::driver::store::SegmentStore;
use iotcore_gateway::store::LogOptions;
use iotcore_gateway_testkit::{simulation::SimDisk, store_check};

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
