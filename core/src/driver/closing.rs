//! The future of the gateway's end.

use core::{
    pin::Pin,
    task::{Context, Poll},
};
use std::sync::Arc;

use crate::driver::{closed::Closed, shared::Shared};

/// Waits until the gateway is closed or the driver is dropped.
#[derive(Debug)]
pub(crate) struct Closing {
    shared: Arc<Shared>,
    waiter: Option<u64>,
}

impl Closing {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        Self {
            shared,
            waiter: None,
        }
    }
}

impl Future for Closing {
    type Output = Closed;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Closed> {
        let Self { shared, waiter } = self.get_mut();
        shared.lock(|state| state.poll_closed(waiter, cx))
    }
}

impl Drop for Closing {
    fn drop(&mut self) {
        let waiter = self.waiter;
        self.shared.lock(|state| state.stop_waiting_for_end(waiter));
    }
}
