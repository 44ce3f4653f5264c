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
    store::{Damage, Record, Recovered, StoreFailure, StoreOp, StoreSeq},
};

/// Keeps records, and makes them durable: [`restore`](Self::restore) and [`apply`](Self::apply), and
/// [`tidy`](Self::tidy) if it has more to do. It may block: it is called on a thread of its own, but for `restore`.
///
/// What it has to see to by itself, and [`SegmentStore`] does:
///
/// * One process at a time, and one gateway: it locks what it keeps, and refuses to be restored for another client id.
/// * What is durable survives a power cut; what is not may be lost, or be there.
/// * A disk that cannot be written is to be noticed when it is opened, or by `restore`, not at the first commit.
///
/// `examples/sqlite-store` in the repository is one in a database, in 60 lines of code. [`Record::to_bytes`] and
/// [`Recovered::read`] spare it the fields of a record.
/// `iotcore_gateway_testkit::store_check` checks whether a store keeps what the driver relies on, but for what only a power
/// cut or another process shows.
pub trait Store: Send + 'static {
    /// Passes what is in the store to `each`, in the order of [`Record::accepted`]. Called once, by
    /// [`Setup::start`](crate::driver::Setup::start), before anything else.
    ///
    /// Returns [`Recovered::default`] with the number of [`records`](Recovered::records), and what was
    /// [`damaged`](Recovered::damaged), which the status reports. The driver needs the rest of it from no store.
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

    /// Carries an operation out. A [`StoreOp::Commit`] returns once all since the last one is durable, also if that is nothing.
    /// A number that is put is above all that were restored, or that of a record that is to be replaced; one that is removed
    /// may never have been put.
    ///
    /// # Errors
    ///
    /// [`StoreFailure`]: nothing since the last commit that has succeeded counts as kept. All of it, what is put and what is
    /// removed, comes again later under the same numbers, so that it need not be undone here, and what ended meanwhile is
    /// removed. But what a failed commit has half written must not make what follows it unreadable. Fail an operation that you do not know: it is one of a later version.
    fn apply(&mut self, op: StoreOp<'_>) -> Result<(), StoreFailure>;

    /// Does what need not be done before the answer to a commit, such as giving space back. Called after each.
    fn tidy(&mut self) {}

    /// Returns what has turned out to be damaged since it was restored, all of it. Called after each commit: the status reports
    /// it when it grows.
    fn damage(&self) -> Damage {
        Damage::default()
    }
}
