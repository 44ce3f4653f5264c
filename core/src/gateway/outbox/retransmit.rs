//! Publications in flight, in one queue for each attempt. All entries of a queue have the same timeout, so each queue
//! is in the order of its deadlines, and the next deadline is that of a head.

use super::{
    entries::Entries,
    entry::{EntryKey, Place},
    list::List,
};
use crate::{
    clock::{Moment, PeerTime},
    command::OpId,
    mqtt::PacketId,
    time::Duration,
};

/// The publications of one attempt.
#[derive(Debug)]
struct RetransmitQueue {
    timeout: Duration,
    list: List,
}

/// Every QoS 1 publication queued for transmission and not yet acknowledged.
#[derive(Debug)]
pub(super) struct RetransmitQueues {
    queues: Vec<RetransmitQueue>,
    len: usize,
    /// No entry is due before this time: a lower bound, so that most calls need not check the heads.
    quiet_until: Option<PeerTime>,
}

impl RetransmitQueues {
    /// Creates empty queues. The timeout of the first attempt doubles with each further one, up to `max`.
    pub(super) fn new(first: Duration, max: Duration) -> Self {
        let mut queues = Vec::new();
        let mut timeout = first;
        loop {
            queues.push(RetransmitQueue {
                timeout,
                list: List::default(),
            });
            if timeout >= max {
                return Self {
                    queues,
                    len: 0,
                    quiet_until: None,
                };
            }
            timeout = timeout.saturating_mul(2).min(max);
        }
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// Appends an entry to the queue of its first attempt.
    pub(super) fn push(
        &mut self,
        entries: &mut Entries,
        key: EntryKey,
        id: PacketId,
        sent: PeerTime,
    ) {
        self.place(entries, key, id, sent, 0);
        self.len += 1;
    }

    /// Moves an entry to the queue of its next attempt.
    pub(super) fn push_again(&mut self, entries: &mut Entries, key: EntryKey, sent: PeerTime) {
        let Place::InFlight { id, attempt, .. } = entries.at(key).place else {
            return;
        };
        self.unlink(entries, key, attempt);
        let last = u8::try_from(self.queues.len() - 1).unwrap_or(u8::MAX);
        self.place(entries, key, id, sent, attempt.saturating_add(1).min(last));
    }

    /// Lets an entry wait once more in the queue of its attempt.
    pub(super) fn postpone(&mut self, entries: &mut Entries, key: EntryKey, peer_now: PeerTime) {
        if let Place::InFlight { id, attempt, .. } = entries.at(key).place {
            self.unlink(entries, key, attempt);
            self.place(entries, key, id, peer_now, attempt);
        }
    }

    fn place(
        &mut self,
        entries: &mut Entries,
        key: EntryKey,
        id: PacketId,
        sent: PeerTime,
        attempt: u8,
    ) {
        entries.at_mut(key).place = Place::InFlight { id, sent, attempt };
        if let Some(queue) = self.queues.get_mut(usize::from(attempt)) {
            // Behind another entry of its queue, it is not due before that one.
            if queue.list.is_empty() {
                let due = sent + queue.timeout;
                self.quiet_until = Some(self.quiet_until.map_or(due, |quiet| quiet.min(due)));
            }
            queue.list.push_back(entries, key);
        }
    }

    pub(super) fn remove(&mut self, entries: &mut Entries, key: EntryKey, attempt: u8) {
        self.unlink(entries, key, attempt);
        self.len -= 1;
    }

    fn unlink(&mut self, entries: &mut Entries, key: EntryKey, attempt: u8) {
        if let Some(queue) = self.queues.get_mut(usize::from(attempt)) {
            queue.list.remove(entries, key);
        }
    }

    /// Returns whether an entry may be due: peer time never runs ahead of machine time.
    #[inline]
    pub(super) fn may_be_overdue(&self, now: Moment) -> bool {
        self.quiet_until
            .is_some_and(|quiet| quiet.earliest() <= now)
    }

    /// Returns the entry that is due first, if it is due now.
    pub(super) fn overdue(&mut self, entries: &Entries, peer_now: PeerTime) -> Option<EntryKey> {
        if self.quiet_until? > peer_now {
            return None;
        }
        let (due, key) = self.first_due(entries).unzip();
        self.quiet_until = due;
        key.filter(|_| due.is_some_and(|due| due <= peer_now))
    }

    /// Returns the entry that is due first, and when; of several, the one that was accepted first.
    pub(super) fn first_due(&self, entries: &Entries) -> Option<(PeerTime, EntryKey)> {
        let heads = self.queues.iter().filter_map(|queue| {
            let key = queue.list.head()?;
            let entry = entries.at(key);
            match entry.place {
                Place::InFlight { sent, .. } => Some((sent + queue.timeout, entry.op, key)),
                Place::Waiting | Place::HandingOver { .. } => None,
            }
        });
        let first = heads.min_by_key(|&(due, op, _): &(PeerTime, OpId, EntryKey)| (due, op));
        first.map(|(due, _, key)| (due, key))
    }

    /// Iterates over every entry in flight, by attempt.
    pub(super) fn iter<'a>(&'a self, entries: &'a Entries) -> impl Iterator<Item = EntryKey> + 'a {
        self.queues
            .iter()
            .flat_map(|queue| queue.list.iter(entries))
    }

    /// Iterates over the entries queued last, at most `most` of each attempt.
    pub(super) fn newest<'a>(
        &'a self,
        most: usize,
        entries: &'a Entries,
    ) -> impl Iterator<Item = EntryKey> + 'a {
        let queues = self.queues.iter();
        queues.flat_map(move |queue| queue.list.iter_back(entries).take(most))
    }
}
