//! Publications that are suspected of making the peer close the connection: they wait apart from their device's queue, and
//! the rest of that queue waits for their trial, because a device that sends one such publication may send more.

use super::{
    super::strikes::Strikes,
    Flight, Outbox,
    entries::Entries,
    entry::{Entry, EntryKey, Place},
    probation::{Left, Probation},
    queue::Queue,
};
use crate::{clock::Moment, command::Slot, mqtt::QoS};

impl Queue {
    /// Returns whether its publications are sent alone.
    pub(super) fn is_suspected(&self) -> bool {
        !self.suspects.is_empty() || self.probation.is_on()
    }

    /// Puts an entry that is in no queue among the suspects, in the order of acceptance.
    pub(super) fn suspect(&mut self, entries: &mut Entries, key: EntryKey) {
        self.suspects.insert(entries, key);
        entries.at_mut(key).place = Place::Suspected;
    }

    /// Puts a new state in the place of the one among the suspects, if there is one, with its strikes; returns the old one,
    /// which is in no queue any more.
    pub(super) fn replace_suspect(
        &mut self,
        entries: &mut Entries,
        state: EntryKey,
    ) -> Option<EntryKey> {
        let is_state = |key: &_| entries.at(*key).is_state();
        let old = self.suspects.iter(entries).find(is_state)?;
        self.suspects.remove(entries, old);
        entries.at_mut(state).strikes = entries.at(old).strikes;
        self.suspect(entries, state);
        Some(old)
    }

    /// Removes an entry that waits here, or is suspected. Never inlined: most that end are in flight.
    #[inline(never)]
    pub(super) fn unlink_any(&mut self, entries: &mut Entries, key: EntryKey) {
        match entries.at(key).place {
            Place::Suspected => self.suspects.remove(entries, key),
            _ => self.unlink(entries, key),
        }
    }

    /// Puts a suspect back into the queue.
    fn readmit(&mut self, entries: &mut Entries, key: EntryKey) {
        self.suspects.remove(entries, key);
        self.put_back(entries, key);
        entries.at_mut(key).place = Place::Waiting;
    }

    /// Returns what would be sent alone now.
    fn first_suspect(&self, entries: &Entries) -> Option<EntryKey> {
        if self.probation.until().is_some() {
            return None;
        }
        let waiting = self.probation.is_on().then(|| self.first(entries));
        self.suspects.head().or(waiting.flatten())
    }
}

/// Publications.
impl Outbox {
    /// Returns the strikes of a publication, to be changed.
    pub(crate) fn strikes_mut(&mut self, key: EntryKey) -> &mut Strikes {
        &mut self.entries.at_mut(key).strikes
    }

    /// Returns whether any publication of a device is a suspect that waits, or the device is on probation.
    pub(crate) fn is_suspected(&self, device: Slot) -> bool {
        self.queues.at(device).is_suspected()
    }

    /// Returns the suspect of a device whose turn it is.
    pub(crate) fn first_suspect(&self, device: Slot) -> Option<EntryKey> {
        self.queues.at(device).first_suspect(&self.entries)
    }

    /// Returns a publication that is not tried any more. To be called without a connection.
    pub(crate) fn guilty(&self) -> Option<EntryKey> {
        let queues = self.queues.iter();
        let mut suspects = queues.flat_map(|queue| queue.suspects.iter(&self.entries));
        suspects.find(|&key| self.entries.at(key).strikes.is_guilty())
    }

    /// Returns whether the pace of its device holds a suspect back.
    pub(crate) fn is_suspect_held(&self, key: EntryKey, now: Moment) -> bool {
        let pace = &self.queues.at(self.entry(key).device).pace;
        pace.holds_all(now).is_some() || self.is_held(key, now)
    }

    /// Puts a suspect into its device's queue, to be sent alone now.
    pub(crate) fn begin_trial(&mut self, key: EntryKey) {
        let entry = self.entries.at_mut(key);
        entry.strikes.suspect();
        if matches!(entry.place, Place::Suspected) {
            let device = entry.device;
            self.queues.at_mut(device).readmit(&mut self.entries, key);
        }
    }

