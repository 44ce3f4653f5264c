//! The time limits of the end.

use std::time::Duration;

/// How long the end, and a detach, wait for what is in progress (`--drain-timeout`).
#[derive(Clone, Copy, Debug)]
pub(crate) struct DrainTimeout(Duration);

impl DrainTimeout {
    pub(super) fn new(whole: Duration) -> Self {
        Self(whole)
    }

    /// Returns how long the end takes after a signal, and how long it waits for operations while none succeeds.
    pub(crate) fn whole(self) -> Duration {
        self.0
    }

    /// Returns how long what waits in the relay is waited for after a signal. What is left of the whole is for the gateway to
    /// close: half for what it has accepted, the rest for DISCONNECT and the last events.
    pub(crate) fn in_the_relay(self) -> Duration {
        self.0 * 3 / 10
    }

    /// Returns how long a detach is waited for, and, at a close, what the gateway has accepted; and before that, what is in the
    /// store while there is no connection.
    pub(crate) fn half(self) -> Duration {
        self.0 / 2
    }

    /// Returns the part of the whole that is left for the last events.
    pub(crate) fn for_the_last_events(self) -> Duration {
        self.0 / 10
    }
}
