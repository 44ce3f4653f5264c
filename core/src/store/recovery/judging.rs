//! Decides what damage is, and what was only not finished.

use super::{Damage, Recovery};
use crate::store::{
    SegmentNumber,
    format::{Proven, header_len},
    scan::Scanned,
    segments::Trust,
};

/// No file that is kept for later has a number that is higher by so much than the last one that was written to.
const FARTHEST_SPARE: u64 = 1 << 32;

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
        self.in_front = Damage::default();
        before
            .iter()
            .for_each(|(_, len)| self.in_front.add(u64::from(*len)));
        let mut doubtful = self.in_front;
        after
            .iter()
            .for_each(|(_, len)| doubtful.add(u64::from(*len)));
        if scanned.last_write.is_none() {
            doubtful.add(0);
            // The first write has made the size durable.
            if is_short && durable > header_len(&self.client) as u32 {
                self.in_front.add(0);
            }
        }
        if !doubtful.is_none() {
            self.doubtful.push((number, doubtful));
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
                self.doubtful.retain(|(doubtful, _)| *doubtful != number);
            }
        }
    }

    /// Decides what the doubtful damage is, now that it is known which segments are proven.
    pub(super) fn judge_damage(&mut self, unproven: SegmentNumber) {
        for (number, doubtful) in &self.doubtful {
            if *number < unproven {
                self.report.damaged.merge(doubtful);
            } else if Some(*number) == self.last_used {
                self.report.damaged.merge(&self.in_front);
                self.report.unfinished.merge(&Damage {
                    places: doubtful.places - self.in_front.places,
                    bytes: doubtful.bytes - self.in_front.bytes,
                });
            } else {
                self.report.unfinished.merge(doubtful);
            }
        }
    }

    /// Leaves foreign files alone: those whose names have numbers in a distant future, and that have no record. They are no damage,
    /// unless they could not be read. Returns the number of the last file that is none of these.
    pub(super) fn leave_foreign(&mut self) -> Option<SegmentNumber> {
        let last_used = self.last_used.map_or(0, SegmentNumber::as_u64);
        let end = SegmentNumber::from_u64(last_used.saturating_add(FARTHEST_SPARE));
        let foreign = self
            .segments
            .iter()
            .filter(|(_, segment)| segment.number > end);
        let foreign: Vec<_> = foreign.map(|(place, _)| place).collect();
        for place in foreign {
            if let Some(segment) = self.segments.get_mut(place) {
                segment.trust = Trust::Proven;
                if !segment.is_set_aside {
                    self.report.foreign = Some(segment.number);
                }
            }
            self.segments.set_aside(place);
        }
        self.doubtful.retain(|(number, _)| *number <= end);
        let ours = self
            .segments
            .iter()
            .filter(|(_, segment)| segment.number <= end);
        ours.map(|(_, segment)| segment.number).next_back()
    }
}
