//! One device's part of the outbox.

use super::{
    blocked::Blocked,
    entries::Entries,
    entry::{Entry, EntryKey, Place},
    list::List,
    pace::Pace,
    probation::{Left, Probation},
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
    /// Urgent telemetry, first in first out.
    urgent: List,
    /// Ordinary telemetry, first in first out.
    waiting: List,
    /// The newest state, which waits apart from the telemetry.
    pub(super) state: Option<EntryKey>,
    /// What waits for its trial.
    pub(super) suspects: List,
    pub(super) probation: Probation,
    pub(super) left: Left,
    pub(super) pace: Pace,
    /// Everything accepted and not yet ended.
    pub(super) load: Load,
    /// How many are in flight at QoS 1, or were when they ended and may still be in the peer's queue.
    pub(super) in_flight: usize,
    /// How many of these have ended.
    pub(super) ended_in_flight: usize,
    /// How many more than at first may be in flight, because of the acknowledgements on this connection.
    pub(super) grown: usize,
    /// The most that this was before publications left the window unanswered; urgent ones still have that room.
    pub(super) most_grown: usize,
    /// How many wait that are urgent or at QoS 0.
    special: usize,
    /// Whether the pace holds the state or all back, so that the state makes nothing urgent.
    pub(super) is_held: bool,
    /// Whether the device is attached and may publish, and is not suspected.
    pub(super) is_open: bool,
    /// Whether the device is in the round of devices that can send.
    pub(super) turn: Standing,
    /// Whether it has its turn among the others too, while it waits with something urgent.
    pub(super) keeps_turn: bool,
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
    /// It can send an urgent publication at QoS 0.
    UrgentFree,
    /// It waits for the window with an urgent publication.
    Urgent,
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

    /// Returns what would be sent now: of what is urgent, or else of all, the state if the pace allows it, or else the head
    /// of the telemetry.
    #[inline]
    pub(super) fn candidate(&self, entries: &Entries, now: Moment) -> Candidate {
        match self.pace.holds_all(now) {
            Some(at) => Candidate {
                key: None,
                held_until: Some(at),
            },
            None if self.special == 0 && self.state.is_none() => Candidate {
                key: self.waiting.head(),
                held_until: None,
            },
            None => self.first_allowed(entries, now),
        }
    }

    #[inline(never)]
    fn first_allowed(&self, entries: &Entries, now: Moment) -> Candidate {
        let held_until = self.state.and_then(|_| self.pace.holds_state(now));
        let state = self.state.filter(|_| held_until.is_none());
        let key = self.in_order(entries, state).next();
        Candidate { key, held_until }
    }

    /// Returns what would be sent now at QoS 0.
    pub(super) fn free_candidate(&self, entries: &Entries, now: Moment) -> Option<EntryKey> {
        if self.pace.holds_all(now).is_some() {
            return None;
        }
        let state = self.state.filter(|_| self.pace.holds_state(now).is_none());
        let mut next = self.in_order(entries, state);
        next.find(|&key| entries.at(key).qos == QoS::AtMostOnce)
    }

    /// Returns the state, if it may be sent, and the heads of the telemetry, in the order in which they are sent.
    fn in_order(
        &self,
        entries: &Entries,
        state: Option<EntryKey>,
    ) -> impl Iterator<Item = EntryKey> + use<> {
        let urgent_state = state.filter(|&state| entries.at(state).is_urgent);
        let ordinary_state = state.filter(|_| urgent_state.is_none());
        let heads = [
            urgent_state,
            self.urgent.head(),
            ordinary_state,
            self.waiting.head(),
        ];
        heads.into_iter().flatten()
    }

    /// Returns what would be sent first if the pace allowed it.
    pub(super) fn first(&self, entries: &Entries) -> Option<EntryKey> {
        self.in_order(entries, self.state).next()
    }

    /// Returns whether anything waits that is urgent or at QoS 0.
    #[inline]
    pub(super) fn has_special(&self) -> bool {
        self.special > 0
    }

    /// Returns the quality of service of the urgent publication that would be sent first, if there is one.
    #[inline]
    pub(super) fn urgent(&self, entries: &Entries) -> Option<QoS> {
        let state = self.state.filter(|_| !self.is_held);
        let first = self.in_order(entries, state).next()?;
        let first = entries.at(first);
        first.is_urgent.then_some(first.qos)
    }

    /// Returns whether the state or a head of the telemetry is at QoS 0: it needs no place in a window.
    #[inline]
    pub(super) fn is_free(&self, entries: &Entries) -> bool {
        let mut heads = self.in_order(entries, self.state);
        heads.any(|key| entries.at(key).qos == QoS::AtMostOnce)
    }

    /// Returns the telemetry that waits and that a new publication may take the place of: the oldest first, and nothing
    /// urgent for an ordinary one.
    pub(super) fn droppable<'a>(
        &self,
        entries: &'a Entries,
        for_urgent: bool,
    ) -> impl Iterator<Item = EntryKey> + 'a {
        let urgent = for_urgent.then(|| self.urgent.iter(entries));
        self.waiting
            .iter(entries)
            .chain(urgent.into_iter().flatten())
    }

    /// Returns all that waits or is suspected.
    pub(super) fn all<'a>(&self, entries: &'a Entries) -> impl Iterator<Item = EntryKey> + 'a {
        let lists = [&self.urgent, &self.waiting, &self.suspects];
        let listed = lists.map(|list| list.iter(entries)).into_iter().flatten();
        self.state.into_iter().chain(listed)
    }

    /// Returns how many are in flight at QoS 1 and have not ended.
    pub(super) fn unfinished_in_flight(&self) -> usize {
        self.in_flight - self.ended_in_flight
    }

    fn list_of(&mut self, is_urgent: bool) -> &mut List {
        match is_urgent {
            true => &mut self.urgent,
            false => &mut self.waiting,
        }
    }

    /// Adds an entry that was accepted; returns a waiting or suspected state that it replaces.
    #[inline(always)]
    pub(super) fn append(
        &mut self,
        entries: &mut Entries,
        key: EntryKey,
        is_state: bool,
        is_special: bool,
    ) -> Option<EntryKey> {
        if !is_state {
            match is_special {
                true => self.put_special(entries, key),
                false => self.waiting.push_back(entries, key),
            }
            return None;
        }
        let suspect = self.replace_suspect(entries, key);
        if suspect.is_some() {
            return suspect;
        }
        self.special += usize::from(is_special);
        let replaced = self.state.replace(key)?;
        self.special -= usize::from(entries.at(replaced).is_special());
        Some(replaced)
    }

    /// Adds telemetry that is urgent or at QoS 0. Never inlined: most is neither.
    #[inline(never)]
    fn put_special(&mut self, entries: &mut Entries, key: EntryKey) {
        self.special += 1;
        let is_urgent = entries.at(key).is_urgent;
        self.list_of(is_urgent).push_back(entries, key);
    }

    /// Puts an entry back in the order of acceptance.
    pub(super) fn put_back(&mut self, entries: &mut Entries, key: EntryKey) {
        let entry = entries.at(key);
        let (is_state, is_urgent) = (entry.is_state(), entry.is_urgent);
        self.special += usize::from(entry.is_special());
        match is_state {
            true => self.state = Some(key),
            false => self.list_of(is_urgent).insert(entries, key),
        }
    }

    /// Removes an entry that waits here.
    #[inline(always)]
    pub(super) fn unlink(&mut self, entries: &mut Entries, key: EntryKey) {
        let entry = entries.at(key);
        let (is_state, is_urgent) = (entry.is_state(), entry.is_urgent);
        self.special -= usize::from(entry.is_special());
        match is_state {
            true => self.state = None,
            false => self.list_of(is_urgent).remove(entries, key),
        }
    }

    /// Keeps an entry that waits here, or is suspected, by its new key.
    pub(super) fn rename(&mut self, entries: &mut Entries, old: EntryKey, new: EntryKey) {
        let entry = entries.at(new);
        let (place, is_state, is_urgent) = (entry.place, entry.is_state(), entry.is_urgent);
        match (place, is_state) {
            (Place::Suspected, _) => self.suspects.rename(entries, old, new),
            (_, true) => self.state = Some(new),
            (_, false) => self.list_of(is_urgent).rename(entries, old, new),
        }
    }

    /// Returns whether this is a state and a newer one waits or was queued for transmission: it must not be sent again.
    pub(super) fn has_newer(&self, entry: &Entry) -> bool {
        entry.is_state() && (self.state.is_some() || self.newest_state > Some(entry.op))
    }

    pub(super) fn has_waiting(&self) -> bool {
        !self.waiting.is_empty() || self.state.is_some() || self.has_special()
    }

    /// Clears what belonged to the connection that has ended.
    fn forget_connection(&mut self) {
        self.is_open = false;
        self.turn = Standing::Absent;
        self.keeps_turn = false;
        self.in_flight = 0;
        self.ended_in_flight = 0;
        self.grown = 0;
        self.most_grown = 0;
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

    /// Clears the strikes that publications have left, unless they make a suspect.
    pub(super) fn forgive_left(&mut self) {
        self.queues
            .iter_mut()
            .for_each(|queue| queue.left.forgive());
    }

    /// Clears what belonged to the connection that has ended, for all devices.
    pub(super) fn forget_connection(&mut self) {
        self.queues.iter_mut().for_each(Queue::forget_connection);
    }

    /// Returns all queues, also those of slots without a device, which are empty.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Queue> {
        self.queues.iter()
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
