//! Renewal of device tokens.

use core::task::{Context, Poll};
use std::{collections::BTreeMap, sync::Arc};

use crate::{
    backoff::Jitter,
    command::DeviceKey,
    driver::{
        error::TokenFailure,
        runtime::{Alarm, BoxFuture, Runtime},
        shared::Shared,
        token_slots::MAX_FETCHES,
    },
    id::DeviceId,
    options::Backoff,
    time::Instant,
    token::Token,
};

type Answer = Result<Option<Token>, TokenFailure>;

/// Fetches tokens for devices that need one, several at once. A device whose source fails is asked for again after a
/// backoff of its own.
pub(crate) struct DeviceTokens<R> {
    fetches: Vec<(DeviceKey, BoxFuture<Answer>)>,
    failed: BTreeMap<DeviceKey, Failed>,
    /// Rings when the next backoff is over.
    alarm: Alarm<R>,
}

/// A device whose last fetches failed.
struct Failed {
    /// How many, in a row.
    failures: u32,
    jitter: Jitter,
    /// When its backoff is over; `None` while a token is fetched.
    until: Option<Instant>,
}

impl<R: Runtime> DeviceTokens<R> {
    pub(crate) fn new(runtime: Arc<R>) -> Self {
        Self {
            fetches: Vec::new(),
            failed: BTreeMap::new(),
            alarm: Alarm::new(runtime),
        }
    }

    /// Starts what may be fetched, and polls what is. Returns whether to poll again immediately.
    pub(crate) fn poll(&mut self, shared: &Arc<Shared>, cx: &mut Context<'_>) -> bool {
        let now = shared.environment().now();
        while self.fetches.len() < MAX_FETCHES
            && let Some((device, id)) = self.next(shared, now)
        {
            let fetch = Arc::clone(shared.environment()).device_token(id);
            self.fetches.push((device, fetch));
        }
        let mut ended = Vec::new();
        self.fetches.retain_mut(|(device, fetch)| {
            let Poll::Ready(answer) = fetch.as_mut().poll(cx) else {
                return true;
            };
            ended.push((*device, answer));
            false
        });
        let has_ended = !ended.is_empty();
        for (device, answer) in ended {
            self.finish(shared, device, answer);
        }
        has_ended || self.alarm.rings(self.next_retry(), cx)
    }

    /// Returns the next device to fetch a token for: one that has just asked, or else one whose backoff is over.
    fn next(&mut self, shared: &Shared, now: Instant) -> Option<(DeviceKey, DeviceId)> {
        while let Some((device, id)) = shared.lock(|state| state.next_token_needed()) {
            if self.fetches.iter().all(|(other, _)| *other != device) {
                self.begin(device);
                return Some((device, id));
            }
        }
        while self.fetches.len() < MAX_FETCHES
            && let Some(device) = self.next_failed(now)
        {
            match shared.lock(|state| state.needs_token(device)) {
                Some(id) => {
                    self.begin(device);
                    return Some((device, id));
                }
                None => self.failed.remove(&device),
            };
        }
        None
    }

    fn next_failed(&self, now: Instant) -> Option<DeviceKey> {
        let mut failed = self.failed.iter();
        let due = failed.find(|(_, failed)| failed.until.is_some_and(|until| until <= now));
        due.map(|(device, _)| *device)
    }

    fn next_retry(&self) -> Option<Instant> {
        match self.fetches.len() < MAX_FETCHES {
            true => self.failed.values().filter_map(|failed| failed.until).min(),
            false => None,
        }
    }

    fn begin(&mut self, device: DeviceKey) {
        if let Some(failed) = self.failed.get_mut(&device) {
            failed.until = None;
        }
    }

    fn finish(&mut self, shared: &Shared, device: DeviceKey, answer: Answer) {
        let unix_now = shared.environment().unix_now();
        let has_failed = answer.is_err();
        let seed = shared.with(|state, now| {
            let seed = state.jitter_seed(device);
            state.renew_token(device, answer, unix_now, now);
            seed
        });
        let Some(seed) = seed.filter(|_| has_failed) else {
            self.failed.remove(&device);
            return;
        };
        let failed = self.failed.entry(device).or_insert_with(|| Failed {
            failures: 0,
            jitter: Jitter::new(seed),
            until: None,
        });
        let wait = Backoff::default().wait(failed.failures, &mut failed.jitter);
        failed.failures = failed.failures.saturating_add(1);
        failed.until = Some(shared.environment().now() + wait);
    }
}
