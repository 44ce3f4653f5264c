//! The state behind the lock: the gateway, and who waits for what.

mod commands;
mod events;
mod first_connection;
mod inputs;
mod mailbox;
mod mailboxes;
mod operations;
mod shutdown;
mod status_feeds;
#[cfg(feature = "store")]
mod store;
mod token_fetches;
mod token_requests;
mod unread_changes;
mod waiters;
mod wakers;

use core::task::{Context, Poll};
use std::sync::Arc;

#[cfg(feature = "store")]
use self::store::StoreView;
use self::{
    first_connection::FirstConnection,
    mailboxes::Mailboxes,
    operations::Operations,
    shutdown::Shutdown,
    status_feeds::StatusFeeds,
    token_requests::TokenRequests,
    wakers::{DeferredWakers, Wakers},
};
pub(crate) use self::{
    status_feeds::FeedId,
    token_requests::{Asker, NextFetch},
};
use crate::{
    command::{DeviceKey, OpId},
    driver::{
        closed::{CloseCause, Closed},
        not_connected::NotConnected,
        operation_error::Unsuccessful,
        received_message::ReceivedMessage,
        status::Status,
        transport_error::TransportError,
    },
    event::Outcome,
    gateway::Gateway,
    input::{Answer, Input},
    options::{Acknowledge, Options},
    time::Instant,
};

/// Coordinates the gateway and those who wait for it.
///
/// Only its method `apply` changes the gateway: for the inputs in [`inputs`], the commands in [`commands`], the tokens in
/// [`token_fetches`], and [`events`], which takes what comes out.
pub(crate) struct State {
    gateway: Gateway,
    operations: Operations,
    mailboxes: Mailboxes,
    status_feeds: StatusFeeds,
    first_connection: FirstConnection,
    shutdown: Shutdown,
    wakers: Wakers,
    /// Why the transport ended whose `Disconnected` event is still to come.
    transport_error: Option<Arc<TransportError>>,
    token_requests: TokenRequests,
    #[cfg(feature = "store")]
    store: StoreView,
}

impl State {
    pub(crate) fn new(
        gateway: Gateway,
        options: &Options,
        acknowledge: Acknowledge,
        reports_replaced_states: bool,
    ) -> Self {
        Self {
            gateway,
            operations: Operations::new(reports_replaced_states),
            mailboxes: Mailboxes::new(acknowledge, options.max_unacknowledged),
            status_feeds: StatusFeeds::default(),
            first_connection: FirstConnection::default(),
            shutdown: Shutdown::default(),
            wakers: Wakers::default(),
            transport_error: None,
            token_requests: TokenRequests::default(),
            #[cfg(feature = "store")]
            store: StoreView::default(),
        }
    }

    /// Returns the gateway, to be read.
    pub(crate) fn gateway(&self) -> &Gateway {
        &self.gateway
    }

    /// Applies an input or a command to the gateway.
    fn apply(&mut self, input: Input<'_>, now: Instant) -> Answer {
        self.gateway.apply(input, now)
    }

    /// Registers the driver's task, which handles wake.
    pub(crate) fn register_driver(&mut self, cx: &Context<'_>) {
        self.wakers.register_driver(cx);
    }

    /// Takes the wakers that the last step has collected, to be used without the lock.
    pub(crate) fn take_deferred_wakers(&mut self) -> DeferredWakers {
        self.wakers.take_deferred()
    }
}

/// The end.
impl State {
    /// Returns how the gateway ended, once it has.
    pub(crate) fn closed(&self) -> Option<&Closed> {
        self.shutdown.closed()
    }

    /// Waits for the gateway's end.
    pub(crate) fn poll_closed(
        &mut self,
        waiter: &mut Option<u64>,
        cx: &Context<'_>,
    ) -> Poll<Closed> {
        self.shutdown.poll(waiter, cx, &mut self.wakers)
    }

    /// Does what the driver does about the time while it has never been polled, so that a close ends in its time. Returns
    /// when to call this next; `None` once the driver is polled.
    pub(crate) fn advance_without_driver(&mut self, now: Instant) -> Option<Instant> {
        if self.wakers.have_driver() {
            return None;
        }
        self.handle_deadline(now);
        self.distribute_events(now);
        self.gateway.poll_timeout()
    }

    pub(crate) fn stop_waiting_for_end(&mut self, waiter: Option<u64>) {
        self.shutdown.stop_waiting(waiter, &mut self.wakers);
    }

    /// Ends every pending future, because the driver is dropped.
    pub(crate) fn stop(&mut self) {
        if !self.shutdown.has_ended() {
            let unsent = self.gateway.unsent().collect();
            self.finish(Closed {
                cause: CloseCause::DriverStopped,
                unsent,
            });
        }
    }

