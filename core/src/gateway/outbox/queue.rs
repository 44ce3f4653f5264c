//! One device's part of the outbox.

use super::{
    blocked::Blocked,
    entries::Entries,
    entry::{Entry, EntryKey},
    list::List,
    pace::Pace,
    probation::Probation,
    room::Load,
};
use crate::{
    clock::Moment,
    command::{OpId, Slot},
    mqtt::QoS,
    quota::Quota,
};

/// What a device would send now.
pub(super) struct Candidate {
    pub(super) key: Option<EntryKey>,
    /// Until when the pace holds something else back.
    pub(super) held_until: Option<Moment>,
}

/// The publications that wait for one device, and whether they may be sent.
#[derive(Debug, Default)]
pub(super) struct Queue {
    /// Telemetry, first in first out.
    pub(super) waiting: List,
    /// The newest state, which waits apart from the telemetry.
    pub(super) state: Option<EntryKey>,
    /// What waits for its trial.
    pub(super) suspects: List,
    pub(super) probation: Probation,
    pub(super) pace: Pace,
    /// Everything accepted and not yet ended.
    pub(super) load: Load,
    pub(super) in_flight: usize,
    /// How many more than at first may be in flight, because of the acknowledgements on this connection.
    pub(super) grown: usize,
    /// How many wait at QoS 0.
    pub(super) waiting_once: usize,
    /// Whether the device is attached and may publish, and is not suspected.
    pub(super) is_open: bool,
    /// Whether the device is in the round of devices that can send.
    pub(super) turn: Standing,
    /// Its user, who waits for room.
    pub(super) blocked: Option<Blocked>,
    /// The newest state that was queued for transmission.
    pub(super) newest_state: Option<OpId>,
}

/// Whether a device is in the round, and where.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Standing {
    #[default]
    Absent,
    /// It waits for the window, with less than its share in flight.
    Below,
    /// It waits for the window, with its share or more in flight.
    Above,
    /// It can send at QoS 0.
    Free,
}

impl Queue {
    /// Counts a packet queued for transmission, first or repeated, against the pace.
    pub(super) fn record_queued(&mut self, entry: &Entry, quota: &Quota, now: Moment) {
        if entry.is_state() {
            self.newest_state = Some(entry.op);
        }
        self.pace.count(entry, quota, now);
    }

    /// Returns what would be sent now: the state if the pace allows it, or else the head of the telemetry.
    #[inline]
    pub(super) fn candidate(&self, now: Moment) -> Candidate {
        let (key, held_until) = match (self.pace.holds_all(now), self.state) {
            (Some(at), _) => (None, Some(at)),
            (None, Some(state)) => match self.pace.holds_state(now) {
                Some(at) => (self.waiting.head(), Some(at)),
                None => (Some(state), None),
            },
            (None, None) => (self.waiting.head(), None),
        };
        Candidate { key, held_until }
    }

    /// Returns what would be sent now at QoS 0.
    pub(super) fn free_candidate(&self, entries: &Entries, now: Moment) -> Option<EntryKey> {
        if self.pace.holds_all(now).is_some() {
            return None;
        }
        let state = self.state.filter(|_| self.pace.holds_state(now).is_none());
        let mut next = [state, self.waiting.head()].into_iter().flatten();
        next.find(|&key| entries.at(key).qos == QoS::AtMostOnce)
    }

    /// Adds an entry that was accepted; returns a waiting or suspected state that it replaces.
    pub(super) fn append(
        &mut self,
        entries: &mut Entries,
        key: EntryKey,
        is_state: bool,
        qos: QoS,
    ) -> Option<EntryKey> {
        if !is_state {
            self.count_waiting(qos);
            self.waiting.push_back(entries, key);
            return None;
        }
        let suspect = self.replace_suspect(entries, key);
        if suspect.is_some() {
            return suspect;
        }
        self.count_waiting(qos);
        let replaced = self.state.replace(key)?;
        self.waiting_once -= usize::from(entries.at(replaced).qos == QoS::AtMostOnce);
        Some(replaced)
    }

    /// Puts an entry back in the order of acceptance.
    pub(super) fn put_back(&mut self, entries: &mut Entries, key: EntryKey) {
        let entry = entries.at(key);
        self.count_waiting(entry.qos);
        match entry.is_state() {
            true => self.state = Some(key),
            false => self.waiting.insert(entries, key),
        }
    }

    fn count_waiting(&mut self, qos: QoS) {
        self.waiting_once += usize::from(qos == QoS::AtMostOnce);
    }

    /// Removes an entry that waits here.
    pub(super) fn unlink(&mut self, entries: &mut Entries, key: EntryKey) {
        let entry = entries.at(key);
        let is_once = entry.qos == QoS::AtMostOnce;
        match entry.is_state() {
            true => self.state = None,
            false => self.waiting.remove(entries, key),
        }
        self.waiting_once -= usize::from(is_once);
    }

    /// Returns whether this is a state and a newer one waits or was queued for transmission: it must not be sent again.
    pub(super) fn has_newer(&self, entry: &Entry) -> bool {
        entry.is_state() && (self.state.is_some() || self.newest_state > Some(entry.op))
    }

    pub(super) fn has_waiting(&self) -> bool {
        self.state.is_some() || !self.waiting.is_empty()
    }

    /// Clears what belonged to the connection that has ended.
    fn forget_connection(&mut self) {
        self.is_open = false;
        self.turn = Standing::Absent;
        self.in_flight = 0;
        self.grown = 0;
    }
}

/// The queues of all devices, by the device's slot.
#[derive(Debug, Default)]
pub(super) struct Queues {
    queues: Vec<Queue>,
}

/// How many queues are allocated at a time.
const MORE: usize = 64;

/// A queue is added with its device and remains in its slot.
const HERE_WITH_ITS_DEVICE: &str = "a device has its queue from attach to detach";

impl Queues {
    /// Creates an empty queue for the device in this slot.
    pub(super) fn add(&mut self, device: Slot) {
        let index = device.index();
        if self.queues.len() <= index {
            // There are at most a thousand: occasional moves cost less than keeping twice their size.
            self.queues
                .reserve_exact(MORE.max(index + 1 - self.queues.len()));
            self.queues.resize_with(index + 1, Queue::default);
        }
        *self.at_mut(device) = Queue::default();
    }

    /// Clears what belonged to the connection that has ended, for all devices.
    pub(super) fn forget_connection(&mut self) {
        self.queues.iter_mut().for_each(Queue::forget_connection);
    }

    /// Returns all queues, also those of slots without a device, which are empty.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Queue> {
        self.queues.iter()
    }

    /// Returns the same, to be changed.
    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Queue> {
        self.queues.iter_mut()
    }

    #[inline]
    pub(super) fn at(&self, device: Slot) -> &Queue {
        self.queues.get(device.index()).expect(HERE_WITH_ITS_DEVICE)
    }

    #[inline]
    pub(super) fn at_mut(&mut self, device: Slot) -> &mut Queue {
        self.queues
            .get_mut(device.index())
            .expect(HERE_WITH_ITS_DEVICE)
    }
}
