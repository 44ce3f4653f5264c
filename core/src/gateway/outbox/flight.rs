//! The part of the outbox that lives and dies with one connection: what was written, and whose turn it is.

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

/// The publications that one connection has queued, and the devices that can send on it.
#[derive(Debug)]
pub(crate) struct Flight {
    /// Devices that can send.
    pub(super) round: Round,
    /// Written at QoS 1 and not yet acknowledged.
    pub(super) unacknowledged: RetransmitQueues,
    /// Written at QoS 0 and not yet handed to the transport.
    pub(super) handing_over: List,
    /// How many publications at QoS 1 may be in flight.
    window: usize,
}

/// A publication whose acknowledgement is overdue.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Overdue {
    /// It is to be sent again.
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

    /// Whether any device can send, and the window is open.
    #[inline]
    pub(crate) fn can_send(&self) -> bool {
        !self.round.is_empty() && self.in_flight() < self.window
    }

    /// Publications written at QoS 1 and not yet acknowledged.
    #[inline]
    pub(crate) fn in_flight(&self) -> usize {
        self.unacknowledged.len()
    }

    /// Whether any acknowledgement may be overdue.
    #[inline]
    pub(crate) fn may_be_overdue(&self, now: Moment) -> bool {
        self.unacknowledged.may_be_overdue(now)
    }
}

impl Outbox {
    /// Lets a device send that is attached now.
    pub(crate) fn open(&mut self, flight: &mut Flight, device: Slot) {
        let queue = self.queues.at_mut(device);
        queue.is_open = true;
        flight.round.offer(device, queue);
    }

    /// Stops a device that is no longer attached.
    pub(crate) fn close(&mut self, flight: &mut Flight, device: Slot) {
        let queue = self.queues.at_mut(device);
        queue.is_open = false;
        flight.round.remove(device, queue);
    }

    /// The next publication to write, by turns of the devices, if the window and the pace allow and its packet is no
    /// larger than `room`.
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

    /// What a device would send now: its state if the pace allows, else the head of its queue.
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

    /// Records that a publication was written with this packet identifier.
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

    /// Records that a publication was written at QoS 0; it ends at this offset in the stream.
    pub(crate) fn sent_once(&mut self, flight: &mut Flight, key: EntryKey, end: u64, now: Moment) {
        self.leave_queue(flight, key, now);
        self.entries.at_mut(key).place = Place::HandingOver { end };
        flight.handing_over.push_back(&mut self.entries, key);
    }

    /// Takes what was written out of its queue, and lets its device take its next turn.
    fn leave_queue(&mut self, flight: &mut Flight, key: EntryKey, now: Moment) {
        let entry = self.entries.at(key);
        let device = entry.device;
        let queue = self.queues.at_mut(device);
        queue.written(entry, &self.quota, now);
        self.connection_pacer.count(&self.quota, now);
        queue.in_flight += usize::from(entry.qos == QoS::AtLeastOnce);
        queue.unlink(&mut self.entries, key);
        flight.round.offer(device, queue);
    }

    /// The peer time at which the next acknowledgement is overdue, if its packet has room to be sent again.
    pub(crate) fn overdue_at(&self, flight: &Flight, room: usize) -> Option<PeerTime> {
        let (deadline, key) = flight.unacknowledged.first_due(&self.entries)?;
        (self.entry(key).packet_size() <= room).then_some(deadline)
    }

    /// A publication whose acknowledgement is overdue, if its packet has room. A state that has to keep its pace waits
    /// once more.
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

    /// Records that an overdue publication was written again.
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
        queue.written(entry, &self.quota, now);
        self.connection_pacer.count(&self.quota, now);
    }

    /// The oldest publication at QoS 0 that was handed over in full, up to this offset in the stream.
    pub(crate) fn handed_over(&self, flight: &Flight, offset: u64) -> Option<EntryKey> {
        let key = flight.handing_over.head()?;
        match self.entry(key).place {
            Place::HandingOver { end } if end <= offset => Some(key),
            _ => None,
        }
    }

    /// The operations that were queued last and are not yet acknowledged, and when each was: at least the newest `most` of
    /// them, in no order.
    pub(crate) fn newest_in_flight<'a>(
        &'a self,
        flight: &'a Flight,
        most: usize,
    ) -> impl Iterator<Item = (PeerTime, OpId)> + 'a {
        let newest = flight.unacknowledged.newest(most, &self.entries);
        newest.filter_map(|key| self.entry(key).unanswered())
    }

    /// Ends a publication on a connection, wherever it is; returns its operation and its device, which can send more now.
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
