//! The future of an attempt to connect that fails before the first connection.

use core::{
    pin::Pin,
    task::{Context, Poll},
};
use std::sync::Arc;

use crate::driver::{not_connected::NotConnected, shared::Shared};

/// Waits for an attempt to connect that fails before the first connection; pending for ever once that was made.
#[derive(Debug)]
pub(crate) struct FailedAttempt {
    shared: Arc<Shared>,
    told: u64,
    waiter: Option<u64>,
}

impl FailedAttempt {
    /// Waits for a failure that nobody was told of yet, which may have happened already.
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        Self {
            told: shared.lock(|state| state.attempts_told()),
            shared,
            waiter: None,
        }
    }
}

impl Future for FailedAttempt {
    type Output = NotConnected;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let Self {
            shared,
            told,
            waiter,
        } = self.get_mut();
        shared.lock(|state| state.poll_not_connected(*told, waiter, cx))
    }
}

impl Drop for FailedAttempt {
    fn drop(&mut self) {
        let waiter = self.waiter;
        self.shared
            .lock(|state| state.stop_waiting_for_attempt(waiter));
    }
}
