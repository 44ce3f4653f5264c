//! The part of the outbox that belongs to one connection: what was queued for transmission, and which device is next.

use super::{
    Outbox,
    entry::{Entry, EntryKey, Place},
    list::List,
    retransmit::RetransmitQueues,
    round::Round,
};
use crate::{
    clock::{Moment, PeerTime},
    command::{OpId, Slot},
    mqtt::{PacketId, QoS},
    options::Options,
};

/// The publications queued for transmission on one connection, and the devices that can send on it.
#[derive(Debug)]
pub(crate) struct Flight {
    /// Devices that can send.
    pub(super) round: Round,
    /// Queued at QoS 1 and not yet acknowledged.
    pub(super) unacknowledged: RetransmitQueues,
    /// Queued at QoS 0 and not yet handed over to the transport.
    pub(super) handing_over: List,
    /// Maximum number of QoS 1 publications in flight.
    window: usize,
}

/// A publication whose acknowledgement is overdue.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Overdue {
    /// To be sent again.
    Due(EntryKey),
    /// A state that a newer one has replaced meanwhile.
    Superseded(EntryKey),
}

impl Flight {
    pub(crate) fn new(options: &Options) -> Self {
        Self {
            round: Round::new(usize::from(options.device_window)),
            unacknowledged: RetransmitQueues::new(options.ack_timeout, options.max_ack_timeout),
            handing_over: List::default(),
            window: usize::from(options.window),
        }
    }

    /// Returns whether a device can send and the window has room.
    #[inline]
    pub(crate) fn can_send(&self) -> bool {
        !self.round.is_empty() && self.in_flight() < self.window
    }

    /// Returns the number of QoS 1 publications queued and not yet acknowledged.
    #[inline]
    pub(crate) fn in_flight(&self) -> usize {
        self.unacknowledged.len()
    }

    /// Returns whether an acknowledgement may be overdue.
    #[inline]
    pub(crate) fn may_be_overdue(&self, now: Moment) -> bool {
        self.unacknowledged.may_be_overdue(now)
    }
}

impl Outbox {
    /// Lets a newly attached device send.
    pub(crate) fn open(&mut self, flight: &mut Flight, device: Slot) {
        let queue = self.queues.at_mut(device);
        queue.is_open = true;
        flight.round.offer(device, queue);
    }

    /// Stops a device that is no longer attached from sending.
    pub(crate) fn close(&mut self, flight: &mut Flight, device: Slot) {
        let queue = self.queues.at_mut(device);
        queue.is_open = false;
        flight.round.remove(device, queue);
    }

    /// Returns the next publication to queue, in turn over the devices, if the window and the pace allow it and its
    /// packet is not larger than `room`.
    pub(crate) fn next(
        &mut self,
        flight: &mut Flight,
        room: usize,
        now: Moment,
    ) -> Option<EntryKey> {
        while flight.can_send() {
            let device = flight.round.next()?;
            if let Some(at) = self.connection_pacer.holds_all(now) {
                if self.held_until.replace(at) != Some(at) {
                    self.delays.count(at.since(now));
                }
                return None;
            }
            let candidate = self.candidate(flight, device, now);
            if candidate.is_some_and(|key| self.entry(key).packet_size() > room) {
                return None;
            }
            flight.round.take(self.queues.at_mut(device));
            if candidate.is_some() {
                return candidate;
            }
        }
        None
    }

    /// Returns what a device would send now: its state if the pace allows it, or else the head of its queue.
    fn candidate(&mut self, flight: &Flight, device: Slot, now: Moment) -> Option<EntryKey> {
        let queue = self.queues.at(device);
        if !flight.round.suit(queue) {
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
    pub(crate) fn sent(
        &mut self,
        flight: &mut Flight,
        key: EntryKey,
        id: PacketId,
        peer_now: PeerTime,
        now: Moment,
    ) {
        self.leave_queue(flight, key, now);
        flight
            .unacknowledged
            .push(&mut self.entries, key, id, peer_now);
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
        flight.round.offer(device, queue);
    }

    /// Returns the peer time at which the next acknowledgement is overdue, if there is room to send its packet again.
    pub(crate) fn overdue_at(&self, flight: &Flight, room: usize) -> Option<PeerTime> {
        let (deadline, key) = flight.unacknowledged.first_due(&self.entries)?;
        (self.entry(key).packet_size() <= room).then_some(deadline)
    }

    /// Returns a publication whose acknowledgement is overdue, if there is room for its packet. A state that is held
    /// back by its pace waits once more.
    pub(crate) fn overdue(
        &mut self,
        flight: &mut Flight,
        room: usize,
        peer_now: PeerTime,
        now: Moment,
    ) -> Option<Overdue> {
        loop {
            let key = flight.unacknowledged.overdue(&self.entries, peer_now)?;
            let entry = self.entry(key);
            let queue = self.queues.at(entry.device);
            if queue.has_newer(entry) {
                return Some(Overdue::Superseded(key));
            }
            if !entry.is_state() || queue.pace.holds_state(now).is_none() {
                return (entry.packet_size() <= room).then_some(Overdue::Due(key));
            }
            flight
                .unacknowledged
                .postpone(&mut self.entries, key, peer_now);
        }
    }

    /// Records that an overdue publication was queued for transmission again.
    pub(crate) fn sent_again(
        &mut self,
        flight: &mut Flight,
        key: EntryKey,
        peer_now: PeerTime,
        now: Moment,
    ) {
        flight
            .unacknowledged
            .push_again(&mut self.entries, key, peer_now);
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

    /// Returns the most recently queued operations that are not yet acknowledged, and when each was queued: at least
    /// the newest `most`, in no particular order.
    pub(crate) fn newest_in_flight<'a>(
        &'a self,
        flight: &'a Flight,
        most: usize,
    ) -> impl Iterator<Item = (PeerTime, OpId)> + 'a {
        let newest = flight.unacknowledged.newest(most, &self.entries);
        newest.filter_map(|key| self.entry(key).unanswered())
    }

    /// Ends a publication on a connection, wherever it is; returns its operation and its device, which can send more
    /// now.
    pub(crate) fn finish(&mut self, flight: &mut Flight, key: EntryKey) -> (OpId, Slot) {
        self.unlink(flight, key);
        let (op, device) = self.release(key);
        flight.round.offer(device, self.queues.at_mut(device));
        (op, device)
    }

    pub(super) fn unlink(&mut self, flight: &mut Flight, key: EntryKey) {
        let Entry { place, device, .. } = *self.entry(key);
        let queue = self.queues.at_mut(device);
        match place {
            Place::Waiting => queue.unlink(&mut self.entries, key),
            Place::InFlight { attempt, .. } => {
                queue.in_flight -= 1;
                flight
                    .unacknowledged
                    .remove(&mut self.entries, key, attempt);
            }
            Place::HandingOver { .. } => flight.handing_over.remove(&mut self.entries, key),
        }
    }
}
