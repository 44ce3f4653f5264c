//! Files that are deleted, moved or replaced while a store has them open: the system writes and syncs them without an error.
#![cfg(unix)]

use std::{
    fs,
    num::NonZeroU64,
    path::{Path, PathBuf},
};

use iotcore_gateway::{
    ClientId, DeviceId,
    driver::store::{SegmentStore, Store},
    message::{Priority, PublicationTopic, QoS},
    store::{LogOptions, Record, StoreFailure, StoreFailureKind, StoreOp, StoreSeq},
};

/// A folder that is empty at first.
struct Place(PathBuf);

impl Place {
    fn new(name: &str) -> Self {
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join("misplaced-".to_owned() + name);
        drop(fs::remove_dir_all(&path));
        Self(path)
    }

    fn file(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// Returns the segments in it, the oldest first.
    fn segments(&self) -> Vec<PathBuf> {
        let files = fs::read_dir(&self.0).unwrap();
        let files = files.map(|file| file.unwrap().path());
        let mut segments: Vec<_> = files
            .filter(|path| path.extension().is_some_and(|end| end == "seg"))
            .collect();
        segments.sort();
        segments
    }

    /// Opens the store in it; returns it with the payloads that are there.
    fn open(&self) -> (SegmentStore, Vec<String>) {
        let log = LogOptions {
            segment_bytes: 4_096,
            ..LogOptions::default()
        };
        let mut store = SegmentStore::open(&self.0).unwrap().options(log);
        let mut found = Vec::new();
        let mut each = |_, record: Record<'_>| {
            found.push(String::from_utf8(record.payload.to_vec()).unwrap());
        };
        store.restore(&gateway(), &mut each).unwrap();
        (store, found)
    }
}

fn gateway() -> ClientId {
    let [project, region, registry, gateway] = ["plant", "us-central1", "sensors", "gateway-1"];
    ClientId::new(
        project.parse().unwrap(),
        region.parse().unwrap(),
        registry.parse().unwrap(),
        gateway.parse().unwrap(),
    )
}

/// Keeps payloads under these numbers, as one group.
fn keep(store: &mut SegmentStore, payloads: &[(u64, &str)]) -> Result<(), StoreFailure> {
    let device: DeviceId = "sensor-1".parse().unwrap();
    let mut through = StoreSeq::FIRST;
    for (number, payload) in payloads {
        let accepted = NonZeroU64::new(*number).unwrap();
        through = accepted.into();
        let record = Record {
            accepted,
            device: &device,
            topic: &PublicationTopic::Telemetry(None),
            qos: QoS::AtLeastOnce,
            payload: payload.as_bytes(),
            deadline: None,
            priority: Priority::Ordinary,
            tag: None,
        };
        let seq = through;
        store.apply(StoreOp::Put { seq, record })?;
    }
    store.apply(StoreOp::Commit { through })?;
    store.tidy();
    Ok(())
}

/// Asserts that a group fails because this file is gone.
fn assert_fails(store: &mut SegmentStore, group: &[(u64, &str)], file: &Path) {
    let failure = keep(store, group).unwrap_err();
    assert_eq!(failure.kind, StoreFailureKind::Unreachable, "{failure}");
    let expected = format!(
        "{} was deleted, moved or replaced while it was in use",
        file.display()
    );
    assert!(failure.detail.starts_with(&expected), "{failure}");
}

#[test]
fn what_a_deleted_segment_held_is_written_anew() {
    let place = Place::new("segment");
    let (mut store, _) = place.open();
    keep(&mut store, &[(1, "a")]).unwrap();
    let segment = place.segments().remove(0);
    fs::remove_file(&segment).unwrap();
    assert_fails(&mut store, &[(2, "b")], &segment);
    keep(&mut store, &[(2, "b")]).unwrap();
    keep(&mut store, &[(3, "c")]).unwrap();
    drop(store);
    assert_eq!(place.open().1, ["a", "b", "c"]);
}

