//! The machine's own clock: it starts with the first instant that it is told, and counts nanoseconds in one word.
//!
//! An [`Instant`] takes two words and a check for each comparison, and there are dozens of them for each message.

use core::{
    num::NonZeroU64,
    ops::{Add, Sub},
};

use crate::time::{Duration, Instant};

/// Turns the instants that the machine is told into [`Moment`]s, and back.
#[derive(Debug, Default)]
pub(crate) struct Clock {
    origin: Option<Instant>,
    /// The instant that was told last: a driver tells the same for all that it does in one turn.
    last: Option<Instant>,
    now: Moment,
}

impl Clock {
    /// It is this late now. Time never runs backwards: an earlier instant than before counts as that one.
    pub(crate) fn tick(&mut self, now: Instant) -> Moment {
        if self.last != Some(now) {
            self.last = Some(now);
            let origin = *self.origin.get_or_insert(now);
            self.now = self.now.max(Moment::after(origin, now));
        }
        self.now
    }

    pub(crate) fn now(&self) -> Moment {
        self.now
    }

    /// The moment of an instant; one before the clock started is its start.
    pub(crate) fn moment(&self, instant: Instant) -> Moment {
        let origin = self.origin.unwrap_or(instant);
        Moment::after(origin, instant)
    }

    /// Whether an instant is over.
    pub(crate) fn is_past(&self, instant: Instant) -> bool {
        self.moment(instant) <= self.now
    }

    /// The instant of a moment; `None` before the clock has started.
    pub(crate) fn instant(&self, moment: Moment) -> Option<Instant> {
        self.origin?.checked_add(moment.since(Moment::START))
    }
}

/// A moment on the machine's [`Clock`]. The start is one nanosecond, so that no moment takes no more room than one; the
/// end, 584 years later, stands for all that is beyond.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Moment(NonZeroU64);

impl Moment {
    const START: Self = Self(NonZeroU64::MIN);

    fn after(origin: Instant, instant: Instant) -> Self {
        Self::START + instant.saturating_duration_since(origin)
    }

    /// How long it is after an `earlier` one; zero if it is not.
    pub(crate) fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.get().saturating_sub(earlier.0.get()))
    }
}

impl Default for Moment {
    fn default() -> Self {
        Self::START
    }
}

impl Add<Duration> for Moment {
    type Output = Self;

    fn add(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(nanos(duration)))
    }
}

impl Sub<Duration> for Moment {
    type Output = Self;

    fn sub(self, duration: Duration) -> Self {
        let nanos = self.0.get().saturating_sub(nanos(duration));
        NonZeroU64::new(nanos).map_or(Self::START, Self)
    }
}

fn nanos(duration: Duration) -> u64 {
    duration
        .as_secs()
        .saturating_mul(1_000_000_000)
        .saturating_add(u64::from(duration.subsec_nanos()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[expect(
        clippy::disallowed_methods,
        reason = "a test needs some instant to start from"
    )]
    fn started() -> (Clock, Instant) {
        let start = Instant::now() + SECOND;
        let mut clock = Clock::default();
        clock.tick(start);
        (clock, start)
    }

    #[test]
    fn time_never_runs_backwards() {
        let (mut clock, start) = started();
        let later = clock.tick(start + SECOND);
        assert_eq!(clock.tick(start), later);
        assert_eq!(clock.tick(start - SECOND), later);
        assert_eq!(clock.now(), later);
        assert_eq!(clock.tick(start + 2 * SECOND).since(later), SECOND);
    }

    #[test]
    fn a_moment_is_the_instant_that_it_was_made_of() {
        let (clock, start) = started();
        for after in [
            Duration::ZERO,
            Duration::from_nanos(1),
            SECOND,
            400_000 * SECOND,
        ] {
            let instant = start + after;
            assert_eq!(clock.instant(clock.moment(instant)), Some(instant));
        }
    }

    #[test]
    fn what_was_before_the_start_is_the_start() {
        let (clock, start) = started();
        assert_eq!(clock.moment(start - SECOND), clock.moment(start));
        assert_eq!(clock.moment(start) - SECOND, clock.moment(start));
        assert_eq!(
            clock.moment(start).since(clock.moment(start + SECOND)),
            Duration::ZERO
        );
    }

    #[test]
    fn what_is_beyond_the_end_is_the_end() {
        let (clock, start) = started();
        let end = clock.moment(start) + Duration::MAX;
        assert_eq!(end + SECOND, end);
        assert!(end > clock.moment(start + Duration::from_secs(500 * 365 * 86_400)));
    }

    #[test]
    fn a_clock_that_was_told_nothing_knows_no_instants() {
        assert_eq!(Clock::default().instant(Moment::START), None);
    }
}
