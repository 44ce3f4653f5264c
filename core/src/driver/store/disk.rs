//! What a segment log is kept on.

use crate::store::{DiskOp, SegmentNumber, StoreFailure};

/// A folder on a disk, as far as a [`SegmentStore`](super::SegmentStore) needs one.
pub trait Disk: Send + 'static {
    /// Returns the segments in the folder, with their sizes.
    ///
    /// # Errors
    ///
    /// [`StoreFailure`]: the folder cannot be read.
    fn files(&mut self) -> Result<Vec<(SegmentNumber, u64)>, StoreFailure>;

    /// Carries an operation out; returns once it is done.
    ///
    /// # Errors
    ///
    /// [`StoreFailure`]: it is not known to be done.
    fn execute(&mut self, op: &DiskOp<'_>) -> Result<Executed, StoreFailure>;
}

/// The result of a [`DiskOp`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Executed {
    /// It is done, and was no read.
    Done,
    /// What was read.
    Read(Vec<u8>),
}
