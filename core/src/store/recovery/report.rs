//! What a folder held.

use core::{error::Error, fmt, num::NonZeroU64};

use crate::store::{Record, SegmentNumber, StoreSeq, StoredRecord};

/// More numbers than are assigned while one segment is written to. A file with the number n has numbers below n + 1 times this:
/// so many have gone before it, or it was begun after a start that has skipped them, and has a higher number than all files then.
const NUMBERS_OF_A_SEGMENT: u64 = 1 << 36;

/// No numbers above this are skipped, so that there are always others. Files get there after a PiB was written.
const LAST_SKIPPED: u64 = u64::MAX - (1 << 56);

/// Something in a folder that could not be read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Damage {
    /// The number of places. Where a length could be read, a place is one record.
    pub places: u64,
    /// The bytes that were left out, as far as that is known.
    pub bytes: u64,
}

impl Damage {
    pub(crate) fn add(&mut self, bytes: u64) {
        self.merge(&Self { places: 1, bytes });
    }

    pub(crate) fn merge(&mut self, other: &Self) {
        self.places += other.places;
        self.bytes = self.bytes.saturating_add(other.bytes);
    }

    /// Returns whether nothing is damaged.
    #[must_use]
    pub const fn is_none(&self) -> bool {
        self.places == 0
    }
}

/// What a folder held, in the result of [`Recovery::finish`](super::Recovery::finish).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Recovered {
    /// The number of records that live.
    pub records: u64,
    /// The highest number of a record, also of one that was removed. Those that follow have to be above. With
    /// [`set_aside`](Self::set_aside), it is so far above all that were read that it is above those that were not, too.
    pub highest_seq: Option<StoreSeq>,
    /// The highest place in the order of acceptance. Those that follow have to be above. The same holds for it.
    pub highest_accepted: Option<NonZeroU64>,
    /// What was durable once and could not be read: each place may have cost a record, and nothing else did, but for a file
    /// that is [set aside](Self::set_aside), which is one place.
    pub damaged: Damage,
    /// Files that are left as they are, because they could not be read as a whole: what lives in them comes back once a start can
    /// read it.
    pub set_aside: usize,
    /// A file, or the last of several, that does not belong to this log: its name has a number that the log cannot have reached, and there
    /// is no record in it. It is no damage, is left as it is, and can be deleted.
    pub foreign: Option<SegmentNumber>,
    /// The same in what was written last. A power cut explains it: then none of it was confirmed.
    pub unfinished: Damage,
}

impl Recovered {
    /// Passes a record to `each`, as [`Record::to_bytes`] has written it, and counts it. Other bytes count as damage.
    pub fn read(&mut self, bytes: &[u8], each: &mut dyn FnMut(StoreSeq, Record<'_>)) {
        match StoredRecord::from_bytes(bytes) {
            Some(found) => {
                self.records += 1;
                each(found.seq(), found.record());
            }
            None => self.damaged.add(bytes.len() as u64),
        }
    }

    /// Moves the highest numbers above those of records that could not be read, none of which is in a file with a higher number
    /// than this.
    pub(crate) fn skip_unread(&mut self, last: Option<SegmentNumber>) {
        let files = last.map_or(0, SegmentNumber::as_u64).saturating_add(1);
        let skipped = files.saturating_mul(NUMBERS_OF_A_SEGMENT);
        let skipped = skipped.min(LAST_SKIPPED);
        let above = |number: Option<NonZeroU64>| number.max(NonZeroU64::new(skipped));
        let seq = self.highest_seq.map(NonZeroU64::from);
        self.highest_seq = above(seq).map(StoreSeq::from);
        self.highest_accepted = above(self.highest_accepted);
    }
}

/// Why a folder is not opened. Nothing in it was changed.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum OpenError {
    /// Another client wrote it: an error of the caller, who named the wrong folder or the wrong client.
    OtherClient {
        /// The client id of the gateway that it belongs to.
        client: Box<str>,
    },
    /// A newer version of this library wrote it.
    NewerVersion {
        /// The version of its format.
        version: u32,
    },
    /// Not all has been read yet: an error of the caller.
    Unfinished,
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OtherClient { client } => write!(
                f,
                "the store belongs to the gateway {client:?}: give each gateway a folder of its own"
            ),
            Self::NewerVersion { version } => write!(
                f,
                "the store was written by a newer version (format {version}): update this program"
            ),
            Self::Unfinished => f.write_str("the store has not been read to its end yet"),
        }
    }
}

impl Error for OpenError {}