    /// Records the end, and wakes everybody who waits for anything.
    fn finish(&mut self, closed: Closed) {
        self.operations.wake_all(&mut self.wakers);
        self.mailboxes.wake_all(&mut self.wakers);
        self.status_feeds.wake_all(&mut self.wakers);
        self.token_requests.end_attaches(&mut self.wakers);
        self.shutdown.finish(closed, &mut self.wakers);
        self.wakers.wake_driver();
    }
}

/// Operations.
impl State {
    /// Waits for the result of an operation.
    pub(crate) fn poll_operation(
        &mut self,
        op: OpId,
        waiter: &mut Option<u64>,
        cx: &Context<'_>,
    ) -> Poll<Result<Outcome, Unsuccessful>> {
        let has_ended = self.shutdown.has_ended();
        self.operations
            .poll(op, has_ended, waiter, cx, &mut self.wakers)
    }

    pub(crate) fn stop_waiting_for(&mut self, op: OpId, waiter: Option<u64>) {
        self.operations
            .stop_waiting_for(op, waiter, &mut self.wakers);
    }
}

/// The first connection.
impl State {
    /// Returns the mark from which [`poll_not_connected`](Self::poll_not_connected) waits for a failed attempt.
    pub(crate) fn reported_attempts(&self) -> u64 {
        self.first_connection.reported()
    }

    /// Waits for an attempt to connect that fails before the first connection.
    pub(crate) fn poll_not_connected(
        &mut self,
        reported: u64,
        waiter: &mut Option<u64>,
        cx: &Context<'_>,
    ) -> Poll<NotConnected> {
        self.first_connection
            .poll(reported, waiter, cx, &mut self.wakers)
    }

    /// Returns why the gateway was never connected, once it has given up.
    pub(crate) fn gave_up(&self) -> Option<NotConnected> {
        let has_closed = self.shutdown.closed()?.cause == CloseCause::GaveUp;
        self.first_connection.last().filter(|_| has_closed).cloned()
    }

    pub(crate) fn stop_waiting_for_attempt(&mut self, waiter: Option<u64>) {
        self.first_connection.stop_waiting(waiter, &mut self.wakers);
    }
}

/// Messages.
impl State {
    /// Counts one more reader of a device's messages.
    pub(crate) fn start_reading(&mut self, key: DeviceKey) {
        if let Some(mailbox) = self.mailboxes.get_mut(key) {
            mailbox.start_reading();
        }
    }

    /// Counts one reader of a device's messages less.
    pub(crate) fn stop_reading(&mut self, key: DeviceKey, waiter: Option<u64>) {
        if let Some(mailbox) = self.mailboxes.get_mut(key) {
            mailbox.stop_reading(waiter, &mut self.wakers);
        }
    }

    /// Takes the next message of a device, `None` when no more come.
    pub(crate) fn poll_message(
        &mut self,
        key: DeviceKey,
        waiter: &mut Option<u64>,
        now: Instant,
        cx: &Context<'_>,
    ) -> Poll<Option<ReceivedMessage>> {
        let has_ended = self.shutdown.has_ended();
        let polled = self
            .mailboxes
            .poll_take(key, has_ended, waiter, cx, &mut self.wakers);
        polled.map(|taken| {
            let message = taken?;
            if self.mailboxes.acknowledge() == Acknowledge::Automatic {
                self.acknowledge(message.deliveries(), now);
            }
            Some(message)
        })
    }
}

/// Status.
impl State {
    /// Opens a feed of the changes of status from now on.
    pub(crate) fn open_feed(&mut self) -> FeedId {
        self.status_feeds.open()
    }

    /// Lets a feed apply back-pressure instead of missing changes.
    pub(crate) fn hold_feed(&mut self, feed: FeedId) {
        self.status_feeds.hold(feed);
    }

    /// Closes a feed. Returns what was not read, to be dropped without the lock.
    pub(crate) fn close_feed(&mut self, feed: FeedId) -> impl Sized + use<> {
        // It may have applied back-pressure.
        self.wakers.wake_driver();
        self.status_feeds.close(feed)
    }

    /// Returns the next change of status, `None` when no more come.
    pub(crate) fn poll_feed(
        &mut self,
        feed: FeedId,
        waiter: &mut Option<u64>,
        cx: &Context<'_>,
    ) -> Poll<Option<Status>> {
        let has_ended = self.shutdown.has_ended();
        self.status_feeds
            .poll(feed, has_ended, waiter, cx, &mut self.wakers)
    }

    /// Returns whether a reader of the status applies back-pressure: it has to read before more events are distributed.
    pub(crate) fn awaits_status_reader(&self) -> bool {
        self.status_feeds.are_blocking()
    }

    /// Reports a change to all readers of the status.
    fn report(&mut self, change: &Status) {
        self.status_feeds.report(change, &mut self.wakers);
    }
}
