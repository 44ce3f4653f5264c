//! All publications, by key, in blocks of fixed size: adding one moves none of the others, however many there are, and
//! wastes at most one block. Once most have ended, the rest moves together, and the memory of the others is freed.

use core::{array, mem};

use super::entry::{Entry, EntryKey, NONE};

/// Slots of a block.
const BLOCK: usize = 64;

/// As many blocks are kept, so that publications that come and go allocate nothing.
const ALWAYS_KEPT: usize = 4;

/// With fewer of its places taken than one in so many, the memory is freed.
const SPARSE: usize = 4;

/// A key is removed from every list, retransmit queue and packet identifier before its entry is removed.
const KEYED_WHILE_HERE: &str = "a key is used only while its entry exists";

/// All entries. A key is reused after its entry was removed.
#[derive(Debug)]
pub(super) struct Entries {
    blocks: Vec<Box<[Place; BLOCK]>>,
    /// The vacant slot that is used next: the one vacated last. [`NONE`] if no slot is vacant.
    vacant: EntryKey,
    /// With fewer entries than this, their memory is to be freed.
    sparse_below: usize,
}

/// How far entries have moved together: from the last place with one, to the first without.
#[derive(Debug)]
pub(super) struct Packing {
    from: usize,
    to: usize,
    /// The blocks that remain.
    blocks: usize,
}

/// A place for an entry, occupied or vacant.
#[derive(Debug)]
struct Place {
    entry: Option<Entry>,
    links: Links,
}

/// The neighbours of an entry in its list. A vacant place is linked to the one that is used after it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Links {
    pub(super) previous: EntryKey,
    pub(super) next: EntryKey,
}

impl Default for Entries {
    fn default() -> Self {
        Self {
            blocks: Vec::new(),
            vacant: NONE,
            sparse_below: 0,
        }
    }
}

impl Entries {
    /// Constructs the entry in its slot, so that it is not moved while space is made for it.
    #[inline(always)]
    pub(super) fn insert(&mut self, entry: impl FnOnce() -> Entry) -> EntryKey {
        let key = match self.vacant {
            NONE => self.add_block(),
            key => key,
        };
        let place = self.place_mut(key);
        if place.entry.is_none() {
            place.entry = Some(entry());
        }
        self.vacant = place.links.next;
        key
    }

    /// Adds a block whose slots are linked to one another; returns its first key.
    fn add_block(&mut self) -> EntryKey {
        let first = (self.blocks.len() * BLOCK) as u32;
        let slots = array::from_fn(|at| {
            let next = match at + 1 {
                BLOCK => NONE,
                next => EntryKey(first + next as u32),
            };
            let links = Links {
                previous: NONE,
                next,
            };
            Place { entry: None, links }
        });
        self.blocks.push(Box::new(slots));
        self.note_size();
        EntryKey(first)
    }

    fn note_size(&mut self) {
        self.sparse_below = match self.blocks.len() {
            ..=ALWAYS_KEPT => 0,
            blocks => blocks * BLOCK / SPARSE,
        };
    }

    /// Returns whether so few entries are left that their memory is to be freed.
    #[inline]
    pub(super) fn are_sparse(&self, len: usize) -> bool {
        len < self.sparse_below
    }

    /// Starts moving so many entries together, into half of the places that remain. Until they are
    /// [`packed`](Self::packed), none is added or removed.
    pub(super) fn pack(&self, len: usize) -> Packing {
        Packing {
            from: self.blocks.len() * BLOCK,
            to: 0,
            blocks: (2 * len).div_ceil(BLOCK).max(ALWAYS_KEPT),
        }
    }

    /// Moves the next entry whose place does not remain; returns its old and its new key.
    pub(super) fn move_next(&mut self, packing: &mut Packing) -> Option<(EntryKey, EntryKey)> {
        let end = packing.blocks * BLOCK;
        let mut last = (end..packing.from).rev();
        let from = last.find(|&at| self.is_occupied(at))?;
        packing.from = from;
        let to = (packing.to..end).find(|&at| !self.is_occupied(at))?;
        packing.to = to + 1;
        let (from, to) = (EntryKey(from as u32), EntryKey(to as u32));
        let place = self.place_mut(from);
        let (entry, links) = (place.entry.take(), place.links);
        *self.place_mut(to) = Place { entry, links };
        Some((from, to))
    }

    /// Frees the memory of the places that do not remain, after the last entry has moved.
    pub(super) fn packed(&mut self, packing: Packing) {
        self.blocks.truncate(packing.blocks);
        self.blocks.shrink_to_fit();
        self.note_size();
        self.vacant = NONE;
        for at in (0..self.blocks.len() * BLOCK).rev() {
            if !self.is_occupied(at) {
                self.vacate(EntryKey(at as u32));
            }
        }
    }

    /// Returns how many entries have memory.
    #[cfg(any(test, feature = "store"))]
    pub(super) fn places(&self) -> usize {
        self.blocks.len() * BLOCK
    }

    fn is_occupied(&self, at: usize) -> bool {
        let block = self.blocks.get(at / BLOCK);
        let place = block.and_then(|block| block.get(at % BLOCK));
        place.is_some_and(|place| place.entry.is_some())
    }

    #[inline(always)]
    pub(super) fn remove(&mut self, key: EntryKey) {
        // Taken and not overwritten, which would copy as many bytes as an entry has.
        drop(self.place_mut(key).entry.take());
        self.vacate(key);
    }

    /// Makes a place without an entry the one that is used next.
    #[inline]
    fn vacate(&mut self, key: EntryKey) {
        let vacant = mem::replace(&mut self.vacant, key);
        self.place_mut(key).links.next = vacant;
    }

    #[inline]
    pub(super) fn at(&self, key: EntryKey) -> &Entry {
        let entry = self.place(key).entry.as_ref();
        entry.expect(KEYED_WHILE_HERE)
    }

    #[inline]
    pub(super) fn at_mut(&mut self, key: EntryKey) -> &mut Entry {
        let entry = self.place_mut(key).entry.as_mut();
        entry.expect(KEYED_WHILE_HERE)
    }

    #[inline]
    pub(super) fn links(&self, key: EntryKey) -> Links {
        self.place(key).links
    }

    #[inline]
    pub(super) fn links_mut(&mut self, key: EntryKey) -> &mut Links {
        &mut self.place_mut(key).links
    }

    #[inline]
    fn place(&self, key: EntryKey) -> &Place {
        let block = self.blocks.get(key.0 as usize / BLOCK);
        block
            .and_then(|block| block.get(key.0 as usize % BLOCK))
            .expect(KEYED_WHILE_HERE)
    }

    #[inline]
    fn place_mut(&mut self, key: EntryKey) -> &mut Place {
        let block = self.blocks.get_mut(key.0 as usize / BLOCK);
        block
            .and_then(|block| block.get_mut(key.0 as usize % BLOCK))
            .expect(KEYED_WHILE_HERE)
    }

    /// Returns all entries, of which there are so many.
    pub(super) fn iter(&self, len: usize) -> impl Iterator<Item = (EntryKey, &Entry)> {
        let places = self.blocks.iter().flat_map(|block| block.iter());
        let entries = (0..)
            .zip(places)
            .filter_map(|(key, place)| Some((EntryKey(key), place.entry.as_ref()?)));
        entries.take(len)
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
        let keys: Vec<u32> = entries.iter(usize::MAX).map(|(key, _)| key.0).collect();
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
