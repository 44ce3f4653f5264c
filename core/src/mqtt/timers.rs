//! The timers of one connection.

use crate::{
    clock::{Moment, PeerClock, PeerTime},
    time::Duration,
    timers::QuietUntil,
};

/// A pending answer of the peer. Its deadline is paused while the peer is not read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Expected {
    ConnAck,
    PingResp,
}

/// A timer in machine time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Timer {
    /// The keep alive requires a PINGREQ.
    PingReq,
    /// Queued bytes were not handed over in time.
    Stall,
}

/// The deadlines of each answer and each [`Timer`].
#[derive(Debug, Default)]
pub(super) struct Timers {
    connack: Option<PeerTime>,
    pingresp: Option<PeerTime>,
    pingreq: Option<Moment>,
    stall: Option<Moment>,
    quiet_until: QuietUntil,
    pub(super) clock: PeerClock,
}

impl Timers {
    /// Starts waiting for an answer, within `limit` of peer time.
    pub(super) fn expect(&mut self, expected: Expected, limit: Duration, now: Moment) {
        let deadline = self.clock.time(now) + limit;
        *self.expected_mut(expected) = Some(deadline);
        self.quiet_until.lower(deadline.earliest());
    }

    pub(super) fn set(&mut self, timer: Timer, after: Duration, now: Moment) {
        let deadline = now + after;
        *self.timer_mut(timer) = Some(deadline);
        self.quiet_until.lower(deadline);
    }

    /// Stops waiting for an answer, because it arrived or is no longer expected.
    pub(super) fn answered(&mut self, expected: Expected) {
        *self.expected_mut(expected) = None;
    }

    pub(super) fn stop(&mut self, timer: Timer) {
        *self.timer_mut(timer) = None;
    }

    pub(super) fn is_expected(&self, expected: Expected) -> bool {
        match expected {
            Expected::ConnAck => self.connack.is_some(),
            Expected::PingResp => self.pingresp.is_some(),
        }
    }

    pub(super) fn is_set(&self, timer: Timer) -> bool {
        match timer {
            Timer::PingReq => self.pingreq.is_some(),
            Timer::Stall => self.stall.is_some(),
        }
    }

    /// Returns whether any may be due: then check them all.
    #[inline]
    pub(super) fn may_be_due(&mut self, now: Moment) -> bool {
        let (connack, pingresp) = (self.connack, self.pingresp);
        let timers = [self.pingreq, self.stall];
        self.quiet_until.is_over(now, || {
            let answers = [connack, pingresp].into_iter().flatten();
            let answers = answers.map(PeerTime::earliest);
            answers.chain(timers.into_iter().flatten()).min()
        })
    }

    /// Returns whether an answer is overdue; if so, stops waiting for it.
    pub(super) fn expire_answer(&mut self, expected: Expected, now: Moment) -> bool {
        let peer_now = self.clock.time_if_running(now);
        let deadline = self.expected_mut(expected);
        deadline.take_if(|at| Some(*at) <= peer_now).is_some()
    }

    /// Returns whether `timer` is due; if so, stops it.
    pub(super) fn expire(&mut self, timer: Timer, now: Moment) -> bool {
        let deadline = self.timer_mut(timer);
        deadline.take_if(|at| *at <= now).is_some()
    }

    /// Returns the earliest deadline, by machine time.
    pub(super) fn next(&self) -> Option<Moment> {
        let answers = [self.connack, self.pingresp].into_iter().flatten();
        let answers = answers.filter_map(|at| self.clock.machine_time(at));
        let timers = [self.pingreq, self.stall].into_iter().flatten();
        answers.chain(timers).min()
    }

    fn expected_mut(&mut self, expected: Expected) -> &mut Option<PeerTime> {
        match expected {
            Expected::ConnAck => &mut self.connack,
            Expected::PingResp => &mut self.pingresp,
        }
    }

    fn timer_mut(&mut self, timer: Timer) -> &mut Option<Moment> {
        match timer {
            Timer::PingReq => &mut self.pingreq,
            Timer::Stall => &mut self.stall,
        }
    }
}
