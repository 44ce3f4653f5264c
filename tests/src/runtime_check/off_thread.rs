//! What blocks, in threads, so that it does not hold up the executor of the runtime that is checked.

use core::{
    future::poll_fn,
    pin::pin,
    task::{Poll, Waker},
    time::Duration,
};
use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread,
};

use super::{
    LIMIT,
    fault::{RuntimeFault, Step},
};

/// The result of a thread, and who waits for it.
struct Slot<T> {
    result: Option<T>,
    waiter: Option<Waker>,
}

/// Starts a thread, and waits for its result.
pub(super) fn off_thread<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> impl Future<Output = T> + Send {
    let slot = Arc::new(Mutex::new(Slot {
        result: None,
        waiter: None,
    }));
    let filled = Arc::clone(&slot);
    thread::spawn(move || {
        let result = work();
        let mut slot = lock(&filled);
        slot.result = Some(result);
        if let Some(waiter) = slot.waiter.take() {
            waiter.wake();
        }
    });
    poll_fn(move |cx| {
        let mut slot = lock(&slot);
        slot.waiter = Some(cx.waker().clone());
        slot.result.take().map_or(Poll::Pending, Poll::Ready)
    })
}

/// Waits for a step, for at most [`LIMIT`] by the system's clock, because that of the runtime is what is checked.
pub(super) async fn in_time<T>(
    step: Step,
    future: impl Future<Output = T>,
) -> Result<T, RuntimeFault> {
    let (mut future, mut limit) = (pin!(future), pin!(off_thread(|| pause(LIMIT))));
    poll_fn(|cx| {
        if let Poll::Ready(output) = future.as_mut().poll(cx) {
            return Poll::Ready(Ok(output));
        }
        let limit = limit.as_mut().poll(cx);
        limit.map(|()| Err(RuntimeFault::TookTooLong(step)))
    })
    .await
}

/// Blocks the thread for so long.
#[expect(clippy::disallowed_methods, reason = "real runtimes take time")]
pub(super) fn pause(time: Duration) {
    thread::sleep(time);
}

fn lock<T>(slot: &Mutex<Slot<T>>) -> MutexGuard<'_, Slot<T>> {
    slot.lock().unwrap_or_else(PoisonError::into_inner)
}
