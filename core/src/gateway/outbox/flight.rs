//! The part of the outbox that belongs to one connection: what was queued for transmission, and which device is next.

use std::collections::BTreeMap;

use super::{
    Outbox, Whence,
    entries::Entries,
    entry::{Entry, EntryKey, Place},
    list::List,
    queue::Standing,
    queue::{Candidate, Queue},
    round::Round,
};
use crate::{
    clock::Moment,
    command::{OpId, Slot},
    mqtt::PacketId,
    options::Options,
};

/// The publications queued for transmission on one connection, and the devices that can send on it.
#[derive(Debug)]
pub(crate) struct Flight {
    /// Devices that can send.
    pub(super) round: Round,
    /// How many were queued at QoS 1 and are not yet acknowledged.
    in_flight: usize,
    /// The packets of those that have ended and may still be in the peer's queue: they count in the shares of their devices.
    pub(super) ended: BTreeMap<PacketId, Ended>,
    /// Queued at QoS 0 and not yet handed over to the transport.
    pub(super) handing_over: List,
}

/// A publication that has ended, and whose packet may still be in the peer's queue.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ended {
    pub(crate) device: Slot,
    pub(crate) op: OpId,
}

/// What may be published now.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Window {
    /// For how many more publications at QoS 1 there is room.
    pub(crate) left: usize,
    /// Maximum size of its packet.
    pub(crate) room: usize,
}

impl Flight {
    pub(crate) fn new(options: &Options) -> Self {
        Self {
            round: Round::new(options),
            in_flight: 0,
            ended: BTreeMap::new(),
            handing_over: List::default(),
        }
    }

    /// Returns whether a device can send, if the window has room.
    #[inline]
    pub(crate) fn has_waiting(&self) -> bool {
        self.round.has_waiting()
    }

    /// Returns whether a device can send while the window has room for so many more.
    #[inline]
    pub(crate) fn can_send(&self, left: usize) -> bool {
        self.round.can_send(left)
    }

    /// Returns whether devices wait for the window, and the room for so many more is for none of them.
    #[inline]
    pub(crate) fn is_held(&self, left: usize) -> bool {
        self.round.is_held(left)
    }

    /// Returns whether a device can send something urgent, if the window has room.
    #[inline]
    pub(crate) fn has_urgent(&self) -> bool {
        self.round.has_urgent()
    }

    /// Returns the publication of a packet, if it has ended, unless it was answered or is overdue.
    pub(crate) fn ended(&self, id: PacketId) -> Option<Ended> {
        self.ended.get(&id).copied()
    }

    /// Returns the number of QoS 1 publications queued and not yet acknowledged.
    #[inline]
    pub(crate) fn in_flight(&self) -> usize {
        self.in_flight
    }
}

impl Flight {
    /// Removes a publication of the device with this queue from where it is.
    #[inline(always)]
    pub(super) fn unlink(&mut self, queue: &mut Queue, entries: &mut Entries, key: EntryKey) {
        match entries.at(key).place {
            Place::InFlight { .. } => {
                queue.in_flight -= 1;
                self.in_flight -= 1;
            }
            Place::HandingOver { .. } => self.handing_over.remove(entries, key),
            Place::Waiting | Place::Suspected => queue.unlink_any(entries, key),
        }
    }
}

impl Outbox {
    /// Lets a newly attached device send.
    pub(crate) fn open(&mut self, flight: &mut Flight, device: Slot) {
        let queue = self.queues.at_mut(device);
        queue.is_open = !queue.is_suspected();
        flight.round.add(device);
        flight.round.offer(device, queue, &self.entries);
    }

    /// Lets an attached device send whose suspects have all ended.
    pub(crate) fn reopen(&mut self, flight: &mut Flight, device: Slot) {
        let queue = self.queues.at(device);
        if !queue.is_open && !queue.is_suspected() {
            self.open(flight, device);
        }
    }

    /// Stops a device that is no longer attached from sending.
    pub(crate) fn close(&mut self, flight: &mut Flight, device: Slot) {
        let queue = self.queues.at_mut(device);
        queue.is_open = false;
        flight.round.remove(device, queue);
    }

    /// Returns the next publication to queue, in turn over the devices, if the window and the pace allow it.
    #[inline]
    pub(crate) fn next(
        &mut self,
        flight: &mut Flight,
        window: Window,
        now: Moment,
    ) -> Option<EntryKey> {
        while let Some(turn) = flight.round.take(window.left) {
            let device = turn.device;
            let mut queue = self.queues.at_mut(device);
            queue.turn = Standing::Absent;
            if turn.is_urgent() {
                flight.round.resume(device, queue);
            }
            if !flight.round.suit(queue, &self.entries) {
                continue;
            }
            let Candidate { key, held_until } = queue.candidate(&self.entries, now);
            if let Some(at) = held_until {
                self.hold(device, at, now);
                queue = self.queues.at_mut(device);
            }
            if turn.is_stale(queue, &self.entries) {
                flight.round.offer(device, queue, &self.entries);
                continue;
            }
            let may_send = flight.round.may_send(turn, queue, window.left);
            let free = || queue.free_candidate(&self.entries, now);
            let next = if may_send { key } else { free() };
            if next.is_none() && key.is_some() && !flight.round.is_full(queue) {
                // What it can send at QoS 0 is held by its pace, or has changed.
                flight.round.append_windowed(device, queue);
            }
            let Some(key) = next else {
                continue;
            };
            let entry = self.entries.at(key);
            if entry.packet_size() > window.room {
                flight.round.put_back(turn, self.queues.at_mut(device));
                return None;
            }
            return Some(key);
        }
        None
    }

