//! What was accepted and is not yet acknowledged. It lives above any connection: a loss puts everything back at the head
//! of its device's queue, in order.
//!
//! A publication is in exactly one place at a time: its device's queue (a state: its slot), the lane of its attempt
//! while it is in flight, or the hand-over to the transport at QoS 0. Devices that can send take turns.

mod entries;
mod entry;
mod lanes;
mod list;
mod pace;
mod queue;
mod returned;
mod room;
mod turns;

use std::collections::BTreeMap;

pub use self::entry::Unsent;
use self::{
    entries::Entries,
    entry::Place,
    lanes::Lanes,
    list::List,
    pace::{Pace, Turnstile},
    queue::{Load, Queues},
    turns::Turns,
};
pub(crate) use self::{entry::Entry, pace::Delays};
use crate::{
    clock::Moment,
    command::{OpId, Publication, PublicationTopic},
    id::DeviceId,
    mqtt::{PacketId, QoS},
    options::{Options, QueueLimit},
    quota::Quota,
    timers::Schedule,
};

/// All publications of all devices.
#[derive(Debug)]
pub(crate) struct Outbox {
    entries: Entries,
    queues: Queues,
    turns: Turns,
    lanes: Lanes,
    handing_over: List,
    turnstile: Turnstile,
    paced: Schedule<u32>,
    /// The pace of devices that were detached a moment ago.
    departed: BTreeMap<DeviceId, Pace>,
    /// Until when everything waits for the pace of the connection.
    held_until: Option<Moment>,
    delays: Delays,
    quota: Quota,
    blocked: Vec<u32>,
    load: Load,
    limits: Limits,
}

#[derive(Debug)]
struct Limits {
    window: usize,
    device: QueueLimit,
    total: QueueLimit,
}

/// A publication whose acknowledgement is overdue.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Overdue {
    /// It is to be sent again.
    Due(u32),
    /// A state that a newer one has replaced meanwhile.
    Superseded(u32),
}

impl Outbox {
    pub(crate) fn new(options: &Options) -> Self {
        Self {
            entries: Entries::default(),
            queues: Queues::default(),
            turns: Turns::new(usize::from(options.device_window)),
            lanes: Lanes::new(options.ack_timeout, options.max_ack_timeout),
            handing_over: List::default(),
            turnstile: Turnstile::default(),
            paced: Schedule::default(),
            departed: BTreeMap::new(),
            held_until: None,
            delays: Delays::default(),
            quota: options.quota,
            blocked: Vec::new(),
            load: Load::default(),
            limits: Limits {
                window: usize::from(options.window),
                device: options.device_queue,
                total: options.total_queue,
            },
        }
    }

    /// Makes an empty queue for the device in this slot.
    pub(crate) fn add_device(&mut self, device: u32, id: &DeviceId) {
        self.queues.add(device);
        if let Some(pace) = self.departed.remove(id) {
            self.queues.at_mut(device).pace = pace;
        }
    }

    /// Forgets a device that has nothing here any more, but for its pace: the bridge knows it all the same.
    pub(crate) fn remove_device(&mut self, device: u32, id: DeviceId, now: Moment) {
        self.turns.forget(device);
        self.blocked.retain(|&other| other != device);
        let pace = core::mem::take(&mut self.queues.at_mut(device).pace);
        self.queues.add(device);
        self.departed.insert(id, pace);
        self.departed.retain(|_, pace| !pace.is_over(now));
    }

    /// Lets an attached device send, or stops one that no longer is.
    pub(crate) fn set_open(&mut self, device: u32, is_open: bool) {
        let queue = self.queues.at_mut(device);
        queue.is_open = is_open;
        self.turns.offer(device, queue);
    }

    /// Takes a publication in; gives the operation of a waiting state that it replaced.
    pub(crate) fn accept(&mut self, op: OpId, publication: Publication) -> Option<OpId> {
        let Publication {
            device,
            topic,
            qos,
            payload,
        } = publication;
        let (device, bytes) = (device.index, payload.len());
        let is_state = matches!(topic, PublicationTopic::State);
        let key = self
            .entries
            .insert(|| Entry::new(op, device, topic, qos, payload));
        self.load.add(bytes);
        let queue = self.queues.at_mut(device);
        queue.load.add(bytes);
        let replaced = if is_state {
            queue.state.replace(key)
        } else {
            queue.waiting.push_back(&mut self.entries, key);
            None
        };
        self.turns.offer(device, queue);
        replaced.map(|older| self.release(older).0)
    }

