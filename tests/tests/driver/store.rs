//! Stores: what survives the end of the process, and a power cut.

mod durable;
mod failing;
mod folders;
mod foreign;
mod left;
mod misplaced;
mod power_cuts;
mod reboot;
mod restored;
mod setups;

use std::time::Duration;

use iotcore_gateway::{
    Options,
    driver::{
        Client, Delivery, Setup, Status, StatusChanges, closed::Closed, error::StoredError,
        store::SegmentStore,
    },
    store::LogOptions,
};
use iotcore_gateway_testkit::{
    disk::DiskCounts,
    simulation::{SimDisk, Task},
};

use super::{Dials, Server, Tokens, World, poll_once, read, setup};

/// A machine whose disk outlives the gateways that run on it, one after the other.
struct Machine {
    world: World,
    disk: SimDisk,
    log: LogOptions,
}

/// One of its gateways.
struct Process {
    client: Client,
    status: StatusChanges,
    driver: Task<Closed>,
}

impl Machine {
    fn new() -> Self {
        Self::with_segments(64 * 1024, 7)
    }

    /// Creates a machine whose store has segments of this size, on a disk with this seed.
    fn with_segments(bytes: u32, seed: u64) -> Self {
        let log = LogOptions {
            segment_bytes: bytes,
            ..LogOptions::default()
        };
        Self {
            world: World::new(),
            disk: SimDisk::new(seed),
            log,
        }
    }

    fn store(&self) -> SegmentStore<SimDisk> {
        SegmentStore::on(self.disk.clone()).options(self.log)
    }

    fn setup(&self, options: Options) -> Setup<Tokens> {
        setup(options).store(self.store())
    }

    /// Starts a gateway.
    #[track_caller]
    fn start(&self, options: Options) -> Process {
        self.run(self.setup(options))
    }

    /// Starts a gateway that cannot connect.
    #[track_caller]
    fn start_offline(&self, options: Options) -> Process {
        self.world.dials(Dials::Fail);
        self.start(options)
    }

    /// Starts a gateway, and connects it.
    #[track_caller]
    fn open(&self, options: Options) -> (Process, Server) {
        self.world.dials(Dials::Succeed);
        let process = self.start(options);
        let server = Server::accept_again(&self.world);
        self.world.run_until_idle();
        (process, server)
    }

    #[track_caller]
    fn run(&self, setup: Setup<Tokens>) -> Process {
        let (client, driver) = setup.start(self.world.net.clone()).unwrap();
        let status = client.status();
        let driver = self.world.spawn(driver.run());
        Process {
            client,
            status,
            driver,
        }
    }

    /// Ends a process at its current point.
    fn kill(&self, process: Process) {
        self.world.cancel(process.driver);
        self.world.net.drop_jobs();
    }

    /// Ends a process with the power.
    fn lose_power(&self, process: Process) {
        self.kill(process);
        self.disk.cut_power();
    }

    fn counts(&self) -> DiskCounts {
        self.disk.with(|disk| disk.counts())
    }

    fn changes(&self, process: &mut Process) -> Vec<Status> {
        read(&self.world, &mut process.status)
    }

    /// Closes a gateway that can send nothing more; returns how it ended, once its store can be opened again.
    #[track_caller]
    fn close(&self, process: Process) -> Closed {
        let client = process.client.clone();
        let closing = self.world.spawn(async move { client.close().await });
        self.world.pass(Duration::from_secs(15));
        let closed = closing.ended();
        assert_eq!(process.driver.ended(), closed);
        closed
    }
}

impl Process {
    /// Publishes telemetry of the gateway itself.
    #[track_caller]
    fn publish(&self, payload: &str) -> Delivery {
        let payload = payload.to_owned();
        self.client.gateway().try_telemetry(payload).unwrap()
    }

    /// Returns the payloads that are accepted and not acknowledged.
    fn unsent(&self) -> Vec<String> {
        let unsent = self.client.unsent().into_iter();
        let payloads = unsent.map(|unsent| String::from_utf8(unsent.payload.into()).unwrap());
        payloads.collect()
    }
}

/// Returns whether a message is stored, if that is known.
fn is_stored(delivery: &Delivery) -> Option<Result<(), StoredError>> {
    poll_once(delivery.stored())
}

/// Returns how many messages were restored, by the changes of the status.
fn restored(changes: &[Status]) -> usize {
    let restored = changes.iter().filter_map(|change| match change {
        Status::Restored { messages } => Some(*messages),
        _ => None,
    });
    restored.sum()
}
