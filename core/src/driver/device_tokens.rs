//! Renewal of expired device tokens.

use core::task::{Context, Poll};
use std::sync::Arc;

use crate::{
    command::DeviceKey,
    driver::{error::TokenFailure, runtime::BoxFuture, shared::Shared},
    time::Duration,
    token::Token,
};

/// Delay after one failure of the token source. It doubles with each further failure, up to [`MAX_WAIT`].
const MIN_WAIT: Duration = Duration::from_secs(1);
const MAX_WAIT: Duration = Duration::from_secs(32);

type Fetch = BoxFuture<Result<Option<Token>, TokenFailure>>;

/// Fetches tokens for devices whose tokens have expired, one at a time.
#[derive(Default)]
pub(crate) struct DeviceTokens {
    fetch: Option<(DeviceKey, Fetch)>,
    /// Failed fetches in a row.
    failures: u32,
}

impl DeviceTokens {
    /// Polls the current fetch, or starts the next. Returns whether to poll again immediately.
    pub(crate) fn poll(&mut self, shared: &Arc<Shared>, cx: &mut Context<'_>) -> bool {
        if self.fetch.is_none() {
            self.start_next(shared);
        }
        let Some((device, fetch)) = &mut self.fetch else {
            return false;
        };
        let device = *device;
        match fetch.as_mut().poll(cx) {
            Poll::Pending => false,
            Poll::Ready(answer) => {
                self.fetch = None;
                self.finish(shared, device, answer);
                true
            }
        }
    }

    fn start_next(&mut self, shared: &Arc<Shared>) {
        let next = shared.lock(|state| state.next_expired_token());
        if let Some((device, id)) = next {
            let fetch = Arc::clone(shared.environment()).device_token(id, self.wait());
            self.fetch = Some((device, fetch));
        }
    }

    fn wait(&self) -> Duration {
        match self.failures {
            0 => Duration::ZERO,
            failures => MIN_WAIT
                .saturating_mul(2u32.saturating_pow(failures - 1))
                .min(MAX_WAIT),
        }
    }

    fn finish(
        &mut self,
        shared: &Shared,
        device: DeviceKey,
        answer: Result<Option<Token>, TokenFailure>,
    ) {
        self.failures = match answer {
            Err(_) => self.failures.saturating_add(1),
            Ok(_) => 0,
        };
        let unix_now = shared.environment().unix_now();
        shared.with(|state, now| state.renew_token(device, answer, unix_now, now));
    }
}
