//! Tasks that wait for the same thing.

use core::task::{Context, Waker};
use std::collections::BTreeMap;

/// One waker per waiting future: a future that is polled again replaces its own, and one that is dropped takes it away.
///
/// A waker may own its task, and with it handles of ours. So none is dropped here, where the lock is held.
#[derive(Debug, Default)]
pub(crate) struct Waiters {
    last: u64,
    wakers: BTreeMap<u64, Waker>,
}

impl Waiters {
    /// Wakes this task with the next [`take`](Self::take). `id` is the future's own place, kept between its polls. Gives
    /// the waker that was there.
    pub(crate) fn register(&mut self, id: &mut Option<u64>, cx: &Context<'_>) -> Option<Waker> {
        let id = *id.get_or_insert_with(|| {
            self.last += 1;
            self.last
        });
        match self.wakers.get(&id) {
            Some(waker) if waker.will_wake(cx.waker()) => None,
            _ => self.wakers.insert(id, cx.waker().clone()),
        }
    }

    pub(crate) fn forget(&mut self, id: Option<u64>) -> Option<Waker> {
        self.wakers.remove(&id?)
    }

    /// Everybody who waits, to be woken.
    pub(crate) fn take(&mut self) -> impl Iterator<Item = Waker> + use<> {
        core::mem::take(&mut self.wakers).into_values()
    }
}