    /// Records that a publication was queued for transmission with this packet identifier.
    #[inline]
    pub(crate) fn sent(&mut self, flight: &mut Flight, key: EntryKey, id: PacketId, now: Moment) {
        flight.in_flight += 1;
        self.leave_queue(flight, key, Place::InFlight { id }, now);
    }

    /// Records that a QoS 0 publication was queued for transmission; it ends at this offset in the stream.
    #[inline(never)]
    pub(crate) fn sent_once(&mut self, flight: &mut Flight, key: EntryKey, end: u64, now: Moment) {
        self.leave_queue(flight, key, Place::HandingOver { end }, now);
        flight.handing_over.push_back(&mut self.entries, key);
    }

    /// Moves a publication from its device's queue to a place in the flight, and the device to the end of the round.
    #[inline(always)]
    fn leave_queue(&mut self, flight: &mut Flight, key: EntryKey, place: Place, now: Moment) {
        let entry = self.entries.at_mut(key);
        entry.place = place;
        let device = entry.device;
        let queue = self.queues.at_mut(device);
        queue.record_queued(entry, &self.quota, now);
        queue.unlink(&mut self.entries, key);
        queue.in_flight += usize::from(matches!(place, Place::InFlight { .. }));
        flight.round.offer(device, queue, &self.entries);
        self.connection_pacer.count(&self.quota, now);
    }

    /// Returns whether this is a state that a newer one has replaced: it must not be sent again.
    pub(crate) fn is_superseded(&self, key: EntryKey) -> bool {
        let entry = self.entry(key);
        self.queues.at(entry.device).has_newer(entry)
    }

    /// Returns whether this is a state that is held back by its pace.
    pub(crate) fn is_held(&self, key: EntryKey, now: Moment) -> bool {
        let entry = self.entry(key);
        let pace = &self.queues.at(entry.device).pace;
        entry.is_state() && pace.holds_state(now).is_some()
    }

    /// Records that an overdue publication was queued for transmission again.
    pub(crate) fn sent_again(&mut self, key: EntryKey, now: Moment) {
        let entry = self.entries.at(key);
        let queue = self.queues.at_mut(entry.device);
        queue.record_queued(entry, &self.quota, now);
        self.connection_pacer.count(&self.quota, now);
    }

    /// Returns the oldest QoS 0 publication that was completely handed over, up to this offset in the stream.
    pub(crate) fn handed_over(&self, flight: &Flight, offset: u64) -> Option<EntryKey> {
        let key = flight.handing_over.head()?;
        match self.entry(key).place {
            Place::HandingOver { end } if end <= offset => Some(key),
            _ => None,
        }
    }

    /// Returns the QoS 0 publication that is handed over next, if it ends at this offset in the stream.
    pub(crate) fn handed_over_to(&self, flight: &Flight, offset: u64) -> Option<EntryKey> {
        let key = flight.handing_over.head()?;
        let place = self.entry(key).place;
        matches!(place, Place::HandingOver { end } if end == offset).then_some(key)
    }

    /// Ends a publication on a connection, wherever it is; returns its operation and its device, which can send more
    /// now.
    #[inline(always)]
    pub(crate) fn finish(
        &mut self,
        flight: &mut Flight,
        key: EntryKey,
        is_acknowledged: bool,
    ) -> (OpId, Slot) {
        let (op, device) = self.remove(key, Whence::Flight(flight, is_acknowledged));
        let queue = self.queues.at_mut(device);
        flight.round.offer(device, queue, &self.entries);
        (op, device)
    }

    /// Records that the packet of a publication that is about to end remains in the window: until it is answered or
    /// overdue, it counts in the share of its device. Otherwise a user who cancels and tries again would take all of the
    /// window. A share of one stays free, so that the device can show whether the peer answers.
    pub(crate) fn end_in_flight(&mut self, flight: &mut Flight, key: EntryKey, id: PacketId) {
        let &Entry { device, op, .. } = self.entries.at(key);
        let queue = self.queues.at_mut(device);
        if flight.round.allows_only_one(queue) {
            return;
        }
        queue.in_flight += 1;
        queue.ended_in_flight += 1;
        flight.ended.insert(id, Ended { device, op });
    }

    /// Records that a packet was answered, or is overdue, whose publication has ended.
    pub(crate) fn forget_ended(&mut self, flight: &mut Flight, id: PacketId) {
        let Some(Ended { device, .. }) = flight.ended.remove(&id) else {
            return;
        };
        let queue = self.queues.at_mut(device);
        queue.in_flight -= 1;
        queue.ended_in_flight -= 1;
        flight.round.offer(device, queue, &self.entries);
    }

    /// Records that a publication has left the window unanswered.
    pub(crate) fn skip(&mut self, flight: &mut Flight, key: EntryKey) {
        let device = self.entries.at(key).device;
        let queue = self.queues.at_mut(device);
        flight.round.shrink(device, queue, &self.entries);
    }
}
