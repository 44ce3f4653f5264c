//! What is written together.

use super::ALWAYS_KEPT;
use crate::store::{
    StoreSeq,
    format::{Kind, RecordHeader},
    index::Slot,
    segments::Segments,
};

/// Records that become durable together, in one segment or in several.
#[derive(Debug, Default)]
pub(super) struct Group {
    pub(super) bytes: Vec<u8>,
    /// Up to where the bytes have a place.
    pub(super) placed: usize,
    /// Where they are.
    pub(super) parts: Vec<Part>,
    /// The Commit that it belongs to.
    pub(super) through: Option<StoreSeq>,
}

/// A part of a group in one segment.
#[derive(Clone, Copy, Debug)]
pub(super) struct Part {
    pub(super) start: usize,
    pub(super) end: usize,
    pub(super) segment: u32,
    pub(super) offset: u32,
}

impl Group {
    pub(super) fn clear(&mut self) {
        self.bytes.clear();
        self.bytes.shrink_to(ALWAYS_KEPT);
        self.placed = 0;
        self.parts.clear();
        self.through = None;
    }

    pub(super) fn is_placed(&self) -> bool {
        self.placed == self.bytes.len()
    }

    /// Returns the header of the record at `at`.
    #[inline]
    pub(super) fn header(&self, at: usize) -> Option<RecordHeader> {
        RecordHeader::read(self.bytes.get(at..)?)
    }

    /// Records where everything is, now that it is durable.
    pub(super) fn confirm(&self, segments: &mut Segments) {
        for part in &self.parts {
            let mut at = part.start;
            let mut offset = part.offset;
            while at < part.end
                && let Some(header) = self.header(at)
            {
                match header.kind {
                    Kind::Put => {
                        let slot = Slot {
                            segment: part.segment,
                            offset,
                            len: header.len,
                        };
                        segments.put(header.seq, slot);
                    }
                    Kind::Remove | Kind::End => segments.remove(header.seq),
                }
                at += header.occupied();
                offset += header.occupied() as u32;
            }
        }
    }
}
