//! A device as the operation `devices` shows it.

use std::time::Instant;

use iotcore_gateway_tokio::device::{DeviceInfo, DeviceState, LastFailure};
use serde::Serialize;

use super::seconds;
use crate::{codes::StateCode, failure::Reason};

/// A device, or the gateway itself.
#[derive(Debug, Serialize)]
pub(crate) struct DeviceLine {
    device: String,
    state: StateCode,
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
    /// Returns one with every member.
    #[cfg(test)]
    pub(super) fn sample(reason: Reason) -> Self {
        Self {
            device: "boiler-7".to_owned(),
            state: StateCode::Refused,
            queued: 0,
            queued_bytes: 0,
            in_flight: 0,
            suspected: 0,
            last_failure: Some(PastFailure {
                reason,
                seconds_ago: 0.5,
            }),
        }
    }

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

/// Returns the code of a device's state.
pub(crate) fn device_state(state: DeviceState) -> StateCode {
    match state {
        DeviceState::Waiting => StateCode::Waiting,
        DeviceState::Attaching => StateCode::Attaching,
        DeviceState::Attached => StateCode::Attached,
        DeviceState::Retrying => StateCode::Retrying,
        DeviceState::TokenNeeded => StateCode::TokenNeeded,
        DeviceState::Refused => StateCode::Refused,
        DeviceState::Dormant => StateCode::Dormant,
        DeviceState::Detaching => StateCode::Detaching,
        DeviceState::Unclaimed => StateCode::Unclaimed,
        _ => StateCode::Other,
    }
}
