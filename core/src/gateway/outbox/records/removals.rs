//! The records that are to be removed.

use std::collections::VecDeque;

use crate::{clock::Moment, store::StoreSeq};

/// With so many in memory, it is given back once none is left.
const KEPT: usize = 1_024;

/// The numbers of the records that are to be removed, oldest first.
#[derive(Debug, Default)]
pub(super) struct Removals {
    seqs: VecDeque<StoreSeq>,
    /// When the oldest was noticed that belongs to no group.
    since: Option<Moment>,
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
        self.seqs.get(index).copied()
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
        self.seqs.drain(..removed);
        if self.seqs.is_empty() && self.seqs.capacity() > KEPT {
            self.seqs = VecDeque::new();
        }
    }
}
