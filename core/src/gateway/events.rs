//! Events, and the ends of operations.

use super::{outbox::EntryKey, session::Session};
use crate::{
    command::{DeviceKey, OpId, Slot},
    error::Failure,
    event::{Event, Outcome},
};

impl Session {
    pub(super) fn new_op(&mut self) -> OpId {
        let op = OpId::after(self.ops);
        self.ops += 1;
        op
    }

    /// Ends an operation successfully.
    pub(super) fn done(&mut self, op: OpId, outcome: Outcome) {
        self.emit(Event::Done { op, outcome });
    }

    /// Ends an operation of a device, other than a publication, without success.
    pub(super) fn fail(&mut self, op: OpId, device: DeviceKey, failure: Failure) {
        if let Some(slot) = self.devices.resolve(device) {
            self.note_failure(slot, &failure);
        }
        self.emit(Event::Failed {
            op,
            device,
            failure,
            unsent: None,
        });
    }

    /// Ends a publication without success, and hands it back. It is still in the outbox.
    pub(super) fn fail_unsent(&mut self, key: EntryKey, failure: Failure) {
        let slot = self.outbox.entry(key).device;
        self.devices.note_change(slot);
        self.note_failure(slot, &failure);
        let device = self.devices.key(slot);
        let mut unsent = self.unsent_of(key);
        unsent.is_stored &= failure.is_of_the_gateway();
        #[cfg(feature = "store")]
        self.outbox.note_failure(key, &failure);
        self.emit(Event::Failed {
            op: unsent.op,
            device,
            failure,
            unsent: Some(Box::new(unsent)),
        });
    }

    /// Records the last failure of a device, unless the user has caused it, or it only follows from an earlier one that is
    /// recorded.
    pub(super) fn note_failure(&mut self, slot: Slot, failure: &Failure) {
        if !matches!(
            failure,
            Failure::Cancelled
                | Failure::Superseded
                | Failure::Detached
                | Failure::Closed
                | Failure::DeviceRefused
                | Failure::NotAttached
        ) {
            let now = self.clock.now();
            self.devices.at_mut(slot).last_failure = Some((Box::new(failure.clone()), now));
        }
    }

    pub(super) fn emit(&mut self, event: Event) {
        self.events.push_back(event);
    }

    /// Returns whether fewer events wait than the options allow.
    #[inline]
    pub(super) fn has_room_for_events(&self) -> bool {
        self.events.len() < self.options.max_events
    }
}
