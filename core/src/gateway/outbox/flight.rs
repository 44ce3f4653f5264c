//! The part of the outbox that belongs to one connection: what was queued for transmission, and which device is next.

use super::{
    Outbox,
    entry::{Entry, EntryKey, Place},
    list::List,
    round::Round,
};
use crate::{
    clock::Moment,
    command::{OpId, Slot},
    mqtt::{PacketId, QoS},
    options::Options,
};

/// The publications queued for transmission on one connection, and the devices that can send on it.
#[derive(Debug)]
pub(crate) struct Flight {
    /// Devices that can send.
    pub(super) round: Round,
    /// How many were queued at QoS 1 and are not yet acknowledged.
    in_flight: usize,
    /// Queued at QoS 0 and not yet handed over to the transport.
    pub(super) handing_over: List,
}

/// What may be published now.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Window {
    /// Whether there is room for one more publication at QoS 1.
    pub(crate) is_open: bool,
    /// Maximum size of its packet.
    pub(crate) room: usize,
}

impl Flight {
    pub(crate) fn new(options: &Options) -> Self {
        Self {
            round: Round::new(usize::from(options.device_window)),
            in_flight: 0,
            handing_over: List::default(),
        }
    }

    /// Returns whether a device can send, if the window has room.
    #[inline]
    pub(crate) fn has_waiting(&self) -> bool {
        self.round.has_windowed() || self.round.has_free()
    }

    /// Returns whether a device can send at QoS 0.
    #[inline]
    pub(crate) fn has_free(&self) -> bool {
        self.round.has_free()
    }

    /// Returns whether a device can send at QoS 1, if the window has room.
    #[inline]
    pub(crate) fn has_windowed(&self) -> bool {
        self.round.has_windowed()
    }

    /// Returns the number of QoS 1 publications queued and not yet acknowledged.
    #[inline]
    pub(crate) fn in_flight(&self) -> usize {
        self.in_flight
    }
}

impl Outbox {
    /// Lets a newly attached device send.
    pub(crate) fn open(&mut self, flight: &mut Flight, device: Slot) {
        let queue = self.queues.at_mut(device);
        queue.is_open = true;
        flight.round.offer(device, queue, &self.entries);
    }

    /// Stops a device that is no longer attached from sending.
    pub(crate) fn close(&mut self, flight: &mut Flight, device: Slot) {
        let queue = self.queues.at_mut(device);
        queue.is_open = false;
        flight.round.remove(device, queue);
    }

    /// Returns the next publication to queue, in turn over the devices, if the window and the pace allow it.
    pub(crate) fn next(
        &mut self,
        flight: &mut Flight,
        window: Window,
        now: Moment,
    ) -> Option<EntryKey> {
        while let Some(device) = flight.round.next(window.is_open) {
            let candidate = self.candidate(flight, device, now);
            if let Some(key) = candidate {
                let entry = self.entry(key);
                let is_free = entry.qos == QoS::AtMostOnce;
                if !window.is_open && !is_free {
                    flight.round.move_to_windowed(device);
                    continue;
                }
                if entry.packet_size() > window.room {
                    return None;
                }
            }
            flight.round.take(device, self.queues.at_mut(device));
            if candidate.is_some() {
                return candidate;
            }
        }
        None
    }

    /// Returns what a device would send now: its state if the pace allows it, or else the head of its queue.
    fn candidate(&mut self, flight: &Flight, device: Slot, now: Moment) -> Option<EntryKey> {
        let queue = self.queues.at(device);
        if !flight.round.suit(queue, &self.entries) {
            return None;
        }
        if let Some(at) = queue.pace.holds_all(now) {
            self.hold(device, at, now);
            return None;
        }
        match (queue.state, queue.pace.holds_state(now)) {
            (Some(_), Some(at)) => self.hold(device, at, now),
            (Some(state), None) => return Some(state),
            (None, _) => {}
        }
        self.queues.at(device).waiting.head()
    }

    /// Records that a publication was queued for transmission with this packet identifier.
    pub(crate) fn sent(&mut self, flight: &mut Flight, key: EntryKey, id: PacketId, now: Moment) {
        flight.in_flight += 1;
        self.leave_queue(flight, key, now);
        self.entries.at_mut(key).place = Place::InFlight { id };
    }

    /// Records that a QoS 0 publication was queued for transmission; it ends at this offset in the stream.
    pub(crate) fn sent_once(&mut self, flight: &mut Flight, key: EntryKey, end: u64, now: Moment) {
        self.leave_queue(flight, key, now);
        self.entries.at_mut(key).place = Place::HandingOver { end };
        flight.handing_over.push_back(&mut self.entries, key);
    }

    /// Removes a publication from its device's queue, and puts the device at the end of the round.
    fn leave_queue(&mut self, flight: &mut Flight, key: EntryKey, now: Moment) {
        let entry = self.entries.at(key);
        let device = entry.device;
        let queue = self.queues.at_mut(device);
        queue.record_queued(entry, &self.quota, now);
        self.connection_pacer.count(&self.quota, now);
        queue.in_flight += usize::from(entry.qos == QoS::AtLeastOnce);
        queue.unlink(&mut self.entries, key);
        flight.round.offer(device, queue, &self.entries);
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

    /// Ends a publication on a connection, wherever it is; returns its operation and its device, which can send more
    /// now.
    pub(crate) fn finish(&mut self, flight: &mut Flight, key: EntryKey) -> (OpId, Slot) {
        self.unlink(flight, key);
        let (op, device) = self.release(key);
        let queue = self.queues.at_mut(device);
        flight.round.offer(device, queue, &self.entries);
        (op, device)
    }

    pub(super) fn unlink(&mut self, flight: &mut Flight, key: EntryKey) {
        let Entry { place, device, .. } = *self.entry(key);
        let queue = self.queues.at_mut(device);
        match place {
            Place::Waiting => queue.unlink(&mut self.entries, key),
            Place::InFlight { .. } => {
                queue.in_flight -= 1;
                flight.in_flight -= 1;
            }
            Place::HandingOver { .. } => flight.handing_over.remove(&mut self.entries, key),
        }
    }
}
