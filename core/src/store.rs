//! What survives a power cut: the records of accepted publications, the operations that keep them, and a log that does so.
//!
//! The [`Gateway`](crate::Gateway) decides what is kept, and until when: it returns a [`StoreOp`] at a time from
//! [`poll_store`](crate::Gateway::poll_store), and is informed of what is durable. [`SegmentLog`] takes these operations, and
//! asks for those of a disk, a [`DiskOp`] at a time, which one thread can execute with `std::fs`:
//!
//! ```
//! use std::collections::BTreeMap;
//! use iotcore_gateway::store::{DiskOp, LogEvent, LogOptions, Recovery, SegmentLog, SegmentNumber, StoreOp, StoreSeq};
//! # use iotcore_gateway::{ClientId, message::{Priority, PublicationTopic, QoS}, store::Record};
//! # use std::num::NonZeroU64;
//!
//! /// A folder in memory: a program has files here, and reports what fails with `handle_failed`.
//! #[derive(Default)]
//! struct Folder(BTreeMap<SegmentNumber, Vec<u8>>);
//!
//! impl Folder {
//!     /// Executes an operation; returns what it reads.
//!     fn execute(&mut self, op: DiskOp<'_>) -> Option<Vec<u8>> {
//!         match op {
//!             DiskOp::Create { segment, bytes } => {
//!                 self.0.insert(segment, vec![0; bytes as usize]);
//!             }
//!             DiskOp::Write { segment, offset, bytes } => {
//!                 let start = offset as usize;
//!                 self.0.get_mut(&segment)?[start..start + bytes.len()].copy_from_slice(bytes);
//!             }
//!             DiskOp::Sync { .. } | DiskOp::SyncFolder => {}
//!             DiskOp::Recycle { segment, to } => {
//!                 let file = self.0.remove(&segment)?;
//!                 self.0.insert(to, file);
//!             }
//!             DiskOp::Delete { segment } => {
//!                 self.0.remove(&segment);
//!             }
//!             DiskOp::Read { segment, offset, len } => {
//!                 return Some(self.0[&segment].iter().skip(offset as usize).take(len).copied().collect());
//!             }
//!         }
//!         None
//!     }
//!
//!     fn run(&mut self, log: &mut SegmentLog) {
//!         while let Some(op) = log.poll_disk() {
//!             match self.execute(op) {
//!                 Some(bytes) => log.handle_read(&bytes),
//!                 None => log.handle_done(),
//!             }
//!         }
//!     }
//! }
//!
//! # let client = ClientId::new("p".parse()?, "us-central1".parse()?, "reg".parse()?, "gw-1".parse()?);
//! # let device = "sensor-1".parse()?;
//! # let record = Record {
//! #     accepted: NonZeroU64::MIN, device: &device, topic: &PublicationTopic::State, qos: QoS::AtLeastOnce,
//! #     payload: b"on", deadline: None, priority: Priority::Ordinary, tag: None,
//! # };
//! let mut folder = Folder::default();
//! let (mut log, _) = Recovery::new(&client, LogOptions::default(), []).finish()?;
//! log.apply(StoreOp::Put { seq: StoreSeq::FIRST, record })?;
//! log.apply(StoreOp::Commit { through: StoreSeq::FIRST })?;
//! folder.run(&mut log);
//! assert_eq!(log.poll_event(), Some(LogEvent::Committed { through: StoreSeq::FIRST }));
//!
//! // After a restart:
//! let files = folder.0.iter().map(|(segment, bytes)| (*segment, bytes.len() as u64));
//! let mut recovery = Recovery::new(&client, LogOptions::default(), files);
//! let mut found = Vec::new();
//! loop {
//!     while let Some(record) = recovery.poll_record() {
//!         found.push(record);
//!     }
//!     let Some(op) = recovery.poll_disk() else { break };
//!     recovery.handle_read(&folder.execute(op).unwrap_or_default());
//! }
//! let (log, recovered) = recovery.finish()?;
//! assert_eq!(found[0].record(), record);
//! assert!(recovered.damaged.is_none());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # The files
//!
//! A folder holds segments, of 4 MiB each, which are appended to and recycled; a larger record has one of its own. All
//! numbers are little-endian. A segment begins with a header:
//!
//! | offset | bytes | what |
//! |---|---|---|
//! | 0 | 8 | `iotgwseg` |
//! | 8 | 4 | version of the format, 1; a newer one is refused |
//! | 12 | 4 | CRC-32 of the 12 bytes before; up to here, every version is the same |
//! | 16 | 8 | number of the segment, as in the name of its file |
//! | 24 | 8 | a number n: segments from n on were not known to be durable when this one was begun |
//! | 32 | 32 | a bit for each of the 256 numbers before n, the nearest first: that segment was there, and durable; older ones were |
//! | 64 | 8 | size of the file |
//! | 72 | 2 | length of the client id |
//! | 74 | n | client id; another one is refused |
//! | 74 + n | 4 | CRC-32 of all from offset 16 on |
//!
//! Records follow, each at a multiple of 4:
//!
//! | offset | bytes | what |
//! |---|---|---|
//! | 0 | 4 | CRC-32 of all that follows, started with that of the client id and the segment's number |
//! | 4 | 4 | length of the record, without padding |
//! | 8 | 2 | check of this header, so that a damaged length is not believed |
//! | 10 | 1 | kind: 1 Put, 2 Remove, 3 end |
//! | 11 | 1 | flags: 64 the first of a write, before which all was durable |
//! | | | of a Put also: 1 QoS 1, 2 urgent, 4 state, 8 subfolder, 16 deadline, 32 tag, 128 eight bytes for its place |
//! | 12 | 8 | number; of an end: the offset of the write that it ends |
//! | 20 | 4 or 8 | Put: place in the order of acceptance |
//! | | 8 | Put with a deadline: seconds since 1970 |
//! | | 1, n | Put: length of the device id, and the id |
//! | | 2, n | Put with a subfolder: its length, and the subfolder |
//! | | 1, n | Put with a tag: its length, and the tag |
//! | | n | Put: payload |
//!
//! An end follows each write, and is overwritten by the next: so all that was durable is followed by something that is
//! valid, and damage to it is noticed.
//!
//! # The rules
//!
//! * Records count in the order of the segments and their offsets: the last one about a number decides.
//! * A segment is reclaimed only as the oldest, and once nothing lives in it: so a Remove outlives its Put. The oldest is
//!   written anew at the end once less than a quarter of it lives. It gets a new number, under which nothing in it is valid;
//!   four such segments are kept for later.
//! * On a full disk, two of these are the reserve: a group with Puts is written only if both are there afterwards, one of
//!   Removes alone if one is, which is for what is written anew. What a Commit removes does not count as living once there is
//!   no room for it, and is made durable although the Commit fails.
//! * The folder is synced after each change of its entries, before the next one, and before a Commit that needs it.
//! * What lives in a segment of which a write or a sync has failed, and after a restart in the last one, is written anew with
//!   the Removes there, the newest such segment first, before a Commit is answered or anything reclaimed. Such a segment may
//!   be reclaimed in between.
//! * After a restart, a new segment is begun: nothing is appended to what may be torn.
//! * Damage is left out: a record whose length is intact is skipped, otherwise the next valid one is searched for. A segment
//!   that was proven when the newest was begun, and is missing although an older one is not, is damage, and so is one whose
//!   file holds nothing of it, or was cut off behind its first write. The oldest may have been reclaimed; of the last write
//!   in the newest segment, and of a segment that was begun last, it is not known whether it was confirmed.
//! * A file that cannot be read is set aside: it is not touched, not reclaimed, takes nothing of the limit, and is read again at
//!   the next start; what lives in it is written anew then. Others are reclaimed before it, so what was removed from it may come
//!   back: a duplicate, never a loss.
//! * After a start that could not read a file, numbers go on above any that it can hold: those in the file with the number n are
//!   below n + 1 times 2^36. What is written then is in a file with a higher number than all, so that a later start whose reads
//!   fail goes on above these as well.

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
    format::LONGEST_HEADER,
    log_options::LogOptions,
    record_too_large::RecordTooLarge,
    recovery::{Damage, OpenError, Recovered, Recovery, read_owner},
    segment_log::{LogEvent, LogStats, SegmentLog},
    segment_number::SegmentNumber,
    stored_record::StoredRecord,
};
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
    /// Forgets a record. Does nothing if no record has this number.
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
    /// The process, or the system, has no open files or no memory left.
    Exhausted,
    /// The folder, a file or the whole device is not there or not what it was, or does not answer.
    Unreachable,
    /// The medium, or one file on it, is broken: a write, a sync or a read has failed.
    Broken,
}

impl StoreFailure {
    /// Creates a failure. `detail` is what the system said.
    pub fn new(kind: StoreFailureKind, detail: impl fmt::Display) -> Self {
        Self {
            kind,
            detail: detail.to_string().into(),
        }
    }
}

impl From<RecordTooLarge> for StoreFailure {
    fn from(error: RecordTooLarge) -> Self {
        Self::new(StoreFailureKind::Broken, error)
    }
}

impl fmt::Display for StoreFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { kind, detail } = self;
        let advice = match kind {
            StoreFailureKind::Full => "there is no space left for it: free some",
            StoreFailureKind::ReadOnly => {
                "it cannot be written: check its permissions, and how it is mounted"
            }
            StoreFailureKind::Exhausted => {
                "there are no open files or no memory left for it: allow more, and try again"
            }
            StoreFailureKind::Unreachable => {
                "it is not there, or does not answer: check that its disk is attached and mounted"
            }
            StoreFailureKind::Broken => "it could not be written: check the disk",
        };
        write!(f, "the store: {advice} ({detail})")
    }
}

impl core::error::Error for StoreFailure {}
