//! All publications, by key, in blocks of fixed size: adding one moves none of the others, however many there are, and
//! wastes at most one block.

use core::array;

use super::entry::{Entry, EntryKey};

/// Slots of a block.
const BLOCK: usize = 64;

/// A key is removed from every list, retransmit queue and packet identifier before its entry is removed.
const KEYED_WHILE_HERE: &str = "a key is used only while its entry exists";

/// All entries. A key is reused after its entry was removed.
#[derive(Debug, Default)]
pub(super) struct Entries {
    blocks: Vec<Box<[Place; BLOCK]>>,
    /// The vacant slot that is used next: the one vacated last.
    vacant: Option<EntryKey>,
}

#[derive(Debug)]
enum Place {
    Occupied(Entry),
    /// Links to the vacant slot that is used after it.
    Vacant(Option<EntryKey>),
}

impl Entries {
    /// Constructs the entry in its slot, so that it is not moved while space is made for it.
    #[inline(always)]
    pub(super) fn insert(&mut self, entry: impl FnOnce() -> Entry) -> EntryKey {
        let key = match self.vacant {
            Some(key) => key,
            None => self.add_block(),
        };
        let place = self.place_mut(key);
        if let Place::Vacant(next) = *place {
            *place = Place::Occupied(entry());
            self.vacant = next;
        }
        key
    }

    /// Adds a block whose slots are linked to one another; returns its first key.
    fn add_block(&mut self) -> EntryKey {
        let first = (self.blocks.len() * BLOCK) as u32;
        let slots = array::from_fn(|at| {
            let is_last = at + 1 == BLOCK;
            Place::Vacant((!is_last).then_some(EntryKey(first + at as u32 + 1)))
        });
        self.blocks.push(Box::new(slots));
        EntryKey(first)
    }

    #[inline]
    pub(super) fn remove(&mut self, key: EntryKey) {
        let vacant = self.vacant.replace(key);
        *self.place_mut(key) = Place::Vacant(vacant);
    }

    #[inline]
    pub(super) fn at(&self, key: EntryKey) -> &Entry {
        let block = self.blocks.get(key.0 as usize / BLOCK);
        match block.and_then(|block| block.get(key.0 as usize % BLOCK)) {
            Some(Place::Occupied(entry)) => Some(entry),
            Some(Place::Vacant(_)) | None => None,
        }
        .expect(KEYED_WHILE_HERE)
    }

    #[inline]
    pub(super) fn at_mut(&mut self, key: EntryKey) -> &mut Entry {
        match self.place_mut(key) {
            Place::Occupied(entry) => Some(entry),
            Place::Vacant(_) => None,
        }
        .expect(KEYED_WHILE_HERE)
    }

    #[inline]
    fn place_mut(&mut self, key: EntryKey) -> &mut Place {
        let block = self.blocks.get_mut(key.0 as usize / BLOCK);
        block
            .and_then(|block| block.get_mut(key.0 as usize % BLOCK))
            .expect(KEYED_WHILE_HERE)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (EntryKey, &Entry)> {
        let slots = self.blocks.iter().flat_map(|block| block.iter());
        (0..).zip(slots).filter_map(|(key, slot)| match slot {
            Place::Occupied(entry) => Some((EntryKey(key), entry)),
            Place::Vacant(_) => None,
        })
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::{
        command::{OpId, PublicationTopic, Slot},
        mqtt::QoS,
    };

    fn insert(entries: &mut Entries) -> EntryKey {
        let topic = PublicationTopic::State;
        entries.insert(|| {
            Entry::new(
                OpId::after(0),
                Slot(0),
                topic,
                QoS::AtLeastOnce,
                Bytes::new(),
            )
        })
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
        let keys: Vec<u32> = entries.iter().map(|(key, _)| key.0).collect();
        assert!(keys.into_iter().eq(0..3 * BLOCK as u32));
    }

    #[test]
    fn the_key_that_was_left_last_is_used_next() {
        let mut entries = Entries::default();
        let keys: Vec<_> = (0..BLOCK).map(|_| insert(&mut entries)).collect();
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
