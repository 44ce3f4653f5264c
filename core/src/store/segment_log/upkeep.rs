//! What the log does next: writes anew what is not relied on, reclaims segments, or writes what waits for a Commit.

use super::{SPARES, SegmentLog, Step, copying::Purpose};
use crate::store::{
    SegmentNumber, StoreFailure, StoreFailureKind,
    segments::{Segment, Segments, Trust},
};

/// The head is written anew when less than one part in so many of it lives.
const SPARSE: u64 = 4;

/// So many segments are not written anew.
const KEPT_WHOLE: usize = 2;

impl SegmentLog {
    /// Chooses the next operation.
    ///
    /// Nothing is written for a Commit, and nothing is reclaimed, while something that lives is not relied on: a Remove could
    /// become durable, or outlive, what it was issued for. The newest of such segments is written anew first: what it only
    /// seems to hold after a restart may be durable in an older one.
    pub(super) fn next(&mut self) {
        self.step = Step::Idle;
        if let Some(segment) = self.leftover {
            self.step = Step::DeleteLeftover { segment };
            return;
        }
        let may_tidy = !self.is_upkeep_paused;
        if may_tidy && let Some(step) = self.tidy() {
            self.step = step;
            return;
        }
        if let Some(place) = self.segments.last_unproven() {
            if may_tidy || self.commit.is_some() {
                self.start_copying(place, Purpose::Repair);
            }
            return;
        }
        if may_tidy && let Some(place) = self.sparse_head() {
            return self.start_copying(place, Purpose::Upkeep);
        }
        if self.commit.is_some() {
            self.make_room();
        }
    }

    /// Makes spares of the files that were never written to and come after all others.
    pub(super) fn take_spares(
        &mut self,
        last_used: Option<SegmentNumber>,
        last: Option<SegmentNumber>,
    ) {
        let last = |segments: &Segments| {
            let mut segments = segments.iter().rev();
            let last = segments.find(|(_, segment)| Some(segment.number) <= last);
            last.map(|(place, segment)| {
                (
                    place,
                    segment.number,
                    segment.capacity,
                    segment.is_set_aside,
                )
            })
        };
        while let Some((place, number, capacity, is_set_aside)) = last(&self.segments) {
            if Some(number) <= last_used || capacity != self.segment_bytes() || is_set_aside {
                self.newest = Some(number);
                break;
            }
            self.segments.retire(place);
            self.spares.push_front(number);
        }
    }

    /// Returns what makes the folder smaller, or keeps its entries in order: each change of it is durable before the next, so
    /// that no segment comes back whose Removes are gone.
    fn tidy(&mut self) -> Option<Step> {
        if self.folder_dirty {
            return Some(Step::SyncFolder { is_upkeep: true });
        }
        if let Some(segment) = self.superfluous_spare() {
            return Some(Step::DeleteSpare { segment });
        }
        let place = self.reclaimable()?;
        let segment = self.segments.get(place)?;
        let (number, is_usual) = (segment.number, segment.capacity == self.segment_bytes());
        let to = self
            .next_number
            .filter(|_| is_usual && self.spares.len() < SPARES);
        Some(match to {
            Some(to) => Step::Recycle {
                place,
                segment: number,
                to,
            },
            None => Step::DeleteSegment {
                place,
                segment: number,
            },
        })
    }

    /// Returns a spare that is one too many, or cannot be used, or takes the room that a larger segment may need.
    fn superfluous_spare(&self) -> Option<SegmentNumber> {
        let largest = self.largest();
        let is_tight = largest > self.segment_bytes() && self.bytes_in_use() + largest > self.limit;
        match self.spares.len() > SPARES || is_tight {
            true => self.spares.back().copied(),
            false => self
                .spares
                .iter()
                .copied()
                .find(|spare| Some(*spare) < self.newest),
        }
    }

    /// Returns a segment that is of no use any more: one that has been replaced, or the oldest, if all is relied on.
    fn reclaimable(&self) -> Option<u32> {
        let mut segments = self.segments.iter_ours();
        let useless = segments.find(|(_, segment)| segment.trust == Trust::Useless);
        if let Some((place, _)) = useless {
            return Some(place);
        }
        let (place, head) = self.head()?;
        let (kept, kept_at_all) = match &self.doomed {
            None => (head.live_bytes, true),
            Some(doomed) => (
                head.live_bytes - doomed.bytes_in(self.segments.index(), |other| other == place),
                !doomed.is_all(self.segments.index()),
            ),
        };
        // If nothing at all is to be kept, it does not matter what is relied on.
        let may_go = kept == 0 && (!kept_at_all || self.segments.last_unproven().is_none());
        may_go.then_some(place)
    }

    /// Returns the oldest segment if little of it lives; not if there are only two, for then the rest of it most
    /// likely goes by itself.
    fn sparse_head(&self) -> Option<u32> {
        let (place, head) = self.head()?;
        self.segments.iter_ours().nth(KEPT_WHOLE)?;
        let is_sparse = head.live_bytes < head.capacity / SPARSE;
        (is_sparse && self.unread_head != Some(head.number)).then_some(place)
    }

    /// Returns the oldest segment that is not set aside, unless it is written to.
    pub(super) fn head(&self) -> Option<(u32, &Segment)> {
        let tail = self.tail.as_ref().map(|tail| tail.place());
        self.segments
            .iter_ours()
            .next()
            .filter(|(place, _)| Some(*place) != tail)
    }

    /// Returns the size of the largest segment, at least that of a usual one.
    pub(super) fn largest(&self) -> u64 {
        let sizes = self
            .segments
            .iter_ours()
            .map(|(_, segment)| segment.capacity);
        sizes.max().unwrap_or(0).max(self.segment_bytes())
    }

    pub(super) fn over_limit(&self) -> StoreFailure {
        let detail = format_args!("its files may have {} bytes", self.options.max_bytes);
        StoreFailure::new(StoreFailureKind::Full, detail)
    }
}
