//! The future of the gateway's end.

use core::{
    pin::Pin,
    task::{Context, Poll},
};
use std::sync::Arc;

use crate::driver::{alarm::Alarm, closed::Closed, shared::Shared};

/// Waits until the gateway is closed or the driver is dropped. While the driver has never been polled, handles the
/// gateway's deadlines in its place.
pub(crate) struct Closing {
    shared: Arc<Shared>,
    waiter: Option<u64>,
    alarm: Alarm,
}

impl Closing {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        Self {
            alarm: Alarm::new(Arc::clone(shared.environment())),
            shared,
            waiter: None,
        }
    }
}

impl Future for Closing {
    type Output = Closed;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Closed> {
        let Self {
            shared,
            waiter,
            alarm,
        } = self.get_mut();
        loop {
            let deadline = shared.with(|state, now| state.advance_without_driver(now));
            if let Poll::Ready(closed) = shared.lock(|state| state.poll_closed(waiter, cx)) {
                return Poll::Ready(closed);
            }
            if !alarm.rings(deadline, cx) {
                return Poll::Pending;
            }
        }
    }
}

impl Drop for Closing {
    fn drop(&mut self) {
        let waiter = self.waiter;
        self.shared.lock(|state| state.stop_waiting_for_end(waiter));
    }
}
