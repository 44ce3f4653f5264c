//! Machine time and peer time: nanoseconds in one word, from the first instant that the machine receives.
//!
//! An [`Instant`] takes two words and a check for each comparison, and there are dozens of comparisons for each
//! message.
//!
//! | type | is | ends |
//! |---|---|---|
//! | [`Moment`] | machine time | with the gateway |
//! | [`PeerTime`] | machine time minus the time during which nothing was read from the peer | with its connection |

use core::{
    num::NonZeroU64,
    ops::{Add, Sub},
};

use crate::{
    time::{Duration, Instant, UnixTime},
    token::Token,
};

/// How far the bridge's date and that of a token may differ.
const SKEW: Duration = Duration::from_secs(600);

/// Converts the instants that the machine receives to [`Moment`]s, and back.
#[derive(Debug, Default)]
pub(crate) struct Clock {
    origin: Option<Instant>,
    /// The last instant received: a driver passes the same one for everything that it does in one turn.
    last: Option<Instant>,
    now: Moment,
    /// The last date received, and when. It may jump: the newest counts.
    date: Option<(UnixTime, Moment)>,
}

impl Clock {
    /// Records the instant of an input. Time never runs backwards: an instant earlier than a previous one is replaced
    /// by the latest.
    #[inline]
    pub(crate) fn observe(&mut self, now: Instant) -> Moment {
        if self.last != Some(now) {
            self.advance(now);
        }
        self.now
    }

    #[inline(never)]
    fn advance(&mut self, now: Instant) {
        self.last = Some(now);
        let origin = *self.origin.get_or_insert(now);
        self.now = self.now.max(Moment::after(origin, now));
    }

    pub(crate) fn now(&self) -> Moment {
        self.now
    }

    /// Records the date that came with an input.
    pub(crate) fn observe_date(&mut self, unix_now: UnixTime) {
        self.date = Some((unix_now, self.now));
    }

    /// Returns the current date, as far as it is known: the last one received, and the time since then.
    pub(crate) fn date(&self) -> Option<UnixTime> {
        let (date, since) = self.date?;
        Some(date.saturating_add(self.now.since(since)))
    }

    /// Converts an instant; one before the start of the clock becomes its start.
    pub(crate) fn moment(&self, instant: Instant) -> Moment {
        let origin = self.origin.unwrap_or(instant);
        Moment::after(origin, instant)
    }

    /// Returns whether a token has expired, by either clock.
    pub(crate) fn has_expired(&self, token: &Token) -> bool {
        let now = self.instant(self.now);
        now.is_some_and(|now| token.expired_by(now, self.date()).is_some())
    }

    /// Returns whether a token was issued later than the bridge would accept now: its date and this one disagree.
    pub(crate) fn is_ahead(&self, token: &Token) -> bool {
        let (issued_at, date) = (token.issued_at(), self.date());
        issued_at
            .zip(date)
            .is_some_and(|(issued_at, date)| issued_at > date.saturating_add(SKEW))
    }

    /// Converts a moment back to an instant; `None` before the clock has started.
    pub(crate) fn instant(&self, moment: Moment) -> Option<Instant> {
        self.origin?.checked_add(moment.since(Moment::START))
    }
}

/// Machine time: a moment on the [`Clock`]. The start is one nanosecond, so that an `Option` of it is one word as well;
/// the end, 584 years later, represents everything beyond.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Moment(NonZeroU64);

impl Moment {
    pub(crate) const START: Self = Self(NonZeroU64::MIN);

    fn after(origin: Instant, instant: Instant) -> Self {
        Self::START + instant.saturating_duration_since(origin)
    }

    /// Returns the duration since an `earlier` moment; zero if that is not earlier.
    pub(crate) fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.nanos_since(earlier))
    }

    #[inline]
    fn nanos_since(self, earlier: Self) -> u64 {
        self.0.get().saturating_sub(earlier.0.get())
    }

    /// Returns the moment so many nanoseconds earlier, at least the start.
    #[inline]
    fn back(self, nanos: u64) -> Self {
        NonZeroU64::new(self.0.get().saturating_sub(nanos)).map_or(Self::START, Self)
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
        self.back(nanos(duration))
    }
}

