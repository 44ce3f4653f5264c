//! The store in SQLite is one that the driver can rely on.
#![forbid(unsafe_code)]

use std::{fs, num::NonZeroU64, path::PathBuf, time::Duration};

use iotcore_gateway::{
    ClientId,
    driver::{error::StoreError, store::Store},
    message::{Priority, PublicationTopic, QoS},
    store::{Record, StoreFailureKind, StoreOp},
};
use iotcore_gateway_testkit::{
    simulation::{Dials, Simulation},
    store_check,
};
use sqlite_store::SqliteStore;

/// An empty folder, which is removed at the end.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
        drop(fs::remove_dir_all(&path));
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn open(&self) -> Result<SqliteStore, StoreError> {
        SqliteStore::open(self.0.join("messages.db"))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        drop(fs::remove_dir_all(&self.0));
    }
}

fn client() -> ClientId {
    ClientId::new(
        "plant".parse().unwrap(),
        "us-central1".parse().unwrap(),
        "sensors".parse().unwrap(),
        "gateway-1".parse().unwrap(),
    )
}

#[test]
fn it_keeps_what_a_store_has_to_keep() {
    let folder = Folder::new("check");
    store_check::check(|| folder.open()).unwrap();
}

#[test]
fn it_is_open_once_at_a_time() {
    let folder = Folder::new("locked");
    let first = folder.open().unwrap();
    match folder.open() {
        Err(StoreError::Unreadable(failure)) => {
            assert_eq!(failure.kind, StoreFailureKind::Broken);
            assert!(failure.detail.contains("locked"), "{failure}");
        }
        other => panic!("{other:?}"),
    }
    drop(first);
    drop(folder.open().unwrap());
}

#[test]
fn a_row_that_is_no_record_is_counted_and_the_rest_is_read() {
    let folder = Folder::new("damaged");
    let client = client();
    let mut store = folder.open().unwrap();
    store.restore(&client, &mut |_, _| {}).unwrap();
    let device = client.gateway();
    for accepted in [1, 2, 3].map(|number| NonZeroU64::new(number).unwrap()) {
        let record = Record {
            accepted,
            device,
            topic: &PublicationTopic::State,
            qos: QoS::AtLeastOnce,
            payload: b"71",
            deadline: None,
            priority: Priority::Ordinary,
            tag: None,
        };
        let seq = accepted.into();
        store.apply(StoreOp::Put { seq, record }).unwrap();
    }
    let through = NonZeroU64::new(3).unwrap().into();
    store.apply(StoreOp::Commit { through }).unwrap();
    drop(store);
    let db = rusqlite::Connection::open(folder.0.join("messages.db")).unwrap();
    db.execute("UPDATE kept SET record = x'00' WHERE seq = 2", [])
        .unwrap();
    drop(db);
    let mut found = Vec::new();
    let mut store = folder.open().unwrap();
    let recovered = store.restore(&client, &mut |seq, _| found.push(seq.as_u64()));
    let recovered = recovered.unwrap();
    assert_eq!((recovered.records, recovered.damaged.places), (2, 1));
    assert_eq!(found, [1, 3]);
}

#[test]
fn a_folder_that_is_not_there_is_an_error() {
    let opened = SqliteStore::open("/nowhere/messages.db");
    assert!(
        matches!(opened, Err(StoreError::Unreadable(_))),
        "{opened:?}"
    );
}

#[test]
fn a_gateway_delivers_what_the_last_one_has_stored() {
    let folder = Folder::new("gateway");
    let simulation = Simulation::new();
    let world = simulation.runtime();
    world.shape(|network| network.dials = Dials::Fail);
    let setup = || simulation.setup().store(folder.open().unwrap());
    let (client, driver) = setup().start(world.clone()).unwrap();
    let driver = simulation.spawn(driver.run());
    simulation.run(async {
        for reading in ["71", "72"] {
            let delivery = client.gateway().telemetry(reading).await.unwrap();
            delivery.stored().await.unwrap();
        }
    });
    driver.cancel();
    drop(client);

    world.shape(|network| network.dials = Dials::Succeed);
    let (client, driver) = setup().start(world.clone()).unwrap();
    let _driver = simulation.spawn(driver.run());
    assert_eq!(client.unsent().len(), 2);
    simulation.pass(Duration::from_secs(5));
    assert!(client.unsent().is_empty());
}
