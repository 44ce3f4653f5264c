//! The changes of status that one reader has not read yet.

use std::collections::{BTreeMap, VecDeque};

use crate::{driver::status::Status, id::DeviceId};

/// A queue of changes in which counts of the same thing are one change, in the place of the first.
#[derive(Default)]
pub(crate) struct UnreadChanges {
    changes: VecDeque<Status>,
    /// How many changes have left the queue.
    taken: u64,
    /// The numbers of the changes that are counts, of each device, oldest first.
    counts: BTreeMap<DeviceId, VecDeque<u64>>,
}

impl UnreadChanges {
    pub(crate) fn len(&self) -> usize {
        self.changes.len()
    }

    /// Adds a change to the unread count of the same thing. Returns whether there is one.
    pub(crate) fn merge(&mut self, change: &Status) -> bool {
        let numbers = change
            .counts_for()
            .and_then(|device| self.counts.get(device));
        numbers.into_iter().flatten().any(|number| {
            let at = (number - self.taken) as usize;
            let unread = self.changes.get_mut(at);
            unread.is_some_and(|unread| unread.add(change))
        })
    }

    /// Queues a change as the newest one.
    pub(crate) fn push(&mut self, change: Status) {
        if let Some(device) = change.counts_for() {
            let number = self.taken + self.changes.len() as u64;
            let numbers = self.counts.entry(device.clone()).or_default();
            numbers.push_back(number);
        }
        self.changes.push_back(change);
    }

    /// Takes the oldest change.
    pub(crate) fn pop(&mut self) -> Option<Status> {
        let change = self.changes.pop_front()?;
        self.taken += 1;
        if let Some(device) = change.counts_for()
            && let Some(numbers) = self.counts.get_mut(device)
        {
            numbers.pop_front();
            if numbers.is_empty() {
                self.counts.remove(device);
            }
        }
        Some(change)
    }
}
