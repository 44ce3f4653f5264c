//! What the user is told: events, and the ends of operations.

use super::session::Session;
use crate::{
    command::OpId,
    error::Failure,
    event::{Event, Outcome},
};

impl Session {
    pub(super) fn new_op(&mut self) -> OpId {
        self.ops += 1;
        OpId(self.ops)
    }

    /// Ends an operation well.
    pub(super) fn done(&mut self, op: OpId, outcome: Outcome) {
        self.emit(Event::Done { op, outcome });
    }

    /// Ends an operation otherwise.
    pub(super) fn fail(&mut self, op: OpId, failure: Failure) {
        self.emit(Event::Failed { op, failure });
    }

    pub(super) fn emit(&mut self, event: Event) {
        self.events.push_back(event);
    }

    /// Whether fewer events wait than the options allow.
    #[inline]
    pub(super) fn has_room_for_events(&self) -> bool {
        self.events.len() < self.options.max_events
    }
}
