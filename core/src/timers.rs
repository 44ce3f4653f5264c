//! Schedules of many deadlines, and lower bounds of a few.

use std::collections::BTreeSet;

use crate::clock::Moment;

/// A lower bound of deadlines that are stored elsewhere: none is due before it, so that most calls need not check each.
#[derive(Debug, Default)]
pub(crate) struct QuietUntil(Option<Moment>);

impl QuietUntil {
    /// Records that a deadline was set.
    pub(crate) fn lower(&mut self, deadline: Moment) {
        self.0 = Some(self.0.map_or(deadline, |quiet| quiet.min(deadline)));
    }

    /// Returns whether any deadline may be due; `earliest` is called only if so.
    #[inline]
    pub(crate) fn is_over(
        &mut self,
        now: Moment,
        earliest: impl FnOnce() -> Option<Moment>,
    ) -> bool {
        if self.0.is_none_or(|quiet| quiet > now) {
            return false;
        }
        self.0 = earliest();
        self.0.is_some_and(|quiet| quiet <= now)
    }
}

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

    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.entries.is_empty()
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