fn nanos(duration: Duration) -> u64 {
    duration
        .as_secs()
        .saturating_mul(1_000_000_000)
        .saturating_add(u64::from(duration.subsec_nanos()))
}

/// Peer time: the clock of the deadlines of the peer. It is paused while nothing is read, because a peer that is not
/// read is not silent. It never runs ahead of machine time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct PeerTime(Moment);

impl PeerTime {
    /// Earlier than, or equal to, any other.
    pub(crate) const START: Self = Self(Moment::START);

    /// Returns the nanoseconds since an `earlier` time; zero if that is not earlier.
    #[inline]
    pub(crate) fn nanos_since(self, earlier: Self) -> u64 {
        self.0.nanos_since(earlier.0)
    }
}

impl Add<Duration> for PeerTime {
    type Output = Self;

    fn add(self, duration: Duration) -> Self {
        Self(self.0 + duration)
    }
}

impl Sub<Duration> for PeerTime {
    type Output = Self;

    fn sub(self, duration: Duration) -> Self {
        Self(self.0 - duration)
    }
}

/// Converts machine time to [`PeerTime`], and back.
#[derive(Debug, Default)]
pub(crate) struct PeerClock {
    /// The sum of all pauses that have ended, in nanoseconds.
    paused: u64,
    paused_since: Option<Moment>,
    /// When the last pause ended.
    resumed: Option<PeerTime>,
}

impl PeerClock {
    /// Records whether the peer is read from `now` on.
    pub(crate) fn observe(&mut self, is_reading: bool, now: Moment) {
        match self.paused_since {
            None if !is_reading => self.paused_since = Some(now),
            Some(since) if is_reading => {
                self.paused += now.nanos_since(since);
                self.paused_since = None;
                self.resumed = Some(self.time(now));
            }
            _ => {}
        }
    }

    /// Returns since when reading has been paused, as far as it was recorded.
    pub(crate) fn paused_since(&self) -> Option<Moment> {
        self.paused_since
    }

    /// Returns when the last pause ended.
    pub(crate) fn resumed(&self) -> Option<PeerTime> {
        self.resumed
    }

    /// Returns the peer time at `now`.
    pub(crate) fn time(&self, now: Moment) -> PeerTime {
        let running = self.paused_since.unwrap_or(now);
        PeerTime(running.back(self.paused))
    }

    /// Returns the peer time at `now`, unless it is paused: no deadline of the peer is due then.
    pub(crate) fn time_if_running(&self, now: Moment) -> Option<PeerTime> {
        self.paused_since.is_none().then(|| self.time(now))
    }

    /// Returns when peer time reaches `deadline`; `None` while it is paused.
    pub(crate) fn machine_time(&self, deadline: PeerTime) -> Option<Moment> {
        self.paused_since
            .is_none()
            .then(|| deadline.0 + Duration::from_nanos(self.paused))
    }
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
        clock.observe(start);
        (clock, start)
    }

    #[test]
    fn time_never_runs_backwards() {
        let (mut clock, start) = started();
        let later = clock.observe(start + SECOND);
        assert_eq!(clock.observe(start), later);
        assert_eq!(clock.observe(start - SECOND), later);
        assert_eq!(clock.now(), later);
        assert_eq!(clock.observe(start + 2 * SECOND).since(later), SECOND);
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

    #[test]
    fn peer_time_stands_still_while_the_peer_is_not_read() {
        let start = Moment::default() + SECOND;
        let mut clock = PeerClock::default();
        let deadline = clock.time(start) + 3 * SECOND;
        assert_eq!(clock.machine_time(deadline), Some(start + 3 * SECOND));

        clock.observe(false, start + SECOND);
        clock.observe(false, start + 2 * SECOND);
        assert_eq!(clock.paused_since(), Some(start + SECOND));
        assert_eq!(clock.time_if_running(start + 9 * SECOND), None);
        assert_eq!(clock.machine_time(deadline), None);
        assert_eq!(clock.time(start + 9 * SECOND), clock.time(start + SECOND));

        clock.observe(true, start + 10 * SECOND);
        assert_eq!(clock.machine_time(deadline), Some(start + 12 * SECOND));
        assert_eq!(clock.time_if_running(start + 12 * SECOND), Some(deadline));
        assert!(clock.time(start + 12 * SECOND).0 < start + 12 * SECOND);
    }
}
