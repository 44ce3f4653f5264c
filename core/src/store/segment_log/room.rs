//! Finds room for what waits for a Commit.

use super::{RESERVE, SegmentLog, Step, copying::Purpose, doomed::Doomed};
use crate::store::{
    StoreFailure,
    format::{RECORD_HEADER, RecordHeader, append_remove, header_len},
};

/// What has to be begun for what is gathered.
#[derive(Debug, Default)]
struct Needed {
    /// Segments of the usual size.
    usual: usize,
    /// The bytes of all segments, also of larger ones.
    bytes: u64,
    /// The largest of them.
    largest: u64,
}

impl SegmentLog {
    /// Starts the Commit if there is room for it, or makes room.
    pub(super) fn make_room(&mut self) {
        let needed = self.needed();
        if needed.bytes == 0 && !self.gathered_puts {
            return self.start_commit();
        }
        let is_large = needed.largest > self.segment_bytes();
        if !self.is_within_limit(&needed) {
            let failure = self.over_limit();
            return self.squeeze(&needed, failure);
        }
        let is_in_the_way = is_large && self.bytes_in_use() + needed.largest > self.limit;
        if is_in_the_way
            && !self.is_upkeep_paused
            && let Some(segment) = self.spares.back().copied()
        {
            self.step = Step::DeleteSpare { segment };
            return;
        }
        let reserve = match self.gathered_puts {
            _ if is_large => 0,
            true => RESERVE,
            false => RESERVE - 1,
        };
        if self.usable_spares().count() >= needed.usual + reserve {
            return self.start_commit();
        }
        match (self.no_file.clone(), self.next_number) {
            (Some(failure), _) => self.squeeze(&needed, failure),
            (None, Some(segment)) if self.may_add_spare() => {
                self.step = Step::CreateSpare { segment };
            }
            _ => self.start_commit(),
        }
    }

    /// Forgets what was found out about the room for a Commit.
    pub(super) fn end_search(&mut self) {
        self.no_file = None;
        self.doomed = None;
    }

    /// Finds out what the Commit that waits removes.
    pub(super) fn doom(&mut self) {
        self.doomed = Some(Doomed::new(&self.gathered, self.segments.index()));
    }

    /// Writes the oldest segment anew if that may free enough, and otherwise fails the Commit.
    fn squeeze(&mut self, needed: &Needed, failure: StoreFailure) {
        if self.doomed.is_none() {
            self.doom();
            return self.next();
        }
        let is_full = needed.bytes > 0;
        let tail = self.tail.as_ref().map(|tail| tail.place());
        let oldest = self.segments.iter_ours().next().map(|(place, _)| place);
        if is_full && tail.is_some() && tail == oldest {
            self.tail = None;
            return self.next();
        }
        // The reserve is for what is to be kept.
        let is_all_doomed = self
            .doomed
            .as_ref()
            .is_some_and(|doomed| doomed.is_all(self.segments.index()));
        if is_all_doomed && !self.gathered_puts && self.usable_spares().count() >= needed.usual {
            return self.start_commit();
        }
        // On a full disk, what is written anew needs a file that is there.
        let may_write = self.no_file.is_none() || self.usable_spares().next().is_some();
        if may_write
            && self.squeezes > 0
            && self.dead_bytes(is_full) >= self.segment_bytes()
            && let Some((place, _)) = self.head()
        {
            self.squeezes -= 1;
            return self.start_copying(place, Purpose::Room);
        }
        self.fail_for_room(failure);
    }

    /// Fails the Commit. What it removes is made durable first, for that may be possible: otherwise a group that has Puts
    /// as well would come back as it is, again and again, and never free the room that they need.
    fn fail_for_room(&mut self, failure: StoreFailure) {
        let doomed = self.doomed.take().filter(|_| self.gathered_puts);
        let failure = self.verdict.take().unwrap_or(failure);
        match doomed.filter(|doomed| !doomed.is_empty()) {
            None => self.fail_commit(failure),
            Some(doomed) => {
                self.gathered.clear();
                self.gathered_puts = false;
                for seq in doomed.iter() {
                    append_remove(&mut self.gathered, seq);
                }
                self.verdict = Some(failure);
                self.doomed = Some(doomed);
                self.make_room();
            }
        }
    }

    /// Returns whether the files stay within their limit, with what is never used for Puts, or for Removes.
    fn is_within_limit(&self, needed: &Needed) -> bool {
        if needed.bytes == 0 {
            return true;
        }
        let reserve = self.largest().max(needed.largest);
        let (limit, reserves) = match self.gathered_puts {
            true => (self.options.max_bytes, 2),
            false => (self.limit, 1),
        };
        let spare_bytes = self.spares.len() as u64 * self.segment_bytes();
        self.bytes_in_use() - spare_bytes + needed.bytes + reserves * reserve <= limit
    }

    fn may_add_spare(&self) -> bool {
        let larger = self.largest().saturating_sub(self.segment_bytes());
        self.bytes_in_use() + self.segment_bytes() + larger <= self.limit
    }

    fn needed(&self) -> Needed {
        let mut needed = Needed::default();
        let tail = self.tail.as_ref().map(|tail| tail.extent());
        let (mut offset, mut capacity) = tail.unwrap_or_default();
        if offset + (self.gathered.len() + RECORD_HEADER) as u64 <= capacity {
            return needed;
        }
        let mut rest = &self.gathered[..];
        while let Some(header) = RecordHeader::read(rest) {
            let occupied = header.occupied();
            if offset + (occupied + RECORD_HEADER) as u64 > capacity {
                offset = header_len(&self.client) as u64;
                capacity = self.capacity_for(occupied);
                needed.largest = capacity.max(needed.largest);
                needed.bytes += capacity;
                needed.usual += usize::from(capacity == self.segment_bytes());
            }
            offset += occupied as u64;
            rest = rest.get(occupied..).unwrap_or_default();
        }
        needed
    }

    /// Returns the bytes in which nothing lives that is kept, but for those of the segment that is written to, unless that
    /// is full.
    fn dead_bytes(&self, is_full: bool) -> u64 {
        let tail = self.tail.as_ref().map(|tail| tail.place());
        let tail = tail.filter(|_| !is_full);
        let sealed = self
            .segments
            .iter_ours()
            .filter(|(place, _)| Some(*place) != tail);
        let dead = sealed.map(|(_, segment)| {
            let used = header_len(&self.client) as u64 + segment.live_bytes;
            segment.capacity.saturating_sub(used)
        });
        let doomed = self.doomed.as_ref().map_or(0, |doomed| {
            doomed.bytes_in(self.segments.index(), |place| {
                let segment = self.segments.get(place);
                Some(place) != tail && segment.is_some_and(|segment| !segment.is_set_aside)
            })
        });
        dead.sum::<u64>() + doomed
    }
}