    /// Whether any device can send.
    pub(crate) fn has_turns(&self) -> bool {
        !self.turns.is_empty()
    }

    /// The next publication to write, by turns of the devices, if the window and the pace allow and its packet has room.
    pub(crate) fn next(&mut self, has_room: impl Fn(usize) -> bool, now: Moment) -> Option<u32> {
        while self.lanes.len() < self.limits.window {
            let device = self.turns.next()?;
            if let Some(at) = self.turnstile.holds_all(now) {
                if self.held_until.replace(at) != Some(at) {
                    self.delays.count(at.since(now));
                }
                return None;
            }
            let candidate = self.candidate(device, now);
            if candidate.is_some_and(|key| !has_room(self.entry(key).packet_size())) {
                return None;
            }
            self.turns.take(self.queues.at_mut(device));
            if candidate.is_some() {
                return candidate;
            }
        }
        None
    }

    /// What a device would send now: its state if the pace allows, else the head of its queue.
    fn candidate(&mut self, device: u32, now: Moment) -> Option<u32> {
        let queue = self.queues.at(device);
        if !self.turns.suit(queue) {
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

    /// Keeps a device from its turn until then, for its pace.
    fn hold(&mut self, device: u32, at: Moment, now: Moment) {
        if self.paced.add(at, device) {
            self.delays.count(at.since(now));
        }
    }

    /// A publication was written with this packet identifier; `listening` is the listening time.
    pub(crate) fn sent(&mut self, key: u32, id: PacketId, listening: Moment, now: Moment) {
        self.leave_queue(key, now);
        self.lanes.push(&mut self.entries, key, id, listening);
    }

    /// A publication was written at QoS 0 and ends at this offset in the stream.
    pub(crate) fn sent_once(&mut self, key: u32, end: u64, now: Moment) {
        self.leave_queue(key, now);
        self.entry_mut(key).place = Place::HandingOver { end };
        self.handing_over.push_back(&mut self.entries, key);
    }

    /// What was written waits no longer, and its device may have its turn again.
    fn leave_queue(&mut self, key: u32, now: Moment) {
        let entry = self.entries.at(key);
        let device = entry.device;
        let queue = self.queues.at_mut(device);
        queue.written(entry, &self.quota, now);
        self.turnstile.count(&self.quota, now);
        queue.in_flight += usize::from(entry.qos == QoS::AtLeastOnce);
        queue.unlink(&mut self.entries, key);
        self.turns.offer(device, queue);
    }

    /// Whether anything waits for its pace.
    pub(crate) fn is_pacing(&self) -> bool {
        self.held_until.is_some() || !self.paced.is_empty()
    }

    /// When what waits for its pace may go.
    pub(crate) fn paced_until(&self) -> Option<Moment> {
        [self.paced.next(), self.held_until]
            .into_iter()
            .flatten()
            .min()
    }

    /// Gives a turn to the devices that have waited for their pace.
    pub(crate) fn release_paced(&mut self, now: Moment) {
        self.held_until = self.held_until.filter(|at| *at > now);
        while let Some(device) = self.paced.pop_due(now) {
            self.turns.offer(device, self.queues.at_mut(device));
        }
    }

    /// How often publications had to wait for their pace, and how long in all.
    pub(crate) fn delays(&self) -> Delays {
        self.delays
    }

    /// The listening time at which the next acknowledgement is overdue, if its packet has room to be sent again.
    pub(crate) fn overdue_at(&self, has_room: impl Fn(usize) -> bool) -> Option<Moment> {
        let (deadline, key) = self.lanes.first_due(&self.entries)?;
        has_room(self.entry(key).packet_size()).then_some(deadline)
    }

    /// Whether any acknowledgement may be overdue.
    #[inline]
    pub(crate) fn may_be_overdue(&self, now: Moment) -> bool {
        self.lanes.may_be_overdue(now)
    }

    /// A publication whose acknowledgement is overdue, if its packet has room. A state that has to keep its pace waits
    /// once more.
    pub(crate) fn overdue(
        &mut self,
        has_room: impl Fn(usize) -> bool,
        listening: Moment,
        now: Moment,
    ) -> Option<Overdue> {
        loop {
            let key = self.lanes.overdue(&self.entries, listening)?;
            let entry = self.entry(key);
            let queue = self.queues.at(entry.device);
            if queue.has_newer(entry) {
                return Some(Overdue::Superseded(key));
            }
            if !entry.is_state() || queue.pace.holds_state(now).is_none() {
                return has_room(entry.packet_size()).then_some(Overdue::Due(key));
            }
            self.lanes.postpone(&mut self.entries, key, listening);
        }
    }

    /// An overdue publication was written again.
    pub(crate) fn sent_again(&mut self, key: u32, listening: Moment, now: Moment) {
        self.lanes.push_again(&mut self.entries, key, listening);
        let entry = self.entries.at(key);
        let queue = self.queues.at_mut(entry.device);
        queue.written(entry, &self.quota, now);
        self.turnstile.count(&self.quota, now);
    }

    /// The oldest publication at QoS 0 that was handed over in full.
    pub(crate) fn handed_over(&self, offset: u64) -> Option<u32> {
        let key = self.handing_over.head()?;
        match self.entry(key).place {
            Place::HandingOver { end } if end <= offset => Some(key),
            _ => None,
        }
    }

    /// Ends a publication, wherever it is; gives its operation and its device.
    pub(crate) fn finish(&mut self, key: u32) -> (OpId, u32) {
        self.unlink(key);
        let (op, device) = self.release(key);
        self.turns.offer(device, self.queues.at_mut(device));
        (op, device)
    }

    fn unlink(&mut self, key: u32) {
        let Entry { place, device, .. } = *self.entry(key);
        let queue = self.queues.at_mut(device);
        match place {
            Place::Waiting => queue.unlink(&mut self.entries, key),
            Place::InFlight { lane, .. } => {
                queue.in_flight -= 1;
                self.lanes.remove(&mut self.entries, key, lane);
            }
            Place::HandingOver { .. } => self.handing_over.remove(&mut self.entries, key),
        }
    }

    fn release(&mut self, key: u32) -> (OpId, u32) {
        let Entry { op, device, .. } = *self.entry(key);
        let bytes = self.entry(key).payload.len();
        self.load.remove(bytes);
        self.queues.at_mut(device).load.remove(bytes);
        self.entries.remove(key);
        (op, device)
    }

    /// The keys of everything that a device has here, or all devices, in the order of acceptance.
    pub(crate) fn all(&self, device: Option<u32>) -> Vec<u32> {
        let entries = self
            .entries
            .iter()
            .filter(|(_, entry)| device.is_none_or(|device| entry.device == device));
        let mut keys: Vec<_> = entries.map(|(key, entry)| (entry.op, key)).collect();
        keys.sort_unstable();
        keys.into_iter().map(|(_, key)| key).collect()
    }

    /// The operations written last and not yet acknowledged, and when each was; more than `most` of them in any order.
    pub(crate) fn newest_in_flight(&self, most: usize) -> impl Iterator<Item = (Moment, OpId)> {
        let newest = self.lanes.newest(most, &self.entries);
        newest.filter_map(|key| self.entry(key).unanswered())
    }

    pub(crate) fn entry(&self, key: u32) -> &Entry {
        self.entries.at(key)
    }

    pub(crate) fn entry_mut(&mut self, key: u32) -> &mut Entry {
        self.entries.at_mut(key)
    }

    pub(crate) fn in_flight(&self) -> usize {
        self.lanes.len()
    }

    pub(crate) fn len(&self) -> usize {
        self.load.messages
    }

    pub(crate) fn bytes(&self) -> usize {
        self.load.bytes
    }

    pub(crate) fn len_of(&self, device: u32) -> usize {
        self.queues.at(device).load.messages
    }
}
