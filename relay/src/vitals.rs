//! What those who watch over the relay see of its loop, without waiting for it.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

/// The newest values of the loop.
#[derive(Debug, Default)]
pub(crate) struct Vitals(Mutex<Values>);

#[derive(Debug, Default)]
struct Values {
    open: Open,
    writing_since: Option<Instant>,
}

/// The messages of the input that have not ended, whether or not the gateway has accepted them.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Open {
    pub(crate) messages: usize,
    /// The bytes of their payloads.
    pub(crate) bytes: usize,
}

impl Vitals {
    pub(crate) fn set_open(&self, open: Open) {
        self.lock().open = open;
    }

    pub(crate) fn open(&self) -> Open {
        self.lock().open
    }

    /// Records that an event is being written, or has been.
    pub(crate) fn set_writing(&self, since: Option<Instant>) {
        self.lock().writing_since = since;
    }

    /// Returns how long the output has not taken the event that is being written; zero if none is.
    pub(crate) fn output_wait(&self, now: Instant) -> Duration {
        let since = self.lock().writing_since;
        since.map_or(Duration::ZERO, |since| now.saturating_duration_since(since))
    }

    fn lock(&self) -> MutexGuard<'_, Values> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
