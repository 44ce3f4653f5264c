//! The bridge's limits on what devices send.
//!
//! Not enforced, because no source says what the bridge does: 512 KB/s per device, telemetry per minute and project,
//! connections per project, and the rates of the operator's side.

use core::time::Duration;
use std::time::Instant;

use super::settings::StateRate;

/// Documented: the maximum size of a telemetry event or command, in bytes.
pub const MAX_EVENT: usize = 256 * 1024;

/// Documented: the maximum size of a state or config, in bytes.
pub const MAX_STATE: usize = 64 * 1024;

/// Documented: the maximum length of a command's subfolder, in characters.
pub const MAX_SUBFOLDER: usize = 256;

/// Documented: the maximum number of devices attached to a gateway.
pub const MAX_ATTACHED: usize = 1_000;

/// Documented: the minimum interval between states of a device.
const STATE_INTERVAL: Duration = Duration::from_secs(1);

/// How long a service similar to the bridge ignores a device that sent states too fast.
const STATE_PENALTY: Duration = Duration::from_secs(5);

/// When a device's next state is allowed; outlives connections.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct StatePace {
    last: Option<Instant>,
    ignored_until: Option<Instant>,
}

/// The decision about a state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum StateVerdict {
    Take,
    Ignore,
    TooFast,
}

impl StatePace {
    /// Decides about a state that arrives now.
    ///
    /// Documented: one per second. Assumed: a state is in time one second after the last accepted one.
    pub(crate) fn judge(&mut self, rate: StateRate, now: Instant) -> StateVerdict {
        if self.ignored_until.is_some_and(|until| now < until) {
            return StateVerdict::Ignore;
        }
        let too_fast = self.last.is_some_and(|last| now < last + STATE_INTERVAL);
        match (too_fast, rate) {
            (false, _) => {
                self.last = Some(now);
                StateVerdict::Take
            }
            (true, StateRate::Detach) => StateVerdict::TooFast,
            (true, StateRate::IgnoreForFiveSeconds) => {
                self.ignored_until = Some(now + STATE_PENALTY);
                StateVerdict::Ignore
            }
        }
    }
}
