//! Taking publications in, and the room that they need.

#[cfg(feature = "store")]
use super::records::Accepted;
use super::{
    Outbox,
    entry::{Entry, EntryKey},
    flight::Flight,
    room::Load,
};
use crate::{
    clock::Moment,
    command::{OpId, Publication, PublicationTopic},
    mqtt::QoS,
};

impl Outbox {
    /// Returns below how many bytes a payload to this topic is admitted without a closer look.
    #[inline]
    pub(crate) fn admits_below(&self, topic: &PublicationTopic) -> usize {
        self.admitted.below(topic)
    }

    /// Returns whether a publication would be accepted. A state needs no more room than the one that it replaces.
    #[inline]
    pub(crate) fn has_room(&self, publication: &Publication) -> bool {
        let queue = self.queues.at(publication.device.slot);
        let is_replaced = queue.state.is_some() && is_state(publication);
        match is_replaced {
            true => self.has_room_without(publication, Load::default()),
            false => self.room.allows_one(queue.load, publication.payload.len()),
        }
    }

    /// Returns whether a publication would be accepted if so much of its device had ended.
    fn has_room_without(&self, publication: &Publication, ended: Load) -> bool {
        let queue = self.queues.at(publication.device.slot);
        let replaced = queue.state.filter(|_| is_state(publication));
        let replaced = replaced.map(|key| self.entry(key).payload.len());
        let after = queue.load.without(replaced).minus(ended);
        let after = after.with(publication.payload.len());
        self.room.allows(queue.load, after)
    }

    /// Returns the oldest telemetry events that wait in a device's queue, as few as have to be dropped so that its
    /// publication is accepted: ordinary ones, and for an urgent one also urgent ones. `None` if it would not be, even so.
    pub(crate) fn droppable(&self, publication: &Publication) -> Option<Vec<EntryKey>> {
        let queue = self.queues.at(publication.device.slot);
        let alone = Load::default().with(publication.payload.len());
        if !self.room.allows(queue.load, alone) {
            return None;
        }
        let (mut dropped, mut keys) = (Load::default(), Vec::new());
        let is_urgent = publication.is_urgent();
        for key in queue.droppable(&self.entries, is_urgent) {
            dropped.add(self.entry(key).payload.len());
            keys.push(key);
            if self.has_room_without(publication, dropped) {
                return Some(keys);
            }
        }
        None
    }

    /// Takes a publication in; returns a state that it replaced, which is in no queue and waits to be released.
    pub(crate) fn accept(
        &mut self,
        flight: Option<&mut Flight>,
        op: OpId,
        publication: Publication,
        now: Moment,
    ) -> Option<EntryKey> {
        match publication.extras.is_some() || self.follows_all {
            true => self.accept_followed(flight, op, publication, now),
            false => self.take_in(flight, op, publication, false).1,
        }
    }

    /// Does the same for one of the few that are urgent, have a deadline or a tag, can be found by their operation, or may be
    /// stored.
    #[inline(never)]
    fn accept_followed(
        &mut self,
        flight: Option<&mut Flight>,
        op: OpId,
        publication: Publication,
        now: Moment,
    ) -> Option<EntryKey> {
        #[cfg(feature = "store")]
        let accepted = Accepted::new(op, &publication);
        let taken = self.take_in_followed(flight, op, publication, now);
        #[cfg(feature = "store")]
        self.record(taken.0, &accepted, now);
        taken.1
    }

    pub(super) fn take_in_followed(
        &mut self,
        flight: Option<&mut Flight>,
        op: OpId,
        mut publication: Publication,
        now: Moment,
    ) -> (EntryKey, Option<EntryKey>) {
        let is_urgent = publication.is_urgent();
        let extras = publication.extras.take();
        let (key, replaced) = self.take_in(flight, op, publication, is_urgent);
        if self.index.is_kept() {
            self.index.add(op, key);
        }
        if let Some(extras) = extras.filter(|extras| extras.has_more()) {
            self.entries.at_mut(key).has_extras = true;
            self.extras.add(op, key, *extras, now);
        }
        (key, replaced)
    }

    /// Appends a publication to its queue; returns its key, and the state that it replaced.
    #[inline(always)]
    fn take_in(
        &mut self,
        flight: Option<&mut Flight>,
        op: OpId,
        publication: Publication,
        is_urgent: bool,
    ) -> (EntryKey, Option<EntryKey>) {
        let Publication {
            device,
            topic,
            qos,
            payload,
            ..
        } = publication;
        let (device, bytes) = (device.slot, payload.len());
        let is_state = matches!(topic, PublicationTopic::State);
        let is_special = is_urgent || qos == QoS::AtMostOnce;
        let key = self.entries.insert(|| Entry {
            is_urgent,
            ..Entry::new(op, device, topic, qos, payload)
        });
        self.load.add(bytes);
        let queue = self.queues.at_mut(device);
        self.room.add(&mut queue.load, bytes);
        let replaced = queue.append(&mut self.entries, key, is_state, is_special);
        if let Some(flight) = flight {
            flight.round.offer(device, queue, &self.entries);
        }
        if queue.blocked.is_some() {
            self.recheck(device);
        }
        (key, replaced)
    }
}

pub(super) fn is_state(publication: &Publication) -> bool {
    matches!(publication.topic, PublicationTopic::State)
}
