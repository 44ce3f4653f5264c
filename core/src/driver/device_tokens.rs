//! Fetches of device tokens.

use core::task::{Context, Poll};
use std::sync::Arc;

use crate::{
    driver::{
        alarm::Alarm,
        environment::{Environment, TokenAnswer, TokenFetch},
        shared::Shared,
        state::{Asker, NextFetch},
    },
    time::Instant,
};

/// Fetches tokens for attaches, and for devices that need new ones, several at once.
pub(crate) struct DeviceTokens {
    fetches: Vec<(Asker, TokenFetch)>,
    /// Rings when the next backoff is over.
    alarm: Alarm,
}

impl DeviceTokens {
    pub(crate) fn new(environment: Arc<dyn Environment>) -> Self {
        Self {
            fetches: Vec::new(),
            alarm: Alarm::new(environment),
        }
    }

    /// Starts what may be fetched, and polls what is. Returns whether to poll again immediately.
    pub(crate) fn poll(&mut self, shared: &Arc<Shared>, cx: &mut Context<'_>) -> bool {
        let now = shared.environment().now();
        let next = self.begin(shared, now);
        let ended = self.poll_fetches(shared, cx);
        if ended.is_empty() {
            return self.alarm.rings(next, cx);
        }
        let unix_now = shared.environment().unix_now();
        for (asker, answer) in ended {
            let unwanted = shared.with(|state, now| state.end_fetch(asker, answer, unix_now, now));
            drop(unwanted);
        }
        // Those that are due go before what attaches begin until the next poll.
        self.begin(shared, now);
        true
    }

    /// Begins what may be fetched, and returns when that is next.
    fn begin(&mut self, shared: &Arc<Shared>, now: Instant) -> Option<Instant> {
        loop {
            let begun = match shared.lock(|state| state.next_fetch(now)) {
                NextFetch::TakeOver(asker, fetch) => (asker, fetch),
                NextFetch::Begin(asker, device) => {
                    let environment = Arc::clone(shared.environment());
                    (asker, environment.device_token(device))
                }
                NextFetch::Wait(until) => return until,
            };
            self.fetches.push(begun);
        }
    }

    /// Polls the fetches, drops those that nobody waits for, and returns the answers.
    fn poll_fetches(
        &mut self,
        shared: &Arc<Shared>,
        cx: &mut Context<'_>,
    ) -> Vec<(Asker, TokenAnswer)> {
        let mut ended = Vec::new();
        self.fetches.retain_mut(|(asker, fetch)| {
            if !shared.lock(|state| state.wants_fetch(*asker)) {
                return false;
            }
            let Poll::Ready(answer) = fetch.as_mut().poll(cx) else {
                return true;
            };
            ended.push((*asker, answer));
            false
        });
        ended
    }
}
