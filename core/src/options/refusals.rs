//! What follows a refusal by the bridge.

use super::{Backoff, Options};
use crate::time::Duration;

/// The longest delay before something is asked for again that the bridge has refused or withdrawn.
const LONGEST_AFTER_REFUSAL: Duration = Duration::from_secs(300);

/// What happens to the publications of a device that the bridge has refused to attach, or at whose attach it closed the
/// connection each time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnRefusal {
    /// Each ends in [`Failure::DeviceRefused`](crate::Failure::DeviceRefused), or in
    /// [`Failure::Suspected`](crate::Failure::Suspected), which hands it back.
    #[default]
    FailQueue,
    /// They stay in the queue, and are sent once the user has attached or authorized the device again, and the bridge has
    /// attached it; a detach fails them at once. They count against the limits of the queues meanwhile. New ones are
    /// refused.
    KeepQueue,
}

impl Options {
    /// Returns the delays before something is asked for again that the bridge has refused or withdrawn.
    pub(crate) fn refusal_backoff(&self) -> Backoff {
        let Backoff { min, max } = self.backoff;
        Backoff {
            min,
            max: max.max(LONGEST_AFTER_REFUSAL),
        }
    }
}
