//! The bytes of a segment: its header, and its records. The layout is documented in [`store`](crate::store).

mod fields;
mod header;

use core::num::NonZeroU64;

use crc32fast::Hasher;

pub use self::header::LONGEST_HEADER;
pub(crate) use self::{
    fields::{Fields, append_put, read_put},
    header::{
        Header, HeaderProblem, Proven, header_len, read_any_header, read_header, write_header,
    },
};
use super::{SegmentNumber, record_too_large::MAX_PAYLOAD};

/// The bytes that each record begins with; a record without fields has no others.
pub(crate) const RECORD_HEADER: usize = 20;

/// The flag of the first record of a write: all before it in its segment was durable when the write began.
pub(crate) const BEGINS_WRITE: u8 = 64;

/// Records begin at multiples of this power of two, from the start of the segment.
const ALIGNMENT: usize = 4;

/// The largest record: its payload, and less than this of everything else.
pub(crate) const MAX_RECORD: usize = MAX_PAYLOAD + 4 * 1024;

const IN_BOUNDS: &str = "the caller passes a whole record";

/// What a record does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Kind {
    /// Keeps a publication.
    Put = 1,
    /// Forgets one.
    Remove = 2,
    /// Ends what was written so far; the next write replaces it. In place of a sequence number, it has the offset of the
    /// write that it ends: all before that was durable.
    End = 3,
}

/// The first bytes of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RecordHeader {
    pub(crate) kind: Kind,
    pub(crate) flags: u8,
    /// All of its bytes, without the padding.
    pub(crate) len: u32,
    pub(crate) seq: u64,
}

impl RecordHeader {
    /// Returns the bytes that it occupies.
    pub(crate) fn occupied(&self) -> usize {
        padded(self.len as usize)
    }

    /// Returns the first bytes of a record that is not sealed yet.
    fn unsealed(self) -> [u8; RECORD_HEADER] {
        let mut bytes = [0; RECORD_HEADER];
        bytes[4..8].copy_from_slice(&self.len.to_le_bytes());
        bytes[10] = self.kind as u8;
        bytes[11] = self.flags;
        bytes[12..20].copy_from_slice(&self.seq.to_le_bytes());
        bytes
    }

    /// Reads the first bytes of a record; `None` if no record begins with them.
    pub(crate) fn read(bytes: &[u8]) -> Option<Self> {
        let bytes: &[u8; RECORD_HEADER] = bytes.first_chunk()?;
        let kind = match bytes[10] {
            1 => Kind::Put,
            2 => Kind::Remove,
            3 => Kind::End,
            _ => return None,
        };
        let [_, _, _, _, a, b, c, d, _, _, _, flags, seq @ ..] = *bytes;
        let len = u32::from_le_bytes([a, b, c, d]);
        let is_possible = match kind {
            Kind::Put => (RECORD_HEADER..=MAX_RECORD).contains(&(len as usize)),
            Kind::Remove | Kind::End => len as usize == RECORD_HEADER,
        };
        is_possible.then(|| Self {
            kind,
            flags,
            len,
            seq: u64::from_le_bytes(seq),
        })
    }
}

/// Returns a length with its padding.
pub(crate) fn padded(len: usize) -> usize {
    (len + ALIGNMENT - 1) & !(ALIGNMENT - 1)
}

/// Appends the padding of a record that ends here.
#[inline]
pub(crate) fn append_padding(out: &mut Vec<u8>) {
    let end = padded(out.len());
    // All of it is appended because a constant number of bytes needs no call.
    out.extend_from_slice(&[0; ALIGNMENT - 1]);
    out.truncate(end);
}

/// Appends the record of a Remove.
pub(crate) fn append_remove(out: &mut Vec<u8>, seq: NonZeroU64) {
    let header = RecordHeader {
        kind: Kind::Remove,
        flags: 0,
        len: RECORD_HEADER as u32,
        seq: seq.get(),
    };
    out.extend_from_slice(&header.unsealed());
}

/// Seals the records of one segment: checksums that are valid in no other segment, nor in another gateway's.
#[derive(Clone, Debug)]
pub(crate) struct Seal {
    /// A checksum that starts with the seed.
    seeded: Hasher,
    seed: u64,
}

impl Seal {
    pub(crate) fn new(client: &str, number: SegmentNumber) -> Self {
        let mut hasher = Hasher::new();
        hasher.update(client.as_bytes());
        hasher.update(&number.as_u64().to_le_bytes());
        let seed = hasher.finalize();
        Self {
            seeded: Hasher::new_with_initial(seed),
            seed: u64::from(seed),
        }
    }

    /// Fills in the flags and the checksums of a record: all of its bytes but the padding.
    #[inline]
    pub(crate) fn seal(&self, header: &RecordHeader, record: &mut [u8]) {
        let check = self.check(header);
        let start = record.first_chunk_mut::<12>().expect(IN_BOUNDS);
        start[8..10].copy_from_slice(&check.to_le_bytes());
        start[11] = header.flags;
        let checksum = self.checksum(record);
        let start = record.first_chunk_mut::<4>().expect(IN_BOUNDS);
        *start = checksum.to_le_bytes();
    }

    /// Returns the mark after a write that began at `offset`.
    pub(crate) fn end_mark(&self, offset: u32) -> [u8; RECORD_HEADER] {
        let header = RecordHeader {
            kind: Kind::End,
            flags: 0,
            len: RECORD_HEADER as u32,
            seq: u64::from(offset),
        };
        let mut mark = header.unsealed();
        self.seal(&header, &mut mark);
        mark
    }

    /// Returns the header that `bytes` begin with, if it is undamaged: its length can be relied on, but for one damaged
    /// header in 65,536.
    #[inline]
    pub(crate) fn read_header(&self, bytes: &[u8]) -> Option<RecordHeader> {
        let header = RecordHeader::read(bytes)?;
        let check: [u8; 2] = *bytes.get(8..)?.first_chunk()?;
        (self.check(&header) == u16::from_le_bytes(check)).then_some(header)
    }

    /// Returns whether a whole record, without its padding, is undamaged.
    pub(crate) fn is_valid(&self, record: &[u8]) -> bool {
        let checksum = record.first_chunk().copied().map(u32::from_le_bytes);
        checksum.is_some_and(|checksum| checksum == self.checksum(record))
    }

    #[inline]
    fn checksum(&self, record: &[u8]) -> u32 {
        let mut hasher = self.seeded.clone();
        let (_, covered) = record.split_first_chunk::<4>().expect(IN_BOUNDS);
        hasher.update(covered);
        hasher.finalize()
    }

    /// Returns a hash of a header, so that its length is not trusted if it is damaged.
    #[inline]
    fn check(&self, header: &RecordHeader) -> u16 {
        const FACTOR: u64 = 0x9e37_79b9_7f4a_7c15;
        let [kind, flags] = [header.kind as u8, header.flags].map(u64::from);
        let first = (u64::from(header.len) << 16 | kind << 8 | flags) ^ self.seed.rotate_left(32);
        let mixed = (first.wrapping_mul(FACTOR) ^ header.seq).wrapping_mul(FACTOR);
        (mixed >> 48) as u16 ^ (mixed >> 24) as u16
    }
}
