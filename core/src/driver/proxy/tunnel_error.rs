//! Why a proxy opened no tunnel.

use core::{error::Error, fmt, time::Duration};
use std::io;

use crate::driver::dial_failure::DialFailure;

/// The reason why a proxy opened no tunnel to the bridge.
#[derive(Debug)]
#[non_exhaustive]
pub enum ProxyError {
    /// The proxy itself could not be resolved or reached.
    Dial(DialFailure),
    /// The proxy did not answer within this time.
    TimedOut(Duration),
    /// The proxy closed the connection before its answer was complete.
    Closed,
    /// Reading or writing failed.
    Broken(io::Error),
    /// The answer was not HTTP.
    NotHttp,
    /// The answer was not SOCKS5.
    NotSocks5,
    /// The header of the answer is longer than this limit, in bytes.
    HeaderTooLong(usize),
    /// The proxy requires a user name and a password, and none were given.
    CredentialsRequired,
    /// The proxy refused the user name or the password.
    CredentialsRefused,
    /// The proxy requires an authentication other than by user name and password; an HTTP proxy names it.
    AuthenticationUnsupported(Option<String>),
    /// An HTTP proxy answered with another status than success.
    Status {
        /// The code.
        code: u16,
        /// The reason in its answer, at most 64 printable characters of it.
        reason: String,
    },
    /// A SOCKS5 proxy answered with this code, which is not 0.
    Reply(u8),
    /// The bridge's name has this many bytes: the protocol carries at most 255.
    NameTooLong(usize),
}

impl fmt::Display for ProxyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Dial(error) => write!(f, "the proxy cannot be reached: {error}"),
            Self::TimedOut(limit) => write!(f, "no complete answer within {limit:?}: check that it speaks this protocol at this port"),
            Self::Closed => f.write_str(
                "it closed the connection without a complete answer: check that it speaks this protocol at this port",
            ),
            Self::Broken(error) => write!(f, "the connection broke: {error}"),
            Self::NotHttp => f.write_str(
                "its answer is not HTTP: check its port, and whether it is a SOCKS5 proxy or one that is reached over TLS, \
                 which is not supported",
            ),
            Self::NotSocks5 => f.write_str(
                "its answer is not SOCKS5: check its port, and whether it is an HTTP proxy",
            ),
            Self::HeaderTooLong(limit) => {
                write!(f, "the header of its answer is longer than {limit} bytes")
            }
            Self::CredentialsRequired => f.write_str(
                "it requires authentication: give a user name and a password",
            ),
            Self::CredentialsRefused => f.write_str(
                "it refused the user name or the password: check both",
            ),
            Self::AuthenticationUnsupported(Some(named)) => write!(
                f,
                "it requires an authentication that is not supported ({named}): let it accept Basic"
            ),
            Self::AuthenticationUnsupported(None) => f.write_str(
                "it requires an authentication that is not supported: let it accept a user name and a password",
            ),
            Self::Status { code, reason } => {
                let separator = if reason.is_empty() { "" } else { " " };
                write!(f, "it answered {code}{separator}{reason}: {}", status(*code))
            }
            Self::Reply(code) => f.write_str(reply(*code)),
            Self::NameTooLong(bytes) => write!(
                f,
                "the host's name has {bytes} bytes, and SOCKS5 carries at most 255"
            ),
        }
    }
}

impl Error for ProxyError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Dial(error) => Some(error),
            Self::Broken(error) => Some(error),
            _ => None,
        }
    }
}

/// What a status of HTTP, not 2xx, 401 or 407, means for a CONNECT, and what to do.
fn status(code: u16) -> &'static str {
    match code {
        300..=399 | 511 => {
            "it asks for a login, as the page of a network does: log in there, or check its host and port"
        }
        403 => {
            "it does not allow this host or port; many proxies allow port 443 only, on which the bridge listens too"
        }
        400 | 404 | 405 | 501 => {
            "it opens no tunnels: check that it is an HTTP proxy with CONNECT enabled, at this port"
        }
        429 => "it has had too many requests: raise its limit",
        500 | 502 | 503 => {
            "it could not reach the host: check host and port, and the proxy's own network and names"
        }
        504 => {
            "it had no answer from the host in time: check host and port, and the proxy's own network"
        }
        _ => "the log of the proxy may say why",
    }
}

/// What a reply code of SOCKS5 other than 0 means, and what to do.
fn reply(code: u8) -> &'static str {
    match code {
        1 => {
            "it failed: its log may say why; some proxies answer so when a name cannot be resolved"
        }
        2 => "its rules do not allow this host or port; the bridge listens on port 443, too",
        3 => "it has no route to the host's network: check the proxy's own network",
        4 => "it could not reach the host: check the host, and whether the proxy resolves names",
        5 => "the host refused its connection: check host and port",
        6 => "the host is too many hops away from it: check the proxy's own network",
        7 => "it opens no tunnels: let it allow the command CONNECT",
        8 => {
            "it does not support this type of address: give the host as a name, or as an IPv4 address"
        }
        _ => "it answered with a code that SOCKS5 does not define: its log may say why",
    }
}
