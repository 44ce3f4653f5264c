//! The kinds of packets that the peer answers, their timeouts and their windows.

use crate::{clock::PeerTime, time::Duration};

/// Packets that the peer may handle in a queue of their own. Each kind has its own window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// PUBLISH packets that attach or detach.
    Control,
    /// SUBSCRIBE and UNSUBSCRIBE.
    Subscription,
    /// All other PUBLISH packets.
    Publication,
}

/// A packet that the peer answers, by its timeout.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Request {
    Attach,
    Detach,
    Subscription,
    Publication,
}

/// Windows and timeouts.
#[derive(Clone, Copy, Debug)]
pub(crate) struct AckLimits {
    pub(crate) control_window: usize,
    pub(crate) subscription_window: usize,
    pub(crate) publication_window: usize,
    pub(crate) attach_timeout: Duration,
    /// The timeout of everything else; for a publication it doubles with each attempt, up to `max_timeout`.
    pub(crate) timeout: Duration,
    pub(crate) max_timeout: Duration,
}

/// Lists before those of the publications.
const OTHER_LISTS: u8 = 3;

/// The shortest time for which a packet is overtaken before it is skipped, and the shortest time without progress
/// before a probe.
const MIN_PATIENCE: Duration = Duration::from_secs(1);

/// The time without progress before a probe, until a round trip was measured.
const FIRST_PROBE: Duration = Duration::from_secs(3);

impl Kind {
    /// Returns the bits of the lists of its packets.
    #[inline]
    pub(super) fn lists(self) -> u64 {
        match self {
            Self::Control => 0b11,
            Self::Subscription => 0b100,
            Self::Publication => !0b111,
        }
    }
}

impl Request {
    #[inline]
    pub(super) fn kind(self) -> Kind {
        match self {
            Self::Attach | Self::Detach => Kind::Control,
            Self::Subscription => Kind::Subscription,
            Self::Publication => Kind::Publication,
        }
    }

    /// Returns the list of its first attempt.
    #[inline]
    pub(super) fn list(self) -> u8 {
        match self {
            Self::Attach => 0,
            Self::Detach => 1,
            Self::Subscription => 2,
            Self::Publication => OTHER_LISTS,
        }
    }
}

impl AckLimits {
    /// Returns the kind and the timeout of each list, in the order of [`Request::list`]: those of the publications last,
    /// one for each attempt.
    pub(super) fn timeouts(&self) -> impl Iterator<Item = (Kind, Duration)> {
        let max = self.max_timeout;
        let attempts = core::iter::successors(Some(self.timeout), move |&timeout| {
            (timeout < max).then(|| timeout.saturating_mul(2).min(max))
        });
        [
            (Kind::Control, self.attach_timeout),
            (Kind::Control, self.timeout),
            (Kind::Subscription, self.timeout),
        ]
        .into_iter()
        .chain(attempts.map(|timeout| (Kind::Publication, timeout)))
    }

    pub(super) fn kinds(&self) -> [KindState; 3] {
        [
            KindState::new(self.control_window, self.attach_timeout),
            KindState::new(self.subscription_window, self.timeout),
            KindState::new(self.publication_window, self.timeout),
        ]
    }
}

/// The window of a kind, and the progress that the peer makes with it.
#[derive(Debug)]
pub(super) struct KindState {
    pub(super) window: usize,
    pub(super) in_window: usize,
    /// Packets in the window that were sent again.
    pub(super) again: usize,
    /// Packets in the window whose operation has ended.
    pub(super) disowned: usize,
    pub(super) last_answer: PeerTime,
    /// When a packet was last handed over to the transport.
    pub(super) last_handed: PeerTime,
    pub(super) last_probe: PeerTime,
    /// Probes since the last answer.
    pub(super) probes: u32,
    timeout: Duration,
    /// The smoothed round trip (RFC 6298: weight 1/8) in nanoseconds; 0 until one was measured.
    round_trip: u64,
    /// The longest round trip in nanoseconds since it was reset; 0 if none was measured.
    worst_round_trip: u64,
}

/// How long the answers to packets that were sent once took, from hand-over to answer.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct RoundTrip {
    /// Moving average.
    pub(crate) smoothed: Option<Duration>,
    /// The longest.
    pub(crate) worst: Option<Duration>,
}

impl RoundTrip {
    /// Adds what was measured later.
    pub(crate) fn followed_by(self, later: Self) -> Self {
        Self {
            smoothed: later.smoothed.or(self.smoothed),
            worst: later.worst.max(self.worst),
        }
    }
}

impl KindState {
    fn new(window: usize, timeout: Duration) -> Self {
        Self {
            window,
            in_window: 0,
            again: 0,
            disowned: 0,
            last_answer: PeerTime::START,
            last_handed: PeerTime::START,
            last_probe: PeerTime::START,
            probes: 0,
            timeout,
            round_trip: 0,
            worst_round_trip: 0,
        }
    }

    /// Returns how many packets that are sent again may be in the window.
    #[inline]
    pub(super) fn share_of_again(&self) -> usize {
        (self.window / 10).max(1)
    }

    /// Records a measured round trip, in nanoseconds.
    #[inline]
    pub(super) fn sample(&mut self, nanos: u64) {
        let nanos = nanos.max(1);
        self.round_trip = match self.round_trip {
            0 => nanos,
            smoothed => smoothed - smoothed / 8 + nanos / 8,
        };
        self.worst_round_trip = self.worst_round_trip.max(nanos);
    }

    pub(super) fn round_trip(&self) -> RoundTrip {
        let measured = |nanos| (self.round_trip > 0).then(|| Duration::from_nanos(nanos));
        RoundTrip {
            smoothed: measured(self.round_trip),
            worst: measured(self.worst_round_trip).filter(|worst| !worst.is_zero()),
        }
    }

    pub(super) fn reset_worst_round_trip(&mut self) {
        self.worst_round_trip = 0;
    }

    /// Returns for how long a packet is overtaken before it leaves the window.
    pub(super) fn skip_after(&self) -> Duration {
        self.patience(4)
    }

    /// Returns the time without progress before the next probe.
    pub(super) fn probe_after(&self) -> Duration {
        let first = match self.round_trip {
            0 => FIRST_PROBE,
            _ => self.patience(2),
        };
        let factor = 1 << self.probes.min(16);
        first.saturating_mul(factor).min(self.timeout)
    }

    fn patience(&self, round_trips: u64) -> Duration {
        let nanos = self.round_trip.saturating_mul(round_trips);
        Duration::from_nanos(nanos)
            .max(MIN_PATIENCE)
            .min(self.timeout)
    }
}
