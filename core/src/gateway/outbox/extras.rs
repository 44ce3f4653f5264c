//! What few publications have: a deadline, a tag.

use std::collections::BTreeMap;

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

/// What few publications have, apart from the others, which so are small.
#[derive(Debug, Default)]
pub(super) struct Extras {
    by_key: BTreeMap<EntryKey, Extra>,
    /// When those expire that are not in flight. In the order of acceptance, if several expire at once.
    expiries: Schedule<Moment, (OpId, EntryKey)>,
}

#[derive(Debug)]
struct Extra {
    /// When it is not sent any more.
    expires_at: Option<Moment>,
    tag: Option<Tag>,
}

impl Extras {
    pub(super) fn add(&mut self, op: OpId, key: EntryKey, given: command::Extras, now: Moment) {
        let expires_at = given.expires_after.map(|time| now + time);
        let tag = given.tag;
        self.by_key.insert(key, Extra { expires_at, tag });
        self.watch(op, key);
    }

    /// Watches a publication that waits, if it expires.
    #[inline(never)]
    pub(super) fn watch(&mut self, op: OpId, key: EntryKey) {
        if let Some(at) = self.expires_at(key) {
            self.expiries.add(at, (op, key));
        }
    }

    pub(super) fn remove(&mut self, op: OpId, key: EntryKey) {
        let extra = self.by_key.remove(&key);
        if let Some(at) = extra.and_then(|extra| extra.expires_at) {
            self.expiries.remove(at, (op, key));
        }
    }

    #[inline(never)]
    fn expires_at(&self, key: EntryKey) -> Option<Moment> {
        self.by_key.get(&key)?.expires_at
    }
}

impl Outbox {
    /// Returns whether a publication is too old to be sent.
    #[inline]
    pub(crate) fn has_expired(&self, key: EntryKey, now: Moment) -> bool {
        let expires_at = || self.extras.expires_at(key);
        self.entry(key).has_extras && expires_at().is_some_and(|at| at <= now)
    }

    /// Takes the next publication that has expired and is not in flight. One that is in flight may still be acknowledged:
    /// it is watched again once it is put back.
    pub(crate) fn pop_expired(&mut self, now: Moment) -> Option<EntryKey> {
        while let Some((_, key)) = self.extras.expiries.pop_due(now) {
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
        let extra = self.extras.by_key.get(&key);
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
        }
    }
}
