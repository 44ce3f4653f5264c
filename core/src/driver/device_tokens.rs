//! Fetches new tokens for devices whose old ones have expired.

use core::task::{Context, Poll};
use std::sync::Arc;

use crate::{
    command::DeviceKey,
    driver::{error::TokenFailure, runtime::BoxFuture, shared::Shared},
    time::Duration,
    token::Token,
};

/// The wait after one failure of the source; it doubles with each further one, up to [`MAX_WAIT`].
const MIN_WAIT: Duration = Duration::from_secs(1);
const MAX_WAIT: Duration = Duration::from_secs(32);

type Fetch = BoxFuture<Result<Option<Token>, TokenFailure>>;

/// One fetch at a time; the others wait for their turn.
#[derive(Default)]
pub(crate) struct DeviceTokens {
    fetch: Option<(DeviceKey, Fetch)>,
    /// Fetches that failed in a row.
    failures: u32,
}

impl DeviceTokens {
    /// Goes on fetching; gives whether there is more to do at once.
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
                self.give(shared, device, answer);
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

    fn give(
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
