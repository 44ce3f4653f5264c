//! Where each record is, by its number.

use std::collections::{BTreeMap, VecDeque};

/// The number of entries for which the dense part always keeps its memory.
const ALWAYS_KEPT: usize = 1024;

/// With less than one entry in so many in use, the oldest ones are moved to the sparse part, or memory is freed.
const SPARSE: usize = 4;

/// Where a record is: its segment, and its bytes in it, without the padding. No record is empty.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Slot {
    /// The position in the list of segments; see [`Segments`](super::segments::Segments).
    pub(crate) segment: u32,
    pub(crate) offset: u32,
    pub(crate) len: u32,
}

impl Slot {
    const NONE: Self = Self {
        segment: 0,
        offset: 0,
        len: 0,
    };

    fn is_none(&self) -> bool {
        self.len == 0
    }
}

/// The places of all records. Numbers are dense and ascending, but for some old ones: so the newest are in a ring, and what
/// is left of the others in a map.
#[derive(Debug, Default)]
pub(crate) struct Index {
    /// The number of the first slot of the ring. All in the map are smaller.
    first: u64,
    ring: VecDeque<Slot>,
    /// How many slots of the ring are in use.
    in_ring: usize,
    older: BTreeMap<u64, Slot>,
}

impl Index {
    pub(crate) fn len(&self) -> usize {
        self.in_ring + self.older.len()
    }

    #[inline]
    pub(crate) fn get(&self, seq: u64) -> Option<Slot> {
        match self.position(seq) {
            Some(position) => self
                .ring
                .get(position)
                .copied()
                .filter(|slot| !slot.is_none()),
            None => self.older.get(&seq).copied(),
        }
    }