#[test]
fn a_segment_that_was_replaced_by_a_copy_is_noticed() {
    let place = Place::new("copy");
    let (mut store, _) = place.open();
    keep(&mut store, &[(1, "a")]).unwrap();
    let segment = place.segments().remove(0);
    let copy = place.file("copy");
    fs::copy(&segment, &copy).unwrap();
    fs::rename(&copy, &segment).unwrap();
    assert_fails(&mut store, &[(2, "b")], &segment);
    keep(&mut store, &[(2, "b")]).unwrap();
    drop(store);
    assert_eq!(place.open().1, ["a", "b"]);
}

#[test]
fn without_its_lock_a_store_writes_nothing_any_more() {
    let place = Place::new("lock");
    let (mut store, _) = place.open();
    keep(&mut store, &[(1, "a")]).unwrap();
    let lock = place.file("lock");
    fs::remove_file(&lock).unwrap();
    let before = fs::read(place.segments().remove(0)).unwrap();
    assert_fails(&mut store, &[(2, "b")], &lock);
    assert!(fs::read(place.segments().remove(0)).unwrap() == before);
    let (mut second, found) = place.open();
    assert_eq!(found, ["a"]);
    keep(&mut second, &[(2, "second")]).unwrap();
    for _ in 0..3 {
        assert_fails(&mut store, &[(2, "b")], &lock);
    }
    drop(store);
    keep(&mut second, &[(3, "third")]).unwrap();
    drop(second);
    assert_eq!(place.open().1, ["a", "second", "third"]);
}

#[test]
fn while_a_folder_is_moved_or_deleted_nothing_is_stored() {
    let place = Place::new("moved");
    let elsewhere = Place::new("elsewhere");
    let (mut store, _) = place.open();
    keep(&mut store, &[(1, "a")]).unwrap();
    fs::rename(&place.0, &elsewhere.0).unwrap();
    assert_fails(&mut store, &[(2, "b")], &place.file("lock"));
    fs::create_dir(&place.0).unwrap();
    let (mut second, found) = place.open();
    assert_eq!(found, [""; 0]);
    keep(&mut second, &[(1, "second")]).unwrap();
    assert_fails(&mut store, &[(2, "b")], &place.file("lock"));
    drop(second);
    fs::remove_dir_all(&place.0).unwrap();
    fs::rename(&elsewhere.0, &place.0).unwrap();
    keep(&mut store, &[(2, "b")]).unwrap();
    drop(store);

    let (mut store, found) = place.open();
    assert_eq!(found, ["a", "b"]);
    fs::remove_dir_all(&place.0).unwrap();
    assert_fails(&mut store, &[(3, "c")], &place.file("lock"));
    assert!(!place.0.exists());
}

/// Keeps payloads that fill several segments; returns the number of the next.
fn fill(store: &mut SegmentStore, from: u64, to: u64) -> Result<u64, StoreFailure> {
    let payload = "x".repeat(1_500);
    for number in from..to {
        keep(store, &[(number, &payload)])?;
    }
    Ok(to)
}

#[test]
fn if_all_segments_are_deleted_nothing_is_stored_until_a_restart() {
    let place = Place::new("segments");
    let (mut store, _) = place.open();
    let next = fill(&mut store, 1, 10).unwrap();
    let segments = place.segments();
    assert!(segments.len() > 3, "{segments:?}");
    for segment in &segments {
        fs::remove_file(segment).unwrap();
    }
    for _ in 0..3 {
        assert_fails(&mut store, &[(next, "b")], &segments[0]);
    }
    assert_eq!(place.segments(), [""; 0].map(PathBuf::from));
}

#[test]
fn if_an_older_segment_is_deleted_that_is_noticed_once_the_next_is_created() {
    let place = Place::new("older");
    let (mut store, _) = place.open();
    let next = fill(&mut store, 1, 10).unwrap();
    let oldest = place.segments().remove(0);
    fs::remove_file(&oldest).unwrap();
    let failure = fill(&mut store, next, next + 3).unwrap_err();
    assert_eq!(failure.kind, StoreFailureKind::Unreachable, "{failure}");
    let failure = fill(&mut store, next, next + 3).unwrap_err();
    assert!(
        failure.detail.starts_with(oldest.to_str().unwrap()),
        "{failure}"
    );
}
