//! The changes of status, as a stream.

use core::{
    future::poll_fn,
    pin::Pin,
    task::{Context, Poll},
};
use std::sync::Arc;

use futures_core::Stream;

use crate::driver::{shared::Shared, state::FeedId, status::Status};

/// The changes from [`Client::status`](crate::driver::Client::status) on; it ends when the driver does.
///
/// It never holds up the gateway, unless it is asked to by [`holding`](Self::holding): 1,024 changes wait at most, then
/// each one takes the place of the oldest, and [`Status::Missed`] tells how many were lost.
#[derive(Debug)]
#[must_use = "changes gather until it is read or dropped"]
pub struct StatusChanges {
    shared: Arc<Shared>,
    feed: FeedId,
    waiter: Option<u64>,
}

impl StatusChanges {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        let feed = shared.lock(|state| state.open_feed());
        Self {
            shared,
            feed,
            waiter: None,
        }
    }

    /// Holds the gateway up instead of missing changes. While 1,024 wait here, nothing more is told to anybody: no
    /// operation ends, no message comes, no connection is made; and once `max_events` wait in the gateway too, the socket
    /// is not read. The peer is not taken for dead in the meantime. So read it in a task that waits for nothing else of
    /// this gateway.
    pub fn holding(self) -> Self {
        self.shared.lock(|state| state.hold_feed(self.feed));
        self
    }

    /// The next change; `None` once the driver has ended and all were read. Cancel safe.
    pub async fn next(&mut self) -> Option<Status> {
        poll_fn(|cx| Pin::new(&mut *self).poll_next(cx)).await
    }
}

impl Stream for StatusChanges {
    type Item = Status;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Status>> {
        let Self {
            shared,
            feed,
            waiter,
        } = self.get_mut();
        shared.lock(|state| state.poll_feed(*feed, waiter, cx))
    }
}

impl Drop for StatusChanges {
    fn drop(&mut self) {
        let feed = self.feed;
        let _unread = self.shared.lock(|state| state.close_feed(feed));
    }
}
