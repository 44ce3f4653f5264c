//! Why a proxy cannot be used as it was given.

use core::{error::Error, fmt};

/// A proxy that is given in a way in which it cannot be used: the mistake of whoever wrote the URL or the variable. It
/// repeats neither, because both may contain a password.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum InvalidProxy {
    /// The scheme of the URL is another than `http` and `socks5`.
    Scheme,
    /// The host is neither a DNS name nor an IP address.
    Host,
    /// The port is not between 1 and 65535.
    Port,
    /// The URL goes on after the port.
    Path,
    /// The user name is empty, or cannot be sent by the proxy's protocol.
    User,
    /// The password cannot be sent by the proxy's protocol.
    Password,
    /// The variable of the environment is not Unicode.
    NotUnicode,
    /// This variable of the environment is invalid.
    Variable(&'static str, Box<Self>),
}

impl fmt::Display for InvalidProxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Variable(name, problem) => return write!(f, "{name}: {problem}"),
            Self::Scheme => {
                "the proxy's URL must be http://HOST:PORT or socks5://HOST:PORT: proxies that are reached over TLS, SOCKS4 \
                 and PAC files are not supported"
            }
            Self::Host => {
                "the proxy's host must be a DNS name or an IP address, in a URL with IPv6 in brackets: give \
                 http://HOST:PORT or socks5://HOST:PORT"
            }
            Self::Port => "the proxy's port must be a number from 1 to 65535",
            Self::Path => {
                "the proxy's URL must end after the port; in a user name or password, write %2F for `/`, %3F for `?` and \
                 %23 for `#`"
            }
            Self::User => {
                "the user name for the proxy must not be empty or contain control characters, nor `:` for an HTTP \
                 proxy, and has at most 255 bytes for a SOCKS5 proxy; in a URL it is percent-encoded UTF-8"
            }
            Self::Password => {
                "the password for the proxy must not contain control characters, and has at most 255 bytes for a \
                 SOCKS5 proxy; in a URL it is percent-encoded UTF-8"
            }
            Self::NotUnicode => "the variable must be UTF-8",
        })
    }
}

impl Error for InvalidProxy {}
