//! The states of devices: the record of one that was replaced stays until a newer one is durable or was acknowledged.

use super::{Accepted, Ending, Haste, Records, haste_after};
use crate::{
    command::{OpId, Slot},
    gateway::outbox::entry::EntryKey,
    store::StoreSeq,
};

/// The record of a state that a newer one has replaced.
#[derive(Clone, Copy, Debug)]
pub(super) struct Replaced {
    op: OpId,
    pub(super) seq: StoreSeq,
    /// What it has reserved.
    pub(super) bytes: usize,
}

/// The states of one device.
#[derive(Debug, Default)]
pub(super) struct OfDevice {
    /// Those that have not ended, oldest first.
    unended: Vec<(OpId, EntryKey)>,
    /// The newest one that is durable or was delivered.
    settled: Option<OpId>,
    /// Oldest first.
    pub(super) replaced: Vec<Replaced>,
    /// How many removals there were when the newest of its own was among them.
    pub(super) removals: u64,
}

impl OfDevice {
    /// Returns those that have not ended, oldest first.
    pub(super) fn unended(&self) -> impl Iterator<Item = EntryKey> {
        self.unended.iter().map(|(_, key)| *key)
    }
}

/// The states of all devices, by slot. Of a device that has left, nothing remains that matters to the next one in its slot.
#[derive(Debug, Default)]
pub(super) struct States {
    devices: Vec<OfDevice>,
}

impl States {
    pub(super) fn of(&self, device: Slot) -> Option<&OfDevice> {
        self.devices.get(device.index())
    }

    fn of_mut(&mut self, device: Slot) -> Option<&mut OfDevice> {
        self.devices.get_mut(device.index())
    }

    /// Adds a state that was accepted.
    pub(super) fn add(&mut self, device: Slot, op: OpId, key: EntryKey) {
        if self.devices.len() <= device.index() {
            self.devices
                .resize_with(device.index() + 1, OfDevice::default);
        }
        if let Some(states) = self.of_mut(device) {
            states.unended.push((op, key));
        }
    }

    /// Returns whether a newer one has not ended.
    pub(super) fn has_newer(&self, device: Slot, op: OpId) -> bool {
        let newest = self.of(device).and_then(|states| states.unended.last());
        newest.is_some_and(|(newest, _)| *newest > op)
    }

    /// Returns those that have not ended and are older than this one, oldest first.
    pub(super) fn older(&self, device: Slot, op: OpId) -> Vec<EntryKey> {
        let unended = self.of(device).map(|states| &states.unended[..]);
        let older = unended.unwrap_or_default().iter();
        let older = older.take_while(|(other, _)| *other < op);
        older.map(|(_, key)| *key).collect()
    }

    /// Records that a state is durable or was delivered; returns the records that need not stay because of that.
    pub(super) fn settle(&mut self, device: Slot, op: OpId) -> Vec<Replaced> {
        let Some(states) = self.of_mut(device) else {
            return Vec::new();
        };
        states.settled = states.settled.max(Some(op));
        let older = states.replaced.partition_point(|replaced| replaced.op < op);
        states.replaced.drain(..older).collect()
    }

    /// Keeps the record of a replaced state if it has to stay; returns whether it does.
    pub(super) fn replace(&mut self, device: Slot, op: OpId, seq: StoreSeq, bytes: usize) -> bool {
        let Some(states) = self.of_mut(device) else {
            return false;
        };
        // It may be the settled one itself, which is no reason to remove it.
        let stays = states.settled <= Some(op);
        if stays {
            let older = states.replaced.partition_point(|replaced| replaced.op < op);
            states.replaced.insert(older, Replaced { op, seq, bytes });
        }
        stays
    }

    /// Removes a state that has ended; returns the records that need not stay because all newer ones have.
    pub(super) fn end(&mut self, device: Slot, op: OpId) -> Vec<Replaced> {
        let Some(states) = self.of_mut(device) else {
            return Vec::new();
        };
        states.unended.retain(|(other, _)| *other != op);
        let newest = states.unended.last().map(|(op, _)| *op);
        let stay = states
            .replaced
            .partition_point(|replaced| Some(replaced.op) < newest);
        states.replaced.split_off(stay)
    }

    /// Records how many removals there are, the newest of which is of this device.
    pub(super) fn note_removal(&mut self, device: Slot, removals: u64) {
        if let Some(states) = self.of_mut(device) {
            states.removals = removals;
        }
    }

    /// Replaces a key.
    pub(super) fn rename(&mut self, device: Slot, old: EntryKey, new: EntryKey) {
        let states = self.of_mut(device);
        let keys = states.into_iter().flat_map(|states| &mut states.unended);
        for (_, key) in keys.filter(|(_, key)| *key == old) {
            *key = new;
        }
    }
}

impl Records {
    /// Adds a state; returns whether an older one of its device may be in the store. That must not come back once this one is
    /// sent: it is removed at once if it has ended, and else this one has to be put at once.
    #[inline(never)]
    pub(super) fn add_state(&mut self, key: EntryKey, accepted: &Accepted) -> bool {
        let (device, begun) = (accepted.device, self.groups.begun());
        let follows_stored = self.states.of(device).is_some_and(|states| {
            let grouped = self.groups.removals();
            self.removals.hasten(states.removals, grouped);
            let may_be_stored = |key| self.items.at(key).may_be_stored(begun).is_some();
            !states.replaced.is_empty() || states.unended().any(may_be_stored)
        });
        self.states.add(device, accepted.op, key);
        follows_stored
    }

    #[inline(never)]
    pub(super) fn end_state(
        &mut self,
        seq: Option<StoreSeq>,
        bytes: usize,
        op: OpId,
        device: Slot,
        ending: Ending,
    ) {
        if ending == Ending::Delivered {
            self.outdate(device, op);
        }
        let haste = haste_after(ending, self.states.has_newer(device, op));
        let stays = ending == Ending::Superseded
            && seq.is_some_and(|seq| self.states.replace(device, op, seq, bytes));
        match seq {
            _ if stays => {}
            Some(seq) => self.remove_state(device, seq, bytes, haste),
            None => self.room.release(bytes),
        }
        let left = self.states.end(device, op);
        self.remove_states(device, left, Haste::AtOnce);
    }

    /// Removes the records of all states of a device that are older than a delivered one, also of those in flight: after a
    /// crash, they would replace it.
    fn outdate(&mut self, device: Slot, op: OpId) {
        let replaced = self.states.settle(device, op);
        self.remove_states(device, replaced, Haste::AtOnce);
        for older in self.states.older(device, op) {
            match self.leave(older) {
                (Some(seq), bytes) => self.remove_state(device, seq, bytes, Haste::AtOnce),
                (None, bytes) => self.room.release(bytes),
            }
        }
    }

    pub(super) fn remove_states(&mut self, device: Slot, states: Vec<Replaced>, haste: Haste) {
        for Replaced { seq, bytes, .. } in states {
            self.remove_state(device, seq, bytes, haste);
        }
    }

    fn remove_state(&mut self, device: Slot, seq: StoreSeq, bytes: usize, haste: Haste) {
        self.remove(seq, bytes, haste);
        let removals = self.removals.count();
        self.states.note_removal(device, removals);
    }
}
