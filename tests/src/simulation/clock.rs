//! The clocks of the machine that the driver runs on. The network and the bridge have their own time.

use core::time::Duration;
use std::time::Instant;

use iotcore_gateway::auth::UnixTime;

/// A monotonic clock that stands still while the machine sleeps, and a wall clock that goes on and can be set.
pub(super) struct MachineClock {
    /// How long the machine has slept: its monotonic clock is this much behind.
    slept: Duration,
    /// What the wall clock was set to, and when.
    date: (UnixTime, Instant),
}

impl MachineClock {
    pub(super) fn new(date: UnixTime, now: Instant) -> Self {
        Self {
            slept: Duration::ZERO,
            date: (date, now),
        }
    }

    /// Records that the machine slept for this long.
    pub(super) fn sleep(&mut self, time: Duration) {
        self.slept += time;
    }

    pub(super) fn set_date(&mut self, date: UnixTime, now: Instant) {
        self.date = (date, now);
    }

    /// Returns what the monotonic clock shows at `now`.
    pub(super) fn monotonic(&self, now: Instant) -> Instant {
        now - self.slept
    }

    /// Returns when the monotonic clock shows this instant, if the machine does not sleep before.
    pub(super) fn when(&self, monotonic: Instant) -> Instant {
        monotonic + self.slept
    }

    /// Returns what the wall clock shows at `now`.
    pub(super) fn date(&self, now: Instant) -> UnixTime {
        let (date, since) = self.date;
        date.saturating_add(now.saturating_duration_since(since))
    }
}
