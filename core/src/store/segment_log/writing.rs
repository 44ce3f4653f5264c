//! Writes a group: places its records, seals them, and makes them durable.

use super::{ALWAYS_KEPT, SegmentLog, Step, group::Part};
use crate::store::{
    LogEvent, SegmentNumber, StoreFailure, StoreFailureKind, StoreSeq,
    format::{BEGINS_WRITE, Header, Proven, RECORD_HEADER, Seal, header_len, write_header},
    segments::Trust,
};

/// The segment that is written to.
#[derive(Debug)]
pub(super) struct Tail {
    place: u32,
    number: SegmentNumber,
    seal: Seal,
    capacity: u64,
    /// Where the next record begins.
    end: u32,
    /// The header, or the mark behind the last record, while it is written.
    small: Vec<u8>,
    /// Whether anything in it is relied on.
    is_confirmed: bool,
}

impl Tail {
    pub(super) fn number(&self) -> SegmentNumber {
        self.number
    }

    pub(super) fn place(&self) -> u32 {
        self.place
    }

    /// Returns where the next record begins, and the size of the file.
    pub(super) fn extent(&self) -> (u64, u64) {
        (self.end.into(), self.capacity)
    }

    /// Returns whether so many bytes fit, with the mark behind them.
    #[inline]
    fn has_room(&self, offset: u32, bytes: usize) -> bool {
        u64::from(offset) + (bytes + RECORD_HEADER) as u64 <= self.capacity
    }
}

impl SegmentLog {
    /// Returns the write that is under way.
    pub(super) fn pending_write(&self) -> Option<(SegmentNumber, u64, &[u8])> {
        let tail = self.tail.as_ref()?;
        let part = self.group.parts.last();
        let (offset, bytes) = match self.step {
            Step::WriteHeader => (0, &tail.small[..]),
            Step::WriteRecords => {
                let part = part?;
                (part.offset, self.group.bytes.get(part.start..part.end)?)
            }
            _ => (tail.end, &tail.small[..]),
        };
        Some((tail.number, offset.into(), bytes))
    }

    /// Gives the next records a place in the tail, or begins another segment.
    pub(super) fn place_records(&mut self) {
        let start = self.group.placed;
        if self.group.is_placed() {
            return self.group_durable();
        }
        let Some(tail) = &mut self.tail else {
            return self.begin_segment();
        };
        let (mut at, mut offset) = (start, tail.end);
        while let Some(mut header) = self.group.header(at) {
            header.flags = match at == start {
                true => header.flags | BEGINS_WRITE,
                false => header.flags & !BEGINS_WRITE,
            };
            let occupied = header.occupied();
            if !tail.has_room(offset, occupied) {
                break;
            }
            let record = self.group.bytes.get_mut(at..at + header.len as usize);
            tail.seal.seal(&header, record.unwrap_or_default());
            at += occupied;
            offset += occupied as u32;
        }
        if at == start {
            return self.begin_segment();
        }
        self.group.parts.push(Part {
            start,
            end: at,
            segment: tail.place,
            offset: tail.end,
        });
        tail.small.clear();
        tail.small.extend_from_slice(&tail.seal.end_mark(tail.end));
        tail.end = offset;
        self.group.placed = at;
        self.step = Step::WriteRecords;
    }

    pub(super) fn created(&mut self, segment: SegmentNumber, bytes: u64) {
        self.next_number = segment.next();
        self.folder_dirty = true;
        self.begin_tail(segment, bytes);
    }

    pub(super) fn spare_created(&mut self, segment: SegmentNumber) {
        self.next_number = segment.next();
        self.folder_dirty = true;
        self.spares.push_back(segment);
        self.make_room();
    }

    /// Looks once more for room where that helps the Commit that waits: what it removes need not be written anew.
    pub(super) fn create_failed(&mut self, failure: StoreFailure) {
        let is_first = self.no_file.is_none() && self.commit.is_some();
        if !is_first || self.copying.is_none() {
            return self.fail_group(failure);
        }
        self.group.clear();
        self.copying = None;
        self.no_file = Some(failure);
        self.doom();
        self.next();
    }

    pub(super) fn header_written(&mut self) {
        self.place_records();
    }

    /// Records that a part is durable.
    pub(super) fn part_durable(&mut self) {
        self.place_records();
    }

