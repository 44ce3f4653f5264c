//! Changes of status on their way to their readers.

use core::task::{Context, Poll};
use std::collections::BTreeMap;

use crate::driver::{
    state::{unread_changes::UnreadChanges, waiters::Waiters, wakers::Wakers},
    status::Status,
};

/// Maximum of changes that wait for one reader.
const MAX_CHANGES: usize = 1_024;

/// Identifies the feed of one reader.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct FeedId(u64);

/// The readers of the status, each with the changes that it has not read yet.
#[derive(Default)]
pub(crate) struct StatusFeeds {
    feeds: BTreeMap<FeedId, Feed>,
}

/// The changes that one reader has not read yet.
#[derive(Default)]
struct Feed {
    changes: UnreadChanges,
    missed: u64,
    /// Applies back-pressure instead of missing changes.
    is_holding: bool,
    reader: Waiters,
}

impl Feed {
    fn is_full(&self) -> bool {
        self.changes.len() >= MAX_CHANGES
    }

    fn push(&mut self, change: &Status) {
        if self.changes.merge(change) {
            return;
        }
        if self.is_full() && !self.is_holding {
            self.changes.pop();
            self.missed += 1;
        }
        self.changes.push(change.clone());
    }
}

impl StatusFeeds {
    /// Opens a feed of the changes from now on.
    pub(crate) fn open(&mut self) -> FeedId {
        // A closed feed's id may be used again, because only its reader knew it.
        let last = self.feeds.last_key_value();
        let id = last.map_or(FeedId(0), |(FeedId(last), _)| FeedId(last + 1));
        self.feeds.insert(id, Feed::default());
        id
    }

    /// Lets this feed apply back-pressure instead of missing changes.
    pub(crate) fn hold(&mut self, id: FeedId) {
        if let Some(feed) = self.feeds.get_mut(&id) {
            feed.is_holding = true;
        }
    }

    /// Closes a feed. Returns what was not read, to be dropped without the lock.
    pub(crate) fn close(&mut self, id: FeedId) -> impl Sized + use<> {
        self.feeds.remove(&id)
    }

    /// Returns whether a holding feed is full, so that its reader has to read before more may happen.
    pub(crate) fn are_blocking(&self) -> bool {
        self.feeds
            .values()
            .any(|feed| feed.is_holding && feed.is_full())
    }

    /// Reports a change to all readers.
    pub(crate) fn report(&mut self, change: &Status, wakers: &mut Wakers) {
        for feed in self.feeds.values_mut() {
            feed.push(change);
            feed.reader.wake_all(wakers);
        }
    }

    /// Returns the next change of a feed. `has_ended` means that no more changes come.
    pub(crate) fn poll(
        &mut self,
        id: FeedId,
        has_ended: bool,
        waiter: &mut Option<u64>,
        cx: &Context<'_>,
        wakers: &mut Wakers,
    ) -> Poll<Option<Status>> {
        let Some(feed) = self.feeds.get_mut(&id) else {
            return Poll::Ready(None);
        };
        if feed.missed > 0 {
            return Poll::Ready(Some(Status::Missed(core::mem::take(&mut feed.missed))));
        }
        if let Some(change) = feed.changes.pop() {
            if feed.is_holding && feed.changes.len() == MAX_CHANGES / 2 {
                wakers.wake_driver();
            }
            return Poll::Ready(Some(change));
        }
        if has_ended {
            return Poll::Ready(None);
        }
        feed.reader.register(waiter, cx, wakers);
        Poll::Pending
    }

    /// Wakes all readers.
    pub(crate) fn wake_all(&mut self, wakers: &mut Wakers) {
        for feed in self.feeds.values_mut() {
            feed.reader.wake_all(wakers);
        }
    }
}
