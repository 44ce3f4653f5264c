//! The stream of status changes.

use core::{
    future::poll_fn,
    pin::Pin,
    task::{Context, Poll},
};
use std::sync::Arc;

use futures_core::Stream;

use crate::driver::{shared::Shared, state::FeedId, status::Status};

/// The changes since [`Client::status`](crate::driver::Client::status) was called. The stream ends when the driver
/// does.
///
/// At most 1,024 changes wait. After that each change replaces the oldest, and [`Status::Missed`] reports how many were
/// lost. The stream applies no back-pressure to the gateway, unless [`holding`](Self::holding) was called.
///
/// ```
/// # mod bridge { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/doctests/bridge.rs")); }
/// # use iotcore_gateway::driver::*;
/// # bridge::on_bridge(async |client, world| {
/// # let spawn = |task| world.spawn(task);
/// let mut changes = client.status(); // before the driver is spawned
/// spawn(async move {
///     while let Some(change) = changes.next().await {
///         eprintln!("{change}");
///     }
/// });
/// # client.connected().await?;
/// # Ok(())
/// # });
/// ```
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

    /// Applies back-pressure to the gateway instead of missing changes. While 1,024 changes wait here, no operation
    /// completes, no message is delivered and no connection is made; once `max_events` wait in the gateway too, the
    /// socket is not read. The peer is not considered dead in the meantime. Read the stream in a task that waits for
    /// nothing else of this gateway.
    pub fn holding(self) -> Self {
        self.shared.lock(|state| state.hold_feed(self.feed));
        self
    }

    /// Returns the next change, or `None` once the driver has ended and all changes are read. Cancel safe.
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
