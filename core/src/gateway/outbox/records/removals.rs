//! The records that are to be removed.

use crate::{clock::Moment, fifo::Fifo, store::StoreSeq};

/// The numbers of the records that are to be removed, oldest first.
#[derive(Debug)]
pub(super) struct Removals {
    seqs: Fifo<StoreSeq>,
    /// When the oldest was noticed that belongs to no group.
    since: Option<Moment>,
}

impl Default for Removals {
    fn default() -> Self {
        Self {
            seqs: Fifo::new(),
            since: None,
        }
    }
}

impl Removals {
    #[inline]
    pub(super) fn push(&mut self, seq: StoreSeq) {
        self.seqs.push_back(seq);
    }

    pub(super) fn len(&self) -> usize {
        self.seqs.len()
    }

    pub(super) fn get(&self, index: usize) -> Option<StoreSeq> {
        self.seqs.values().get(index).copied()
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
        self.since = None;
        self.seqs.len()
    }

    /// Forgets the oldest, which are durably removed.
    pub(super) fn forget(&mut self, removed: usize) {
        for _ in 0..removed {
            self.seqs.pop_front();
        }
    }
}
