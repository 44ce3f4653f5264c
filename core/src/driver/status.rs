//! How the connection and the devices stand: changes, as a stream.

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

/// A change of the connection or of a device, or something the bridge said.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Status {
    /// The bridge accepted a connection.
    Connected,
    /// A connection, or an attempt at one, ended.
    Disconnected {
        /// Why, how surely that is known, and when the next attempt begins.
        ended: Disconnected,
        /// What the transport or the token source said, if one of them is why.
        error: Option<Arc<TransportError>>,
    },
    /// The bridge attached this device; again on each connection.
    Attached {
        /// The device.
        device: DeviceId,
    },
    /// This device is no longer attached, though the connection lives on.
    Detached {
        /// The device.
        device: DeviceId,
        /// Why.
        cause: DetachCause,
    },
    /// The bridge reported an error, whether or not it concerns an operation of ours.
    ErrorReport(ErrorReport),
    /// A message on the errors topic was not an error report.
    UnreadableErrorReport {
        /// What the bridge sent.
        payload: Bytes,
        /// Why it cannot be read.
        error: ErrorReportError,
    },
    /// The bridge sent a message that nobody had asked for. It was acknowledged.
    Unrequested {
        /// Its topic.
        topic: String,
        /// Its payload.
        payload: Bytes,
    },
    /// A subscription that had been granted before was refused or not answered; it is tried again.
    SubscriptionLost {
        /// Whose.
        device: DeviceId,
        /// To what.
        subscription: Subscription,
        /// Why.
        failure: Failure,
    },
    /// There will be no error reports on this connection.
    ErrorsTopicUnavailable {
        /// Why.
        failure: Failure,
    },
    /// The token of this device has expired, and the token source has none for it:
    /// [`Device::authorize`](crate::driver::Device::authorize) answers.
    TokenNeeded {
        /// The device.
        device: DeviceId,
    },
    /// The token source failed to give a token for this device; it is asked again, with backoff.
    TokenFailed {
        /// The device.
        device: DeviceId,
        /// Why.
        error: Arc<TokenFailure>,
    },
    /// An operation failed whose future had been dropped.
    Failed {
        /// The operation.
        op: OpId,
        /// Why.
        failure: Failure,
    },
    /// Configs and commands were given up: no handle was left to take them, or more than `max_unacknowledged` of earlier
    /// connections waited.
    Dropped {
        /// For whom they were.
        device: DeviceId,
        /// How many.
        messages: usize,
    },
    /// So many of the oldest changes were given up, for this reader was too slow.
    Missed(u64),
}
