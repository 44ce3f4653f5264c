//! The future of an attempt to connect that fails before the first connection.

use core::{
    pin::Pin,
    task::{Context, Poll},
};
use std::sync::Arc;

use crate::driver::{not_connected::NotConnected, shared::Shared};

/// Waits for a failed attempt before the first connection; pending for ever once that was made.
#[derive(Debug)]
pub(crate) struct FailedAttempt {
    shared: Arc<Shared>,
    reported: u64,
    waiter: Option<u64>,
}

impl FailedAttempt {
    /// Waits for the next failure, which may have happened already if none has ended another future.
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        Self {
            reported: shared.lock(|state| state.reported_attempts()),
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
            reported,
            waiter,
        } = self.get_mut();
        shared.lock(|state| state.poll_not_connected(*reported, waiter, cx))
    }
}

impl Drop for FailedAttempt {
    fn drop(&mut self) {
        let waiter = self.waiter;
        self.shared
            .lock(|state| state.stop_waiting_for_attempt(waiter));
    }
}
