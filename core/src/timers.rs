//! Schedules of many deadlines.

use std::collections::BTreeSet;

/// Deadlines on the clock `T`, in the order in which they are due; deadlines at the same time are in the order of their
/// keys.
#[derive(Debug)]
pub(crate) struct Schedule<T, K> {
    entries: BTreeSet<(T, K)>,
}

impl<T: Copy + Ord, K: Copy + Ord> Schedule<T, K> {
    /// Adds an entry; returns whether it is new.
    pub(crate) fn add(&mut self, at: T, key: K) -> bool {
        self.entries.insert((at, key))
    }

    /// Removes an entry by the deadline that it was added with.
    pub(crate) fn remove(&mut self, at: T, key: K) {
        self.entries.remove(&(at, key));
    }

    /// Returns all entries, the next one first.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (T, K)> {
        self.entries.iter().copied()
    }

    pub(crate) fn next(&self) -> Option<T> {
        self.entries.first().map(|(at, _)| *at)
    }

    /// Takes one entry that is due.
    pub(crate) fn pop_due(&mut self, now: T) -> Option<K> {
        if self.next()? > now {
            return None;
        }
        self.entries.pop_first().map(|(_, key)| key)
    }
}

impl<T, K> Default for Schedule<T, K> {
    fn default() -> Self {
        Self {
            entries: BTreeSet::new(),
        }
    }
}
