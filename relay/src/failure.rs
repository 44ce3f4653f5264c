//! Converts the reasons why operations and connections end to error codes for programs and text for people.

mod disconnected;

use std::fmt::Display;

use iotcore_gateway_tokio::{
    DeviceId, Failure,
    cause::{Certainty, DetachCause},
    command_error::{CommandError, PublishError, PublishErrorKind},
    error::{AcceptError, AttachError, DeliveryError, DriverStopped, OperationError},
    error_report::{ErrorType, Retry},
    id::IdError,
    message::{SubfolderError, TagError},
};
use serde::Serialize;

pub(crate) use self::disconnected::{Circumstances, disconnect_code, disconnect_detail};
use crate::{
    codes::{CertaintyCode, ErrorCode, RetryCode},
    token::UnreadableToken,
};

/// The reason why an operation failed.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Reason {
    error: Cause,
    /// A sentence for people.
    detail: String,
    certainty: CertaintyCode,
    retry: RetryCode,
}

/// A short error code in snake case.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(untagged)]
enum Cause {
    Known(ErrorCode),
    /// The bridge's own code, in lower case.
    Reported(String),
}

impl Reason {
    /// Constructs a permanent failure: refused before anything was sent, and a retry would be refused again.
    fn refused(error: ErrorCode, detail: impl ToString) -> Self {
        Self {
            error: Cause::Known(error),
            detail: detail.to_string(),
            certainty: CertaintyCode::Confirmed,
            retry: RetryCode::Never,
        }
    }

    /// Constructs a temporary failure: refused before anything was sent, and a retry may succeed.
    fn refused_now(error: ErrorCode, detail: impl ToString) -> Self {
        Self {
            retry: RetryCode::Backoff,
            ..Self::refused(error, detail)
        }
    }

    /// Constructs the failure of an operation for a device that the input has not attached.
    pub(crate) fn unknown_device(device: &str) -> Self {
        let detail = format!(
            "`{device}` was never attached by this program, or has been detached: attach it first, with the operation `attach`"
        );
        Self::refused(ErrorCode::UnknownDevice, detail)
    }

    /// Constructs the failure of a message whose `expires_after` is beyond its limits, as `detail` says.
    pub(crate) fn illegal_expiry(detail: impl ToString) -> Self {
        Self::refused(ErrorCode::IllegalExpiresAfter, detail)
    }

    /// Constructs the failure of an operation while the gateway is closing.
    pub(crate) fn closed() -> Self {
        CommandError::Closed.into()
    }

    /// Constructs the failure of a message for which there is no room, and for which nothing is waited for because its device
    /// cannot send, as its state says.
    pub(crate) fn unable_to_send(device: &DeviceId, state: &str) -> Self {
        let detail = format!(
            "`{device}` cannot send now, because it is `{state}`, and there is no room for more of its messages: see what it \
             lacks with the operation `devices`, and send this one again then"
        );
        Self::refused_now(ErrorCode::QueueFull, detail)
    }

    /// Adds advice to the detail.
    pub(crate) fn advise(mut self, advice: impl Display) -> Self {
        self.detail = format!("{}; {advice}", self.detail);
        self
    }

    /// Adds that the message is in the store.
    pub(crate) fn kept(self) -> Self {
        Self {
            retry: RetryCode::Kept,
            ..self.advise(
                "it is in the store, and the next relay on it sends it: do not send it again",
            )
        }
    }

    /// Returns whether the gateway's queues are full, which is temporary.
    pub(crate) fn is_queue_full(&self) -> bool {
        self.error == Cause::Known(ErrorCode::QueueFull)
    }

    /// Returns whether the input is wrong, and may contain a misplaced token: it is not repeated.
    pub(crate) fn is_mistake(&self) -> bool {
        matches!(
            self.error,
            Cause::Known(
                ErrorCode::IllegalId
                    | ErrorCode::IllegalSubfolder
                    | ErrorCode::IllegalTag
                    | ErrorCode::IllegalToken
                    | ErrorCode::IllegalExpiresAfter
                    | ErrorCode::UnknownDevice
                    | ErrorCode::PayloadTooLarge
            )
        )
    }

    /// Returns whether the message was still unsent when the gateway was closed or gave up.
    pub(crate) fn is_unsent(&self) -> bool {
        matches!(
            self.error,
            Cause::Known(ErrorCode::Closed | ErrorCode::GaveUp | ErrorCode::Stopped)
        )
    }
}

impl From<Failure> for Reason {
    fn from(failure: Failure) -> Self {
        let error = match &failure {
            Failure::Reported(report) => Cause::Reported(reported_code(report.error_type())),
            other => Cause::Known(failure_code(other)),
        };
        Self {
            error,
            detail: failure.to_string(),
            certainty: certainty(failure.certainty()),
            retry: retry(failure.retry()),
        }
    }
}

