//! An attempt to connect that failed, before the first connection.

use core::{
    error::Error,
    fmt,
    pin::Pin,
    task::{Context, Poll},
};
use std::sync::Arc;

use crate::{
    driver::{shared::Shared, transport_error::TransportError},
    event::Disconnected,
};

/// An attempt to connect failed, and the bridge has not accepted a connection of this gateway yet.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct NotConnected {
    /// The reason, its certainty, and when the next attempt begins.
    pub ended: Disconnected,
    /// The error of the transport or the token source, if it is the reason.
    pub error: Option<Arc<TransportError>>,
}

impl fmt::Display for NotConnected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "not connected: {}", self.ended)?;
        match &self.error {
            Some(error) => write!(f, " ({error})"),
            None => Ok(()),
        }
    }
}

impl Error for NotConnected {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.error.as_ref()?.source()
    }
}

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
