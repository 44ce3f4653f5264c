//! What a Commit removes, before that is durable.

use core::num::NonZeroU64;
use std::collections::BTreeSet;

use crate::store::{
    format::{Kind, RecordHeader},
    index::Index,
};

/// The records that live and that a Commit removes. Destroying one is as good as making its Remove durable.
#[derive(Debug)]
pub(super) struct Doomed(BTreeSet<u64>);

impl Doomed {
    /// Finds them in what is gathered for the Commit: the last record about a number decides.
    pub(super) fn new(gathered: &[u8], index: &Index) -> Self {
        let mut doomed = BTreeSet::new();
        let mut rest = gathered;
        while let Some(header) = RecordHeader::read(rest) {
            match header.kind {
                Kind::Remove if index.get(header.seq).is_some() => doomed.insert(header.seq),
                _ => doomed.remove(&header.seq),
            };
            rest = rest.get(header.occupied()..).unwrap_or_default();
        }
        Self(doomed)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns their numbers.
    pub(super) fn iter(&self) -> impl Iterator<Item = NonZeroU64> {
        self.0.iter().filter_map(|seq| NonZeroU64::new(*seq))
    }

    pub(super) fn has(&self, seq: u64) -> bool {
        self.0.contains(&seq)
    }

    /// Returns whether nothing else lives.
    pub(super) fn is_all(&self, index: &Index) -> bool {
        let left = self.0.iter().filter(|seq| index.get(**seq).is_some());
        left.count() == index.len()
    }

    /// Returns the bytes of those that live in these segments.
    pub(super) fn bytes_in(&self, index: &Index, is_meant: impl Fn(u32) -> bool) -> u64 {
        let slots = self.0.iter().filter_map(|seq| index.get(*seq));
        let here = slots.filter(|slot| is_meant(slot.segment));
        here.map(|slot| u64::from(slot.len)).sum()
    }
}
