//! Which operations are made durable together, and when.

use super::Records;
use crate::{
    clock::Moment,
    gateway::outbox::entry::EntryKey,
    store::{StoreFailure, StoreFailureKind, StoreSeq},
    time::Duration,
};

/// How long a removal waits at most for another reason to commit.
const REMOVAL_WAIT: Duration = Duration::from_secs(1);

/// So many removals are a reason to commit.
const MANY_REMOVALS: usize = 1_000;

/// A group with so many bytes takes no more: who carries it out may have to copy it.
const MOST_OF_A_GROUP: usize = 1024 * 1024;

/// An operation on the store, by the key of its publication.
#[derive(Clone, Copy, Debug)]
pub(crate) enum RecordOp {
    Put(EntryKey, StoreSeq),
    Remove(StoreSeq),
    Commit(StoreSeq),
}

/// The group that is to be made durable, and what has become of the last one.
#[derive(Debug, Default)]
pub(super) struct Groups {
    current: Option<Group>,
    /// The last number of the newest group: all through it may be in the store, whether or not their puts were taken, so
    /// that when they are makes no difference.
    begun: Option<StoreSeq>,
    trouble: Option<Trouble>,
    /// Whether the store was not there when it was last written.
    is_gone: bool,
}

/// Operations that are made durable together.
#[derive(Clone, Copy, Debug)]
struct Group {
    /// The last number that is put.
    through: StoreSeq,
    /// The number of removals.
    removals: usize,
    /// How many of these were taken.
    removed: usize,
    /// Whether its commit was taken.
    is_taken: bool,
}

/// The store could not be written.
#[derive(Debug)]
struct Trouble {
    failure: StoreFailure,
    /// How often it was tried.
    attempts: u32,
    retry_at: Moment,
}

impl Groups {
    /// Returns the last number that may be in the store.
    pub(super) fn begun(&self) -> Option<StoreSeq> {
        self.begun
    }

    /// Forgets all groups, and stops trying. Whether the store is there stays known.
    pub(super) fn end(&mut self) {
        *self = Self {
            is_gone: self.is_gone,
            ..Self::default()
        };
    }

    /// Returns how many removals belong to the group.
    pub(super) fn removals(&self) -> usize {
        self.current.map_or(0, |group| group.removals)
    }
}

impl Records {
    /// Returns whether the store could not be written, and has not been since.
    pub(in super::super) fn is_in_trouble(&self) -> bool {
        self.groups.trouble.is_some()
    }

    /// Returns whether the store was not there when it was last written.
    pub(in super::super) fn is_gone(&self) -> bool {
        self.groups.is_gone
    }

    /// Returns whether a group has begun and was not answered.
    pub(in super::super) fn is_in_group(&self) -> bool {
        self.groups.current.is_some()
    }

    /// Returns how often the store was tried since it could be written.
    pub(in super::super) fn attempts(&self) -> u32 {
        let trouble = self.groups.trouble.as_ref();
        trouble.map_or(0, |trouble| trouble.attempts)
    }

    /// Returns whether the store has a group that it has not answered.
    #[inline]
    pub(super) fn has_group(&self) -> bool {
        self.groups.current.is_some()
    }

    /// Returns whether there may be removals to notice, or to commit.
    pub(super) fn has_new_removals(&self) -> bool {
        let ungrouped = self.removals.len() - self.groups.removals();
        match self.removals.since() {
            None => ungrouped > 0,
            Some(_) => ungrouped >= MANY_REMOVALS || self.removals.has_haste(),
        }
    }

    /// Returns when there is something to do without an input.
    pub(in super::super) fn next_deadline(&self) -> Option<Moment> {
        let of_group = match (&self.groups.current, &self.groups.trouble) {
            (Some(_), _) => None,
            (None, Some(trouble)) => Some(trouble.retry_at),
            (None, None) => self.removals.since().map(|since| since + REMOVAL_WAIT),
        };
        [of_group, self.next_old()].into_iter().flatten().min()
    }

