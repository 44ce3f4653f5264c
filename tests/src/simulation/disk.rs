//! A lossy disk that outlives the gateways whose stores are on it.

use core::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use iotcore_gateway::driver::store::{Disk, Executed};
use iotcore_gateway::store::{DiskOp, SegmentNumber, StoreFailure, StoreFailureKind};

use crate::disk;
use crate::disk::LossyDisk;

/// A [`LossyDisk`] for [`SegmentStore::on`](iotcore_gateway::driver::store::SegmentStore::on), shared by the store and the
/// test, which can cut its power between any two operations. Cheap to clone; all clones are the same disk.
///
/// ```
/// # use core::time::Duration;
/// use iotcore_gateway::driver::store::SegmentStore;
/// use iotcore_gateway_testkit::simulation::{SimDisk, Simulation};
///
/// let simulation = Simulation::new();
/// let (world, disk) = (simulation.runtime(), SimDisk::new(7));
/// let start = || simulation.setup().store(SegmentStore::on(disk.clone())).start(world.clone());
///
/// world.shape(|network| network.dials = iotcore_gateway_testkit::simulation::Dials::Fail);
/// let (client, driver) = start()?;
/// let driver = simulation.spawn(driver.run());
/// simulation.run(async {
///     let delivery = client.gateway().telemetry("71").await.expect("accepted");
///     delivery.stored().await.expect("on the disk, because there is no connection");
/// });
/// driver.cancel();
/// world.drop_jobs();
/// disk.cut_power();
///
/// let (client, _driver) = start()?; // after the power cut
/// assert_eq!(client.unsent()[0].payload, "71");
/// # Ok::<(), Box<dyn core::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct SimDisk(Arc<Mutex<Powered>>);

struct Powered {
    disk: LossyDisk,
    /// After how many more operations the power is cut.
    cut_after: Option<u64>,
    has_power: bool,
}

impl SimDisk {
    /// Creates an empty folder on a disk without faults and of unlimited size.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self(Arc::new(Mutex::new(Powered {
            disk: LossyDisk::new(seed),
            cut_after: None,
            has_power: true,
        })))
    }

    /// Accesses the disk between two operations.
    pub fn with<T>(&self, act: impl FnOnce(&mut LossyDisk) -> T) -> T {
        act(&mut self.lock().disk)
    }

    /// Cuts the power, and restores it: of what was not synced, anything may be lost. End the gateway first: its store
    /// relies on what it has written.
    pub fn cut_power(&self) {
        let mut powered = self.lock();
        powered.disk.cut_power();
        powered.cut_after = None;
        powered.has_power = true;
    }

    /// Lets the power fail after this many more operations, of which the last is not answered: until
    /// [`cut_power`](Self::cut_power), all fail.
    pub fn lose_power_after(&self, operations: u64) {
        self.lock().cut_after = Some(operations);
    }

    /// Returns whether operations are answered.
    #[must_use]
    pub fn has_power(&self) -> bool {
        self.lock().has_power
    }

    fn lock(&self) -> MutexGuard<'_, Powered> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for SimDisk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SimDisk").finish_non_exhaustive()
    }
}

impl Disk for SimDisk {
    fn files(&mut self) -> Result<Vec<(SegmentNumber, u64)>, StoreFailure> {
        let powered = self.lock();
        powered.check()?;
        Ok(powered.disk.files())
    }

    fn execute(&mut self, op: &DiskOp<'_>) -> Result<Executed, StoreFailure> {
        let mut powered = self.lock();
        powered.check()?;
        let executed = powered.disk.execute(op);
        if let Some(left) = &mut powered.cut_after {
            *left = left.saturating_sub(1);
            powered.has_power = *left > 0;
            powered.check()?;
        }
        executed.map(|executed| match executed {
            disk::Executed::Done => Executed::Done,
            disk::Executed::Read(bytes) => Executed::Read(bytes),
        })
    }
}

impl Powered {
    fn check(&self) -> Result<(), StoreFailure> {
        match self.has_power {
            true => Ok(()),
            false => Err(StoreFailure::new(
                StoreFailureKind::Broken,
                "the disk has no power",
            )),
        }
    }
}
