//! Devices of which publications were given up, or were suspects and ended before they could be.

use super::super::strikes::Strikes;
use crate::{clock::Moment, time::Duration};

/// How long a device waits for its next trial after a publication of its was given up: doubled with each further one.
const FIRST_WAIT: Duration = Duration::from_secs(30);
const LONGEST_WAIT: Duration = Duration::from_secs(3_600);

/// The rest of what a device has to bear after a publication of its was given up, until the peer acknowledges one, or, if
/// nothing would have answered those that were given up, until the transport has taken one: all its publications are
/// suspects. It outlives connections.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Probation {
    /// How many were given up in a row; 0 for a device that is not on probation.
    given_up: u32,
    /// When the next trial may begin; `None` once a timeout has found that it may.
    until: Option<Moment>,
    /// Whether nothing would have answered what was given up.
    is_unanswerable: bool,
}

impl Probation {
    pub(super) fn is_on(self) -> bool {
        self.given_up > 0
    }

    /// Returns when the next trial may begin, if a timeout has yet to find that it may.
    pub(super) fn until(self) -> Option<Moment> {
        self.until
    }

    /// Returns whether it is on because of publications that nothing would have answered.
    pub(super) fn is_unanswerable(self) -> bool {
        self.is_on() && self.is_unanswerable
    }

    /// Records that one more was given up, with these strikes; returns when the next trial may begin.
    pub(super) fn give_up(&mut self, strikes: Strikes, now: Moment) -> Option<Moment> {
        self.is_unanswerable = strikes.is_unanswerable() && (!self.is_on() || self.is_unanswerable);
        let doubled = FIRST_WAIT.saturating_mul(2u32.saturating_pow(self.given_up));
        self.given_up = self.given_up.saturating_add(1);
        self.until = Some(now + doubled.min(LONGEST_WAIT));
        self.until
    }

    /// Puts a device on probation whose suspect has ended before it was tried: the next trial may begin at once.
    pub(super) fn begin(&mut self) {
        self.given_up = self.given_up.max(1);
        self.is_unanswerable = false;
    }

    /// Lets the next trial begin, if it is time.
    pub(super) fn release(&mut self, now: Moment) {
        self.until = self.until.filter(|until| *until > now);
    }
}