    /// Keeps the strikes of a publication with its device, because it ends before the peer has answered it.
    pub(crate) fn leave_strikes(&mut self, key: EntryKey) {
        let &Entry {
            device,
            qos,
            strikes,
            ..
        } = self.entry(key);
        let left = &mut self.queues.at_mut(device).left;
        left.take_over(strikes, qos == QoS::AtLeastOnce);
    }

    /// Adds the end of a connection on which a publication of a device had ended before the peer answered it.
    pub(crate) fn add_strike(&mut self, device: Slot, was_alone: bool) {
        self.queues.at_mut(device).left.add(was_alone);
    }

    /// Puts a device on probation whose publications have left enough strikes. To be called without a connection, or when
    /// the device is suspected.
    pub(crate) fn settle_strikes(&mut self, device: Slot, now: Moment) {
        let queue = self.queues.at_mut(device);
        if !queue.left.strikes.is_suspect() {
            return;
        }
        let left = core::mem::take(&mut queue.left);
        match left.strikes.was_alone() {
            true => self.begin_probation(device, left.is_answerable, now),
            false => queue.probation.begin(left.is_answerable),
        }
    }

    /// Clears the strikes of everything that is not a suspect yet.
    pub(crate) fn forgive_others(&mut self) {
        self.queues.forgive_left();
        for key in self.all() {
            self.strikes_mut(key).forgive();
        }
    }

    /// Returns how many publications of a device are not sent before their trial.
    pub(crate) fn suspected_of(&self, device: Slot) -> usize {
        let queue = self.queues.at(device);
        match queue.probation.is_on() {
            true => queue.load.messages - queue.unfinished_in_flight(),
            false => queue.suspects.iter(&self.entries).count(),
        }
    }
}

/// Devices.
impl Outbox {
    /// Puts a device on probation, because one of its publications was given up, which the peer could have answered or not.
    pub(crate) fn begin_probation(&mut self, device: Slot, is_answerable: bool, now: Moment) {
        self.forget_probation(device);
        let probation = &mut self.queues.at_mut(device).probation;
        if let Some(until) = probation.give_up(is_answerable, now) {
            self.trials.add(until, device);
        }
    }

    /// Returns whether a publication that was wholly handed over ends the probation of its device.
    pub(crate) fn is_probation_unanswerable(&self, device: Slot) -> bool {
        self.queues.at(device).probation.is_unanswerable()
    }

    /// Records that a device is not to blame: the peer has answered one of its publications, or not closed at it. Lets the
    /// others go on, unless one is still suspected.
    pub(crate) fn end_probation(&mut self, flight: &mut Flight, device: Slot, is_attached: bool) {
        self.forget_probation(device);
        let queue = self.queues.at_mut(device);
        queue.probation = Probation::default();
        queue.left = Left::default();
        if is_attached && !queue.is_suspected() {
            self.open(flight, device);
        }
    }

    /// Lets everything but the suspects of an attached device go on, because there are no more trials.
    pub(crate) fn end_trials(&mut self, flight: &mut Flight, device: Slot) {
        let queue = self.queues.at_mut(device);
        if !queue.probation.is_on() {
            queue.is_open = true;
            flight.round.offer(device, queue, &self.entries);
        }
    }

    /// Lets the trials of the next device begin whose time has come.
    pub(crate) fn release_trial(&mut self, now: Moment) -> Option<Slot> {
        let device = self.trials.pop_due(now)?;
        self.queues.at_mut(device).probation.release(now);
        Some(device)
    }

    /// Returns when the next trial may begin of those that wait for their time.
    pub(crate) fn next_trial(&self) -> Option<Moment> {
        let mut waiting = self.trials.iter();
        let next = waiting.find(|(_, device)| self.queues.at(*device).load.messages > 0);
        next.map(|(at, _)| at)
    }

    /// Forgets when the next trial of a device may begin.
    pub(super) fn forget_probation(&mut self, device: Slot) {
        if let Some(until) = self.queues.at(device).probation.until() {
            self.trials.remove(until, device);
        }
    }
}
