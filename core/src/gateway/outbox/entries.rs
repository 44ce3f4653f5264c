//! All publications, by key, in blocks of one size: one more moves none of the others, however many there are, and leaves at
//! most one block unused.

use core::array;

use super::entry::Entry;

/// Slots of a block.
const BLOCK: usize = 64;

/// A key leaves every list, lane and ticket before its entry is removed.
const KEYED_WHILE_HERE: &str = "a key is kept only while its entry is here";

/// All entries. A key is used again once its entry was removed.
#[derive(Debug, Default)]
pub(super) struct Entries {
    blocks: Vec<Box<[Slot; BLOCK]>>,
    /// The vacant slot that is used next: the one that was left last.
    vacant: Option<u32>,
}

#[derive(Debug)]
enum Slot {
    Occupied(Entry),
    /// Leads to the vacant slot that is used after it.
    Vacant(Option<u32>),
}

impl Entries {
    /// Makes an entry in its place: one that waits for its place while more room is made would be moved once more.
    pub(super) fn insert(&mut self, entry: impl FnOnce() -> Entry) -> u32 {
        let key = match self.vacant {
            Some(key) => key,
            None => self.add_block(),
        };
        let slot = self.slot_mut(key);
        if let Slot::Vacant(next) = *slot {
            *slot = Slot::Occupied(entry());
            self.vacant = next;
        }
        key
    }

    /// Gives the first key of a new block, whose slots lead to one another.
    fn add_block(&mut self) -> u32 {
        let first = (self.blocks.len() * BLOCK) as u32;
        let slots = array::from_fn(|at| {
            let is_last = at + 1 == BLOCK;
            Slot::Vacant((!is_last).then_some(first + at as u32 + 1))
        });
        self.blocks.push(Box::new(slots));
        first
    }

    pub(super) fn remove(&mut self, key: u32) {
        let vacant = self.vacant.replace(key);
        *self.slot_mut(key) = Slot::Vacant(vacant);
    }

    #[inline]
    pub(super) fn at(&self, key: u32) -> &Entry {
        let block = self.blocks.get(key as usize / BLOCK);
        match block.and_then(|block| block.get(key as usize % BLOCK)) {
            Some(Slot::Occupied(entry)) => Some(entry),
            Some(Slot::Vacant(_)) | None => None,
        }
        .expect(KEYED_WHILE_HERE)
    }

    #[inline]
    pub(super) fn at_mut(&mut self, key: u32) -> &mut Entry {
        match self.slot_mut(key) {
            Slot::Occupied(entry) => Some(entry),
            Slot::Vacant(_) => None,
        }
        .expect(KEYED_WHILE_HERE)
    }

    #[inline]
    fn slot_mut(&mut self, key: u32) -> &mut Slot {
        let block = self.blocks.get_mut(key as usize / BLOCK);
        block
            .and_then(|block| block.get_mut(key as usize % BLOCK))
            .expect(KEYED_WHILE_HERE)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (u32, &Entry)> {
        let slots = self.blocks.iter().flat_map(|block| block.iter());
        (0..).zip(slots).filter_map(|(key, slot)| match slot {
            Slot::Occupied(entry) => Some((key, entry)),
            Slot::Vacant(_) => None,
        })
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::{
        command::{OpId, PublicationTopic},
        mqtt::QoS,
    };

    fn insert(entries: &mut Entries) -> u32 {
        let topic = PublicationTopic::State;
        entries.insert(|| Entry::new(OpId(1), 0, topic, QoS::AtLeastOnce, Bytes::new()))
    }

    #[test]
    fn a_block_is_full_before_there_is_another() {
        let mut entries = Entries::default();
        for block in 1..=3 {
            for _ in 0..BLOCK {
                insert(&mut entries);
                assert_eq!(entries.blocks.len(), block);
            }
        }
        let keys: Vec<u32> = entries.iter().map(|(key, _)| key).collect();
        assert!(keys.into_iter().eq(0..3 * BLOCK as u32));
    }

    #[test]
    fn the_key_that_was_left_last_is_used_next() {
        let mut entries = Entries::default();
        let keys: Vec<u32> = (0..BLOCK).map(|_| insert(&mut entries)).collect();
        for key in [keys[3], keys[60], keys[5]] {
            entries.remove(key);
        }
        assert_eq!(
            [(); 3].map(|()| insert(&mut entries)),
            [keys[5], keys[60], keys[3]]
        );
        assert_eq!(entries.blocks.len(), 1);
    }
}
