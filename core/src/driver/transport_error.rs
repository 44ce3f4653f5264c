//! What prevents or ends a connection: no token, no transport, no TLS.

use core::{error::Error, fmt};
use std::{io, net::SocketAddr};

use crate::{
    driver::{
        dial_failure::DialFailure,
        proxy::ProxyError,
        tls::advice::{
            Explained, ExplainedLater, is_about_client, is_alert, needs_other_ca, tls_error,
        },
        tokens::BoxError,
    },
    event::TransportEnd,
    time::Duration,
    token::ExpiredBy,
};

/// A token source that returned no token.
#[derive(Debug)]
#[non_exhaustive]
pub enum TokenFailure {
    /// The error that it returned.
    Source(BoxError),
    /// It did not answer within this time.
    TimedOut(Duration),
    /// It returned a token that had expired, by this clock.
    Expired(ExpiredBy),
}

impl fmt::Display for TokenFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Source(error) => write!(f, "the token source failed: {error}"),
            Self::TimedOut(limit) => write!(f, "the token source gave no answer within {limit:?}"),
            Self::Expired(clock) => write!(
                f,
                "the token source returned a token that had expired {clock}: let it mint one for each request, with the \
                 clocks of the request"
            ),
        }
    }
}

impl Error for TokenFailure {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Source(error) => error.source(),
            Self::TimedOut(_) | Self::Expired(_) => None,
        }
    }
}

/// The error that ended a transport or prevented it, with its source.
#[derive(Debug)]
#[non_exhaustive]
pub enum TransportError {
    /// There was no token.
    Token(TokenFailure),
    /// The host could not be resolved or reached.
    Dial {
        /// The host.
        host: String,
        /// The port.
        port: u16,
        /// What failed, and at which addresses.
        source: DialFailure,
    },
    /// The proxy could not be reached, or opened no tunnel to the host.
    Proxy {
        /// The proxy's URL, without user name and password.
        proxy: String,
        /// The host that the tunnel should lead to.
        host: String,
        /// Its port.
        port: u16,
        /// The reason.
        source: ProxyError,
    },
    /// The TLS handshake failed.
    Tls {
        /// The host.
        host: String,
        /// The proxy's URL, without user name and password, if the connection leads through one.
        proxy: Option<String>,
        /// The address that was dialled: the host's, or the proxy's.
        address: SocketAddr,
        /// The error of rustls or the transport.
        source: io::Error,
    },
    /// The peer closed its side, with or without close_notify, or reset the connection: that is how a close arrives if
    /// the peer had not yet read all that we sent.
    PeerClosed,
    /// TLS failed after the handshake. That is also how a server with TLS 1.3 refuses a client certificate, or reports that
    /// one is missing.
    TlsBroken(io::Error),
    /// Reading or writing failed.
    Broken(io::Error),
}

impl TransportError {
    /// Classifies an error of reading or writing. An end without close_notify is a normal end, because MQTT frames its
    /// own packets.
    pub(crate) fn of_stream(error: io::Error) -> Self {
        match TransportEnd::of_stream(&error) {
            _ if tls_error(&error).is_some() => Self::TlsBroken(error),
            TransportEnd::PeerClosed => Self::PeerClosed,
            _ => Self::Broken(error),
        }
    }

    /// Returns the reason in the gateway's terms.
    pub(crate) fn end(&self) -> TransportEnd {
        match self {
            Self::Token(_) => TransportEnd::TokenFailed,
            Self::Dial { .. } => TransportEnd::DialFailed,
            Self::Proxy { .. } => TransportEnd::ProxyFailed,
            Self::Tls { .. } => TransportEnd::TlsFailed,
            Self::PeerClosed => TransportEnd::PeerClosed,
            Self::TlsBroken(error) if is_alert(error) => TransportEnd::PeerClosed,
            Self::TlsBroken(_) | Self::Broken(_) => TransportEnd::Broken,
        }
    }

    /// Returns whether the server's certificate was refused because its CA is not among the trusted ones, so that other CA
    /// certificates ([`Tls`](crate::driver::Tls)) may help.
    pub fn is_ca_unknown(&self) -> bool {
        matches!(self, Self::Tls { source, .. } if needs_other_ca(source))
    }

    /// Returns whether the server refused the client certificate, or may have demanded one, so that
    /// [`Tls::client_certificate`](crate::driver::Tls::client_certificate) may help.
    pub fn may_need_client_certificate(&self) -> bool {
        matches!(self, Self::Tls { source, .. } | Self::TlsBroken(source) if is_about_client(source))
    }
}

impl fmt::Display for TransportError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Token(failure) => failure.fmt(f),
            Self::Dial { host, port, source } => {
                write!(f, "cannot connect to {host} port {port}: {source}")
            }
            Self::Proxy {
                proxy,
                host,
                port,
                source,
            } => write!(
                f,
                "cannot connect to {host} port {port} through the proxy {proxy}: {source}"
            ),
            Self::Tls {
                host,
                proxy,
                address,
                source,
            } => {
                write!(f, "no TLS connection with {host}")?;
                if let Some(proxy) = proxy {
                    write!(f, " through the proxy {proxy}")?;
                }
                write!(f, " at {address}: {}", Explained(source))
            }
            Self::TlsBroken(error) => {
                write!(f, "the TLS connection broke: {}", ExplainedLater(error))
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
            Self::Dial { source, .. } => Some(source),
            Self::Proxy { source, .. } => Some(source),
            Self::Tls { source, .. } | Self::TlsBroken(source) | Self::Broken(source) => {
                Some(source)
            }
            Self::PeerClosed => None,
        }
    }
}
