//! The segments in the order of their numbers, and how much of each lives.

use std::collections::VecDeque;

use super::{
    SegmentNumber,
    index::{Index, Slot},
};

/// One segment.
#[derive(Clone, Debug)]
pub(crate) struct Segment {
    pub(crate) number: SegmentNumber,
    /// The size of its file.
    pub(crate) capacity: u64,
    /// The bytes of the records that live in it.
    pub(crate) live_bytes: u64,
    pub(crate) trust: Trust,
    /// Not all of it could be read: its file is left as it is, because a later start may read it.
    pub(crate) is_set_aside: bool,
    /// Its file does not belong to it any more.
    pub(crate) is_gone: bool,
}

/// Whether what lives in a segment is surely durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Trust {
    /// No write or sync of it has failed, and it was not the last one before a restart.
    Proven,
    /// What lives in it has to be written anew.
    Unproven,
    /// That was done, or nothing of it was ever confirmed: it is of no use any more, unless a part of it could not be read.
    Useless,
}

/// The segments and the records that live in them.
#[derive(Debug, Default)]
pub(crate) struct Segments {
    /// The place of the first one in the list. Counts up as segments go; a [`Slot`] names a segment by its place.
    first: u32,
    list: VecDeque<Segment>,
    index: Index,
}

impl Segments {
    /// Appends a segment; returns its place.
    pub(crate) fn push(&mut self, number: SegmentNumber, capacity: u64) -> u32 {
        self.list.push_back(Segment {
            number,
            capacity,
            live_bytes: 0,
            trust: Trust::Proven,
            is_set_aside: false,
            is_gone: false,
        });
        self.first.wrapping_add(self.list.len() as u32 - 1)
    }

    pub(crate) fn index(&self) -> &Index {
        &self.index
    }

    pub(crate) fn get(&self, place: u32) -> Option<&Segment> {
        self.list.get(place.wrapping_sub(self.first) as usize)
    }

    pub(crate) fn get_mut(&mut self, place: u32) -> Option<&mut Segment> {
        self.list.get_mut(place.wrapping_sub(self.first) as usize)
    }

    /// Returns all segments that have a file, with their places, oldest first.
    pub(crate) fn iter(&self) -> impl DoubleEndedIterator<Item = (u32, &Segment)> {
        let places = self.list.iter().enumerate();
        let places = places.map(|(at, segment)| (self.first.wrapping_add(at as u32), segment));
        places.filter(|(_, segment)| !segment.is_gone)
    }

    /// Returns those whose files may be changed.
    pub(crate) fn iter_ours(&self) -> impl DoubleEndedIterator<Item = (u32, &Segment)> {
        self.iter().filter(|(_, segment)| !segment.is_set_aside)
    }

    /// Records that the file of a segment is left as it is.
    pub(crate) fn set_aside(&mut self, place: u32) {
        if let Some(segment) = self.get_mut(place) {
            segment.is_set_aside = true;
        }
    }

    /// Records that the file of a segment is gone, or is another's. Nothing lives in it.
    pub(crate) fn retire(&mut self, place: u32) {
        if let Some(segment) = self.get_mut(place) {
            segment.is_gone = true;
        }
        while self.list.back().is_some_and(|segment| segment.is_gone) {
            self.list.pop_back();
        }
        while self.list.front().is_some_and(|segment| segment.is_gone) {
            self.list.pop_front();
            self.first = self.first.wrapping_add(1);
        }
    }

    /// Distrusts all segments but those that are proven; those that are too small to hold anything are of no use.
    pub(crate) fn distrust(&mut self, least: u64, is_proven: impl Fn(SegmentNumber) -> bool) {
        for segment in &mut self.list {
            // Of one that is set aside, only what was read can be written anew.
            let is_unread = segment.is_set_aside && segment.live_bytes == 0;
            if segment.capacity < least || is_unread {
                segment.trust = Trust::Useless;
            } else if !is_proven(segment.number) {
                segment.trust = Trust::Unproven;
            }
        }
    }

    /// Returns the first segment that is not proven, whether or not it has been replaced; but for those that are set aside, which
    /// no header says to be there.
    pub(crate) fn first_unproven(&self) -> Option<SegmentNumber> {
        let mut others = self
            .iter_ours()
            .filter(|(_, segment)| segment.trust != Trust::Proven);
        others.next().map(|(_, segment)| segment.number)
    }

    /// Returns the last segment that is set aside, but for those with a number above this.
    pub(crate) fn last_set_aside(&self, most: SegmentNumber) -> Option<SegmentNumber> {
        let mut set_aside = self.iter().rev();
        let last = set_aside.find(|(_, segment)| segment.is_set_aside && segment.number <= most);
        last.map(|(_, segment)| segment.number)
    }

    /// Returns the newest segment that is unproven.
    pub(crate) fn last_unproven(&self) -> Option<u32> {
        let mut unproven = self
            .iter()
            .filter(|(_, segment)| segment.trust == Trust::Unproven);
        unproven.next_back().map(|(place, _)| place)
    }

    /// Records that a record lives in a slot, and nowhere else.
    #[inline]
    pub(crate) fn put(&mut self, seq: u64, slot: Slot) {
        if let Some(segment) = self.get_mut(slot.segment) {
            segment.live_bytes += u64::from(slot.len);
        }
        if let Some(old) = self.index.insert(seq, slot) {
            self.release(old);
        }
    }

    /// Records that a record lives no more.
    #[inline]
    pub(crate) fn remove(&mut self, seq: u64) {
        if let Some(old) = self.index.remove(seq) {
            self.release(old);
        }
    }

    /// Gives up what is still said to live in a segment. Returns the numbers of the records.
    pub(crate) fn give_up(&mut self, place: u32) -> Vec<u64> {
        if self
            .get(place)
            .is_none_or(|segment| segment.live_bytes == 0)
        {
            return Vec::new();
        }
        let is_lost = |(_, slot): &(u64, Slot)| slot.segment == place;
        let lost: Vec<u64> = self
            .index
            .iter()
            .filter(is_lost)
            .map(|(seq, _)| seq)
            .collect();
        lost.iter().for_each(|seq| self.remove(*seq));
        lost
    }

    #[inline]
    fn release(&mut self, slot: Slot) {
        if let Some(segment) = self.get_mut(slot.segment) {
            segment.live_bytes -= u64::from(slot.len);
        }
    }
}
