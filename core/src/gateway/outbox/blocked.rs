//! The users whose publications were refused, and wait for room.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    Outbox,
    room::{Load, Room},
};
use crate::command::{Publication, Slot};

/// A user who waits for room.
#[derive(Clone, Copy, Debug)]
pub(super) struct Blocked {
    /// The size of the last refused publication.
    bytes: usize,
    /// Whether one that was refused is urgent: then any room will do, and otherwise half of the queue.
    is_urgent: bool,
    /// The place among those who wait for shared room; `None` while the device's own limit is in the way.
    place: Option<Place>,
}

/// A place among those who wait for shared room: grows with each who joins.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
struct Place(u64);

/// Those who wait for shared room. The oldest is served first; but if it needs more than there is, the one that needs
/// least: otherwise a device whose queue does not move could hold up all others.
#[derive(Debug, Default)]
pub(super) struct Waiting {
    by_age: BTreeMap<Place, (Slot, Load)>,
    by_need: BTreeSet<(Load, Place)>,
    /// The place of the next who joins.
    next: Place,
    /// What was taken of the shared room when it had too little for each who waits; `None` once one has joined or left.
    full_at: Option<Load>,
    /// The room of those who were notified in this look, and may take it.
    promised: Load,
}

impl Waiting {
    /// Returns whether anyone waits.
    #[inline(always)]
    pub(super) fn is_anyone(&self) -> bool {
        !self.by_age.is_empty()
    }

    /// Adds a device, at its old place if it has one.
    fn add(&mut self, device: Slot, old: Option<Place>, need: Load) -> Place {
        self.full_at = None;
        let place = old.unwrap_or(self.next);
        self.next = self.next.max(Place(place.0 + 1));
        self.by_age.insert(place, (device, need));
        self.by_need.insert((need, place));
        place
    }

    fn remove(&mut self, place: Place) {
        self.full_at = None;
        if let Some((_, need)) = self.by_age.remove(&place) {
            self.by_need.remove(&(need, place));
        }
    }

    /// Returns the next that has room, beside what was promised, and what it needs.
    fn next(&self, room: &Room) -> Option<(Slot, Load)> {
        let has_room = |need: Load| room.has(need.plus(self.promised));
        let (_, &(oldest, need)) = self.by_age.first_key_value()?;
        if has_room(need) {
            return Some((oldest, need));
        }
        // The number may be in the way, and not the bytes.
        let one_more = Load {
            messages: 1,
            bytes: 0,
        };
        let first = self.by_need.first();
        let first_with_number = self.by_need.range((one_more, Place(0))..).next();
        let mut least = [first, first_with_number].into_iter().flatten();
        let (_, place) = least.find(|(need, _)| has_room(*need))?;
        self.by_age.get(place).copied()
    }
}

impl Outbox {
    /// Records that the user of its device waits for room for this publication.
    pub(crate) fn block(&mut self, publication: &Publication) {
        let (device, bytes) = (publication.device.slot, publication.payload.len());
        let queue = self.queues.at_mut(device);
        let old = queue.blocked.take();
        let is_urgent = publication.is_urgent() || old.is_some_and(|old| old.is_urgent);
        let place = old.and_then(|old| old.place);
        let load = queue.load;
        let blocked = Blocked {
            bytes,
            is_urgent,
            place,
        };
        self.wait(device, blocked, |room| room.suits_device(load.with(bytes)));
    }

    /// Finds a device whose load has changed its place among those who wait, if its user does. Never inlined: usually
    /// nobody waits.
    #[inline(never)]
    pub(super) fn recheck(&mut self, device: Slot) {
        let queue = self.queues.at_mut(device);
        let load = queue.load;
        if let Some(blocked) = queue.blocked.take() {
            self.wait(device, blocked, |room| {
                let may_be_tight = blocked.is_urgent || blocked.place.is_some();
                let is_relaxed = may_be_tight || room.is_relaxed(load);
                is_relaxed && room.suits_device(load.with(blocked.bytes))
            });
            self.is_look_due = true;
        }
    }

    /// Lets a device wait: for shared room if `suits` says that its own limit is not in the way. `blocked` has its place so
    /// far.
    fn wait(&mut self, device: Slot, blocked: Blocked, suits: impl FnOnce(&Room) -> bool) {
        let Blocked { bytes, place, .. } = blocked;
        let old = place;
        if let Some(old) = old {
            self.waiting.remove(old);
        }
        let queue = self.queues.at_mut(device);
        let place = suits(&self.room).then(|| {
            let need = self.room.need(queue.load, queue.load.with(bytes));
            self.waiting.add(device, old, need)
        });
        queue.blocked = Some(Blocked { place, ..blocked });
    }

    /// Forgets that the user of a device waits.
    pub(super) fn unblock(&mut self, device: Slot) {
        let blocked = self.queues.at_mut(device).blocked.take();
        if let Some(place) = blocked.and_then(|blocked| blocked.place) {
            self.waiting.remove(place);
        }
    }

    /// Returns whether there may be room for a user who waits, or memory to be freed.
    #[inline]
    pub(crate) fn has_chores(&self) -> bool {
        self.is_look_due || self.entries.are_sparse(self.len())
    }

    /// Returns whether there may be room for a user who waits. Then there is not, until a publication has ended: a user who
    /// was just refused has no room.
    pub(crate) fn take_look(&mut self) -> bool {
        core::mem::take(&mut self.is_look_due)
    }

    /// Takes a device whose user waited for room and has it. While the shared room is scarce, no more are notified at once
    /// than have room together.
    pub(crate) fn take_writable(&mut self) -> Option<Slot> {
        let full_at = self.waiting.full_at;
        if full_at.is_some_and(|taken| self.room.has_no_more_than_at(taken)) {
            return None;
        }
        let Some((device, need)) = self.waiting.next(&self.room) else {
            // What was promised may not be taken.
            let promised = core::mem::take(&mut self.waiting.promised);
            self.waiting.full_at = (promised == Load::default()).then(|| self.room.taken());
            return None;
        };
        if self.room.is_scarce() {
            self.waiting.promised = self.waiting.promised.plus(need);
        }
        self.unblock(device);
        Some(device)
    }
}
