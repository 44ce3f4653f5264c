//! The records that are to be removed.

use crate::{clock::Moment, fifo::Fifo, store::StoreSeq};

/// How soon a removal is committed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Haste {
    /// After a while, or with something else: a crash until then costs a duplicate.
    None,
    /// With the next group, which begins at once: what comes back after a crash until then was taken back, or would replace
    /// what is newer.
    AtOnce,
}

/// The numbers of the records that are to be removed, oldest first.
#[derive(Debug)]
pub(super) struct Removals {
    seqs: Fifo<StoreSeq>,
    /// How many were durable before.
    durable: u64,
    /// When the oldest was noticed that belongs to no group.
    since: Option<Moment>,
    /// Whether one that belongs to no group has haste.
    has_haste: bool,
}

impl Default for Removals {
    fn default() -> Self {
        Self {
            seqs: Fifo::new(),
            durable: 0,
            since: None,
            has_haste: false,
        }
    }
}

impl Removals {
    #[inline]
    pub(super) fn push(&mut self, seq: StoreSeq, haste: Haste) {
        self.seqs.push_back(seq);
        self.has_haste |= haste == Haste::AtOnce;
    }

    pub(super) fn len(&self) -> usize {
        self.seqs.len()
    }

    pub(super) fn get(&self, index: usize) -> Option<StoreSeq> {
        self.seqs.values().get(index).copied()
    }

    /// Returns how many there were so far.
    pub(super) fn count(&self) -> u64 {
        self.durable + self.seqs.len() as u64
    }

    /// Commits the first `count` at once, those of `grouped` apart, which belong to a group.
    pub(super) fn hasten(&mut self, count: u64, grouped: usize) {
        self.has_haste |= count > self.durable + grouped as u64;
    }

    /// Returns whether one that belongs to no group has haste.
    #[inline]
    pub(super) fn has_haste(&self) -> bool {
        self.has_haste
    }

    /// Returns when the oldest was noticed that belongs to no group.
    pub(super) fn since(&self) -> Option<Moment> {
        self.since
    }

    /// Notices that some belong to no group: more than `grouped`.
    #[inline]
    pub(super) fn notice(&mut self, grouped: usize, now: Moment) {
        if self.since.is_none() && self.seqs.len() > grouped {
            self.since = Some(now);
        }
    }

    /// Records that all belong to a group.
    pub(super) fn group(&mut self) -> usize {
        (self.since, self.has_haste) = (None, false);
        self.seqs.len()
    }

    /// Forgets the oldest, which are durably removed.
    pub(super) fn forget(&mut self, removed: usize) {
        for _ in 0..removed {
            self.durable += u64::from(self.seqs.pop_front().is_some());
        }
    }
}
