//! Devices of which publications were given up, or were suspects and ended before they could be.

use crate::{clock::Moment, time::Duration};

/// How long a device waits for its next trial after a publication of its was given up: doubled with each further one.
const FIRST_WAIT: Duration = Duration::from_secs(30);
const LONGEST_WAIT: Duration = Duration::from_secs(3_600);

/// The rest of what a device has to bear after a publication of its was given up, until the peer acknowledges one: all its
/// publications are suspects. It outlives connections.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Probation {
    /// How many were given up in a row; 0 for a device that is not on probation.
    given_up: u32,
    /// When the next trial may begin; `None` once a timeout has found that it may.
    until: Option<Moment>,
}

impl Probation {
    pub(super) fn is_on(self) -> bool {
        self.given_up > 0
    }

    /// Returns when the next trial may begin, if a timeout has yet to find that it may.
    pub(super) fn until(self) -> Option<Moment> {
        self.until
    }

    /// Records that one more was given up; returns when the next trial may begin.
    pub(super) fn give_up(&mut self, now: Moment) -> Option<Moment> {
        let doubled = FIRST_WAIT.saturating_mul(2u32.saturating_pow(self.given_up));
        self.given_up = self.given_up.saturating_add(1);
        self.until = Some(now + doubled.min(LONGEST_WAIT));
        self.until
    }

    /// Puts a device on probation whose suspect has ended before it was tried: the next trial may begin at once.
    pub(super) fn begin(&mut self) {
        self.given_up = self.given_up.max(1);
    }

    /// Lets the next trial begin, if it is time.
    pub(super) fn release(&mut self, now: Moment) {
        self.until = self.until.filter(|until| *until > now);
    }
}
