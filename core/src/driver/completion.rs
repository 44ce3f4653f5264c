//! The future of an operation's result.

use core::{
    pin::Pin,
    task::{Context, Poll},
};
use std::sync::Arc;

use crate::{
    command::OpId,
    driver::{
        operation_error::{OperationError, Unsuccessful},
        shared::Shared,
    },
    event::Outcome,
};

/// Waits for the result of an operation, and counts as waiting for it until it is dropped.
#[derive(Debug)]
pub(crate) struct Completion {
    shared: Arc<Shared>,
    op: OpId,
    waiter: Option<u64>,
}

impl Completion {
    /// Waits for `op`, which [`State`](crate::driver::state::State) has counted as waited for.
    pub(crate) fn new(shared: Arc<Shared>, op: OpId) -> Self {
        Self {
            shared,
            op,
            waiter: None,
        }
    }

    #[cfg(feature = "store")]
    pub(crate) fn shared(&self) -> &Shared {
        &self.shared
    }

    pub(crate) fn op(&self) -> OpId {
        self.op
    }

    /// Ends the operation, which is a publication.
    pub(crate) fn cancel(&self) -> Result<(), OperationError> {
        self.shared.with(|state, now| state.cancel(self.op, now))
    }
}

impl Future for Completion {
    type Output = Result<Outcome, Unsuccessful>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let Self { shared, op, waiter } = self.get_mut();
        shared.lock(|state| state.poll_operation(*op, waiter, cx))
    }
}

impl Drop for Completion {
    fn drop(&mut self) {
        let Self { shared, op, waiter } = self;
        shared.lock(|state| state.stop_waiting_for(*op, *waiter));
    }
}