    /// Begins a group, if no other is under way and it is time for one: after a failure, once the backoff is over.
    pub(in super::super) fn begin_group(&mut self, now: Moment) {
        self.removals.notice(self.groups.removals(), now);
        if self.groups.current.is_some() {
            return;
        }
        let is_due = match &self.groups.trouble {
            Some(trouble) => trouble.retry_at <= now,
            None => self.line.first_to_put().is_some() || self.are_removals_due(now),
        };
        if is_due && let Some(through) = self.last_of_group() {
            self.groups.begun = Some(through);
            self.groups.current = Some(Group {
                through,
                removals: self.removals.group(),
                removed: 0,
                is_taken: false,
            });
        }
    }

    /// Returns the last number of the next group: so much that it is not too large.
    fn last_of_group(&self) -> Option<StoreSeq> {
        if self.room.reserved() <= MOST_OF_A_GROUP {
            return self.last;
        }
        let mut bytes = 0;
        let mut last = self.last;
        let mut next = self.line.first_to_put();
        while let Some(key) = next {
            let item = self.items.at(key);
            bytes += item.bytes as usize;
            last = item.seq;
            next = match bytes < MOST_OF_A_GROUP {
                true => self.line.numbered_after(item),
                false => None,
            };
        }
        last
    }

    fn are_removals_due(&self, now: Moment) -> bool {
        let since = self.removals.since();
        let has_waited = since.is_some_and(|since| since + REMOVAL_WAIT <= now);
        let is_closing = self.is_closing() && self.removals.len() > 0;
        has_waited
            || is_closing
            || self.removals.has_haste()
            || self.removals.len() >= MANY_REMOVALS
    }

    /// Returns whether there is an operation of the group to be taken.
    pub(in super::super) fn has_op(&self) -> bool {
        self.groups.current.is_some_and(|group| !group.is_taken)
    }

    /// Takes the next operation of the group.
    pub(in super::super) fn next_op(&mut self) -> Option<RecordOp> {
        let group = self.groups.current.as_mut()?;
        if group.is_taken {
            return None;
        }
        if let Some(key) = self.line.first_to_put()
            && let Some(seq) = self.items.at(key).seq
            && seq <= group.through
        {
            self.line.put(&self.items, key);
            return Some(RecordOp::Put(key, seq));
        }
        if group.removed < group.removals {
            let seq = self.removals.get(group.removed)?;
            group.removed += 1;
            return Some(RecordOp::Remove(seq));
        }
        group.is_taken = true;
        Some(RecordOp::Commit(group.through))
    }

    /// Records that all through this number is durable, if that is the answer to the group. Returns whether the store could
    /// not be written before; `None` if it is no answer.
    pub(in super::super) fn confirm(&mut self, through: StoreSeq) -> Option<bool> {
        let answers = |group: &mut Group| group.through == through;
        let group = self.groups.current.take_if(answers)?;
        self.durable = Some(group.through);
        self.removals.forget(group.removals);
        self.groups.is_gone = false;
        Some(self.groups.trouble.take().is_some())
    }

    /// Takes the next publication that has become durable.
    pub(in super::super) fn next_durable(&mut self) -> Option<EntryKey> {
        let key = self.line.first_numbered()?;
        let is_durable = self.items.at(key).seq <= self.durable;
        is_durable.then(|| {
            self.line.remove_first(&mut self.items);
            key
        })
    }

    /// Records that the group could not be made durable, and everything in it is to be put again. Returns whether that is
    /// news; `None` if there is no group.
    pub(in super::super) fn fail(
        &mut self,
        failure: &StoreFailure,
        retry_at: Moment,
    ) -> Option<bool> {
        self.groups.current.take()?;
        self.groups.is_gone = failure.kind == StoreFailureKind::Unreachable;
        self.line.put_again();
        let attempts = self.attempts() + 1;
        let before = self.groups.trouble.replace(Trouble {
            failure: failure.clone(),
            attempts,
            retry_at,
        });
        Some(before.is_none_or(|before| before.failure.kind != failure.kind))
    }

    /// Returns whether nothing is left to be made durable.
    pub(in super::super) fn is_settled(&self) -> bool {
        self.line.is_empty() && self.removals.len() == 0 && self.groups.current.is_none()
    }
}
