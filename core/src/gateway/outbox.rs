//! Publications that were accepted and are not yet acknowledged. They outlive connections: when one is lost, everything
//! returns to the head of its device's queue, in order.
//!
//! A publication is in exactly one place at a time: its device's queue (for a state: its slot) or list of suspects, or,
//! during a connection, that connection's [`Flight`]. Devices that can send take turns.

mod blocked;
mod entries;
mod entry;
mod expiry;
mod flight;
mod index;
mod list;
mod pace;
mod packing;
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
    expiry::Expiry,
    index::Index,
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
    command::{OpId, Priority, Publication, PublicationTopic, Slot},
    id::DeviceId,
    mqtt::QoS,
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
    /// When the next trials of devices on probation may begin.
    trials: Schedule<Moment, Slot>,
    /// The pace of recently detached devices.
    departed: BTreeMap<DeviceId, Pace>,
    /// When everything held back by the pace of the connection may be sent.
    held_until: Option<Moment>,
    delays: Delays,
    quota: Quota,
    load: Load,
    room: Room,
    waiting: Waiting,
    expiry: Expiry,
    index: Index,
    /// Whether publications have ended for whose room users wait, or whose memory is to be given back.
    has_chores: bool,
}

impl Outbox {
    pub(crate) fn new(options: &Options) -> Self {
        Self {
            entries: Entries::default(),
            queues: Queues::default(),
            connection_pacer: ConnectionPacer::default(),
            paced: Schedule::default(),
            trials: Schedule::default(),
            departed: BTreeMap::new(),
            held_until: None,
            delays: Delays::default(),
            quota: options.quota,
            load: Load::default(),
            room: Room::new(options),
            waiting: Waiting::default(),
            expiry: Expiry::default(),
            index: Index::default(),
            has_chores: false,
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
        self.forget_probation(device);
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
    /// publication is accepted: ordinary ones, and for an urgent one also urgent ones. `None` if it would not be, even so.
    pub(crate) fn droppable(&self, publication: &Publication) -> Option<Vec<EntryKey>> {
        let queue = self.queues.at(publication.device.slot);
        let alone = Load::default().with(publication.payload.len());
        if !self.room.allows(queue.load, alone) {
            return None;
        }
        let (mut dropped, mut keys) = (Load::default(), Vec::new());
        let is_urgent = publication.priority == Priority::Urgent;
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
        let Publication {
            device,
            topic,
            qos,
            payload,
            priority,
            expires_after,
            tag,
        } = publication;
        let (device, bytes) = (device.slot, payload.len());
        let is_state = matches!(topic, PublicationTopic::State);
        let is_urgent = priority == Priority::Urgent;
        let is_special = is_urgent || qos == QoS::AtMostOnce;
        let expires_at = expires_after.map(|time| now + time);
        let key = self.entries.insert(|| Entry {
            is_urgent,
            expires_at,
            tag,
            ..Entry::new(op, device, topic, qos, payload)
        });
        if self.index.is_kept() {
            self.index.add(op, key);
        }
        self.expiry.watch(&self.entries, key);
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
        if self.index.is_kept() {
            self.index.remove(op);
        }
        self.expiry.forget(entry, key);
        let queue = self.queues.at_mut(device);
        unlink(queue, &mut self.entries);
        self.room.remove(&mut queue.load, bytes);
        self.load.remove(bytes);
        self.entries.remove(key);
        self.has_chores |= self.waiting.is_anyone() | self.entries.are_sparse(self.load.messages);
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

    /// Holds a device back until then, if its pace says so.
    #[inline]
    fn hold_until(&mut self, device: Slot, held_until: Option<Moment>, now: Moment) {
        if let Some(at) = held_until {
            self.hold(device, at, now);
        }
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
            self.queues.at_mut(device).is_state_held = false;
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

    /// Returns the keys of all publications, in the order of acceptance.
    pub(crate) fn all(&self) -> Vec<EntryKey> {
        let keys = self.entries.iter(self.len()).map(|(key, _)| key);
        self.in_order(keys)
    }

    /// Returns the keys of all publications of a device, in the order of acceptance: of those that wait, those in flight at
    /// QoS 1, and those that are handed over at QoS 0 on a connection.
    pub(crate) fn all_of(
        &self,
        device: Slot,
        in_flight: Vec<EntryKey>,
        flight: Option<&Flight>,
    ) -> Vec<EntryKey> {
        let queue = self.queues.at(device);
        let mut keys = in_flight;
        keys.extend(queue.all(&self.entries));
        if let Some(flight) = flight
            && keys.len() < queue.load.messages
        {
            let handing_over = flight.handing_over.iter(&self.entries);
            keys.extend(handing_over.filter(|&key| self.entry(key).device == device));
        }
        self.in_order(keys.into_iter())
    }

    fn in_order(&self, keys: impl Iterator<Item = EntryKey>) -> Vec<EntryKey> {
        let mut keys: Vec<_> = keys.collect();
        keys.sort_unstable_by_key(|&key| self.entry(key).op);
        keys
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

    pub(crate) fn bytes_of(&self, device: Slot) -> usize {
        self.queues.at(device).load.bytes
    }

    /// Returns how many publications of a device are in flight at QoS 1.
    pub(crate) fn in_flight_of(&self, device: Slot) -> usize {
        self.queues.at(device).in_flight
    }
}

fn is_state(publication: &Publication) -> bool {
    matches!(publication.topic, PublicationTopic::State)
}
