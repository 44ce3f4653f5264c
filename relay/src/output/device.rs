//! A device as the operation `devices` shows it.

use std::time::Instant;

use iotcore_gateway_tokio::device::{DeviceInfo, DeviceState, LastFailure};
use serde::Serialize;

use super::seconds;
use crate::failure::Reason;

/// A device, or the gateway itself.
#[derive(Debug, Serialize)]
pub(crate) struct DeviceLine {
    device: String,
    state: &'static str,
    /// Its messages that have not ended.
    queued: usize,
    queued_bytes: usize,
    in_flight: usize,
    /// How many of them wait to be sent alone, because the bridge may close the connection at them.
    suspected: usize,
    /// Null if there was none.
    last_failure: Option<PastFailure>,
}

/// A failure, and how long ago it was reported.
#[derive(Debug, Serialize)]
struct PastFailure {
    #[serde(flatten)]
    reason: Reason,
    seconds_ago: f64,
}

impl DeviceLine {
    pub(crate) fn new(info: DeviceInfo, now: Instant) -> Self {
        let past = |LastFailure { failure, at, .. }| PastFailure {
            reason: failure.into(),
            seconds_ago: seconds(now.saturating_duration_since(at)),
        };
        Self {
            device: info.id.to_string(),
            state: device_state(info.state),
            queued: info.queued,
            queued_bytes: info.queued_bytes,
            in_flight: info.in_flight,
            suspected: info.suspected,
            last_failure: info.last_failure.map(past),
        }
    }
}

/// Returns the name of a device's state.
pub(crate) fn device_state(state: DeviceState) -> &'static str {
    match state {
        DeviceState::Waiting => "waiting",
        DeviceState::Attaching => "attaching",
        DeviceState::Attached => "attached",
        DeviceState::Retrying => "retrying",
        DeviceState::TokenNeeded => "token_needed",
        DeviceState::Refused => "refused",
        DeviceState::Dormant => "dormant",
        DeviceState::Detaching => "detaching",
        _ => "other",
    }
}
