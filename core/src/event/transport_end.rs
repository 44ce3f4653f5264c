//! How transports end.

use core::fmt;
use std::io;

/// How a transport ended, or why there was none; an input of
/// [`Gateway::handle_disconnected`](crate::Gateway::handle_disconnected).
///
/// After each of them the gateway dials again when its backoff is over, and sends again what was not acknowledged. What
/// depends on the variant is who is blamed:
///
/// | variant | when | leads to |
/// |---|---|---|
/// | `PeerClosed` | after [`handle_connected`](crate::Gateway::handle_connected) | a strike for what was in flight: after three in a row it is a suspect, is sent alone, and given up if the bridge closes two more connections at it (["Suspects"](crate#suspects)) |
/// | `Broken` | after `handle_connected` | what was in flight is named as a possible cause, and no more: it is sent again for as long as that goes on |
/// | `HungUp` | after `wants_transport` has become false | nothing: the gateway has already said why |
/// | `DialFailed`, `ProxyFailed`, `TlsFailed`, `TokenFailed` | instead of `handle_connected`; `TlsFailed` also after it, during the handshake | a failed attempt, which blames no message ([`is_of_attempt`](crate::cause::DisconnectReason::is_of_attempt)) |
///
/// So a reset that is reported as `Broken` lets a message at which the bridge always hangs up come back for ever.
/// [`of_stream`](Self::of_stream) decides for errors of a socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TransportEnd {
    /// The host could not be resolved or reached.
    DialFailed,
    /// The proxy could not be reached, or opened no tunnel to the host.
    ProxyFailed,
    /// The TLS handshake failed.
    TlsFailed,
    /// No token could be obtained for the connection.
    TokenFailed,
    /// The peer closed its side: the end of its stream, with or without TLS' close_notify; a reset, which an operating
    /// system sends if the program that closes has left bytes unread; or, after the handshake, an alert of TLS.
    PeerClosed,
    /// The gateway's side closed it, because [`wants_transport`](crate::Gateway::wants_transport) was false.
    HungUp,
    /// Reading or writing failed for another reason, such as a network that is down, or bytes that TLS cannot decrypt.
    Broken,
}

impl TransportEnd {
    /// Returns which end of a connection an error of reading or writing its socket is: [`PeerClosed`](Self::PeerClosed) for
    /// a reset, an abort, an unexpected end of file and a broken pipe, which is how a write fails once the peer has closed;
    /// [`Broken`](Self::Broken) for any other.
    ///
    /// It does not look into an error of TLS: an alert from the peer after the handshake is a `PeerClosed`, too, and an
    /// error during the handshake is [`TlsFailed`](Self::TlsFailed), whatever its kind. `WouldBlock`, `TimedOut` of a read
    /// timeout, and `Interrupted` end no connection: do not report them.
    ///
    /// ```
    /// use std::io::{Error, ErrorKind};
    /// use iotcore_gateway::cause::TransportEnd;
    ///
    /// let reset = Error::from(ErrorKind::ConnectionReset);
    /// assert_eq!(TransportEnd::of_stream(&reset), TransportEnd::PeerClosed);
    /// ```
    #[must_use]
    pub fn of_stream(error: &io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::BrokenPipe
            | io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::UnexpectedEof => Self::PeerClosed,
            _ => Self::Broken,
        }
    }
}

impl fmt::Display for TransportEnd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::DialFailed => "the host could not be reached",
            Self::ProxyFailed => "the proxy opened no tunnel",
            Self::TlsFailed => "the TLS handshake failed",
            Self::TokenFailed => "no token could be obtained",
            Self::PeerClosed => "the peer closed the connection",
            Self::HungUp => "we closed the connection",
            Self::Broken => "the connection broke",
        })
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Error, ErrorKind};

    use super::TransportEnd;

    #[test]
    fn the_errors_of_a_peer_that_has_closed_are_a_close() {
        let closed = [
            ErrorKind::BrokenPipe,
            ErrorKind::ConnectionAborted,
            ErrorKind::ConnectionReset,
            ErrorKind::UnexpectedEof,
        ];
        for kind in closed {
            let end = TransportEnd::of_stream(&kind.into());
            assert_eq!(end, TransportEnd::PeerClosed, "{kind}");
        }
    }

    #[test]
    fn any_other_error_of_a_stream_blames_nobody() {
        let other = [
            ErrorKind::HostUnreachable,
            ErrorKind::InvalidData,
            ErrorKind::NetworkDown,
            ErrorKind::Other,
            ErrorKind::TimedOut,
            ErrorKind::WriteZero,
        ];
        for kind in other {
            let end = TransportEnd::of_stream(&Error::new(kind, "text"));
            assert_eq!(end, TransportEnd::Broken, "{kind}");
        }
    }
}
