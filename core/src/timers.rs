//! The machine's deadlines: one table of timers, schedules of many deadlines, and the time during which it listens.

use std::collections::BTreeSet;

use crate::{clock::Moment, time::Duration};

/// The timers of which there is one each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Timer {
    /// The next attempt to connect.
    Reconnect,
    /// The connection has lasted long enough for the backoff to start anew.
    Stable,
    /// The token is about to expire.
    Refresh,
    /// What is under way has had its time: leave.
    Drain,
    /// DISCONNECT could not be handed over: hang up.
    HangUp,
    /// CONNACK is due.
    ConnAck,
    /// The keep alive asks for a PINGREQ.
    PingReq,
    /// PINGRESP is due.
    PingResp,
    /// Bytes have waited too long without progress.
    Stall,
}

impl Timer {
    const ALL: [Self; 9] = [
        Self::Reconnect,
        Self::Stable,
        Self::Refresh,
        Self::Drain,
        Self::HangUp,
        Self::ConnAck,
        Self::PingReq,
        Self::PingResp,
        Self::Stall,
    ];

    /// Whether it waits for the peer to speak, and so pauses while nobody listens.
    fn is_silence(self) -> bool {
        matches!(self, Self::ConnAck | Self::PingResp)
    }

    /// Whether it belongs to one connection and ends with it.
    fn is_of_connection(self) -> bool {
        !matches!(self, Self::Reconnect | Self::Drain)
    }
}

/// When each [`Timer`] is due.
#[derive(Debug, Default)]
pub(crate) struct Timers {
    deadlines: [Option<Moment>; Timer::ALL.len()],
    /// None is due before; a lower bound, so that most calls need not look at each.
    quiet_until: Option<Moment>,
    pub(crate) listening: Listening,
}

impl Timers {
    pub(crate) fn set(&mut self, timer: Timer, after: Duration, now: Moment) {
        let start = if timer.is_silence() {
            self.listening.time(now)
        } else {
            now
        };
        self.put(timer, Some(start + after));
    }

    pub(crate) fn stop(&mut self, timer: Timer) {
        self.put(timer, None);
    }

    pub(crate) fn stop_connection(&mut self) {
        for timer in Timer::ALL {
            if timer.is_of_connection() {
                self.stop(timer);
            }
        }
    }

    pub(crate) fn is_set(&self, timer: Timer) -> bool {
        self.at(timer).is_some()
    }

    /// Whether any may be due: then all are to be looked at.
    pub(crate) fn may_be_due(&mut self, now: Moment) -> bool {
        if self.quiet_until.is_none_or(|quiet| quiet > now) {
            return false;
        }
        // In listening time, which never runs ahead of the clock on the wall.
        self.quiet_until = self.deadlines.iter().flatten().min().copied();
        self.quiet_until.is_some_and(|quiet| quiet <= now)
    }

    /// Whether `timer` is due; it stops when it is.
    pub(crate) fn expire(&mut self, timer: Timer, now: Moment) -> bool {
        let is_due = self.wall(timer).is_some_and(|deadline| deadline <= now);
        if is_due {
            self.stop(timer);
        }
        is_due
    }

    /// The earliest deadline of all timers that run.
    pub(crate) fn next(&self) -> Option<Moment> {
        Timer::ALL
            .into_iter()
            .filter_map(|timer| self.wall(timer))
            .min()
    }

    fn wall(&self, timer: Timer) -> Option<Moment> {
        let deadline = self.at(timer)?;
        if timer.is_silence() {
            self.listening.wall(deadline)
        } else {
            Some(deadline)
        }
    }

    fn at(&self, timer: Timer) -> Option<Moment> {
        self.deadlines.get(timer as usize).copied().flatten()
    }

    fn put(&mut self, timer: Timer, deadline: Option<Moment>) {
        if let Some(slot) = self.deadlines.get_mut(timer as usize) {
            *slot = deadline;
        }
        if let Some(deadline) = deadline {
            let quiet = self
                .quiet_until
                .map_or(deadline, |quiet| quiet.min(deadline));
            self.quiet_until = Some(quiet);
        }
    }
}

/// Time as it passes for deadlines on the peer: it stands still while the machine does not want input, for a peer that
/// nobody reads is not silent.
#[derive(Debug, Default)]
pub(crate) struct Listening {
    deaf: Duration,
    deaf_since: Option<Moment>,
}

impl Listening {
    /// Tells whether the machine listens, as of `now`.
    pub(crate) fn update(&mut self, listens: bool, now: Moment) {
        match self.deaf_since {
            None if !listens => self.deaf_since = Some(now),
            Some(since) if listens => {
                self.deaf += now.since(since);
                self.deaf_since = None;
            }
            _ => {}
        }
    }

    /// Since when the machine has not listened, as far as it was told.
    pub(crate) fn deaf_since(&self) -> Option<Moment> {
        self.deaf_since
    }

    /// The listening time at `now`: deadlines on the peer count from it.
    pub(crate) fn time(&self, now: Moment) -> Moment {
        let heard = self.deaf_since.unwrap_or(now);
        if self.deaf.is_zero() {
            return heard; // most gateways are never deaf
        }
        heard - self.deaf
    }

    /// The listening time at `now`, unless it stands still: nothing that waits for the peer falls due then.
    pub(crate) fn heard(&self, now: Moment) -> Option<Moment> {
        self.deaf_since.is_none().then(|| self.time(now))
    }

    /// When listening time reaches `deadline`, or `None` while it stands still.
    pub(crate) fn wall(&self, deadline: Moment) -> Option<Moment> {
        self.deaf_since.is_none().then(|| deadline + self.deaf)
    }
}

/// Many deadlines of one kind, in the order in which they are due.
#[derive(Debug)]
pub(crate) struct Schedule<K> {
    entries: BTreeSet<(Moment, K)>,
}

impl<K: Copy + Ord> Schedule<K> {
    /// Adds an entry; gives whether it is new.
    pub(crate) fn add(&mut self, at: Moment, key: K) -> bool {
        self.entries.insert((at, key))
    }

    /// Removes an entry by the deadline that it was added with.
    pub(crate) fn remove(&mut self, at: Moment, key: K) {
        self.entries.remove(&(at, key));
    }

    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    pub(crate) fn next(&self) -> Option<Moment> {
        self.entries.first().map(|(at, _)| *at)
    }

    /// Takes one entry that is due.
    pub(crate) fn pop_due(&mut self, now: Moment) -> Option<K> {
        if self.next()? > now {
            return None;
        }
        self.entries.pop_first().map(|(_, key)| key)
    }

    pub(crate) fn clear(&mut self) {
        self.entries.clear();
    }
}

impl<K> Default for Schedule<K> {
    fn default() -> Self {
        Self {
            entries: BTreeSet::new(),
        }
    }
}
