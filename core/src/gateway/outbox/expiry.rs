//! Publications that are not sent any more once they are too old.

use super::{
    Outbox,
    entries::Entries,
    entry::{Entry, EntryKey, Place},
};
use crate::{clock::Moment, command::OpId, timers::Schedule};

/// When publications expire that are not in flight.
#[derive(Debug, Default)]
pub(super) struct Expiry {
    schedule: Schedule<Moment, (OpId, EntryKey)>,
}

impl Expiry {
    /// Watches a publication that waits, if it expires.
    #[inline]
    pub(super) fn watch(&mut self, entries: &Entries, key: EntryKey) {
        let entry = entries.at(key);
        if let Some(at) = entry.expires_at {
            self.add(at, entry.op, key);
        }
    }

    #[inline(never)]
    fn add(&mut self, at: Moment, op: OpId, key: EntryKey) {
        self.schedule.add(at, (op, key));
    }

    /// Watches a publication no more, because it ends.
    #[inline]
    pub(super) fn forget(&mut self, entry: &Entry, key: EntryKey) {
        if let Some(at) = entry.expires_at {
            self.remove(at, entry.op, key);
        }
    }

    /// Watches a publication by its new key, if it is watched.
    pub(super) fn rename(&mut self, entry: &Entry, old: EntryKey, new: EntryKey) {
        if let Some(at) = entry.expires_at {
            self.schedule.rename(at, (entry.op, old), (entry.op, new));
        }
    }

    #[inline(never)]
    fn remove(&mut self, at: Moment, op: OpId, key: EntryKey) {
        self.schedule.remove(at, (op, key));
    }
}

impl Outbox {
    /// Takes the next publication that has expired and is not in flight. One that is in flight may still be acknowledged:
    /// it is watched again once it is put back.
    pub(crate) fn pop_expired(&mut self, now: Moment) -> Option<EntryKey> {
        while let Some((_, key)) = self.expiry.schedule.pop_due(now) {
            if matches!(self.entry(key).place, Place::Waiting | Place::Suspected) {
                return Some(key);
            }
        }
        None
    }

    /// Returns when the next publication expires, unless it is in flight by then.
    pub(crate) fn next_expiry(&self) -> Option<Moment> {
        self.expiry.schedule.next()
    }
}
