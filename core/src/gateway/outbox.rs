//! Publications that were accepted and are not yet acknowledged. They outlive connections: when one is lost, everything
//! returns to the head of its device's queue, in order.
//!
//! A publication is in exactly one place at a time: its device's queue (for a state: its slot) or list of suspects, or,
//! during a connection, that connection's [`Flight`]. Devices that can send take turns.

mod blocked;
mod entries;
mod entry;
mod flight;
mod list;
mod pace;
mod probation;
mod queue;
mod returned;
mod ring;
mod room;
mod round;
mod suspects;

use std::collections::BTreeMap;

use self::{
    blocked::Waiting,
    entries::Entries,
    pace::{ConnectionPacer, Pace},
    queue::{Queue, Queues},
    room::{Load, Room},
};
pub(crate) use self::{
    entry::{Entry, EntryKey},
    flight::{Flight, Window},
    pace::Delays,
    returned::Returned,
};
use crate::{
    clock::Moment,
    command::{OpId, Publication, PublicationTopic, Slot},
    id::DeviceId,
    options::Options,
    quota::Quota,
    timers::Schedule,
};

/// All publications of all devices.
#[derive(Debug)]
pub(crate) struct Outbox {
    entries: Entries,
    queues: Queues,
    connection_pacer: ConnectionPacer,
    /// When devices held back by their pace may send again. It outlives connections, because their delays would
    /// otherwise count twice.
    paced: Schedule<Moment, Slot>,
    /// The pace of recently detached devices.
    departed: BTreeMap<DeviceId, Pace>,
    /// When everything held back by the pace of the connection may be sent.
    held_until: Option<Moment>,
    delays: Delays,
    quota: Quota,
    load: Load,
    room: Room,
    waiting: Waiting,
}

impl Outbox {
    pub(crate) fn new(options: &Options) -> Self {
        Self {
            entries: Entries::default(),
            queues: Queues::default(),
            connection_pacer: ConnectionPacer::default(),
            paced: Schedule::default(),
            departed: BTreeMap::new(),
            held_until: None,
            delays: Delays::default(),
            quota: options.quota,
            load: Load::default(),
            room: Room::new(options),
            waiting: Waiting::default(),
        }
    }

    /// Adds an empty queue for the device in this slot.
    pub(crate) fn add_device(&mut self, device: Slot, id: &DeviceId) {
        self.queues.add(device);
        if let Some(pace) = self.departed.remove(id) {
            self.queues.at_mut(device).pace = pace;
        }
    }

