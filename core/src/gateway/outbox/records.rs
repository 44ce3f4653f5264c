//! Which publications are in the store, or are to be. The rules are in `gateway/store.rs`.

mod groups;
mod items;
mod line;
mod removals;
mod room;
mod states;

use core::num::NonZeroU64;

pub(crate) use self::groups::RecordOp;
use self::{
    groups::Groups,
    items::{Item, Items, Stage},
    line::Line,
    removals::{Haste, Removals},
    room::StoreRoom,
    states::States,
};
pub(super) use self::{
    items::Ending,
    room::{bytes_in_store, record_bytes},
};
use super::entry::EntryKey;
use crate::{
    clock::Moment,
    command::{OpId, Publication, PublicationTopic, Slot},
    options::{Durability, OnStoreFailure},
    store::StoreSeq,
    time::Duration,
};

/// The publications of the outbox, as far as they matter to the store: where each is, and what has to be done.
#[derive(Debug)]
pub(super) struct Records {
    items: Items,
    line: Line,
    removals: Removals,
    states: States,
    groups: Groups,
    pub(super) room: StoreRoom,
    /// How many are in the store.
    stored: usize,
    /// The highest number so far.
    last: Option<StoreSeq>,
    /// The highest place in the order of acceptance that was found: those of new publications are above.
    accepted_before: u64,
    /// Whether nothing was added but what was found.
    is_restorable: bool,
    linger: Duration,
    on_failure: OnStoreFailure,
    /// All through this number that were put are durable.
    durable: Option<StoreSeq>,
    phase: Phase,
    /// Place for the topic of the record that is put.
    pub(super) topic: PublicationTopic,
}

/// What the gateway does, as far as it matters to the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// There is no connection: what is accepted is put at once.
    Offline,
    /// There is one: what is accepted may be acknowledged before it is put.
    Connected,
    /// What is left is put at once, and removed at once.
    Closing,
    /// What ends now stays in the store.
    Closed,
}

/// A publication that was accepted, as far as it matters to the store.
pub(super) struct Accepted {
    pub(super) op: OpId,
    pub(super) device: Slot,
    pub(super) is_state: bool,
    /// The bytes of its record; `None` if it is not stored.
    pub(super) bytes: Option<usize>,
    /// Where it was found, if it is in the store already.
    pub(super) found: Option<Found>,
}

/// Where a publication was found in the store.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Found {
    pub(crate) seq: StoreSeq,
    /// Its place in the order of acceptance.
    pub(crate) accepted: NonZeroU64,
}

impl Accepted {
    pub(super) fn new(op: OpId, publication: &Publication) -> Self {
        Self {
            op,
            device: publication.device.slot,
            is_state: matches!(publication.topic, PublicationTopic::State),
            bytes: record_bytes(publication),
            found: None,
        }
    }
}

impl Records {
    pub(super) fn new(durability: &Durability, linger: Duration, largest: usize) -> Self {
        Self {
            items: Items::default(),
            line: Line::default(),
            removals: Removals::default(),
            states: States::default(),
            groups: Groups::default(),
            room: StoreRoom::new(durability, largest),
            stored: 0,
            last: None,
            accepted_before: 0,
            is_restorable: true,
            linger,
            on_failure: durability.on_failure,
            durable: None,
            phase: Phase::Offline,
            topic: PublicationTopic::State,
        }
    }

    pub(super) fn is_restorable(&self) -> bool {
        self.is_restorable
    }

    /// Returns the place of a publication in the order of acceptance, also over restarts.
    #[inline]
    pub(super) fn acceptance(&self, op: OpId) -> NonZeroU64 {
        NonZeroU64::from(op).saturating_add(self.accepted_before)
    }

    /// Adds a publication; returns whether there may be something to commit.
    pub(super) fn add(&mut self, key: EntryKey, accepted: &Accepted, now: Moment) -> bool {
        let item = self.items.begin(key, accepted.is_state, now);
        self.is_restorable &= accepted.found.is_some();
        let bytes = accepted.bytes.unwrap_or(0);
        item.bytes = bytes as u32;
        self.room.reserve(bytes);
        let follows_stored = accepted.is_state && self.add_state(key, accepted);
        if let Some(Found {
            seq,
            accepted: place,
        }) = accepted.found
        {
            self.items.at_mut(key).seq = Some(seq);
            self.number_above(Some(seq), place.get());
            self.store(key, accepted.op, accepted.device);
            return true;
        }
        if accepted.bytes.is_some() {
            self.line.push_back(&mut self.items, key);
            if self.phase != Phase::Connected || self.linger.is_zero() || follows_stored {
                self.number_all();
            }
        }
        !self.has_group() && (self.line.first_to_put().is_some() || self.removals.has_haste())
    }

    /// Numbers what follows above these: its number, and its place in the order of acceptance.
    pub(super) fn number_above(&mut self, seq: Option<StoreSeq>, place: u64) {
        self.last = self.last.max(seq);
        self.accepted_before = self.accepted_before.max(place);
    }

    /// Records that a publication is durable.
    pub(super) fn store(&mut self, key: EntryKey, op: OpId, device: Slot) {
        let item = self.items.at_mut(key);
        item.stage = Stage::Stored;
        self.stored += 1;
        if item.is_state {
            let replaced = self.states.settle(device, op);
            self.remove_states(device, replaced, Haste::None);
        }
    }

