//! Liveness: after any steps, a cooperative peer makes every operation end.

use iotcore_gateway::device::DeviceState;

use super::World;
use crate::{
    referee::Kind,
    step::{Step, WalkMode},
};

/// The maximum number of steps of an ending.
const LIMIT: usize = 300;

impl World {
    /// Answers everything, reconnects, advances time, and closes: every operation must end, and nothing may be left.
    pub(crate) fn end(mut self) {
        self.mode = WalkMode::Plain;
        for _ in 0..LIMIT {
            if self.gateway.is_closed() && self.line.is_none() {
                return self.check_end();
            }
            self.take(self.benign_step());
        }
        panic!("the run does not end: {:?}", self.referee);
    }

    fn benign_step(&self) -> Step {
        match &self.line {
            None if self.gateway.wants_transport() => return Step::Connect,
            Some(_) if !self.gateway.wants_transport() => return Step::Cut,
            Some(line) if !line.waiting.is_empty() => return Step::Write,
            Some(line) if !line.unanswered.is_empty() => return Step::Answer(0),
            _ => {}
        }
        if self.is_closing || self.referee.pending().any(|kind| !self.may_stay(kind)) {
            Step::Wait
        } else {
            Step::Close
        }
    }

    /// Returns whether an operation may wait until the gateway is closed: a subscription of a device that the bridge
    /// refuses.
    fn may_stay(&self, kind: Kind) -> bool {
        let Kind::Subscribe(device) = kind else {
            return false;
        };
        let key = self.referee.key(device);
        key.and_then(|key| self.gateway.device_state(key)) == Some(DeviceState::Refused)
    }

    fn check_end(&self) {
        let left: Vec<_> = self.referee.pending().collect();
        assert!(left.is_empty(), "not ended: {left:?}");
        assert!(
            !self.gateway.wants_transport(),
            "a closed gateway wants a transport"
        );
        assert_eq!(self.gateway.poll_timeout(), None, "a closed gateway waits");
        assert_eq!(self.gateway.poll_transmit(), b"", "a closed gateway sends");
    }
}
