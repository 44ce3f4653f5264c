//! Converts the reasons why operations and connections end to error codes for programs and text for people.

mod disconnected;

use std::{borrow::Cow, fmt::Display};

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
use crate::token::UnreadableToken;

/// The reason why an operation failed.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Reason {
    /// A short error code in snake case.
    error: Cow<'static, str>,
    /// A sentence for people.
    detail: String,
    certainty: &'static str,
    retry: &'static str,
}

const QUEUE_FULL: &str = "queue_full";

impl Reason {
    /// Constructs a permanent failure: refused before anything was sent, and a retry would be refused again.
    fn refused(error: &'static str, detail: impl ToString) -> Self {
        Self {
            error: error.into(),
            detail: detail.to_string(),
            certainty: certainty(Certainty::Confirmed),
            retry: retry(Retry::Never),
        }
    }

    /// Constructs a temporary failure: refused before anything was sent, and a retry may succeed.
    fn refused_now(error: &'static str, detail: impl ToString) -> Self {
        Self {
            retry: retry(Retry::Backoff),
            ..Self::refused(error, detail)
        }
    }

    /// Constructs the failure of an operation for a device that the input has not attached.
    pub(crate) fn unknown_device(device: &str) -> Self {
        let detail = format!(
            "`{device}` was never attached by this program, or has been detached: attach it first, with the operation `attach`"
        );
        Self::refused("unknown_device", detail)
    }

    /// Constructs the failure of a message whose `expires_after` is beyond its limits, as `detail` says.
    pub(crate) fn illegal_expiry(detail: impl ToString) -> Self {
        Self::refused("illegal_expires_after", detail)
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
        Self::refused_now(QUEUE_FULL, detail)
    }

    /// Adds advice to the detail.
    pub(crate) fn advise(mut self, advice: impl Display) -> Self {
        self.detail = format!("{}; {advice}", self.detail);
        self
    }

    /// Returns whether the gateway's queues are full, which is temporary.
    pub(crate) fn is_queue_full(&self) -> bool {
        self.error == QUEUE_FULL
    }

    /// Returns whether the input is wrong, and may contain a misplaced token: it is not repeated.
    pub(crate) fn is_mistake(&self) -> bool {
        let error = self.error.as_ref();
        error.starts_with("illegal_") || matches!(error, "unknown_device" | "payload_too_large")
    }

    /// Returns whether the message was still unsent when the gateway was closed or gave up.
    pub(crate) fn is_unsent(&self) -> bool {
        matches!(self.error.as_ref(), "closed" | "gave_up" | "stopped")
    }
}

impl From<Failure> for Reason {
    fn from(failure: Failure) -> Self {
        let error = match &failure {
            Failure::Reported(report) => code(report.error_type()).into(),
            Failure::TimedOut(_) => "timed_out".into(),
            Failure::SubscriptionRefused(_) => "subscription_refused".into(),
            Failure::ErrorsTopicRefused => "errors_topic_refused".into(),
            Failure::Superseded => "superseded".into(),
            Failure::Dropped => "dropped".into(),
            Failure::Expired => "expired".into(),
            Failure::Cancelled => "cancelled".into(),
            Failure::Detached => "detached".into(),
            Failure::DeviceRefused => "device_refused".into(),
            Failure::NotAttached => "not_attached".into(),
            Failure::Suspected { .. } => "suspected".into(),
            Failure::Closed => "closed".into(),
            Failure::GaveUp => "gave_up".into(),
            _ => "failed".into(),
        };
        Self {
            error,
            detail: failure.to_string(),
            certainty: certainty(failure.certainty()),
            retry: retry(failure.retry()),
        }
    }
}

impl From<PublishError> for Reason {
    fn from(error: PublishError) -> Self {
        match error.kind {
            PublishErrorKind::Blocked => Self::refused_now(QUEUE_FULL, error),
            PublishErrorKind::TooLarge { .. } => Self::refused("payload_too_large", error),
            PublishErrorKind::UnknownDevice => CommandError::UnknownDevice.into(),
            PublishErrorKind::Detaching => CommandError::Detaching.into(),
            PublishErrorKind::DeviceRefused => Failure::DeviceRefused.into(),
            PublishErrorKind::Closed => CommandError::Closed.into(),
            _ => Self::refused("refused", error),
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
            CommandError::UnknownDevice => Self::refused("unknown_device", error),
            CommandError::OwnDevice(_) => Self::refused("own_device", error),
            CommandError::Detaching => Self::refused("detaching", error),
            CommandError::DeviceRefused => Failure::DeviceRefused.into(),
            CommandError::TooManyDevices(_) => Self::refused("too_many_devices", error),
            CommandError::TokenExpired => Self::refused("token_expired", error),
            CommandError::Closed => Self::refused_now("closed", error),
            _ => Self::refused("refused", error),
        }
    }
}

impl From<DriverStopped> for Reason {
    fn from(error: DriverStopped) -> Self {
        Self::refused_now("stopped", error)
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
            _ => Self::refused_now("no_token", error),
        }
    }
}

impl From<IdError> for Reason {
    fn from(error: IdError) -> Self {
        Self::refused("illegal_id", error)
    }
}

impl From<SubfolderError> for Reason {
    fn from(error: SubfolderError) -> Self {
        Self::refused("illegal_subfolder", error)
    }
}

impl From<TagError> for Reason {
    fn from(error: TagError) -> Self {
        Self::refused("illegal_tag", error)
    }
}

impl From<UnreadableToken> for Reason {
    fn from(error: UnreadableToken) -> Self {
        Self::refused("illegal_token", error)
    }
}

/// Describes why a device is no longer attached.
pub(crate) fn detach_cause(cause: &DetachCause) -> String {
    match cause {
        DetachCause::Reported(report) => code(report.error_type()),
        DetachCause::Suspected { .. } => "suspected".to_owned(),
        _ => "requested".to_owned(),
    }
}

/// Converts the bridge's code to snake case; an unknown code may contain anything.
fn code(error: &ErrorType) -> String {
    const MAX_CHARS: usize = 64;
    let plain = |c: char| match c.to_ascii_lowercase() {
        c if c.is_ascii_alphanumeric() => c,
        _ => '_',
    };
    error.as_str().chars().take(MAX_CHARS).map(plain).collect()
}

pub(crate) fn certainty(certainty: Certainty) -> &'static str {
    match certainty {
        Certainty::Suspected => "suspected",
        Certainty::Inferred => "inferred",
        Certainty::Confirmed => "confirmed",
    }
}

fn retry(retry: Retry) -> &'static str {
    match retry {
        Retry::Never => "never",
        Retry::Backoff => "backoff",
    }
}
