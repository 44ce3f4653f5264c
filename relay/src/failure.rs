//! Converts the reasons why operations and connections end to error codes for programs and text for people.

use std::{borrow::Cow, error::Error, fmt::Display, io::ErrorKind};

use iotcore_gateway_tokio::{
    AcceptError, AttachError, Certainty, CommandError, DeliveryError, DetachCause,
    DisconnectReason, Disconnected, DriverStopped, ErrorType, Failure, IdError, OperationError,
    PublishError, PublishErrorKind, Retry, SubfolderError, TransportError,
};
use serde::Serialize;

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

    /// Constructs the failure of an operation while the gateway is closing.
    pub(crate) fn closed() -> Self {
        CommandError::Closed.into()
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
        let told = error.to_string();
        match error {
            AttachError::Attach(error, _) => error.clone().into(),
            AttachError::Subscribe(error, _) => {
                let reason = Self::from(error.clone());
                let detail = format!("{told}: {}", reason.detail);
                Self { detail, ..reason }
            }
            _ => Self::refused_now("no_token", told),
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

/// Returns the code, in snake case, of what ended a connection or a connection attempt.
pub(crate) fn disconnect_code(
    ended: &Disconnected,
    error: Option<&TransportError>,
) -> &'static str {
    match error {
        Some(TransportError::Token(_)) => return "token_failed",
        Some(TransportError::Dial { .. }) => return "dial_failed",
        Some(TransportError::Tls { .. }) => return "tls_failed",
        Some(TransportError::PeerClosed) => return "peer_closed",
        Some(TransportError::Broken(_)) => return "broken",
        _ => {}
    }
    match &ended.reason {
        DisconnectReason::Transport(_) => "broken",
        DisconnectReason::Refused(_) => "refused",
        DisconnectReason::TokenExpired => "token_expired",
        DisconnectReason::ConnAckTimedOut(_) => "connack_timed_out",
        DisconnectReason::PingRespTimedOut(_) => "pingresp_timed_out",
        DisconnectReason::PacketTimedOut(_) => "packet_timed_out",
        DisconnectReason::WriteStalled(_) => "write_stalled",
        DisconnectReason::Violation(_) => "protocol_violation",
        DisconnectReason::PacketIdsExhausted => "packet_ids_exhausted",
        DisconnectReason::TokenRefresh => "token_refresh",
        DisconnectReason::Closed => "closed",
        _ => "other",
    }
}

/// What the relay knows about a connection that has ended.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Circumstances {
    /// Whether the bridge had accepted it.
    pub(crate) was_connected: bool,
    /// Whether an attach was still pending.
    pub(crate) was_attaching: bool,
}

/// Describes what ended a connection in a sentence, with advice.
pub(crate) fn disconnect_detail(
    ended: &Disconnected,
    error: Option<&TransportError>,
    circumstances: Circumstances,
) -> String {
    let mut detail = match error {
        Some(error) => chain(error),
        None => ended.reason.to_string(),
    };
    detail.push_str(advice(ended, error, circumstances));
    if ended.takeover_suspected {
        detail.push_str(
            "; the bridge closed several connections in a row soon after accepting them: another client may be using the same gateway id",
        );
    }
    detail
}

fn advice(
    ended: &Disconnected,
    error: Option<&TransportError>,
    circumstances: Circumstances,
) -> &'static str {
    const PORT: &str =
        "; check --host and --port, and that both sides use TLS or, with --plain, neither does";
    let Circumstances {
        was_connected,
        was_attaching,
    } = circumstances;
    match (&ended.reason, error) {
        (_, Some(TransportError::Dial { .. })) => {
            "; check --host and --port, the network, and that something listens there"
        }
        (_, Some(TransportError::Tls { source, .. })) => match source.kind() {
            ErrorKind::InvalidData => "; the trusted CA certificates are given with --ca",
            _ => PORT,
        },
        (_, Some(TransportError::PeerClosed | TransportError::Broken(_))) if !was_connected => PORT,
        (DisconnectReason::Violation(_) | DisconnectReason::ConnAckTimedOut(_), _)
            if !was_connected =>
        {
            PORT
        }
        (_, Some(TransportError::PeerClosed | TransportError::Broken(_))) if was_attaching => {
            "; a device was being attached: check that --gateway is registered as a gateway, not as a device"
        }
        _ => "",
    }
}

/// Formats an error and its causes, except for causes that its own text already includes.
fn chain(error: &dyn Error) -> String {
    let mut described = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let text = error.to_string();
        if !described.contains(&text) {
            described = format!("{described}: {text}");
        }
        cause = error.source();
    }
    described
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

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use iotcore_gateway_tokio::{
        BoxError, ClientId, Security, Setup, Status, Token, TokenRequest, TokenSource, connect,
    };

    use super::*;

    /// A source that hands out what it minted long ago.
    struct Old;

    impl TokenSource for Old {
        async fn gateway(&self, request: TokenRequest<'_>) -> Result<Token, BoxError> {
            Ok(Token::new("old", request.now)?)
        }
    }

    #[tokio::test]
    async fn an_expired_token_of_the_gateway_itself_is_a_failure_of_its_source() {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let client_id = ClientId::new(
            "plant".parse().unwrap(),
            "us-central1".parse().unwrap(),
            "sensors".parse().unwrap(),
            "gateway-1".parse().unwrap(),
        );
        let setup = Setup::new("127.0.0.1", Security::PlainOnLoopback, client_id, Old)
            .port(listener.local_addr().unwrap().port());
        let (client, driver) = connect(setup).unwrap();
        let mut status = client.status();
        tokio::spawn(driver.run());
        let Some(Status::Disconnected { ended, error }) = status.next().await else {
            panic!("nothing but the end of the attempt is told");
        };
        let error = error.as_deref();
        assert_eq!(disconnect_code(&ended, error), "token_failed");
        let circumstances = Circumstances {
            was_connected: false,
            was_attaching: false,
        };
        let detail = disconnect_detail(&ended, error, circumstances);
        assert!(
            detail.contains("the token source returned a token that had expired"),
            "{detail}"
        );
    }
}
