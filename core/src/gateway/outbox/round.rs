//! Whose turn it is: round-robin over the devices that can send.
//!
//! The window is shared. A device with few publications in flight precedes those with many, and these leave a part of
//! the window free, so that there is always room for one that has just something to send. How many one may have in
//! flight grows with its acknowledgements, so that a device that gets none holds no more than a tenth.
//!
//! Devices with something urgent precede all others, and may have a tenth of the window more in flight for it.

mod special;

use super::{
    entries::Entries,
    queue::{Queue, Standing},
    ring::{Links, Ring},
};
use crate::{command::Slot, options::Options};

/// The turn of a device, which is in the round or was just taken.
#[derive(Clone, Copy, Debug)]
pub(super) struct Turn {
    pub(super) device: Slot,
    /// Where it waited.
    standing: Standing,
}

/// The devices that can send, each once, in the order in which they joined. Those whose next publication is at QoS 0 are
/// apart, because it needs no place in a window.
#[derive(Debug)]
pub(super) struct Round {
    /// With something urgent at QoS 0.
    urgent_free: Ring,
    /// With something urgent.
    urgent: Ring,
    /// With less than their share in flight.
    below: Ring,
    /// With their share or more in flight.
    above: Ring,
    free: Ring,
    links: Links,
    /// The number of the next to join.
    next: u64,
    /// The smallest room in the window with which a device of the round can send.
    needed: usize,
    shares: Shares,
}

/// More room than any window has.
const NEVER: usize = usize::MAX;

/// How the window is shared.
#[derive(Debug)]
struct Shares {
    /// How many a device may have in flight before it waits for the others.
    share: usize,
    /// How many a device may have in flight at first.
    first: usize,
    /// How many more it may have in flight after enough acknowledgements.
    growth: usize,
    /// What devices with their share or more leave of the window.
    spare: usize,
}

impl Shares {
    fn new(options: &Options) -> Self {
        let window = usize::from(options.window);
        let device_window = usize::from(options.device_window);
        let share = (window / 10).max(1);
        let first = share.min(device_window);
        Self {
            share,
            first,
            growth: device_window - first,
            spare: window / 20,
        }
    }
}

/// How many publications a device may have in flight.
impl Round {
    /// Records an acknowledgement of a device: it may have one more in flight.
    #[inline]
    pub(super) fn grow(&self, queue: &mut Queue) {
        queue.grown += usize::from(queue.grown < self.shares.growth);
    }

    /// Records that a publication of a device has left the window unanswered: it may have half as many in flight.
    pub(super) fn shrink(&mut self, device: Slot, queue: &mut Queue, entries: &Entries) {
        let first = self.shares.first;
        queue.most_grown = queue.most_grown.max(queue.grown);
        queue.grown = ((first + queue.grown) / 2).saturating_sub(first);
        if !self.suit(queue, entries) {
            self.remove(device, queue);
        }
    }

    /// Returns whether a device with this queue may have only one in flight.
    pub(super) fn allows_only_one(&self, queue: &Queue) -> bool {
        self.shares.first + queue.grown <= 1
    }

    /// Returns whether this queue has as many in flight as the device may have.
    #[inline]
    pub(super) fn is_full(&self, queue: &Queue) -> bool {
        queue.in_flight >= self.shares.first + queue.grown
    }
}

impl Round {
    pub(super) fn new(options: &Options) -> Self {
        Self {
            urgent_free: Ring::EMPTY,
            urgent: Ring::EMPTY,
            below: Ring::EMPTY,
            above: Ring::EMPTY,
            free: Ring::EMPTY,
            links: Links::default(),
            next: 0,
            needed: NEVER,
            shares: Shares::new(options),
        }
    }

    /// Returns whether this queue can send now.
    #[inline(always)]
    pub(super) fn suit(&self, queue: &Queue, entries: &Entries) -> bool {
        let is_special = || queue.has_special() && self.special_standing(queue, entries).is_some();
        queue.is_open && queue.has_waiting() && (!self.is_full(queue) || is_special())
    }

    /// Returns whether the device of a turn, with this queue, can send at QoS 1 while the window has room for so many more.
    #[inline]
    pub(super) fn may_send(&self, turn: Turn, queue: &Queue, left: usize) -> bool {
        let is_allowed = || match self.is_above(queue) {
            true => left >= self.room_for(Standing::Above) && self.below.is_empty(),
            false => left >= self.room_for(Standing::Below),
        };
        match turn.standing {
            Standing::UrgentFree => false,
            Standing::Urgent => !self.is_full_of_urgent(queue),
            Standing::Free => !self.is_full(queue) && is_allowed(),
            Standing::Below | Standing::Above | Standing::Absent => !self.is_full(queue),
        }
    }

    /// Returns the room in the window with which those that wait there can send.
    #[inline(always)]
    fn room_for(&self, standing: Standing) -> usize {
        match standing {
            Standing::UrgentFree | Standing::Free => 0,
            Standing::Urgent | Standing::Below => 1,
            Standing::Above => self.shares.spare + 1,
            Standing::Absent => NEVER,
        }
    }

    /// Returns where a device with this queue waits for the window.
    #[inline(always)]
    fn windowed_standing(&self, queue: &Queue) -> Standing {
        match self.is_above(queue) {
            true => Standing::Above,
            false => Standing::Below,
        }
    }

    #[inline]
    fn is_above(&self, queue: &Queue) -> bool {
        queue.in_flight >= self.shares.share
    }

