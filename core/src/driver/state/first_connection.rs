//! The attempts to connect before the first connection, and the futures that end when one fails.

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
/// failed. A connection that the bridge accepts and closes at once does not count: two gateways with one id see that.
#[derive(Default)]
pub(crate) struct FirstConnection {
    was_made: bool,
    /// The number of attempts that have failed.
    failed: u64,
    /// `failed` when a failure was last reported to a future.
    reported: u64,
    last: Option<NotConnected>,
    waiters: Waiters,
}

impl FirstConnection {
    /// Records an answer of the bridge. No failures are reported any more.
    pub(crate) fn succeed(&mut self, wakers: &mut Wakers) {
        if !self.was_made {
            self.was_made = true;
            self.last = None;
            self.waiters.wake_all(wakers);
        }
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

    /// Returns the number of failures up to the last one that was reported. A future that begins with it ends with the next
    /// failure, which may have happened already.
    pub(crate) fn reported(&self) -> u64 {
        self.reported
    }

    /// Waits for a failure after the first `reported` ones. Does not end once a connection was made.
    pub(crate) fn poll(
        &mut self,
        reported: u64,
        waiter: &mut Option<u64>,
        cx: &Context<'_>,
        wakers: &mut Wakers,
    ) -> Poll<NotConnected> {
        match &self.last {
            Some(last) if self.failed > reported => {
                self.reported = self.failed;
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
