//! Events, and the ends of operations.

use super::{outbox::EntryKey, session::Session};
use crate::{
    command::{DeviceKey, OpId},
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
        self.emit(Event::Failed {
            op,
            device,
            failure,
            unsent: None,
        });
    }

    /// Ends a publication without success, and hands it back. It is still in the outbox.
    pub(super) fn fail_unsent(&mut self, key: EntryKey, failure: Failure) {
        let entry = self.outbox.entry(key);
        let device = self.devices.key(entry.device);
        let unsent = entry.unsent(&self.devices.at(entry.device).id);
        self.emit(Event::Failed {
            op: unsent.op,
            device,
            failure,
            unsent: Some(Box::new(unsent)),
        });
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
