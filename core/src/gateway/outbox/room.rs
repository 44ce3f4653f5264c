//! Room for publications, and the users who wait for it.

use super::{EntryKey, Outbox};
use crate::command::{Publication, PublicationTopic, Slot};

impl Outbox {
    /// Returns whether a publication would be accepted. A state needs no more room than the one that it replaces.
    pub(crate) fn has_room(&self, publication: &Publication) -> bool {
        let bytes = publication.payload.len();
        let queue = self.queues.at(publication.device.slot);
        let is_state = matches!(publication.topic, PublicationTopic::State);
        let replaced = queue
            .state
            .filter(|_| is_state)
            .map(|key| self.entry(key).payload.len());
        let (device, total) = (queue.load.without(replaced), self.load.without(replaced));
        device.has_room(bytes, self.limits.device) && total.has_room(bytes, self.limits.total)
    }

    /// Returns the oldest telemetry event of a device that still waits in its queue.
    pub(crate) fn oldest_waiting(&self, device: Slot) -> Option<EntryKey> {
        self.queues.at(device).waiting.head()
    }

    /// Records that the user of this device waits for room for this many bytes.
    pub(crate) fn block(&mut self, device: Slot, bytes: usize) {
        let queue = self.queues.at_mut(device);
        if queue.blocked.replace(bytes).is_none() {
            self.blocked.push(device);
        }
    }

    /// Returns whether any user waits for room.
    #[inline]
    pub(crate) fn has_blocked(&self) -> bool {
        !self.blocked.is_empty()
    }

    /// Takes a device whose user waited for room and has it again.
    pub(crate) fn take_writable(&mut self) -> Option<Slot> {
        if !self.load.is_relaxed(self.limits.total) {
            return None;
        }
        let (queues, load, limits) = (&self.queues, self.load, &self.limits);
        let has_room = |device: &Slot| {
            let queue = queues.at(*device);
            let bytes = queue.blocked.unwrap_or_default();
            queue.load.is_relaxed(limits.device)
                && queue.load.has_room(bytes, limits.device)
                && load.has_room(bytes, limits.total)
        };
        let device = self.blocked.remove(self.blocked.iter().position(has_room)?);
        self.queues.at_mut(device).blocked = None;
        Some(device)
    }
}