    /// Returns the slots in use.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (u64, Slot)> {
        let older = self.older.iter().map(|(seq, slot)| (*seq, *slot));
        let newer = (self.first..).zip(self.ring.iter().copied());
        older.chain(newer.filter(|(_, slot)| !slot.is_none()))
    }

    /// Returns what it replaces.
    #[inline]
    pub(crate) fn insert(&mut self, seq: u64, slot: Slot) -> Option<Slot> {
        if self.ring.is_empty() {
            self.begin(seq);
        }
        let Some(position) = self.position(seq) else {
            return self.older.insert(seq, slot);
        };
        if position == self.ring.len() {
            self.ring.push_back(slot);
            self.in_ring += 1;
            return None;
        }
        if position > self.ring.len() {
            self.leave_gap(seq);
            return self.insert(seq, slot);
        }
        let place = self.ring.get_mut(position)?;
        let old = core::mem::replace(place, slot);
        self.in_ring += usize::from(old.is_none());
        (!old.is_none()).then_some(old)
    }

    #[inline]
    pub(crate) fn remove(&mut self, seq: u64) -> Option<Slot> {
        let Some(position) = self.position(seq) else {
            return self.older.remove(&seq);
        };
        let place = self.ring.get_mut(position).filter(|slot| !slot.is_none())?;
        let old = core::mem::replace(place, Slot::NONE);
        self.in_ring -= 1;
        self.pop_unused();
        if self.ring.capacity() > ALWAYS_KEPT.max(SPARSE * self.in_ring) {
            self.condense();
        }
        Some(old)
    }

    /// Returns the position in the ring, also of one behind its end; `None` for what would be in the map.
    #[inline]
    fn position(&self, seq: u64) -> Option<usize> {
        let is_older = self.ring.is_empty() || seq < self.first;
        (!is_older).then(|| usize::try_from(seq - self.first).unwrap_or(usize::MAX))
    }

    /// Lets an empty ring begin with `seq`, unless the map has one that is not smaller.
    fn begin(&mut self, seq: u64) {
        if self
            .older
            .last_key_value()
            .is_none_or(|(last, _)| *last < seq)
        {
            self.first = seq;
            self.ring.push_back(Slot::NONE);
        }
    }

    /// Makes `seq`, which is behind the end of the ring, the next one: with unused slots in between if they are few.
    fn leave_gap(&mut self, seq: u64) {
        let gap = seq - self.first - self.ring.len() as u64;
        if gap <= (ALWAYS_KEPT + SPARSE * self.in_ring) as u64 {
            let len = self.ring.len() + gap as usize;
            self.ring.resize(len, Slot::NONE);
            return;
        }
        while !self.ring.is_empty() {
            self.move_first();
        }
        self.begin(seq);
    }

    #[inline]
    fn pop_unused(&mut self) {
        while self.ring.front().is_some_and(Slot::is_none) {
            self.ring.pop_front();
            self.first += 1;
        }
    }

    /// Moves the oldest slots to the map until half of the ring is in use, if less than a quarter is; then frees memory.
    #[cold]
    fn condense(&mut self) {
        if self.ring.len() > ALWAYS_KEPT.max(SPARSE * self.in_ring) {
            while self.ring.len() > ALWAYS_KEPT.max(2 * self.in_ring) {
                self.move_first();
            }
            self.pop_unused();
        }
        if self.ring.capacity() > ALWAYS_KEPT.max(2 * SPARSE * self.ring.len()) {
            let kept = ALWAYS_KEPT.max(SPARSE * self.ring.len());
            self.ring.shrink_to(kept);
        }
    }

    fn move_first(&mut self) {
        if let Some(slot) = self.ring.pop_front() {
            if !slot.is_none() {
                self.older.insert(self.first, slot);
                self.in_ring -= 1;
            }
            self.first += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slot(number: u32) -> Slot {
        Slot {
            segment: number,
            offset: number,
            len: number + 1,
        }
    }

    /// A sequence of decisions that is the same each time.
    fn decisions() -> impl Iterator<Item = u64> {
        core::iter::successors(Some(1u64), |last| {
            Some(last.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1))
        })
        .map(|number| number >> 33)
    }

    #[test]
    fn it_answers_like_a_map_whatever_is_put_and_removed() {
        let mut index = Index::default();
        let mut model = BTreeMap::new();
        let mut next = 5;
        let mut decisions = decisions();
        let mut decide = |limit: u64| decisions.next().unwrap() % limit;
        for step in 0..200_000u32 {
            let jump = match decide(1_000) {
                0 => 1_000_000,
                1 => 900,
                _ => 1,
            };
            match decide(5) {
                0 | 1 => {
                    next += jump;
                    assert_eq!(
                        index.insert(next, slot(step)),
                        model.insert(next, slot(step))
                    );
                }
                2 => {
                    let seq = next - decide(3_000).min(next - 1);
                    assert_eq!(index.insert(seq, slot(step)), model.insert(seq, slot(step)));
                }
                3 => {
                    let seq = model.keys().next().copied().unwrap_or(1);
                    assert_eq!(index.remove(seq), model.remove(&seq));
                }
                _ => {
                    let seq = next - decide(3_000).min(next - 1);
                    assert_eq!(index.remove(seq), model.remove(&seq));
                    assert_eq!(index.get(seq), None);
                }
            }
            let probe = next - decide(5_000).min(next - 1);
            assert_eq!(index.get(probe), model.get(&probe).copied());
            assert_eq!(index.len(), model.len());
        }
        assert!(index.iter().eq(model.into_iter()));
    }

    #[test]
    fn one_old_record_does_not_keep_the_memory_of_all_that_followed() {
        let mut index = Index::default();
        index.insert(1, slot(0));
        for seq in 2..1_000_000 {
            index.insert(seq, slot(1));
            index.remove(seq);
        }
        assert!(
            index.ring.capacity() <= 4 * ALWAYS_KEPT,
            "{}",
            index.ring.capacity()
        );
        assert_eq!(index.get(1), Some(slot(0)));
    }
}
