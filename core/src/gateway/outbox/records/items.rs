//! What is known of each publication, by the key of its entry.

use super::super::entry::{EntryKey, NONE};
use crate::{clock::Moment, store::StoreSeq};

/// As many are allocated at once, as entries are.
const BLOCK: usize = 64;

/// A publication has its item from its acceptance to its end.
const HERE_WITH_ITS_ENTRY: &str = "an item is used only while its entry exists";

/// What is known of a publication.
#[derive(Clone, Copy, Debug)]
pub(super) struct Item {
    /// Its number, once it is to be put.
    pub(super) seq: Option<StoreSeq>,
    /// When it was accepted.
    pub(super) since: Moment,
    /// Its neighbours in the line.
    pub(super) previous: EntryKey,
    pub(super) next: EntryKey,
    /// What it has reserved; more than a record may have is never accepted.
    pub(super) bytes: u32,
    pub(super) stage: Stage,
    pub(super) is_state: bool,
    pub(super) ending: Ending,
}

/// How far a publication has come on its way into the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// It is not stored, because of its quality of service.
    Volatile,
    /// It is in the line.
    Lined,
    /// It is durable.
    Stored,
}

/// How a publication ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) enum Ending {
    /// It was acknowledged, or handed over at QoS 0.
    Delivered,
    Failed,
    /// Its user has taken it back.
    Withdrawn,
    /// A newer state has replaced it.
    Superseded,
}

impl Item {
    const VACANT: Self = Self {
        seq: None,
        since: Moment::START,
        previous: NONE,
        next: NONE,
        bytes: 0,
        stage: Stage::Volatile,
        is_state: false,
        ending: Ending::Delivered,
    };

    /// Returns its number, if it may be in the store, where all through `begun` may be.
    #[inline]
    pub(super) fn may_be_stored(&self, begun: Option<StoreSeq>) -> Option<StoreSeq> {
        match self.stage {
            Stage::Volatile => None,
            Stage::Lined => self.seq.filter(|seq| Some(*seq) <= begun),
            Stage::Stored => self.seq,
        }
    }

    #[inline]
    pub(super) fn is_in_line(&self) -> bool {
        self.stage == Stage::Lined
    }
}

/// All items.
#[derive(Debug, Default)]
pub(super) struct Items {
    items: Vec<Item>,
}

impl Items {
    /// Begins an item.
    #[inline]
    pub(super) fn begin(&mut self, key: EntryKey, is_state: bool, since: Moment) -> &mut Item {
        let index = key.0 as usize;
        if index >= self.items.len() {
            self.grow(index);
        }
        let item = self.at_mut(key);
        *item = Item {
            since,
            is_state,
            ..Item::VACANT
        };
        item
    }

    #[inline(never)]
    fn grow(&mut self, index: usize) {
        let blocks = index / BLOCK + 1;
        self.items.resize(blocks * BLOCK, Item::VACANT);
    }

    /// Moves an item to its new key.
    pub(super) fn rename(&mut self, old: EntryKey, new: EntryKey) {
        let item = *self.at(old);
        *self.at_mut(new) = item;
    }

    /// Frees the memory of all but so many keys.
    pub(super) fn shrink(&mut self, keys: usize) {
        self.items.truncate(keys);
        self.items.shrink_to_fit();
    }

    #[inline]
    pub(super) fn at(&self, key: EntryKey) -> &Item {
        self.items.get(key.0 as usize).expect(HERE_WITH_ITS_ENTRY)
    }

    #[inline]
    pub(super) fn at_mut(&mut self, key: EntryKey) -> &mut Item {
        self.items
            .get_mut(key.0 as usize)
            .expect(HERE_WITH_ITS_ENTRY)
    }
}
