//! What a log reports.

use super::SegmentLog;
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
    /// Files that are left as they are, since the start or since then, because they cannot be read.
    pub set_aside: usize,
    /// Their bytes, which do not count towards the limit until they are more than that.
    pub set_aside_bytes: u64,
}

impl SegmentLog {
    /// Returns what is on the disk.
    #[must_use]
    pub fn stats(&self) -> LogStats {
        let live = self.segments.iter().map(|(_, segment)| segment.live_bytes);
        LogStats {
            disk_bytes: self.own_bytes() + self.set_aside_bytes(),
            files: self.segments.iter().count() + self.spares.len(),
            records: self.segments.index().len(),
            live_bytes: live.sum(),
            lost: self.lost,
            set_aside: self.segments.iter().count() - self.segments.iter_ours().count(),
            set_aside_bytes: self.set_aside_bytes(),
        }
    }

    /// Returns what counts towards the limit: of the files that are set aside, what is more than the limit allows for the others.
    pub(super) fn bytes_in_use(&self) -> u64 {
        let beyond = self
            .set_aside_bytes()
            .saturating_sub(self.options.max_bytes);
        self.own_bytes() + beyond
    }

    fn own_bytes(&self) -> u64 {
        let sizes = self
            .segments
            .iter_ours()
            .map(|(_, segment)| segment.capacity);
        sizes.sum::<u64>() + self.spares.len() as u64 * self.segment_bytes()
    }

    fn set_aside_bytes(&self) -> u64 {
        let set_aside = self.segments.iter();
        let set_aside = set_aside.filter(|(_, segment)| segment.is_set_aside);
        set_aside.map(|(_, segment)| segment.capacity).sum()
    }
}
