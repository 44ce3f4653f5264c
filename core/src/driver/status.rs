//! The status of the connection and the devices.

use std::sync::Arc;

use bytes::Bytes;

use crate::{
    command::{OpId, Subscription},
    driver::error::{TokenFailure, TransportError},
    error::Failure,
    error_report::{ErrorReport, ErrorReportError},
    event::{DetachCause, Disconnected},
    id::DeviceId,
};

/// A change of the connection or of a device, or a message of the bridge about them.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Status {
    /// The bridge accepted a connection.
    Connected,
    /// A connection, or an attempt at one, ended.
    Disconnected {
        /// The reason, its certainty, and when the next attempt begins.
        ended: Disconnected,
        /// The error of the transport or the token source, if it is the reason.
        error: Option<Arc<TransportError>>,
    },
    /// The bridge attached this device, which happens on each connection.
    Attached {
        /// The device.
        device: DeviceId,
    },
    /// This device is no longer attached, but the connection remains.
    Detached {
        /// The device.
        device: DeviceId,
        /// The reason.
        cause: DetachCause,
    },
    /// The bridge reported an error, which may or may not concern an operation of this gateway.
    ErrorReport(ErrorReport),
    /// A message on the errors topic was not an error report.
    UnreadableErrorReport {
        /// The payload that the bridge sent.
        payload: Bytes,
        /// The reason why it cannot be read.
        error: ErrorReportError,
    },
    /// The bridge sent a message that the gateway had not requested. It was acknowledged.
    Unrequested {
        /// Its topic.
        topic: String,
        /// Its payload.
        payload: Bytes,
    },
    /// A subscription that had been granted before was refused or not answered. It is tried again.
    SubscriptionLost {
        /// The device.
        device: DeviceId,
        /// The subscription.
        subscription: Subscription,
        /// The reason.
        failure: Failure,
    },
    /// The bridge sends no error reports on this connection.
    ErrorsTopicUnavailable {
        /// The reason.
        failure: Failure,
    },
    /// The token of this device has expired, and the token source has none for it. Set one with
    /// [`Device::authorize`](crate::driver::Device::authorize).
    TokenNeeded {
        /// The device.
        device: DeviceId,
    },
    /// The token source failed to return a token for this device. It is asked again, with backoff.
    TokenFailed {
        /// The device.
        device: DeviceId,
        /// The reason.
        error: Arc<TokenFailure>,
    },
    /// An operation failed after its future had been dropped.
    Failed {
        /// The operation.
        op: OpId,
        /// The reason.
        failure: Failure,
    },
    /// Configs and commands were dropped: no handle was left to take them, or more than `max_unacknowledged` were
    /// waiting from earlier connections.
    Dropped {
        /// The device.
        device: DeviceId,
        /// The number of messages.
        messages: usize,
    },
    /// This number of the oldest changes was dropped, because this reader was too slow.
    Missed(u64),
}
