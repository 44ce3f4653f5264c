//! An adapter with a store in a folder on the machine's disk.

mod folder;
mod small_disk;

use std::{
    fs,
    net::TcpListener,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc::{self, Receiver, Sender},
    },
    time::{Duration, Instant},
};

use iotcore_gateway::{
    driver::store::{SegmentStore, Store},
    store::{LogOptions, OpenError, Record, Recovered, StoreFailure, StoreOp, StoreSeq},
};
use iotcore_gateway_testkit::AuthMethod;

use self::folder::Folder;
use crate::{
    bridge::bridge,
    runtime::{
        adapter::{
            Client, ClientId, Options, Security, Setup, Status,
            closed::Closed,
            connect,
            error::{SetupError, StoreError},
        },
        run, spawn,
    },
    tls::Tokens,
};

/// Options of a gateway that does not wait for a network.
fn hasty() -> Options {
    let mut options = Options::default();
    options.backoff.min = Duration::from_millis(5);
    options.backoff.max = Duration::from_millis(20);
    options.drain_timeout = Duration::ZERO;
    options
}

/// A setup for a port at which nobody listens.
fn setup(store: impl Store) -> Setup<Tokens> {
    let port = {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        listener.local_addr().unwrap().port()
    };
    let id = ClientId::new(
        "plant".parse().unwrap(),
        "us-central1".parse().unwrap(),
        "sensors".parse().unwrap(),
        "gateway-1".parse().unwrap(),
    );
    Setup::new("127.0.0.1", Security::PlainOnLoopback, id, Tokens)
        .port(port)
        .options(hasty())
        .store(store)
}

fn start(store: impl Store) -> (Client, impl Future<Output = Closed>) {
    let (client, driver) = connect(setup(store)).unwrap();
    (client, spawn(driver.run()))
}

/// Stores messages of a gateway that cannot connect, and closes it.
async fn leave(store: impl Store, messages: usize) {
    let (client, driver) = start(store);
    for n in 0..messages {
        let delivery = client.gateway().telemetry(n.to_string()).await.unwrap();
        delivery.stored().await.unwrap();
    }
    assert_eq!(client.close().await.unsent.len(), messages);
    driver.await;
}

/// Returns why a store cannot be started with.
fn refusal(store: impl Store) -> StoreError {
    match connect(setup(store)).map(drop) {
        Err(SetupError::Store(error)) => error,
        other => panic!("{other:?}"),
    }
}

#[test]
fn what_was_stored_is_delivered_by_the_next_process() {
    run(async || {
        let folder = Folder::new();
        leave(SegmentStore::open(folder.path()).unwrap(), 20).await;
        let bridge = bridge(AuthMethod::AssociationOnly);
        let setup = bridge.setup(bridge.tokens(), Options::default());
        let setup = setup.store(SegmentStore::open(folder.path()).unwrap());
        let (client, driver) = connect(setup).unwrap();
        let mut status = client.status();
        let driver = spawn(driver.run());
        match status.next().await {
            Some(Status::Restored { messages: 20 }) => {}
            other => panic!("{other:?}"),
        }
        assert!(client.close().await.unsent.is_empty());
        driver.await;
        let expected = Vec::from_iter((0..20).map(|n| n.to_string()));
        assert_eq!(bridge.taken.lock().unwrap()["gateway-1"], expected);
        let (client, _driver) = start(SegmentStore::open(folder.path()).unwrap());
        assert!(client.unsent().is_empty());
    });
}

#[test]
fn a_folder_is_in_use_until_its_driver_has_ended_and_can_be_opened_at_once_then() {
    run(async || {
        let folder = Folder::new();
        for round in 0..30 {
            let (client, driver) = start(SegmentStore::open(folder.path()).unwrap());
            assert_eq!(client.unsent().len(), round);
            let in_use = SegmentStore::open(folder.path()).unwrap_err();
            assert!(matches!(in_use, StoreError::InUse { .. }), "{in_use:?}");
            let delivery = client.gateway().telemetry("71").await.unwrap();
            delivery.stored().await.unwrap();
            client.close().await;
            driver.await;
        }
    });
}

#[test]
fn what_is_no_folder_is_refused_with_advice() {
    let folder = Folder::new();
    let file = folder.path().join("file");
    fs::write(&file, "no folder").unwrap();
    let cases = [
        (file.clone(), "name a folder, not a file"),
        (file.join("below"), "name a folder, not a file"),
        (
            folder.path().join("missing/store"),
            "create the folder that it is to be in",
        ),
    ];
    for (path, advice) in cases {
        let refused = SegmentStore::open(&path).unwrap_err();
        let StoreError::Folder { folder, .. } = &refused else {
            panic!("{refused:?}");
        };
        assert_eq!(*folder, path);
        let text = refused.to_string();
        assert!(text.ends_with(advice), "{text}");
    }
    assert_eq!(fs::read(file).unwrap(), b"no folder");
}

#[test]
fn a_folder_of_a_newer_version_is_refused_and_left_alone() {
    run(async || {
        let folder = Folder::new();
        leave(SegmentStore::open(folder.path()).unwrap(), 3).await;
        let segment = folder.segments().remove(0);
        let written = fs::read(&segment).unwrap();
        let mut newer = written.clone();
        // The next version of the format, with the checksum of that.
        newer[8..12].copy_from_slice(&2_u32.to_le_bytes());
        newer[12..16].copy_from_slice(&NEWER);
        fs::write(&segment, &newer).unwrap();
        let refused = refusal(SegmentStore::open(folder.path()).unwrap());
        let expected = OpenError::NewerVersion { version: 2 };
        assert_eq!(refused, StoreError::Unsuitable(expected));
        assert_eq!(fs::read(&segment).unwrap(), newer);

        fs::write(&segment, written).unwrap();
        let (client, _driver) = start(SegmentStore::open(folder.path()).unwrap());
        assert_eq!(client.unsent().len(), 3);
    });
}

