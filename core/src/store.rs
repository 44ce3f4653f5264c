//! What survives a power cut: the records of accepted publications, and the operations that keep them.
//!
//! The [`Gateway`](crate::Gateway) decides what is kept, and until when: it returns a [`StoreOp`] at a time from
//! [`poll_store`](crate::Gateway::poll_store), and is informed of what is durable.

mod disk_op;
mod format;
mod index;
mod log_options;
mod record_too_large;
mod recovery;
mod scan;
mod segment_log;
mod segment_number;
mod segments;
mod stored_record;

use core::{fmt, num::NonZeroU64};

pub use self::{
    disk_op::DiskOp,
    log_options::LogOptions,
    record_too_large::RecordTooLarge,
    recovery::{Damage, OpenError, Recovered, Recovery},
    segment_log::{LogEvent, LogStats, SegmentLog},
    segment_number::SegmentNumber,
    stored_record::StoredRecord,
};
#[cfg(feature = "driver")]
pub(crate) use self::{format::LONGEST_HEADER, recovery::read_owner};
use crate::{
    command::{Priority, PublicationTopic},
    id::DeviceId,
    mqtt::QoS,
    tag::Tag,
    time::UnixTime,
};

/// Identifies one record of a store. Counts up, also over restarts: each is above all that were found at the start.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StoreSeq(NonZeroU64);

impl StoreSeq {
    /// The first of an empty store.
    pub const FIRST: Self = Self(NonZeroU64::MIN);

    /// Returns the number.
    #[must_use]
    pub const fn as_u64(self) -> u64 {
        self.0.get()
    }

    /// Returns the next one. The numbers of a store that adds a billion records a second last for 584 years.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }
}

impl From<NonZeroU64> for StoreSeq {
    fn from(number: NonZeroU64) -> Self {
        Self(number)
    }
}

impl From<StoreSeq> for NonZeroU64 {
    fn from(seq: StoreSeq) -> Self {
        seq.0
    }
}

impl fmt::Display for StoreSeq {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// An accepted publication, as it is kept in a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record<'a> {
    /// Its place in the order of acceptance, among all that were accepted by this gateway, also before restarts.
    pub accepted: NonZeroU64,
    /// The device that it was published for.
    pub device: &'a DeviceId,
    /// The topic.
    pub topic: &'a PublicationTopic,
    /// The quality of service.
    pub qos: QoS,
    /// The payload.
    pub payload: &'a [u8],
    /// When it expires.
    pub deadline: Option<UnixTime>,
    /// The priority.
    pub priority: Priority,
    /// The user's own name for it.
    pub tag: Option<&'a Tag>,
}

/// One operation on a store. They are carried out in the order in which they are returned; what follows the last
/// [`Commit`](Self::Commit) need not be durable yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum StoreOp<'a> {
    /// Keeps a record; replaces one with the same number.
    Put {
        /// Its number.
        seq: StoreSeq,
        /// The publication.
        record: Record<'a>,
    },
    /// Forgets a record. Does nothing if there is none with this number.
    Remove {
        /// Its number.
        seq: StoreSeq,
    },
    /// Makes all that came before durable. At most one is outstanding: what gathers meanwhile is the next group.
    Commit {
        /// The highest number that was put so far.
        through: StoreSeq,
    },
}

/// Why a store could not make a group of operations durable. None of them is relied on after that.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoreFailure {
    /// What is in the way.
    pub kind: StoreFailureKind,
    /// What the system said.
    pub detail: Box<str>,
}

/// What keeps a store from being written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum StoreFailureKind {
    /// The device, or the user's quota on it, is full.
    Full,
    /// The file system or the folder cannot be written.
    ReadOnly,
    /// A write or a sync has failed otherwise.
    Broken,
}

impl fmt::Display for StoreFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { kind, detail } = self;
        let advice = match kind {
            StoreFailureKind::Full => "there is no space left for it: free some",
            StoreFailureKind::ReadOnly => {
                "it cannot be written: check its permissions, and how it is mounted"
            }
            StoreFailureKind::Broken => "it could not be written: check the disk",
        };
        write!(f, "the store: {advice} ({detail})")
    }
}

impl core::error::Error for StoreFailure {}