    /// Makes a place for a device, which can send from now on.
    pub(super) fn add(&mut self, device: Slot) {
        self.links.add(device);
    }

    /// Appends the device with this queue to the round, unless it is in it already or cannot send.
    #[inline(always)]
    pub(super) fn offer(&mut self, device: Slot, queue: &mut Queue, entries: &Entries) {
        if queue.has_special() {
            return self.offer_special(device, queue, entries);
        }
        match queue.turn {
            Standing::Absent if self.suit(queue, entries) => self.append_windowed(device, queue),
            Standing::Above if !self.is_above(queue) => self.advance(device, queue),
            _ => {}
        }
    }

    /// Moves a device to those with less than their share.
    fn advance(&mut self, device: Slot, queue: &mut Queue) {
        self.remove(device, queue);
        self.append(device, queue, Standing::Below);
    }

    /// Appends a device that is not in the round to those that wait for the window.
    #[inline(always)]
    pub(super) fn append_windowed(&mut self, device: Slot, queue: &mut Queue) {
        self.append(device, queue, self.windowed_standing(queue));
    }

    #[inline(always)]
    fn append(&mut self, device: Slot, queue: &mut Queue, standing: Standing) {
        queue.turn = standing;
        let number = self.next;
        self.next += 1;
        self.needed = self.needed.min(self.room_for(standing));
        if let Some((ring, links)) = self.ring_mut(standing) {
            links.push_back(ring, device, number);
        }
    }

    /// Puts a device back to where it was taken from.
    #[inline(never)]
    pub(super) fn put_back(&mut self, turn: Turn, queue: &mut Queue) {
        match turn.is_urgent() {
            true => self.prepend_urgent(turn, queue),
            false => self.insert(turn, queue),
        }
    }

    /// Adds a device that is not in the round, with the number of its last turn.
    fn insert(&mut self, turn: Turn, queue: &mut Queue) {
        queue.turn = turn.standing;
        self.needed = self.needed.min(self.room_for(turn.standing));
        if let Some((ring, links)) = self.ring_mut(turn.standing) {
            links.insert(ring, turn.device);
        }
    }

    #[inline(always)]
    fn ring_mut(&mut self, standing: Standing) -> Option<(&mut Ring, &mut Links)> {
        let ring = match standing {
            Standing::Absent => return None,
            Standing::UrgentFree => &mut self.urgent_free,
            Standing::Urgent => &mut self.urgent,
            Standing::Below => &mut self.below,
            Standing::Above => &mut self.above,
            Standing::Free => &mut self.free,
        };
        Some((ring, &mut self.links))
    }

    /// Returns whether a device can send, if the window has room.
    #[inline]
    pub(super) fn has_waiting(&self) -> bool {
        self.needed != NEVER
    }

    /// Returns whether a device can send while the window has room for so many more.
    #[inline]
    pub(super) fn can_send(&self, left: usize) -> bool {
        left >= self.needed
    }

    /// Returns whether devices wait for the window, and it has no room for any of them.
    pub(super) fn is_held(&self, left: usize) -> bool {
        let needed = self.windowed_needed();
        needed != NEVER && left < needed
    }

    /// Returns whether a device can send something urgent, if the window has room.
    #[inline]
    pub(super) fn has_urgent(&self) -> bool {
        !self.urgent.is_empty() || !self.urgent_free.is_empty()
    }

    /// Returns the smallest room in the window with which a device that waits for it can send.
    fn windowed_needed(&self) -> usize {
        let is_one_enough = !self.below.is_empty() || !self.urgent.is_empty();
        self.room_for(match (is_one_enough, self.above.is_empty()) {
            (true, _) => Standing::Below,
            (false, false) => Standing::Above,
            (false, true) => Standing::Absent,
        })
    }

    /// Takes the device whose turn it is, while the window has room for so many more. The caller clears the mark of its
    /// queue.
    #[inline]
    pub(super) fn take(&mut self, left: usize) -> Option<Turn> {
        if !self.can_send(left) {
            return None;
        }
        if self.has_special()
            && let Some(standing) = self.next_special(left)
        {
            return self.take_from(standing);
        }
        match self.below.is_empty() {
            false => self.take_from(Standing::Below),
            true => self.take_from(Standing::Above),
        }
    }

    #[inline]
    fn has_special(&self) -> bool {
        !self.urgent.is_empty() || self.needed == self.room_for(Standing::Free)
    }

    /// Takes the first device that waits there.
    #[inline(always)]
    fn take_from(&mut self, standing: Standing) -> Option<Turn> {
        let (ring, links) = self.ring_mut(standing)?;
        let device = links.pop(ring)?;
        if ring.is_empty() {
            self.update_needed();
        }
        Some(Turn { device, standing })
    }

    #[inline]
    fn update_needed(&mut self) {
        self.needed = match self.free.is_empty() && self.urgent_free.is_empty() {
            true => self.windowed_needed(),
            false => self.room_for(Standing::Free),
        };
    }

    /// Removes a device from the round, because it is no longer attached or was removed, or cannot send any more.
    pub(super) fn remove(&mut self, device: Slot, queue: &mut Queue) {
        let standing = core::mem::take(&mut queue.turn);
        queue.keeps_turn = false;
        if let Some((ring, links)) = self.ring_mut(standing) {
            links.remove(ring, device);
            self.update_needed();
        }
    }
}
