//! The timers of one connection.

use crate::{
    clock::{Moment, PeerClock, PeerTime},
    time::Duration,
    timers::QuietUntil,
};

/// What the peer owes. Its deadline pauses while the peer is not read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    ConnAck,
    PingResp,
}

/// What is to be done, or has not happened, by machine time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Timer {
    /// The keep alive asks for a PINGREQ.
    PingReq,
    /// Bytes have waited too long without progress.
    Stall,
}

/// When each [`Answer`] and each [`Timer`] is due.
#[derive(Debug, Default)]
pub(super) struct Timers {
    answers: [Option<PeerTime>; 2],
    timers: [Option<Moment>; 2],
    quiet_until: QuietUntil,
    pub(super) clock: PeerClock,
}

impl Timers {
    /// Expects an answer within `limit` of peer time.
    pub(super) fn expect(&mut self, answer: Answer, limit: Duration, now: Moment) {
        let deadline = self.clock.time(now) + limit;
        self.put_answer(answer, Some(deadline));
        self.quiet_until.lower(deadline.earliest());
    }

    pub(super) fn set(&mut self, timer: Timer, after: Duration, now: Moment) {
        let deadline = now + after;
        self.put(timer, Some(deadline));
        self.quiet_until.lower(deadline);
    }

    /// An answer came, or is no longer expected.
    pub(super) fn answered(&mut self, answer: Answer) {
        self.put_answer(answer, None);
    }

    pub(super) fn stop(&mut self, timer: Timer) {
        self.put(timer, None);
    }

    pub(super) fn is_expected(&self, answer: Answer) -> bool {
        self.answer(answer).is_some()
    }

    pub(super) fn is_set(&self, timer: Timer) -> bool {
        self.timer(timer).is_some()
    }

    /// Whether any may be due: then all are to be looked at.
    #[inline]
    pub(super) fn may_be_due(&mut self, now: Moment) -> bool {
        let answers = self.answers.iter().flatten().map(|at| at.earliest());
        let timers = self.timers.iter().flatten().copied();
        self.quiet_until
            .is_over(now, || answers.chain(timers).min())
    }

    /// Whether an answer is overdue; it is no longer expected then.
    pub(super) fn expire_answer(&mut self, answer: Answer, now: Moment) -> bool {
        let peer_now = self.clock.running(now);
        let is_overdue = self.answer(answer).is_some_and(|at| Some(at) <= peer_now);
        if is_overdue {
            self.answered(answer);
        }
        is_overdue
    }

    /// Whether `timer` is due; it stops when it is.
    pub(super) fn expire(&mut self, timer: Timer, now: Moment) -> bool {
        let is_due = self.timer(timer).is_some_and(|at| at <= now);
        if is_due {
            self.stop(timer);
        }
        is_due
    }

    /// The earliest deadline, by machine time.
    pub(super) fn next(&self) -> Option<Moment> {
        let answers = self.answers.iter().flatten();
        let answers = answers.filter_map(|at| self.clock.machine_time(*at));
        answers.chain(self.timers.iter().flatten().copied()).min()
    }

    fn answer(&self, answer: Answer) -> Option<PeerTime> {
        self.answers.get(answer as usize).copied().flatten()
    }

    fn timer(&self, timer: Timer) -> Option<Moment> {
        self.timers.get(timer as usize).copied().flatten()
    }

    fn put_answer(&mut self, answer: Answer, deadline: Option<PeerTime>) {
        if let Some(slot) = self.answers.get_mut(answer as usize) {
            *slot = deadline;
        }
    }

    fn put(&mut self, timer: Timer, deadline: Option<Moment>) {
        if let Some(slot) = self.timers.get_mut(timer as usize) {
            *slot = deadline;
        }
    }
}
