//! Deadlines and tags of publications, which few have.

use std::collections::BTreeMap;

#[cfg(feature = "store")]
use super::entry::Entry;
use super::{
    Outbox,
    entry::{EntryKey, Place},
};
use crate::{
    clock::Moment,
    command::{self, OpId},
    id::DeviceId,
    tag::Tag,
    timers::Schedule,
    unsent::Unsent,
};

/// The deadlines and tags of the few publications that have one, stored apart so that entries stay small.
#[derive(Debug, Default)]
pub(super) struct Extras {
    by_op: BTreeMap<OpId, Extra>,
    /// When those expire that are not in flight; in the order of acceptance, if several expire at once.
    expiries: Schedule<Moment, OpId>,
}

#[derive(Debug)]
struct Extra {
    key: EntryKey,
    /// When it is not sent any more.
    expires_at: Option<Moment>,
    tag: Option<Tag>,
}

impl Extras {
    pub(super) fn add(&mut self, op: OpId, key: EntryKey, given: command::Extras, now: Moment) {
        let extra = Extra {
            key,
            expires_at: given.expires_after.map(|time| now + time),
            tag: given.tag,
        };
        self.by_op.insert(op, extra);
        self.watch(op);
    }

    /// Watches a publication that waits, if it expires.
    pub(super) fn watch(&mut self, op: OpId) {
        if let Some(at) = self.expires_at(op) {
            self.expiries.add(at, op);
        }
    }

    /// Returns when a publication expires, and its tag.
    #[cfg(feature = "store")]
    #[inline]
    pub(super) fn of(&self, entry: &Entry) -> (Option<Moment>, Option<&Tag>) {
        match entry.has_extras {
            true => self.of_op(entry.op),
            false => (None, None),
        }
    }

    #[cfg(feature = "store")]
    #[inline(never)]
    fn of_op(&self, op: OpId) -> (Option<Moment>, Option<&Tag>) {
        let extra = self.by_op.get(&op);
        extra.map_or((None, None), |extra| (extra.expires_at, extra.tag.as_ref()))
    }

    /// Records the new key of a publication.
    pub(super) fn rename(&mut self, op: OpId, key: EntryKey) {
        if let Some(extra) = self.by_op.get_mut(&op) {
            extra.key = key;
        }
    }

    pub(super) fn remove(&mut self, op: OpId) {
        let extra = self.by_op.remove(&op);
        if let Some(at) = extra.and_then(|extra| extra.expires_at) {
            self.expiries.remove(at, op);
        }
    }

    /// Returns when a publication expires. Never inlined, because most do not.
    #[inline(never)]
    fn expires_at(&self, op: OpId) -> Option<Moment> {
        self.by_op.get(&op)?.expires_at
    }
}

impl Outbox {
    /// Returns whether a publication is too old to be sent.
    #[inline]
    pub(crate) fn has_expired(&self, key: EntryKey, now: Moment) -> bool {
        let entry = self.entry(key);
        entry.has_extras && self.extras.expires_at(entry.op).is_some_and(|at| at <= now)
    }

    /// Takes the next publication that has expired and is not in flight. One that is in flight may still be acknowledged:
    /// it is watched again once it is put back.
    pub(crate) fn pop_expired(&mut self, now: Moment) -> Option<EntryKey> {
        while let Some(op) = self.extras.expiries.pop_due(now) {
            let key = self.extras.by_op.get(&op)?.key;
            if matches!(self.entry(key).place, Place::Waiting | Place::Suspected) {
                return Some(key);
            }
        }
        None
    }

    /// Returns when the next publication expires, unless it is in flight by then.
    pub(crate) fn next_expiry(&self) -> Option<Moment> {
        self.extras.expiries.next()
    }

    /// Returns what is reported to the user about an undelivered publication. `device` is the id of its device.
    pub(crate) fn unsent(&self, key: EntryKey, device: &DeviceId, now: Moment) -> Unsent {
        let entry = self.entry(key);
        let extra = self.extras.by_op.get(&entry.op);
        let expires_at = extra.and_then(|extra| extra.expires_at);
        Unsent {
            op: entry.op,
            device: device.clone(),
            topic: entry.topic(),
            qos: entry.qos,
            payload: entry.payload.clone(),
            priority: entry.priority(),
            expires_after: expires_at.map(|at| at.since(now)),
            tag: extra.and_then(|extra| extra.tag.clone()),
            #[cfg(feature = "store")]
            is_stored: self.is_stored(key),
            #[cfg(not(feature = "store"))]
            is_stored: false,
        }
    }
}
