//! Stores: what keeps accepted messages over the end of the process, and over a power cut (feature `store`).
//!
//! [`SegmentStore`] keeps them in a folder. [`Setup::store`](crate::driver::Setup::store) takes it, or any other [`Store`].
//! The driver carries its operations out on one thread ([`Runtime::worker`](crate::driver::Runtime::worker)), so that it
//! serves every runtime, and no task ever waits for a disk.

mod disk;
mod folder;
mod group;
mod runner;
mod segment_store;
mod slot;
mod store_error;
mod worker;

pub use self::{
    disk::{Disk, Executed},
    folder::{Folder, ReadOnlyFolder},
    segment_store::SegmentStore,
    store_error::StoreError,
    worker::{Job, Worker, WorkerThread},
};
pub(crate) use self::{
    group::Group,
    runner::{Answer, StoreRunner},
    slot::StoreSlot,
};
use crate::{
    id::ClientId,
    store::{Record, Recovered, StoreFailure, StoreOp, StoreSeq},
};

/// Keeps records, and makes them durable. It may block: it is called on a thread of its own, but for
/// [`restore`](Self::restore).
///
/// See `examples/sqlite-store` in the repository for one that keeps its records in a database.
/// `iotcore_gateway_testkit::store_check` checks whether one keeps what the driver relies on.
pub trait Store: Send + 'static {
    /// Passes what is in the store to `each`, in the order of [`Record::accepted`]. Called once, by
    /// [`Setup::start`](crate::driver::Setup::start), before anything else.
    ///
    /// # Errors
    ///
    /// [`StoreError`]: the store cannot be used, for example because it belongs to another gateway. Damage is no error: it is
    /// set aside and counted in what this returns.
    fn restore(
        &mut self,
        client: &ClientId,
        each: &mut dyn FnMut(StoreSeq, Record<'_>),
    ) -> Result<Recovered, StoreError>;

    /// Carries an operation out. A [`StoreOp::Commit`] returns once all since the last one is durable.
    ///
    /// # Errors
    ///
    /// [`StoreFailure`]: nothing since the last commit counts as kept. All of it comes again later.
    fn apply(&mut self, op: StoreOp<'_>) -> Result<(), StoreFailure>;

    /// Does what need not be done before the answer to a commit, such as giving space back.
    fn tidy(&mut self) {}
}