    /// Returns whether a publication is durable.
    pub(super) fn is_stored(&self, key: EntryKey) -> bool {
        self.items.at(key).stage == Stage::Stored
    }

    /// Records how a publication ends that is about to be removed.
    pub(super) fn note_ending(&mut self, key: EntryKey, ending: Ending) {
        self.items.at_mut(key).ending = ending;
    }

    /// Ends a publication; returns whether there may be something to do.
    pub(super) fn end(&mut self, key: EntryKey, op: OpId, device: Slot) -> bool {
        let Item {
            is_state, ending, ..
        } = *self.items.at(key);
        if self.phase == Phase::Closed {
            // It stays in the store.
            self.leave_line(key);
            return false;
        }
        let (seq, bytes) = self.leave(key);
        match (is_state, seq) {
            (true, _) => self.end_state(seq, bytes, op, device, ending),
            (false, Some(seq)) => self.remove(seq, bytes, haste_after(ending, false)),
            (false, None) => self.room.release(bytes),
        }
        self.room.is_look_due() || self.has_new_removals()
    }

    /// Forgets that a publication is stored, or is to be; returns its number if it may be in the store, and what it has
    /// reserved.
    #[inline]
    fn leave(&mut self, key: EntryKey) -> (Option<StoreSeq>, usize) {
        let item = self.items.at(key);
        let (stage, bytes) = (item.stage, item.bytes as usize);
        let seq = item.may_be_stored(self.groups.begun());
        self.leave_line(key);
        self.stored -= usize::from(stage == Stage::Stored);
        let item = self.items.at_mut(key);
        (item.stage, item.bytes) = (Stage::Volatile, 0);
        (seq, bytes)
    }

    #[inline]
    fn leave_line(&mut self, key: EntryKey) {
        if self.items.at(key).is_in_line() {
            self.line.remove(&mut self.items, key);
        }
    }

    fn remove(&mut self, seq: StoreSeq, bytes: usize, haste: Haste) {
        self.removals.push(seq, haste);
        self.room.release(bytes);
    }

    /// Numbers the first publication without a number: it is to be put.
    fn number(&mut self, key: EntryKey) {
        let seq = self.last.map_or(StoreSeq::FIRST, StoreSeq::next);
        self.last = Some(seq);
        self.line.number(&mut self.items, key, seq);
    }

    fn number_all(&mut self) {
        while let Some(key) = self.line.first_young() {
            self.number(key);
        }
    }

    /// Returns when the next publication has waited for its acknowledgement for long enough.
    fn next_old(&self) -> Option<Moment> {
        let young = self.line.first_young()?;
        Some(self.items.at(young).since + self.linger)
    }

    /// Numbers what has waited for its acknowledgement for long enough.
    pub(super) fn run_due(&mut self, now: Moment) {
        while self.next_old().is_some_and(|at| at <= now)
            && let Some(key) = self.line.first_young()
        {
            self.number(key);
        }
    }

    /// Records what the gateway does. One that closes does nothing else any more; once it is closed, there are no more
    /// operations, and no answer counts.
    pub(super) fn set_phase(&mut self, phase: Phase) {
        if self.is_closing() && phase != Phase::Closed {
            return;
        }
        self.phase = phase;
        match phase {
            Phase::Connected => {}
            Phase::Offline | Phase::Closing => self.number_all(),
            Phase::Closed => {
                self.groups.end();
                self.removals = Removals::default();
            }
        }
    }

    fn is_closing(&self) -> bool {
        matches!(self.phase, Phase::Closing | Phase::Closed)
    }

    /// Returns whether nothing is accepted until the store can be written again.
    pub(super) fn is_refusing(&self) -> bool {
        self.is_in_trouble() && self.on_failure == OnStoreFailure::Refuse
    }

    pub(super) fn stored(&self) -> usize {
        self.stored
    }

    /// Returns what a publication has reserved, if it belongs to no group yet.
    pub(super) fn ungrouped_bytes(&self, key: EntryKey) -> usize {
        let item = self.items.at(key);
        match item.may_be_stored(self.groups.begun()) {
            Some(_) => 0,
            None => item.bytes as usize,
        }
    }

    /// Returns what a publication has reserved.
    pub(super) fn bytes(&self, key: EntryKey) -> usize {
        self.items.at(key).bytes as usize
    }

    /// Forgets a device, all of whose publications have ended.
    pub(super) fn forget_device(&mut self, device: Slot) {
        self.room.unblock(device);
    }

    /// Replaces the key of a publication.
    pub(super) fn rename(&mut self, device: Slot, old: EntryKey, new: EntryKey) {
        self.items.rename(old, new);
        let item = self.items.at(new);
        if item.is_state {
            self.states.rename(device, old, new);
        }
        if item.is_in_line() {
            self.line.rename(&mut self.items, old, new);
        }
    }

    /// Frees the memory of all but so many keys.
    pub(super) fn shrink(&mut self, keys: usize) {
        self.items.shrink(keys);
    }
}

/// Returns how soon the record of a publication has to go that has ended like this: whether or not a newer state may have
/// been sent since.
fn haste_after(ending: Ending, has_newer: bool) -> Haste {
    match ending {
        Ending::Withdrawn => Haste::AtOnce,
        Ending::Delivered | Ending::Failed if has_newer => Haste::AtOnce,
        // A newer one is in the store, too.
        Ending::Superseded => Haste::None,
        Ending::Delivered | Ending::Failed => Haste::None,
    }
}
