//! Linked lists of publications.

use super::{
    entries::{Entries, Links},
    entry::{EntryKey, NONE},
};

/// A doubly linked list through the entries: every operation is O(1) and allocates nothing.
///
/// The head's `previous` link is meaningless. So removing the head need not touch the next entry, which may have waited
/// for long and be out of the processor's cache.
#[derive(Clone, Debug)]
pub(super) struct List {
    head: EntryKey,
    tail: EntryKey,
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
    pub(super) fn head(&self) -> Option<EntryKey> {
        (self.head != NONE).then_some(self.head)
    }

    pub(super) fn tail(&self) -> Option<EntryKey> {
        (self.tail != NONE).then_some(self.tail)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.head == NONE
    }

    #[inline]
    pub(super) fn push_back(&mut self, entries: &mut Entries, key: EntryKey) {
        *entries.links_mut(key) = Links {
            previous: self.tail,
            next: NONE,
        };
        match self.tail() {
            Some(tail) => entries.links_mut(tail).next = key,
            None => self.head = key,
        }
        self.tail = key;
    }

    /// Inserts an entry before the first one that was accepted later: in O(1) unless older ones are at the head.
    pub(super) fn insert(&mut self, entries: &mut Entries, key: EntryKey) {
        let op = entries.at(key).op;
        let later = self.iter(entries).find(|&other| entries.at(other).op > op);
        let Some(next) = later else {
            return self.push_back(entries, key);
        };
        let previous = core::mem::replace(&mut entries.links_mut(next).previous, key);
        if next == self.head {
            self.head = key;
        } else {
            entries.links_mut(previous).next = key;
        }
        *entries.links_mut(key) = Links { previous, next };
    }

    /// Links an entry by its new key.
    pub(super) fn rename(&mut self, entries: &mut Entries, old: EntryKey, new: EntryKey) {
        let Links { previous, next } = entries.links(new);
        match old == self.head {
            true => self.head = new,
            false => entries.links_mut(previous).next = new,
        }
        match next {
            NONE => self.tail = new,
            next => entries.links_mut(next).previous = new,
        }
    }

    pub(super) fn remove(&mut self, entries: &mut Entries, key: EntryKey) {
        let Links { previous, next } = entries.links(key);
        if key == self.head {
            self.head = next;
            if next == NONE {
                self.tail = NONE;
            }
            return;
        }
        entries.links_mut(previous).next = next;
        match next {
            NONE => self.tail = previous,
            next => entries.links_mut(next).previous = previous,
        }
    }

    /// Iterates from head to tail.
    pub(super) fn iter<'a>(&self, entries: &'a Entries) -> impl Iterator<Item = EntryKey> + 'a {
        core::iter::successors(self.head(), |&key| {
            let next = entries.links(key).next;
            (next != NONE).then_some(next)
        })
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use proptest::{collection::vec, prelude::*, sample::Index};

    use super::*;
    use crate::{
        command::{OpId, PublicationTopic, Slot},
        gateway::outbox::Entry,
        mqtt::QoS,
    };

    #[derive(Clone, Debug)]
    enum Step {
        PushBack,
        Remove(Index),
        /// Removes one and inserts it in the order of acceptance.
        PutBack(Index),
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            Just(Step::PushBack),
            any::<Index>().prop_map(Step::Remove),
            any::<Index>().prop_map(Step::PutBack),
        ]
    }

    fn assert_is(list: &List, entries: &Entries, expected: &[EntryKey]) {
        assert!(list.iter(entries).eq(expected.iter().copied()));
        for pair in expected.windows(2) {
            assert_eq!(entries.links(pair[1]).previous, pair[0]);
        }
        assert_eq!(list.head(), expected.first().copied());
        assert_eq!(list.tail(), expected.last().copied());
        assert_eq!(list.is_empty(), expected.is_empty());
    }

    proptest! {
        #[test]
        fn it_reads_the_same_from_both_ends_whatever_comes_and_goes(steps in vec(step(), 0..60)) {
            let mut entries = Entries::default();
            let (mut list, mut expected) = (List::default(), Vec::new());
            for (op, step) in (1..).zip(steps) {
                match step {
                    Step::Remove(index) | Step::PutBack(index) if !expected.is_empty() => {
                        let key = expected.remove(index.index(expected.len()));
                        list.remove(&mut entries, key);
                        assert_is(&list, &entries, &expected);
                        if matches!(step, Step::PutBack(_)) {
                            list.insert(&mut entries, key);
                            expected.push(key);
                            expected.sort_by_key(|&key| entries.at(key).op);
                        }
                    }
                    _ => {
                        let topic = PublicationTopic::State;
                        let qos = QoS::AtLeastOnce;
                        let key = entries.insert(|| Entry::new(OpId::after(op), Slot(0), topic, qos, Bytes::new()));
                        list.push_back(&mut entries, key);
                        expected.push(key);
                    }
                }
                assert_is(&list, &entries, &expected);
            }
        }
    }
}
