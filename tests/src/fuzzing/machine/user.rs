//! What the user does with deliveries and operations.

use super::*;

impl Machine {
    /// Keeps a reported delivery for later; 0 is the oldest.
    pub(in crate::fuzzing) fn postpone(&mut self, which: usize) {
        if let Some(delivery) = self.deliveries.get(which) {
            self.apply(Input::Postpone(*delivery));
            self.check();
        }
    }

    /// Acknowledges a reported delivery; 0 is the oldest.
    pub(in crate::fuzzing) fn acknowledge(&mut self, which: usize) {
        if let Some(delivery) = self.deliveries.get(which) {
            self.apply(Input::Acknowledge(*delivery));
            self.check();
        }
    }

    /// Cancels an operation whose end was not reported; 0 is the oldest. It ends if it is a publication that has not ended.
    pub(in crate::fuzzing) fn cancel(&mut self, which: usize) {
        if let Some(op) = self.pending.iter().nth(which) {
            self.cancel_operation(*op);
        }
    }

    /// Cancels the oldest and the newest publication.
    pub(super) fn cancel_ends(&mut self) {
        let ops: Vec<OpId> = self.gateway.unsent().map(|unsent| unsent.op).collect();
        if let [oldest, .., newest] = ops[..] {
            self.cancel_operation(oldest);
            self.cancel_operation(newest);
        }
    }

    fn cancel_operation(&mut self, op: OpId) {
        let is_publication = self.is_unsent(op);
        let answer = self.apply(Input::Cancel(op)).cancelled();
        assert_eq!(answer.is_ok(), is_publication, "{op}: {answer:?}");
        assert!(!self.is_unsent(op), "{op} is unsent");
        self.check();
    }

    fn is_unsent(&self, op: OpId) -> bool {
        self.gateway.unsent().any(|unsent| unsent.op == op)
    }
}
