//! Publications that are suspected of making the peer close the connection: they wait apart from their device's queue.

use super::{
    super::strikes::Strikes,
    Outbox,
    entries::Entries,
    entry::{EntryKey, Place},
    queue::Queue,
};
use crate::{clock::Moment, command::Slot};

impl Queue {
    /// Puts an entry that is in no queue among the suspects, in the order of acceptance.
    pub(super) fn suspect(&mut self, entries: &mut Entries, key: EntryKey) {
        self.suspects.insert(entries, key);
        entries.at_mut(key).place = Place::Suspected;
    }

    /// Removes the state among the suspects, if there is one: a newer one replaces it.
    pub(super) fn take_suspected_state(&mut self, entries: &mut Entries) -> Option<EntryKey> {
        let is_state = |key: &_| entries.at(*key).is_state();
        let state = self.suspects.iter(entries).find(is_state)?;
        self.suspects.remove(entries, state);
        Some(state)
    }

    /// Removes an entry that waits here, or is suspected.
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
}

impl Outbox {
    /// Returns the strikes of a publication, to be changed.
    pub(crate) fn strikes_mut(&mut self, key: EntryKey) -> &mut Strikes {
        &mut self.entries.at_mut(key).strikes
    }

    /// Returns whether any publication has enough strikes to be a suspect, wherever it is.
    pub(crate) fn has_suspects(&self) -> bool {
        let mut entries = self.entries.iter();
        entries.any(|(_, entry)| entry.strikes.is_suspect())
    }

    /// Returns the suspect of a device that was accepted first.
    pub(crate) fn first_suspect(&self, device: Slot) -> Option<EntryKey> {
        self.queues.at(device).suspects.head()
    }

    /// Returns a publication that has had its last trial.
    pub(crate) fn guilty(&self) -> Option<EntryKey> {
        let mut entries = self.entries.iter();
        let guilty = entries.find(|(_, entry)| entry.strikes.is_guilty());
        guilty.map(|(key, _)| key)
    }

    /// Returns whether the pace of its device holds a suspect back.
    pub(crate) fn is_suspect_held(&self, key: EntryKey, now: Moment) -> bool {
        let pace = &self.queues.at(self.entry(key).device).pace;
        pace.holds_all(now).is_some() || self.is_held(key, now)
    }

    /// Puts a suspect back into its device's queue, to be sent now.
    pub(crate) fn readmit(&mut self, key: EntryKey) {
        let device = self.entry(key).device;
        self.queues.at_mut(device).readmit(&mut self.entries, key);
    }

    /// Clears all strikes, and puts the suspects back into their queues. To be called without a connection.
    pub(crate) fn acquit_all(&mut self) {
        for key in self.all(None) {
            self.strikes_mut(key).clear();
            if matches!(self.entries.at(key).place, Place::Suspected) {
                self.readmit(key);
            }
        }
    }
}
