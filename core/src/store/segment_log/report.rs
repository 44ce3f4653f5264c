//! What a log reports.

use crate::store::{SegmentNumber, StoreFailure, StoreSeq};

/// What became of a [`StoreOp::Commit`](crate::store::StoreOp::Commit).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum LogEvent {
    /// All that was applied before it is durable.
    Committed {
        /// The number of the Commit.
        through: StoreSeq,
    },
    /// Nothing that was applied since the last Commit that succeeded is relied on, nor kept, also if it was applied after the
    /// Commit that failed: all of it has to be applied again. What was durable before still is.
    Failed(StoreFailure),
    /// A segment that has to be written anew cannot be read, again and again. Its file is left as it is: what lives in it
    /// counts as kept, and the next start reads it again.
    SetAside {
        /// The segment.
        segment: SegmentNumber,
        /// The bytes of its file.
        bytes: u64,
    },
}

/// What is on the disk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct LogStats {
    /// The bytes of all files.
    pub disk_bytes: u64,
    /// The number of files.
    pub files: usize,
    /// The number of records that live and are durable.
    pub records: usize,
    /// Their bytes.
    pub live_bytes: u64,
    /// Records that were durable once, and were damaged when they were to be written anew.
    pub lost: u64,
    /// Files that are left as they are, since the start or since then, because they cannot be read or are foreign.
    pub set_aside: usize,
}
