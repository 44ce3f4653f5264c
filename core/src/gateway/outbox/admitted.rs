//! Which payloads are admitted without a closer look.

use crate::{command::PublicationTopic, quota::Quota};

/// How long a payload may be, exclusively, to be admitted without a closer look. What is longer may be admitted all the
/// same.
#[derive(Debug)]
pub(super) struct Admitted {
    telemetry: usize,
    state: usize,
    quota: Quota,
}

impl Admitted {
    pub(super) fn new(quota: &Quota) -> Self {
        let mut admitted = Self {
            telemetry: 0,
            state: 0,
            quota: *quota,
        };
        admitted.set(true);
        admitted
    }

    /// Records whether anything that the quota allows is admitted, or nothing is without a closer look.
    pub(super) fn set(&mut self, is_anything: bool) {
        let below = |most: usize| match is_anything {
            true => most + 1,
            false => 0,
        };
        self.telemetry = below(self.quota.max_telemetry_bytes);
        self.state = below(self.quota.max_state_bytes);
    }

    /// Returns whether anything that the quota allows is admitted.
    #[cfg(feature = "store")]
    #[inline]
    pub(super) fn is_open(&self) -> bool {
        self.state > 0
    }

    /// Returns below how many bytes a payload to this topic is admitted.
    #[inline]
    pub(super) fn below(&self, topic: &PublicationTopic) -> usize {
        match topic {
            PublicationTopic::Telemetry(_) => self.telemetry,
            PublicationTopic::State => self.state,
        }
    }
}
