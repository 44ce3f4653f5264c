//! Publications that were accepted and are not yet acknowledged. They outlive connections: when one is lost, everything
//! returns to the head of its device's queue, in order.
//!
//! A publication is in exactly one place at a time: its device's queue (for a state: its slot) or list of suspects, or,
//! during a connection, that connection's [`Flight`]. Devices that can send take turns.

mod accepting;
mod admitted;
mod blocked;
mod entries;
mod entry;
mod extras;
mod flight;
mod index;
mod list;
mod pace;
mod packing;
mod probation;
mod queue;
#[cfg(feature = "store")]
mod records;
mod returned;
mod ring;
mod room;
mod round;
#[cfg(feature = "store")]
mod storing;
mod suspects;

use std::collections::BTreeMap;

#[cfg(feature = "store")]
use self::records::Records;
use self::{
    admitted::Admitted,
    blocked::Waiting,
    entries::Entries,
    extras::Extras,
    index::Index,
    pace::{ConnectionPacer, Pace},
    queue::Queues,
    room::{Load, Room},
};
pub(crate) use self::{
    entry::{Entry, EntryKey},
    flight::{Flight, Window},
    pace::Delays,
    returned::Returned,
};
#[cfg(feature = "store")]
pub(crate) use self::{
    records::{Found, Phase as StorePhase, RecordOp},
    storing::NoStoreRoom,
};
use crate::{
    clock::Moment,
    command::{OpId, Slot},
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
    extras: Extras,
    index: Index,
    #[cfg(feature = "store")]
    records: Option<Box<Records>>,
    /// Whether the index or the records have all publications, not only the few with extras.
    follows_all: bool,
    admitted: Admitted,
    /// Whether publications have ended for whose room users wait, or there may be something to store.
    is_look_due: bool,
}

/// Where a publication is that is removed.
enum Whence<'a> {
    /// In no queue.
    Nowhere,
    /// In its device's queue, or among the suspects.
    Queue,
    /// Anywhere, during a connection; and whether it was acknowledged.
    Flight(&'a mut Flight, bool),
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
            extras: Extras::default(),
            index: Index::default(),
            #[cfg(feature = "store")]
            records: Self::records_of(options),
            follows_all: options.keeps_records(),
            admitted: Admitted::new(&options.quota),
            is_look_due: false,
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
            flight.ended.retain(|_, ended| ended.device != device);
        }
        let pace = core::mem::take(&mut queue.pace);
        self.unblock(device);
        #[cfg(feature = "store")]
        self.forget_device_records(device);
        self.forget_probation(device);
        self.queues.add(device);
        self.departed.insert(id, pace);
        self.departed.retain(|_, pace| !pace.is_over(now));
    }

    /// Forgets what is kept of a publication besides its entry. Never inlined: usually nothing is.
    #[inline(never)]
    fn forget_followed(&mut self, key: EntryKey, op: OpId, device: Slot, has_extras: bool) {
        if self.index.is_kept() {
            self.forget_in_index(op);
        }
        if has_extras {
            self.extras.remove(op);
        }
        #[cfg(feature = "store")]
        self.forget_record(key, op, device);
        #[cfg(not(feature = "store"))]
        let _ = (key, device);
    }

    /// Ends a publication that waits in its queue or among the suspects.
    pub(crate) fn finish_waiting(&mut self, key: EntryKey) {
        self.remove(key, Whence::Queue);
    }

    /// Forgets a publication that is in no queue; returns its operation and its device.
    pub(crate) fn release(&mut self, key: EntryKey) -> (OpId, Slot) {
        self.remove(key, Whence::Nowhere)
    }

    /// Removes a publication; returns its operation and its device.
    #[inline(always)]
    fn remove(&mut self, key: EntryKey, whence: Whence<'_>) -> (OpId, Slot) {
        let entry = self.entries.at(key);
        let (op, device, bytes) = (entry.op, entry.device, entry.payload.len());
        let has_extras = entry.has_extras;
        if has_extras || self.follows_all {
            self.forget_followed(key, op, device, has_extras);
        }
        let queue = self.queues.at_mut(device);
        match whence {
            Whence::Nowhere => {}
            Whence::Queue => queue.unlink_any(&mut self.entries, key),
            Whence::Flight(flight, is_acknowledged) => {
                flight.unlink(queue, &mut self.entries, key);
                if is_acknowledged {
                    flight.round.grow(queue);
                }
            }
        }
        self.room.remove(&mut queue.load, bytes);
        self.load.remove(bytes);
        self.entries.remove(key);
        self.is_look_due |= self.waiting.is_anyone();
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
        self.queues.at_mut(device).is_held = true;
        if self.paced.add(at, device) {
            self.delays.count(at.since(now));
        }
    }

    /// Lets the devices send again whose pace allows it.
    pub(crate) fn release_paced(&mut self, mut flight: Option<&mut Flight>, now: Moment) {
        self.held_until = self.held_until.filter(|at| *at > now);
        while let Some(device) = self.paced.pop_due(now) {
            self.queues.at_mut(device).is_held = false;
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
        self.queues.at(device).unfinished_in_flight()
    }
}
