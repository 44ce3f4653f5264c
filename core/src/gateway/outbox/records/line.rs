//! The publications that are not durable, in the order of acceptance: those that were put, those that are to be put, and
//! those that may be acknowledged first.

use super::{
    super::entry::{EntryKey, NONE},
    items::{Item, Items, Stage},
};
use crate::store::StoreSeq;

/// A doubly linked list through the items, in three parts. Numbers grow from head to tail.
#[derive(Debug)]
pub(super) struct Line {
    head: EntryKey,
    tail: EntryKey,
    /// The first that is to be put, or put again.
    next: EntryKey,
    /// The first without a number.
    young: EntryKey,
}

impl Default for Line {
    fn default() -> Self {
        Self {
            head: NONE,
            tail: NONE,
            next: NONE,
            young: NONE,
        }
    }
}

impl Line {
    pub(super) fn is_empty(&self) -> bool {
        self.head == NONE
    }

    /// Returns the first of all, if it has a number.
    pub(super) fn first_numbered(&self) -> Option<EntryKey> {
        (self.head != self.young).then_some(self.head)
    }

    /// Returns the first without a number.
    #[inline]
    pub(super) fn first_young(&self) -> Option<EntryKey> {
        (self.young != NONE).then_some(self.young)
    }

    /// Returns the first that has a number and is to be put.
    #[inline]
    pub(super) fn first_to_put(&self) -> Option<EntryKey> {
        (self.next != self.young).then_some(self.next)
    }

    /// Returns the next one that has a number.
    pub(super) fn numbered_after(&self, item: &Item) -> Option<EntryKey> {
        (item.next != self.young).then_some(item.next)
    }

    /// Adds one: with a number, if no other is without.
    #[inline]
    pub(super) fn push_back(&mut self, items: &mut Items, key: EntryKey) {
        let item = items.at_mut(key);
        (item.stage, item.previous) = (Stage::Lined, self.tail);
        let is_young = item.seq.is_none();
        match self.tail {
            NONE => self.head = key,
            tail => items.at_mut(tail).next = key,
        }
        if self.next == NONE {
            self.next = key;
        }
        if is_young && self.young == NONE {
            self.young = key;
        }
        self.tail = key;
    }

    /// Removes one from wherever it is.
    #[inline]
    pub(super) fn remove(&mut self, items: &mut Items, key: EntryKey) {
        let Item { previous, next, .. } = *items.at(key);
        match previous {
            NONE => self.head = next,
            previous => items.at_mut(previous).next = next,
        }
        match next {
            NONE => self.tail = previous,
            next => items.at_mut(next).previous = previous,
        }
        for first in [&mut self.next, &mut self.young] {
            if *first == key {
                *first = next;
            }
        }
    }

    /// Removes the first of all, which has a number.
    #[inline]
    pub(super) fn remove_first(&mut self, items: &mut Items) {
        let first = self.head;
        self.head = items.at(first).next;
        match self.head {
            NONE => self.tail = NONE,
            head => items.at_mut(head).previous = NONE,
        }
        if self.next == first {
            self.next = self.head;
        }
    }

    /// Replaces a key.
    pub(super) fn rename(&mut self, items: &mut Items, old: EntryKey, new: EntryKey) {
        let Item { previous, next, .. } = *items.at(new);
        if previous != NONE {
            items.at_mut(previous).next = new;
        }
        if next != NONE {
            items.at_mut(next).previous = new;
        }
        let ends = [
            &mut self.head,
            &mut self.tail,
            &mut self.next,
            &mut self.young,
        ];
        for end in ends {
            if *end == old {
                *end = new;
            }
        }
    }

    /// Numbers the first without a number.
    #[inline]
    pub(super) fn number(&mut self, items: &mut Items, key: EntryKey, seq: StoreSeq) {
        let item = items.at_mut(key);
        item.seq = Some(seq);
        self.young = item.next;
    }

    /// Records that the first that is to be put is being put.
    #[inline]
    pub(super) fn put(&mut self, items: &Items, key: EntryKey) {
        self.next = items.at(key).next;
    }

    /// Begins again: everything in the line is to be put.
    pub(super) fn put_again(&mut self) {
        self.next = self.head;
    }
}
