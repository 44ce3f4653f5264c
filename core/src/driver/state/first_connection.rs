//! The attempts to connect before the first connection, and who waits to be told of one that failed.

use core::task::{Context, Poll};
use std::sync::Arc;

use crate::{
    driver::{
        not_connected::NotConnected,
        state::{waiters::Waiters, wakers::Wakers},
        transport_error::TransportError,
    },
    event::{DisconnectReason, Disconnected},
};

/// Whether there was ever a connection on which the bridge has answered more than CONNECT, and if not, how the last attempt
/// ended. A bridge that accepts and drops each connection is none: two gateways with one id see that.
#[derive(Default)]
pub(crate) struct FirstConnection {
    was_made: bool,
    /// How many attempts have failed.
    failed: u64,
    /// How many had failed when somebody was last told of one.
    told: u64,
    last: Option<NotConnected>,
    waiters: Waiters,
}

impl FirstConnection {
    /// Records an answer of the bridge. Nobody is told of attempts any more.
    pub(crate) fn succeed(&mut self, wakers: &mut Wakers) {
        self.was_made = true;
        self.last = None;
        self.waiters.wake_all(wakers);
    }

    /// Returns how the last attempt failed, unless a connection was made.
    pub(crate) fn last(&self) -> Option<&NotConnected> {
        self.last.as_ref()
    }

    /// Records the end of an attempt, or of a connection on which nothing was answered: a failure, unless the gateway itself
    /// ended it.
    pub(crate) fn fail(
        &mut self,
        ended: &Disconnected,
        error: Option<&Arc<TransportError>>,
        wakers: &mut Wakers,
    ) {
        let is_own = matches!(
            ended.reason,
            DisconnectReason::Closed | DisconnectReason::TokenRefresh
        );
        if self.was_made || is_own {
            return;
        }
        self.failed += 1;
        self.last = Some(NotConnected {
            ended: ended.clone(),
            error: error.map(Arc::clone),
        });
        self.waiters.wake_all(wakers);
    }

    /// Returns how many failures somebody was told of: one who begins to wait now is told of the next, which may have
    /// happened already.
    pub(crate) fn told(&self) -> u64 {
        self.told
    }

    /// Waits for a failure after the first `told`. Does not end once a connection was made.
    pub(crate) fn poll(
        &mut self,
        told: u64,
        waiter: &mut Option<u64>,
        cx: &Context<'_>,
        wakers: &mut Wakers,
    ) -> Poll<NotConnected> {
        match &self.last {
            Some(last) if self.failed > told => {
                self.told = self.failed;
                Poll::Ready(last.clone())
            }
            _ => {
                if !self.was_made {
                    self.waiters.register(waiter, cx, wakers);
                }
                Poll::Pending
            }
        }
    }

    /// Removes the waker of a future that waits no longer.
    pub(crate) fn stop_waiting(&mut self, waiter: Option<u64>, wakers: &mut Wakers) {
        self.waiters.forget(waiter, wakers);
    }
}
