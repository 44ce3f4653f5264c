//! All publications, by key.

use super::{blocks::Blocks, entry::Entry};

/// A key leaves every list, lane and ticket before its entry is removed.
const KEYED_WHILE_HERE: &str = "a key is kept only while its entry is here";

/// All entries. A key is used again once its entry was removed.
#[derive(Debug, Default)]
pub(super) struct Entries {
    slots: Blocks<Slot>,
    /// The vacant slot that is used next: the one that was left last.
    vacant: Option<u32>,
}

#[derive(Debug)]
enum Slot {
    Occupied(Entry),
    /// Leads to the vacant slot that was left before.
    Vacant(Option<u32>),
}

impl Entries {
    pub(super) fn insert(&mut self, entry: Entry) -> u32 {
        let Some(key) = self.vacant else {
            return self.slots.push(Slot::Occupied(entry));
        };
        let slot = self.slots.get_mut(key).expect("it was left, and is here");
        if let Slot::Vacant(next) = *slot {
            self.vacant = next;
        }
        *slot = Slot::Occupied(entry);
        key
    }

    pub(super) fn remove(&mut self, key: u32) {
        let slot = self.slots.get_mut(key).expect(KEYED_WHILE_HERE);
        *slot = Slot::Vacant(self.vacant);
        self.vacant = Some(key);
    }

    #[inline]
    pub(super) fn at(&self, key: u32) -> &Entry {
        match self.slots.get(key) {
            Some(Slot::Occupied(entry)) => Some(entry),
            Some(Slot::Vacant(_)) | None => None,
        }
        .expect(KEYED_WHILE_HERE)
    }

    #[inline]
    pub(super) fn at_mut(&mut self, key: u32) -> &mut Entry {
        match self.slots.get_mut(key) {
            Some(Slot::Occupied(entry)) => Some(entry),
            Some(Slot::Vacant(_)) | None => None,
        }
        .expect(KEYED_WHILE_HERE)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (u32, &Entry)> {
        self.slots.iter().filter_map(|(key, slot)| match slot {
            Slot::Occupied(entry) => Some((key, entry)),
            Slot::Vacant(_) => None,
        })
    }
}