    /// Removes a device whose queue is empty. Its pace is kept, because the bridge still counts it.
    pub(crate) fn remove_device(
        &mut self,
        flight: Option<&mut Flight>,
        device: Slot,
        id: DeviceId,
        now: Moment,
    ) {
        let queue = self.queues.at_mut(device);
        if let Some(flight) = flight {
            flight.round.remove(device, queue);
        }
        let pace = core::mem::take(&mut queue.pace);
        self.unblock(device);
        self.queues.add(device);
        self.departed.insert(id, pace);
        self.departed.retain(|_, pace| !pace.is_over(now));
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
    /// publication is accepted. `None` if it would not be, even so.
    pub(crate) fn droppable(&self, publication: &Publication) -> Option<Vec<EntryKey>> {
        let queue = self.queues.at(publication.device.slot);
        let alone = Load::default().with(publication.payload.len());
        if !self.room.allows(queue.load, alone) {
            return None;
        }
        let (mut dropped, mut keys) = (Load::default(), Vec::new());
        for key in queue.waiting.iter(&self.entries) {
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
    ) -> Option<EntryKey> {
        let Publication {
            device,
            topic,
            qos,
            payload,
        } = publication;
        let (device, bytes) = (device.slot, payload.len());
        let is_state = matches!(topic, PublicationTopic::State);
        let key = self
            .entries
            .insert(|| Entry::new(op, device, topic, qos, payload));
        self.load.add(bytes);
        let queue = self.queues.at_mut(device);
        self.room.add(&mut queue.load, bytes);
        let replaced = queue.append(&mut self.entries, key, is_state, qos);
        if let Some(flight) = flight {
            flight.round.offer(device, queue, &self.entries);
        }
        if queue.blocked.is_some() {
            self.recheck(device);
        }
        replaced
    }

    /// Ends a publication that waits in its queue or among the suspects.
    pub(crate) fn finish_waiting(&mut self, key: EntryKey) {
        self.remove(key, |queue, entries| queue.unlink_any(entries, key));
    }

    /// Forgets a publication that is in no queue; returns its operation and its device.
    pub(crate) fn release(&mut self, key: EntryKey) -> (OpId, Slot) {
        self.remove(key, |_, _| ())
    }

    /// Removes a publication, after `unlink` has removed it from where it is; returns its operation and its device.
    #[inline(always)]
    fn remove(
        &mut self,
        key: EntryKey,
        unlink: impl FnOnce(&mut Queue, &mut Entries),
    ) -> (OpId, Slot) {
        let entry = self.entries.at(key);
        let (op, device, bytes) = (entry.op, entry.device, entry.payload.len());
        let queue = self.queues.at_mut(device);
        unlink(queue, &mut self.entries);
        self.room.remove(&mut queue.load, bytes);
        self.load.remove(bytes);
        self.entries.remove(key);
        self.waiting.publication_ended();
        if queue.blocked.is_some() {
            self.recheck(device);
        }
        (op, device)
    }

    /// Returns when the next publications held back by their pace may be sent.
    pub(crate) fn paced_until(&self) -> Option<Moment> {
        [self.paced.next(), self.held_until]
            .into_iter()
            .flatten()
            .min()
    }

    /// Returns whether the pace of the connection holds everything back, and notes until when.
    pub(crate) fn holds_all(&mut self, now: Moment) -> bool {
        let Some(at) = self.connection_pacer.holds_all(now) else {
            return false;
        };
        if self.held_until.replace(at) != Some(at) {
            self.delays.count(at.since(now));
        }
        true
    }

    /// Counts a packet that was queued and is no publication against the pace of the connection.
    pub(crate) fn count_packet(&mut self, now: Moment) {
        self.connection_pacer.count(&self.quota, now);
    }

    /// Holds a device back until `at`, because of its pace.
    #[inline(never)]
    fn hold(&mut self, device: Slot, at: Moment, now: Moment) {
        if self.paced.add(at, device) {
            self.delays.count(at.since(now));
        }
    }

    /// Lets the devices send again whose pace allows it.
    pub(crate) fn release_paced(&mut self, mut flight: Option<&mut Flight>, now: Moment) {
        self.held_until = self.held_until.filter(|at| *at > now);
        while let Some(device) = self.paced.pop_due(now) {
            if let Some(flight) = flight.as_deref_mut() {
                flight
                    .round
                    .offer(device, self.queues.at_mut(device), &self.entries);
            }
        }
    }

    /// Returns how often publications were held back by their pace, and how long in total.
    pub(crate) fn delays(&self) -> Delays {
        self.delays
    }

    /// Returns the keys of all publications of a device, or of all devices, in the order of acceptance.
    pub(crate) fn all(&self, device: Option<Slot>) -> Vec<EntryKey> {
        let entries = self
            .entries
            .iter()
            .filter(|(_, entry)| device.is_none_or(|device| entry.device == device));
        let mut keys: Vec<_> = entries.map(|(key, entry)| (entry.op, key)).collect();
        keys.sort_unstable();
        keys.into_iter().map(|(_, key)| key).collect()
    }

    pub(crate) fn entry(&self, key: EntryKey) -> &Entry {
        self.entries.at(key)
    }

    pub(crate) fn len(&self) -> usize {
        self.load.messages
    }

    pub(crate) fn bytes(&self) -> usize {
        self.load.bytes
    }

    pub(crate) fn len_of(&self, device: Slot) -> usize {
        self.queues.at(device).load.messages
    }
}

fn is_state(publication: &Publication) -> bool {
    matches!(publication.topic, PublicationTopic::State)
}
