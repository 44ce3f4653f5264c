//! How long acknowledgements took, measured on the wire.

use core::time::Duration;
use std::time::Instant;

use iotcore_gateway::Gateway;

use super::publications::number_in;
use super::wire::Answered;
use super::{Finding, Model};
use crate::bridge::event::{Event as BridgeEvent, EventKind};
use crate::script::Rule;

/// The shortest time that is reported.
const RESOLUTION: Duration = Duration::from_nanos(1);

/// The times from hand-over to acknowledgement of publications at QoS 1.
#[derive(Debug, Default)]
pub(super) struct Latency {
    /// The longest of all.
    longest: Option<Duration>,
    /// The longest since the user has reset it.
    longest_since_reset: Option<Duration>,
    /// The longest of those that surely count.
    least: Option<Duration>,
    /// Whether reading was ever paused, so that the gateway may have measured less.
    pub(super) was_paused: bool,
    /// Whether there was an error report, which the gateway may have taken for an answer.
    has_report: bool,
}

impl Latency {
    pub(super) fn restart(&mut self) {
        *self = Self::default();
    }

    /// Records that there may be an error report: the bridge's, or a forged one.
    pub(super) fn note_report(&mut self, event: &BridgeEvent) {
        self.has_report |= matches!(
            event.kind,
            EventKind::ErrorReport { .. } | EventKind::FaultInjected { .. }
        );
    }
}

impl Model {
    /// Records that the user has reset the worst latency.
    pub(crate) fn reset_worst_latency(&mut self) {
        self.latency.longest_since_reset = None;
        self.latency.least = None;
    }

    /// Measures the time that an acknowledgement took.
    pub(super) fn measure(&mut self, answered: &Answered, now: Instant) {
        let Some(number) = number_in(&answered.sent.rest) else {
            return;
        };
        let took = (now - answered.handed).max(RESOLUTION);
        // The gateway takes none for no measurement.
        let counts = took > RESOLUTION;
        let took = Some(took);
        let latency = &mut self.latency;
        latency.longest = latency.longest.max(took);
        latency.longest_since_reset = latency.longest_since_reset.max(took);
        let published = self.publications.at(number);
        let device = &self.devices[published.device];
        let is_sure = published.op.is_some()
            && !self.outgoing.was_sent_again(number)
            && !device.was_detached()
            && !device.is_slandered;
        if counts && is_sure {
            latency.least = latency.least.max(took);
        }
    }

    /// Checks the latency that the gateway has measured.
    pub(super) fn check_latency(&self, gateway: &Gateway) -> Result<(), Finding> {
        let stats = gateway.stats();
        let (smoothed, worst) = (stats.latency, stats.worst_latency);
        let latency = &self.latency;
        let is_bounded = smoothed <= latency.longest && worst <= latency.longest_since_reset;
        let is_right =
            (latency.has_report || is_bounded) && (latency.was_paused || worst >= latency.least);
        match is_right || self.is_deceived {
            true => Ok(()),
            false => Err(Finding::new(
                Rule::Delivery,
                format!("the latency is {smoothed:?}, the worst {worst:?}, unlike {latency:?}"),
            )),
        }
    }
}
