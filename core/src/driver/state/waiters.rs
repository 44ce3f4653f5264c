//! Tasks that wait for the same thing.

use core::task::{Context, Waker};
use std::collections::BTreeMap;

use crate::driver::state::wakers::Wakers;

/// One waker per waiting future. A future that is polled again replaces its waker; one that is dropped removes it.
#[derive(Debug, Default)]
pub(crate) struct Waiters {
    last: u64,
    wakers: BTreeMap<u64, Waker>,
}

impl Waiters {
    /// Registers this task for the next [`wake_all`](Self::wake_all). `id` identifies the future, which keeps it
    /// between its polls.
    pub(crate) fn register(&mut self, id: &mut Option<u64>, cx: &Context<'_>, wakers: &mut Wakers) {
        let id = *id.get_or_insert_with(|| {
            self.last += 1;
            self.last
        });
        match self.wakers.get(&id) {
            Some(waker) if waker.will_wake(cx.waker()) => {}
            _ => wakers.discard(self.wakers.insert(id, cx.waker().clone())),
        }
    }

    /// Removes the waker of a future that waits no longer.
    pub(crate) fn forget(&mut self, id: Option<u64>, wakers: &mut Wakers) {
        wakers.discard(id.and_then(|id| self.wakers.remove(&id)));
    }

    /// Wakes and removes all of them.
    pub(crate) fn wake_all(&mut self, wakers: &mut Wakers) {
        wakers.wake(core::mem::take(&mut self.wakers).into_values());
    }
}
