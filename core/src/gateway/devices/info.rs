//! What a user can see of a device.

use super::DeviceState;
use crate::{command::DeviceKey, error::Failure, id::DeviceId, time::Instant};

/// A look at one device, for monitoring; see [`Gateway::devices`](crate::Gateway::devices).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct DeviceInfo {
    /// Its key.
    pub key: DeviceKey,
    /// Its id.
    pub id: DeviceId,
    /// The state of its attachment.
    pub state: DeviceState,
    /// Its publications that were accepted and have not ended.
    pub queued: usize,
    /// Bytes of their payloads.
    pub queued_bytes: usize,
    /// How many of them are in flight at QoS 1.
    pub in_flight: usize,
    /// How many of them wait for the trial of a suspect.
    pub suspected: usize,
    /// Its last failure.
    pub last_failure: Option<LastFailure>,
}

/// The last failure of a device: of an operation, of a subscription or of its attachment. What the user has cancelled,
/// replaced or detached does not count, nor what failed because the device is refused or not attached: the cause of that
/// does.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct LastFailure {
    /// What is known of why, and how surely.
    pub failure: Failure,
    /// When it was reported.
    pub at: Instant,
}
