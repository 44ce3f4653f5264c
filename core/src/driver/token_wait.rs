//! The future of a token that the driver fetches for an attach.

use core::{
    pin::Pin,
    task::{Context, Poll},
};
use std::sync::Arc;

use crate::driver::{environment::TokenAnswer, operation_error::OperationError, shared::Shared};

/// Waits for the answer to a request of an attach; dropping it withdraws the request.
#[derive(Debug)]
pub(crate) struct TokenWait {
    shared: Arc<Shared>,
    request: u64,
    waiter: Option<u64>,
}

impl TokenWait {
    pub(crate) fn new(shared: Arc<Shared>, request: u64) -> Self {
        Self {
            shared,
            request,
            waiter: None,
        }
    }
}

impl Future for TokenWait {
    type Output = Result<TokenAnswer, OperationError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let Self {
            shared,
            request,
            waiter,
        } = self.get_mut();
        shared.lock(|state| state.poll_token(*request, waiter, cx))
    }
}

impl Drop for TokenWait {
    fn drop(&mut self) {
        let (request, waiter) = (self.request, self.waiter);
        drop(
            self.shared
                .lock(|state| state.withdraw_token_request(request, waiter)),
        );
    }
}
