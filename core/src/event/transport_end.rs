//! How transports end.

use core::fmt;

/// How a transport ended; an input of [`Gateway::handle_disconnected`](crate::Gateway::handle_disconnected).
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
    /// The peer closed its side, by a reset too: an operating system sends one if the program that closes has left bytes
    /// unread. An alert of TLS that ends the connection is a close, too.
    PeerClosed,
    /// The gateway's side closed it, because [`wants_transport`](crate::Gateway::wants_transport) was false.
    HungUp,
    /// Reading or writing failed.
    Broken,
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
