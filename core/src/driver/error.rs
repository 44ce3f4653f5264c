//! What goes wrong between the handles, the driver and the transport.

use core::{error::Error, fmt};
use std::io;

use bytes::Bytes;
use rustls::CertificateError;

use crate::{
    command::Publication,
    driver::{tls::HostError, tokens::BoxError},
    error::{CommandError, Failure, PublishError},
    event::TransportEnd,
    options::OptionsError,
    time::Duration,
};

/// The driver was dropped before the gateway was closed: nothing moves any more. Keep the future of
/// [`Driver::run`](crate::driver::Driver::run) running until it ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DriverStopped;

impl fmt::Display for DriverStopped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the driver was dropped: its `run` must be kept running until it ends")
    }
}

impl Error for DriverStopped {}

/// A message that was not accepted. Nothing was sent; [`into_payload`](Self::into_payload) hands it back.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum AcceptError {
    /// The gateway refused it.
    Refused(PublishError),
    /// The driver was dropped.
    DriverStopped(Publication),
}

impl AcceptError {
    /// Whether the queue was full, which passes.
    pub fn is_blocked(&self) -> bool {
        matches!(self, Self::Refused(PublishError::Blocked(_)))
    }

    /// The payload that was handed in.
    pub fn into_payload(self) -> Bytes {
        match self {
            Self::Refused(error) => error.into_publication().payload,
            Self::DriverStopped(publication) => publication.payload,
        }
    }
}

impl fmt::Display for AcceptError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(error) => error.fmt(f),
            Self::DriverStopped(_) => DriverStopped.fmt(f),
        }
    }
}

impl Error for AcceptError {}

/// A message that was accepted and did not arrive, as far as is known.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum DeliveryError {
    /// The gateway says why.
    Failed(Failure),
    /// The driver was dropped first.
    DriverStopped,
}

impl fmt::Display for DeliveryError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Failed(failure) => failure.fmt(f),
            Self::DriverStopped => DriverStopped.fmt(f),
        }
    }
}

impl Error for DeliveryError {}

/// A command of a handle that did not succeed.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum OperationError {
    /// It was not accepted, and nothing was sent.
    Refused(CommandError),
    /// It was accepted, and the gateway says why it ended otherwise.
    Failed(Failure),
    /// The driver was dropped.
    DriverStopped,
}

impl From<DriverStopped> for OperationError {
    fn from(DriverStopped: DriverStopped) -> Self {
        Self::DriverStopped
    }
}

impl From<CommandError> for OperationError {
    fn from(error: CommandError) -> Self {
        Self::Refused(error)
    }
}

impl From<DeliveryError> for OperationError {
    fn from(error: DeliveryError) -> Self {
        match error {
            DeliveryError::Failed(failure) => Self::Failed(failure),
            DeliveryError::DriverStopped => Self::DriverStopped,
        }
    }
}

impl fmt::Display for OperationError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(error) => error.fmt(f),
            Self::Failed(failure) => failure.fmt(f),
            Self::DriverStopped => DriverStopped.fmt(f),
        }
    }
}

impl Error for OperationError {}

/// A token source that gave no token.
#[derive(Debug)]
#[non_exhaustive]
pub enum TokenFailure {
    /// It says why.
    Source(BoxError),
    /// It did not answer within this time.
    TimedOut(Duration),
}

impl fmt::Display for TokenFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Source(error) => write!(f, "the token source failed: {error}"),
            Self::TimedOut(limit) => write!(f, "the token source gave no answer within {limit:?}"),
        }
    }
}

impl Error for TokenFailure {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Source(error) => error.source(),
            Self::TimedOut(_) => None,
        }
    }
}

/// What ended a transport, or kept it from coming up, in the words of whoever saw it.
#[derive(Debug)]
#[non_exhaustive]
pub enum TransportError {
    /// No token could be had.
    Token(TokenFailure),
    /// The host could not be resolved or reached.
    Dial {
        /// The host.
        host: String,
        /// The port.
        port: u16,
        /// What the runtime says.
        source: io::Error,
    },
    /// The TLS handshake failed.
    Tls {
        /// The host.
        host: String,
        /// What rustls or the transport says.
        source: io::Error,
    },
    /// The peer closed its side.
    PeerClosed,
    /// Reading or writing failed.
    Broken(io::Error),
}

impl TransportError {
    /// The same in the gateway's terms.
    pub(crate) fn end(&self) -> TransportEnd {
        match self {
            Self::Token(_) => TransportEnd::TokenFailed,
            Self::Dial { .. } => TransportEnd::DialFailed,
            Self::Tls { .. } => TransportEnd::TlsFailed,
            Self::PeerClosed => TransportEnd::PeerClosed,
            Self::Broken(_) => TransportEnd::Broken,
        }
    }
}

impl fmt::Display for TransportError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Token(failure) => failure.fmt(f),
            Self::Dial { host, port, source } => {
                write!(f, "cannot connect to {host} port {port}: {source}")
            }
            Self::Tls { host, source } => {
                write!(f, "no TLS connection with {host}: {source}")?;
                f.write_str(advice(source))
            }
            Self::PeerClosed => f.write_str("the peer closed the connection"),
            Self::Broken(error) => write!(f, "the connection broke: {error}"),
        }
    }
}

impl Error for TransportError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Token(failure) => failure.source(),
            Self::Dial { source, .. } | Self::Tls { source, .. } | Self::Broken(source) => {
                Some(source)
            }
            Self::PeerClosed => None,
        }
    }
}

/// What to do about a failed handshake.
fn advice(error: &io::Error) -> &'static str {
    let tls = error
        .get_ref()
        .and_then(|inner| inner.downcast_ref::<rustls::Error>());
    match tls {
        Some(rustls::Error::InvalidCertificate(problem)) => match problem {
            CertificateError::UnknownIssuer | CertificateError::BadSignature => {
                " (its CA is not among the trusted ones: give the CA's certificate, or check the host)"
            }
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
                " (its certificate is for another host name: check the host)"
            }
            CertificateError::Expired
            | CertificateError::ExpiredContext { .. }
            | CertificateError::NotValidYet
            | CertificateError::NotValidYetContext { .. } => {
                " (check this machine's date, then the server's certificate)"
            }
            _ => "",
        },
        Some(rustls::Error::InvalidMessage(_)) => " (is this a port for TLS?)",
        _ => "",
    }
}

/// A setup that no gateway can start with: the caller's mistake.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SetupError {
    /// The host.
    Host(HostError),
    /// An option of the gateway.
    Options(OptionsError),
}

impl fmt::Display for SetupError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Host(error) => error.fmt(f),
            Self::Options(error) => error.fmt(f),
        }
    }
}

impl Error for SetupError {}