/// Returns the code of a failure that the bridge did not report.
fn failure_code(failure: &Failure) -> ErrorCode {
    match failure {
        Failure::TimedOut(_) => ErrorCode::TimedOut,
        Failure::SubscriptionRefused(_) => ErrorCode::SubscriptionRefused,
        Failure::ErrorsTopicRefused => ErrorCode::ErrorsTopicRefused,
        Failure::Superseded => ErrorCode::Superseded,
        Failure::Dropped => ErrorCode::Dropped,
        Failure::Expired => ErrorCode::Expired,
        Failure::Cancelled => ErrorCode::Cancelled,
        Failure::Detached => ErrorCode::Detached,
        Failure::DeviceRefused => ErrorCode::DeviceRefused,
        Failure::NotAttached => ErrorCode::NotAttached,
        Failure::Suspected { .. } => ErrorCode::Suspected,
        Failure::Closed => ErrorCode::Closed,
        Failure::GaveUp => ErrorCode::GaveUp,
        _ => ErrorCode::Failed,
    }
}

impl From<PublishError> for Reason {
    fn from(error: PublishError) -> Self {
        match error.kind {
            PublishErrorKind::Blocked => Self::refused_now(ErrorCode::QueueFull, error),
            PublishErrorKind::TooLarge { .. } => Self::refused(ErrorCode::PayloadTooLarge, error),
            PublishErrorKind::UnknownDevice => CommandError::UnknownDevice.into(),
            PublishErrorKind::Detaching => CommandError::Detaching.into(),
            PublishErrorKind::DeviceRefused => Failure::DeviceRefused.into(),
            PublishErrorKind::Closed => CommandError::Closed.into(),
            PublishErrorKind::StoreFailed => Self::refused_now(ErrorCode::StoreFailed, error),
            _ => Self::refused(ErrorCode::Refused, error),
        }
    }
}

impl From<AcceptError> for Reason {
    fn from(error: AcceptError) -> Self {
        match error {
            AcceptError::Refused(error) => error.into(),
            _ => DriverStopped.into(),
        }
    }
}

impl From<CommandError> for Reason {
    fn from(error: CommandError) -> Self {
        match &error {
            CommandError::UnknownDevice => Self::refused(ErrorCode::UnknownDevice, error),
            CommandError::OwnDevice(_) => Self::refused(ErrorCode::OwnDevice, error),
            CommandError::Detaching => Self::refused(ErrorCode::Detaching, error),
            CommandError::DeviceRefused => Failure::DeviceRefused.into(),
            CommandError::TooManyDevices(_) => Self::refused(ErrorCode::TooManyDevices, error),
            CommandError::TokenExpired => Self::refused(ErrorCode::TokenExpired, error),
            CommandError::Closed => Self::refused_now(ErrorCode::Closed, error),
            _ => Self::refused(ErrorCode::Refused, error),
        }
    }
}

impl From<DriverStopped> for Reason {
    fn from(error: DriverStopped) -> Self {
        Self::refused_now(ErrorCode::Stopped, error)
    }
}

impl From<DeliveryError> for Reason {
    fn from(error: DeliveryError) -> Self {
        OperationError::from(error).into()
    }
}

impl From<OperationError> for Reason {
    fn from(error: OperationError) -> Self {
        match error {
            OperationError::Refused(error) => error.into(),
            OperationError::Failed(failure) => failure.into(),
            _ => DriverStopped.into(),
        }
    }
}

impl From<&AttachError> for Reason {
    fn from(error: &AttachError) -> Self {
        match error {
            AttachError::Attach(error, _) | AttachError::Subscribe(error, _) => {
                error.clone().into()
            }
            // Of an attach that keeps waiting: the gateway has given up.
            AttachError::NotConnected(..) => Self {
                detail: error.to_string(),
                ..Failure::GaveUp.into()
            },
            _ => Self::refused_now(ErrorCode::NoToken, disconnected::chain(error)),
        }
    }
}

impl From<IdError> for Reason {
    fn from(error: IdError) -> Self {
        Self::refused(ErrorCode::IllegalId, error)
    }
}

impl From<SubfolderError> for Reason {
    fn from(error: SubfolderError) -> Self {
        Self::refused(ErrorCode::IllegalSubfolder, error)
    }
}

impl From<TagError> for Reason {
    fn from(error: TagError) -> Self {
        Self::refused(ErrorCode::IllegalTag, error)
    }
}

impl From<UnreadableToken> for Reason {
    fn from(error: UnreadableToken) -> Self {
        Self::refused(ErrorCode::IllegalToken, error)
    }
}

/// Describes why a device is no longer attached.
pub(crate) fn detach_cause(cause: &DetachCause) -> String {
    match cause {
        DetachCause::Reported(report) => reported_code(report.error_type()),
        DetachCause::Suspected { .. } => "suspected".to_owned(),
        _ => "requested".to_owned(),
    }
}

/// Converts the bridge's code to snake case; an unknown code may contain anything.
pub(crate) fn reported_code(error: &ErrorType) -> String {
    const MAX_CHARS: usize = 64;
    let plain = |c: char| match c.to_ascii_lowercase() {
        c if c.is_ascii_alphanumeric() => c,
        _ => '_',
    };
    error.as_str().chars().take(MAX_CHARS).map(plain).collect()
}

pub(crate) fn certainty(certainty: Certainty) -> CertaintyCode {
    match certainty {
        Certainty::Suspected => CertaintyCode::Suspected,
        Certainty::Inferred => CertaintyCode::Inferred,
        Certainty::Confirmed => CertaintyCode::Confirmed,
    }
}

fn retry(retry: Retry) -> RetryCode {
    match retry {
        Retry::Never => RetryCode::Never,
        Retry::Backoff => RetryCode::Backoff,
    }
}