    /// Gives up the tail after a failure: what was confirmed in it has to be written anew, and it may be of no use at all.
    pub(super) fn abandon_tail(&mut self) {
        let Some(tail) = self.tail.take() else {
            return;
        };
        if let Some(segment) = self.segments.get_mut(tail.place) {
            segment.trust = match tail.is_confirmed {
                true => Trust::Unproven,
                false => Trust::Useless,
            };
        }
    }

    /// Returns the spares that come after everything that was written.
    pub(super) fn usable_spares(&self) -> impl Iterator<Item = SegmentNumber> {
        let newest = self.newest;
        self.spares
            .iter()
            .copied()
            .filter(move |spare| Some(*spare) > newest)
    }

    /// Returns the size of a segment that has room for a record.
    pub(super) fn capacity_for(&self, occupied: usize) -> u64 {
        let least = header_len(&self.client) + occupied + RECORD_HEADER;
        self.segment_bytes().max(least as u64)
    }

    /// Begins a segment that has room for the next record. Those that were begun for this group before are durable.
    fn begin_segment(&mut self) {
        let at = self.group.placed;
        let occupied = self.group.header(at).map_or(0, |header| header.occupied());
        let bytes = self.capacity_for(occupied);
        let spare = self
            .usable_spares()
            .next()
            .filter(|_| bytes == self.segment_bytes());
        if let Some(segment) = spare {
            self.spares.retain(|spare| *spare != segment);
            return self.begin_tail(segment, bytes);
        }
        match self.next_number {
            _ if self.bytes_in_use() + bytes > self.limit => self.fail_group(self.over_limit()),
            Some(segment) => self.step = Step::Create { segment, bytes },
            None => self.fail_group(StoreFailure::new(
                StoreFailureKind::Broken,
                "there is no higher number for a segment",
            )),
        }
    }

    fn begin_tail(&mut self, number: SegmentNumber, capacity: u64) {
        let first_doubtful = self.returning.unwrap_or(number).min(number);
        // Any other that is not proven has to be among those that are named one by one.
        let first_unproven = self.segments.first_unproven();
        let named =
            first_unproven.map(|unproven| unproven.as_u64().saturating_add(Proven::NUMBERS));
        let named = named.map_or(first_doubtful, SegmentNumber::from_u64);
        let proven_below = named.min(first_doubtful);
        let mut small = Vec::new();
        let header = Header {
            number,
            proven_below,
            proven: self.proven(proven_below),
            size: capacity,
        };
        write_header(&mut small, &self.client, header);
        self.newest = Some(number);
        self.unread_head = None;
        self.tail = Some(Tail {
            place: self.segments.push(number, capacity),
            number,
            seal: Seal::new(&self.client, number),
            capacity,
            end: small.len() as u32,
            small,
            is_confirmed: false,
        });
        self.step = Step::WriteHeader;
    }

    /// Returns which of the segments before this one are there, and proven.
    fn proven(&self, proven_below: SegmentNumber) -> Proven {
        let mut proven = Proven::default();
        let segments = self.segments.iter_ours();
        for (_, segment) in segments.filter(|(_, segment)| segment.trust == Trust::Proven) {
            let before = proven_below.as_u64().checked_sub(segment.number.as_u64());
            if let Some(before) = before.and_then(|distance| distance.checked_sub(1)) {
                proven.insert(before);
            }
        }
        proven
    }

    fn group_durable(&mut self) {
        self.group.confirm(&mut self.segments);
        if let Some(tail) = self.tail.as_mut()
            && !self.group.parts.is_empty()
        {
            tail.is_confirmed = true;
        }
        if let Some(through) = self.group.through {
            self.committed(through);
        }
        self.group.clear();
        if let Some(copying) = self.copying.take() {
            self.copied(&copying);
        }
        self.next();
    }

    /// Answers the Commit, all of which is durable, or what it removes.
    fn committed(&mut self, through: StoreSeq) {
        match self.verdict.take() {
            None => self.events.push_back(LogEvent::Committed { through }),
            Some(failure) => {
                self.fail_commit(failure);
                self.is_upkeep_paused = false;
            }
        }
    }

    /// Starts to write what is gathered.
    pub(super) fn start_commit(&mut self) {
        self.group.through = self.commit.take();
        core::mem::swap(&mut self.group.bytes, &mut self.gathered);
        self.gathered.clear();
        self.gathered.shrink_to(ALWAYS_KEPT);
        self.gathered_puts = false;
        self.end_search();
        self.place_records();
    }
}
