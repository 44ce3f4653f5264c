//! How the connection and the devices stand: changes, as a stream.

use core::task::{Context, Poll};
use std::{collections::VecDeque, sync::Arc};

use bytes::Bytes;

use crate::{
    command::{DeviceKey, OpId, Subscription},
    driver::{
        error::{TokenFailure, TransportError},
        shared::State,
        waiters::Waiters,
    },
    error::Failure,
    error_report::{ErrorReport, ErrorReportError},
    event::{DetachCause, Disconnected},
    id::DeviceId,
};

/// Changes that wait for one reader of the status.
const MAX_CHANGES: usize = 1_024;

/// A change of the connection or of a device, or something the bridge said.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Status {
    /// The bridge accepted a connection.
    Connected,
    /// A connection, or an attempt at one, ended.
    Disconnected {
        /// Why, how surely that is known, and when the next attempt begins.
        ended: Disconnected,
        /// What the transport or the token source said, if one of them is why.
        error: Option<Arc<TransportError>>,
    },
    /// The bridge attached this device; again on each connection.
    Attached {
        /// The device.
        device: DeviceId,
    },
    /// This device is no longer attached, though the connection lives on.
    Detached {
        /// The device.
        device: DeviceId,
        /// Why.
        cause: DetachCause,
    },
    /// The bridge reported an error, whether or not it concerns an operation of ours.
    ErrorReport(ErrorReport),
    /// A message on the errors topic was not an error report.
    UnreadableErrorReport {
        /// What the bridge sent.
        payload: Bytes,
        /// Why it cannot be read.
        error: ErrorReportError,
    },
    /// The bridge sent a message that nobody had asked for. It was acknowledged.
    Unrequested {
        /// Its topic.
        topic: String,
        /// Its payload.
        payload: Bytes,
    },
    /// A subscription that had been granted before was refused or not answered; it is tried again.
    SubscriptionLost {
        /// Whose.
        device: DeviceId,
        /// To what.
        subscription: Subscription,
        /// Why.
        failure: Failure,
    },
    /// There will be no error reports on this connection.
    ErrorsTopicUnavailable {
        /// Why.
        failure: Failure,
    },
    /// The token of this device has expired, and the token source has none for it:
    /// [`Device::authorize`](crate::driver::Device::authorize) answers.
    TokenNeeded {
        /// The device.
        device: DeviceId,
    },
    /// The token source failed to give a token for this device; it is asked again, with backoff.
    TokenFailed {
        /// The device.
        device: DeviceId,
        /// Why.
        error: Arc<TokenFailure>,
    },
    /// An operation failed whose future had been dropped.
    Failed {
        /// The operation.
        op: OpId,
        /// Why.
        failure: Failure,
    },
    /// Configs and commands were given up: no handle was left to take them, or more than `max_unacknowledged` of earlier
    /// connections waited.
    Dropped {
        /// For whom they were.
        device: DeviceId,
        /// How many.
        messages: usize,
    },
    /// So many of the oldest changes were given up, for this reader was too slow.
    Missed(u64),
}

/// What one reader of the status has not read yet.
#[derive(Default)]
pub(super) struct Feed {
    changes: VecDeque<Status>,
    missed: u64,
    /// Rather holds the gateway up than misses one.
    is_holding: bool,
    pub(super) reading: Waiters,
}

impl State {
    pub(crate) fn open_feed(&mut self) -> u64 {
        self.last_feed += 1;
        self.feeds.insert(self.last_feed, Feed::default());
        self.last_feed
    }

    pub(crate) fn make_holding(&mut self, feed: u64) {
        if let Some(feed) = self.feeds.get_mut(&feed) {
            feed.is_holding = true;
        }
    }

    /// Gives what was not read, to be dropped without the lock.
    pub(crate) fn close_feed(&mut self, feed: u64) -> impl Sized + use<> {
        self.wake_driver();
        self.feeds.remove(&feed)
    }

    /// Whether a reader that wants to miss nothing has to read first.
    pub(crate) fn is_held_up(&self) -> bool {
        self.feeds
            .values()
            .any(|feed| feed.is_holding && feed.changes.len() >= MAX_CHANGES)
    }

    pub(crate) fn report(&mut self, change: Status) {
        for feed in self.feeds.values_mut() {
            if feed.changes.len() >= MAX_CHANGES && !feed.is_holding {
                feed.changes.pop_front();
                feed.missed += 1;
            }
            feed.changes.push_back(change.clone());
            self.wakes.extend(feed.reading.take());
        }
    }

    pub(crate) fn report_dropped(&mut self, key: DeviceKey, messages: usize) {
        if messages > 0
            && let Some(slot) = self.slots.get(&key)
        {
            let device = slot.id.clone();
            self.report(Status::Dropped { device, messages });
        }
    }

    pub(crate) fn poll_feed(
        &mut self,
        feed: u64,
        waiter: &mut Option<u64>,
        cx: &Context<'_>,
    ) -> Poll<Option<Status>> {
        let is_over = self.end.is_some();
        let Some(feed) = self.feeds.get_mut(&feed) else {
            return Poll::Ready(None);
        };
        if feed.missed > 0 {
            return Poll::Ready(Some(Status::Missed(core::mem::take(&mut feed.missed))));
        }
        if let Some(change) = feed.changes.pop_front() {
            if feed.is_holding && feed.changes.len() == MAX_CHANGES / 2 {
                self.wake_driver();
            }
            return Poll::Ready(Some(change));
        }
        if is_over {
            return Poll::Ready(None);
        }
        self.drops.extend(feed.reading.register(waiter, cx));
        Poll::Pending
    }
}
