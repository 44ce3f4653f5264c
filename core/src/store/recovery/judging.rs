//! Decides what damage is, and what was only not finished.

use super::{Damage, Recovery};
use crate::store::{
    SegmentNumber,
    format::{Proven, header_len},
    scan::Scanned,
    segments::Trust,
};

/// No file that is kept for later has a number that is higher by so much than the last one that was written to.
const FARTHEST_SPARE: u64 = 1 << 20;

/// No log has written so many segments.
const MOST_SEGMENTS: SegmentNumber = SegmentNumber::from_u64(1 << 32);

/// A segment that is damaged, or has an unfinished write.
#[derive(Debug)]
pub(super) struct Doubtful {
    pub(super) number: SegmentNumber,
    /// What is damaged for sure if the segment is proven, and may be an unfinished write otherwise.
    pub(super) all: Damage,
    /// The part in front of its last write.
    pub(super) in_front: Damage,
}

impl Recovery {
    /// Counts the damage to a segment. What was written last need not have been durable, and its end is missing then.
    pub(super) fn count_damage(
        &mut self,
        number: SegmentNumber,
        scanned: &Scanned,
        is_short: bool,
    ) {
        // What is in front of the last write was durable, unless the file has been written to under another name since.
        let durable = scanned.last_write.max(scanned.last_begin).unwrap_or(0);
        let (before, after): (Vec<_>, Vec<_>) = scanned
            .gaps
            .iter()
            .partition(|(offset, _)| *offset < durable);
        let mut in_front = Damage::default();
        before
            .iter()
            .for_each(|(_, len)| in_front.add(u64::from(*len)));
        let mut all = in_front;
        after.iter().for_each(|(_, len)| all.add(u64::from(*len)));
        if scanned.last_write.is_none() {
            all.add(0);
            // The first write has made the size durable.
            if is_short && durable > header_len(&self.client) as u32 {
                in_front.add(0);
            }
        }
        if !all.is_none() {
            self.doubtful.push(Doubtful {
                number,
                all,
                in_front,
            });
        }
    }

    /// Reports the segments that must be there, and are not: all that were proven when the newest was begun, but for the
    /// oldest, which go first. A file of one of these that holds something else, or nothing, has not gone.
    pub(super) fn find_missing(&mut self) {
        let Some(header) = self.newest else {
            return;
        };
        let mut has_older = false;
        for before in (0..Proven::NUMBERS)
            .rev()
            .filter(|before| header.proven.has(*before))
        {
            let number = header.proven_below.as_u64().checked_sub(before + 1);
            let Some(number) = number.map(SegmentNumber::from_u64) else {
                continue;
            };
            if self.present.contains(&number) {
                has_older = true;
                continue;
            }
            let mut files = self
                .segments
                .iter()
                .filter(|(_, file)| file.number == number);
            let size = files.next().map(|(_, file)| file.capacity);
            let is_here = size.is_some() && !self.renamed.contains(&number);
            if is_here || has_older {
                self.report.damaged.add(size.unwrap_or(0));
                self.doubtful.retain(|doubtful| doubtful.number != number);
            }
        }
    }

    /// Decides what the doubtful damage is, now that it is known which segments are proven. Of one that was set aside or not relied
    /// on when the newest was begun, as of the last one, it is not known whether the last write was durable.
    pub(super) fn judge_damage(&mut self) {
        let newest = self.newest;
        for doubtful in &self.doubtful {
            let number = doubtful.number;
            let is_older = newest.is_some_and(|header| number < header.proven_below);
            if newest.is_some_and(|header| header.is_proven(number)) {
                self.report.damaged.merge(&doubtful.all);
            } else if is_older || Some(number) == self.last_used {
                self.report.damaged.merge(&doubtful.in_front);
                self.report.unfinished.merge(&Damage {
                    places: doubtful.all.places - doubtful.in_front.places,
                    bytes: doubtful.all.bytes - doubtful.in_front.bytes,
                });
            } else {
                self.report.unfinished.merge(&doubtful.all);
            }
        }
    }

    /// Leaves foreign files alone: those whose names have numbers that the log cannot have reached, and that have no record. They are
    /// no damage, unless they could not be read. Returns the highest number of the others, and of those in their headers.
    pub(super) fn leave_foreign(&mut self) -> Option<SegmentNumber> {
        let unread = self.segments.last_set_aside(MOST_SEGMENTS);
        let last_written = self.last_used.max(unread).map_or(0, SegmentNumber::as_u64);
        let end = SegmentNumber::from_u64(last_written.saturating_add(FARTHEST_SPARE));
        let foreign = self
            .segments
            .iter()
            .filter(|(_, segment)| segment.number > end);
        let foreign = foreign.map(|(place, segment)| (place, segment.number, segment.is_set_aside));
        for (place, number, is_unread) in foreign.collect::<Vec<_>>() {
            match self.segments.get_mut(place) {
                Some(segment) if is_unread => segment.trust = Trust::Proven,
                _ => {
                    self.report.foreign = Some(number);
                    self.segments.retire(place);
                }
            }
        }
        self.doubtful.retain(|doubtful| doubtful.number <= end);
        let ours = self
            .segments
            .iter()
            .filter(|(_, segment)| segment.number <= end);
        let last = ours.map(|(_, segment)| segment.number).next_back();
        last.max(self.highest_named.filter(|named| *named <= end))
    }
}