/// The checksum of a header of version 2.
const NEWER: [u8; 4] = [0x87, 0x94, 0x95, 0x68];

#[test]
fn a_flipped_bit_is_reported_and_costs_one_message() {
    run(async || {
        let folder = Folder::new();
        let log = LogOptions {
            segment_bytes: 4_096,
            ..LogOptions::default()
        };
        let open = || SegmentStore::open(folder.path()).unwrap().options(log);
        leave(open(), 200).await;
        // In the oldest of several segments.
        let segments = folder.segments();
        assert!(segments.len() > 2, "{segments:?}");
        let mut bytes = fs::read(&segments[0]).unwrap();
        let payload = bytes.windows(2).position(|window| window == b"13");
        bytes[payload.expect("it is there")] ^= 1;
        fs::write(&segments[0], bytes).unwrap();

        let (client, driver) = connect(setup(open())).unwrap();
        let mut status = client.status();
        let _driver = spawn(driver.run());
        match [status.next().await, status.next().await] {
            [
                Some(Status::Restored { messages: 199 }),
                Some(Status::StoreDamaged { damage }),
            ] => {
                assert_eq!(damage.places, 1);
            }
            other => panic!("{other:?}"),
        }
    });
}

/// A store that keeps nothing, and whose upkeep takes this long, or until the sender is dropped.
struct Slow {
    upkeep: Duration,
    end: Receiver<()>,
    is_dropped: Arc<AtomicBool>,
}

impl Slow {
    fn new(upkeep: Duration) -> (Self, Sender<()>) {
        let (sender, end) = mpsc::channel();
        let slow = Self {
            upkeep,
            end,
            is_dropped: Arc::default(),
        };
        (slow, sender)
    }
}

impl Store for Slow {
    fn restore(
        &mut self,
        _: &ClientId,
        _: &mut dyn FnMut(StoreSeq, Record<'_>),
    ) -> Result<Recovered, StoreError> {
        Ok(Recovered::default())
    }

    fn apply(&mut self, _: StoreOp<'_>) -> Result<(), StoreFailure> {
        Ok(())
    }

    fn tidy(&mut self) {
        let _ = self.end.recv_timeout(self.upkeep);
    }
}

impl Drop for Slow {
    fn drop(&mut self) {
        self.is_dropped.store(true, Ordering::Relaxed);
    }
}

/// Closes a gateway while its store is at its upkeep; returns how long the end of the driver takes, and whether the store is
/// dropped then.
async fn close_during_upkeep(upkeep: Duration) -> (Duration, bool) {
    let (slow, end) = Slow::new(upkeep);
    let is_dropped = Arc::clone(&slow.is_dropped);
    let (client, driver) = start(slow);
    let delivery = client.gateway().telemetry("71").await.unwrap();
    delivery.stored().await.unwrap();
    let begun = Instant::now();
    assert_eq!(client.close().await.unsent.len(), 1);
    driver.await;
    let ended = (begun.elapsed(), is_dropped.load(Ordering::Relaxed));
    drop(end);
    ended
}

#[test]
fn a_driver_ends_once_its_store_is_dropped() {
    run(async || {
        let (took, is_dropped) = close_during_upkeep(Duration::from_millis(300)).await;
        assert!(is_dropped, "after {took:?}");
    });
}

#[test]
fn a_store_that_does_not_come_back_delays_the_end_of_the_driver_by_two_seconds() {
    run(async || {
        let (took, is_dropped) = close_during_upkeep(Duration::from_secs(60)).await;
        assert!(took < Duration::from_secs(10), "{took:?}");
        assert!(!is_dropped);
    });
}

#[test]
fn a_full_disk_is_reported_and_used_again_once_it_has_room() {
    small_disk::on(
        "size=24m",
        "a_full_disk_is_reported_and_used_again_once_it_has_room",
        |disk| {
            run(async || fills_and_has_room_again(disk).await);
        },
    );
}

async fn fills_and_has_room_again(disk: &Path) {
    let ballast = disk.join("ballast");
    fs::write(&ballast, vec![1; 21 * 1024 * 1024]).unwrap();
    let (client, driver) = connect(setup(SegmentStore::open(disk.join("store")).unwrap())).unwrap();
    let mut status = client.status();
    let driver = spawn(driver.run());
    let delivery = client.gateway().telemetry("71").await.unwrap();
    let failed = delivery.stored().await.unwrap_err();
    assert!(failed.to_string().contains("no space left"), "{failed}");
    client.gateway().telemetry("72").await.unwrap_err();
    fs::remove_file(ballast).unwrap();
    loop {
        match status.next().await {
            Some(Status::StoreRecovered) => break,
            Some(_) => {}
            None => panic!("it has ended"),
        }
    }
    delivery.stored().await.unwrap();
    assert_eq!(client.close().await.unsent.len(), 1);
    driver.await;
    fs::remove_dir_all(disk.join("store")).unwrap();
}

#[test]
fn a_folder_that_cannot_be_written_is_refused() {
    small_disk::on("ro", "a_folder_that_cannot_be_written_is_refused", |disk| {
        let refused = SegmentStore::open(disk).unwrap_err();
        let text = refused.to_string();
        assert!(
            text.ends_with("mount its file system so that it can be written"),
            "{text}"
        );
    });
}
