//! Returns the records that live, in the order of acceptance.

use core::{num::NonZeroU64, ops::Range};

use super::Damage;
use crate::{
    id::DeviceId,
    store::{
        SegmentNumber, StoredRecord,
        format::{Kind, RecordHeader, Seal, read_put},
        index::Slot,
        scan::CHUNK,
        segments::Segments,
    },
};

/// Where a Put was found.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    pub(super) accepted: NonZeroU64,
    pub(super) seq: NonZeroU64,
    pub(super) slot: Slot,
}

#[derive(Debug, Default)]
pub(super) struct Replay {
    /// All records that live.
    places: Vec<Place>,
    /// How many of them have been returned.
    done: usize,
    /// The bytes that were read last: from which segment, from where on, and how many were asked for.
    window: Vec<u8>,
    window_start: Option<Slot>,
    window_len: usize,
    /// Whether that has failed.
    is_unread: bool,
    /// Where a read of more than one record has failed: there, each is read alone.
    alone: Option<(u32, Range<u32>)>,
    /// The seal of the segment that was read last.
    seal: Option<(u32, Seal)>,
    last_device: Option<DeviceId>,
}

impl Replay {
    pub(super) fn new(mut places: Vec<Place>, segments: &Segments) -> Self {
        places.retain(|place| segments.index().get(place.seq.get()) == Some(place.slot));
        places.sort_unstable_by_key(|place| (place.accepted, place.seq));
        Self {
            places,
            ..Self::default()
        }
    }

    pub(super) fn is_over(&self) -> bool {
        self.done == self.places.len()
    }

    /// Returns what has to be read for the next record: its segment, from where on, and how much.
    pub(super) fn wanted(&self, segments: &Segments) -> Option<(SegmentNumber, u32, usize)> {
        let slot = self.places.get(self.done)?.slot;
        if self
            .window_start
            .is_some_and(|start| self.offset_in_window(start, slot).is_some())
        {
            return None;
        }
        let number = segments.get(slot.segment)?.number;
        Some((number, slot.offset, self.len_to_read(slot)))
    }

    fn len_to_read(&self, slot: Slot) -> usize {
        let len = slot.len as usize;
        let is_alone = self
            .alone
            .as_ref()
            .is_some_and(|(segment, at)| *segment == slot.segment && at.contains(&slot.offset));
        // One that does not follow the last one is read alone as well: its neighbours are not needed soon.
        let follows = self.window_start.is_none_or(|start| {
            let end = start.offset as usize + self.window_len;
            start.segment != slot.segment && slot.offset as usize <= CHUNK
                || start.segment == slot.segment
                    && (start.offset as usize..end + CHUNK).contains(&(slot.offset as usize))
        });
        if follows && !is_alone {
            len.max(CHUNK)
        } else {
            len
        }
    }

    /// Reads the next records one by one after a read has failed; leaves one out, and all around it, if that has failed as well: a
    /// disk may take long for each. Returns the segment of what is left out. What lives there still does: it may be read later.
    pub(super) fn skip(&mut self) -> Option<u32> {
        let slot = self.places.get(self.done)?.slot;
        let len = self.len_to_read(slot) as u32;
        if len > slot.len {
            self.alone = Some((slot.segment, slot.offset..slot.offset.saturating_add(len)));
            return None;
        }
        let before = slot.offset % CHUNK as u32;
        self.read(&[]);
        self.window_start = Some(Slot {
            offset: slot.offset - before,
            ..slot
        });
        self.window_len = CHUNK.max(before as usize + slot.len as usize);
        self.is_unread = true;
        Some(slot.segment)
    }

    pub(super) fn read(&mut self, bytes: &[u8]) {
        if let Some(place) = self.places.get(self.done) {
            self.window_start = Some(place.slot);
            self.window_len = bytes.len();
            self.is_unread = false;
            self.window.clear();
            self.window.extend_from_slice(bytes);
        }
    }

    /// Returns the next record that has been read; those that are damaged are counted and left out.
    pub(super) fn next(
        &mut self,
        client: &str,
        segments: &mut Segments,
        damaged: &mut Damage,
    ) -> Option<StoredRecord> {
        loop {
            let place = *self.places.get(self.done)?;
            let offset = self.offset_in_window(self.window_start?, place.slot)?;
            self.done += 1;
            match self.parse(client, segments, place, offset) {
                Some(record) => {
                    self.last_device = Some(record.device().clone());
                    return Some(record);
                }
                // Its segment is set aside, and counts as one place.
                None if self.is_unread => damaged.bytes += u64::from(place.slot.len),
                None => {
                    segments.remove(place.seq.get());
                    damaged.add(u64::from(place.slot.len));
                }
            }
        }
    }

    fn parse(
        &mut self,
        client: &str,
        segments: &Segments,
        place: Place,
        offset: usize,
    ) -> Option<StoredRecord> {
        let slot = place.slot;
        let seal = match &self.seal {
            Some((segment, seal)) if *segment == slot.segment => seal,
            _ => {
                let seal = Seal::new(client, segments.get(slot.segment)?.number);
                &self.seal.insert((slot.segment, seal)).1
            }
        };
        let record = self.window.get(offset..)?.get(..slot.len as usize)?;
        let header = RecordHeader::read(record)?;
        let is_it = header.kind == Kind::Put && header.seq == place.seq.get();
        if !is_it || header.len != slot.len || !seal.is_valid(record) {
            return None;
        }
        let fields = read_put(header.flags, record)?;
        StoredRecord::read(place.seq, &fields, self.last_device.as_ref())
    }

    /// Returns where in the window a record begins. It is in there if it fits, and if it is what the window was read for.
    fn offset_in_window(&self, start: Slot, slot: Slot) -> Option<usize> {
        let is_here = start.segment == slot.segment && start.offset <= slot.offset;
        let offset = is_here.then(|| (slot.offset - start.offset) as usize)?;
        let fits = offset + slot.len as usize <= self.window_len;
        (fits || offset == 0).then_some(offset)
    }
}
