//! Lists that publications are linked into.

use super::{entries::Entries, entry::Entry};

/// No entry: what is beyond the ends of a list.
pub(super) const NONE: u32 = u32::MAX;

/// A doubly linked list through the entries: every operation is O(1) and allocates nothing.
#[derive(Clone, Debug)]
pub(super) struct List {
    head: u32,
    tail: u32,
}

impl Default for List {
    fn default() -> Self {
        Self {
            head: NONE,
            tail: NONE,
        }
    }
}

impl List {
    pub(super) fn head(&self) -> Option<u32> {
        (self.head != NONE).then_some(self.head)
    }

    pub(super) fn tail(&self) -> Option<u32> {
        (self.tail != NONE).then_some(self.tail)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.head == NONE
    }

    pub(super) fn push_back(&mut self, entries: &mut Entries, key: u32) {
        let entry = entries.at_mut(key);
        entry.previous = self.tail;
        entry.next = NONE;
        match self.tail() {
            Some(tail) => entries.at_mut(tail).next = key,
            None => self.head = key,
        }
        self.tail = key;
    }

    /// Puts an entry before the first one that was accepted later: in O(1) unless older ones are at the head.
    pub(super) fn insert(&mut self, entries: &mut Entries, key: u32) {
        let op = entries.at(key).op;
        let later = self.iter(entries).find(|&other| entries.at(other).op > op);
        let Some(next) = later else {
            return self.push_back(entries, key);
        };
        let previous = core::mem::replace(&mut entries.at_mut(next).previous, key);
        match previous {
            NONE => self.head = key,
            previous => entries.at_mut(previous).next = key,
        }
        let entry = entries.at_mut(key);
        entry.previous = previous;
        entry.next = next;
    }

    pub(super) fn remove(&mut self, entries: &mut Entries, key: u32) {
        let Entry { previous, next, .. } = *entries.at(key);
        match previous {
            NONE => self.head = next,
            previous => entries.at_mut(previous).next = next,
        }
        match next {
            NONE => self.tail = previous,
            next => entries.at_mut(next).previous = previous,
        }
    }

    /// From the head to the tail.
    pub(super) fn iter<'a>(&self, entries: &'a Entries) -> impl Iterator<Item = u32> + 'a {
        core::iter::successors(self.head(), |&key| {
            let next = entries.at(key).next;
            (next != NONE).then_some(next)
        })
    }

    /// From the tail to the head.
    pub(super) fn iter_back<'a>(&self, entries: &'a Entries) -> impl Iterator<Item = u32> + 'a {
        core::iter::successors(self.tail(), |&key| {
            let previous = entries.at(key).previous;
            (previous != NONE).then_some(previous)
        })
    }
}
