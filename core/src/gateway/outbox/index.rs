//! Publications by their operations.

use std::collections::BTreeMap;

use super::{Outbox, entry::EntryKey};
use crate::command::OpId;

/// The publications by operation, from the first search until none is left: most users never search.
#[derive(Debug, Default)]
pub(super) struct Index {
    by_op: Option<BTreeMap<OpId, EntryKey>>,
}

impl Index {
    /// Returns whether it has anything.
    #[inline]
    pub(super) fn is_kept(&self) -> bool {
        self.by_op.is_some()
    }

    pub(super) fn add(&mut self, op: OpId, key: EntryKey) {
        if let Some(by_op) = &mut self.by_op {
            by_op.insert(op, key);
        }
    }

    fn remove(&mut self, op: OpId) {
        if let Some(by_op) = &mut self.by_op {
            by_op.remove(&op);
            if by_op.is_empty() {
                self.by_op = None;
            }
        }
    }
}

impl Outbox {
    /// Forgets the operation of a publication that ends.
    pub(super) fn forget_in_index(&mut self, op: OpId) {
        self.index.remove(op);
        self.follows_all = self.index.is_kept() || self.keeps_records();
    }

    #[cfg(feature = "store")]
    fn keeps_records(&self) -> bool {
        self.has_store()
    }

    #[cfg(not(feature = "store"))]
    fn keeps_records(&self) -> bool {
        false
    }

    /// Returns the publication of an operation, if it has not ended. The first search takes a pass over all.
    pub(crate) fn find(&mut self, op: OpId) -> Option<EntryKey> {
        if self.len() == 0 {
            return None;
        }
        let entries = self.entries.iter(self.load.messages);
        let all = || entries.map(|(key, entry)| (entry.op, key)).collect();
        self.follows_all = true;
        let by_op = self.index.by_op.get_or_insert_with(all);
        by_op.get(&op).copied()
    }
}
