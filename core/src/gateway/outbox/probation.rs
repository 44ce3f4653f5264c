//! Devices of which publications were given up, or were suspects and ended before they could be.

use super::super::strikes::Strikes;
use crate::{clock::Moment, time::Duration};

/// How long a device waits for its next trial after a publication of its was given up: doubled with each further one.
const FIRST_WAIT: Duration = Duration::from_secs(30);
const LONGEST_WAIT: Duration = Duration::from_secs(3_600);

/// The strikes of a device's publications that were cancelled or have expired: otherwise a device whose publications end soon
/// would never be suspected.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Left {
    pub(super) strikes: Strikes,
    /// Whether the peer could have answered one of them: not at QoS 0.
    pub(super) is_answerable: bool,
}

impl Left {
    /// Adds the strikes of a publication that has ended.
    pub(super) fn take_over(&mut self, strikes: Strikes, is_answerable: bool) {
        self.strikes.take_over(strikes);
        self.is_answerable |= is_answerable && strikes.connections() > 0;
    }

    /// Adds the end of a connection on which the packet of one that has ended was unanswered.
    pub(super) fn add(&mut self, was_alone: bool) {
        self.strikes.add(was_alone);
        self.is_answerable = true;
    }

    /// Clears them, unless they make a suspect.
    pub(super) fn forgive(&mut self) {
        if !self.strikes.is_suspect() {
            *self = Self::default();
        }
    }
}

/// The rest of what a device has to bear after a publication of its was given up, until the peer acknowledges one, or, if all
/// of those were at QoS 0, until the transport has taken one: all its publications are suspects. It outlives connections.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Probation {
    /// How many were given up in a row; 0 for a device that is not on probation.
    given_up: u32,
    /// Whether the peer could have answered one of them.
    is_answerable: bool,
    /// When the next trial may begin; `None` once a timeout has found that it may.
    until: Option<Moment>,
}

impl Probation {
    pub(super) fn is_on(self) -> bool {
        self.given_up > 0
    }

    /// Returns whether nothing would have answered what was given up.
    pub(super) fn is_unanswerable(self) -> bool {
        self.is_on() && !self.is_answerable
    }

    /// Returns when the next trial may begin, if a timeout has yet to find that it may.
    pub(super) fn until(self) -> Option<Moment> {
        self.until
    }

    /// Records that one more was given up; returns when the next trial may begin.
    pub(super) fn give_up(&mut self, is_answerable: bool, now: Moment) -> Option<Moment> {
        let doubled = FIRST_WAIT.saturating_mul(2u32.saturating_pow(self.given_up));
        self.given_up = self.given_up.saturating_add(1);
        self.is_answerable |= is_answerable;
        self.until = Some(now + doubled.min(LONGEST_WAIT));
        self.until
    }

    /// Puts a device on probation whose suspect has ended before it was tried: the next trial may begin at once.
    pub(super) fn begin(&mut self, is_answerable: bool) {
        self.given_up = self.given_up.max(1);
        self.is_answerable |= is_answerable;
    }

    /// Lets the next trial begin, if it is time.
    pub(super) fn release(&mut self, now: Moment) {
        self.until = self.until.filter(|until| *until > now);
    }
}
