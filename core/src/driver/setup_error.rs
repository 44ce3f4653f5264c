//! What can be wrong with a setup.

use core::{error::Error, fmt};

use crate::{driver::tls::HostError, options::OptionsError, time::Duration};

/// An invalid setup, which is a mistake of the caller.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SetupError {
    /// The host is invalid.
    Host(HostError),
    /// The [`dial_timeout`](crate::driver::Setup::dial_timeout) is zero, or longer than 7 days.
    DialTimeout(Duration),
    /// [`PlainOnLoopback`](crate::driver::Security::PlainOnLoopback) was combined with a proxy.
    PlainThroughProxy,
    /// An option of the gateway is invalid.
    Options(OptionsError),
}

impl fmt::Display for SetupError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Host(error) => error.fmt(f),
            Self::DialTimeout(limit) => write!(
                f,
                "dial_timeout is {limit:?}: it must be longer than zero, and at most 7 days"
            ),
            Self::PlainThroughProxy => f.write_str(
                "without TLS nothing goes through a proxy: the token would leave this machine in the clear, and the \
                 proxy's loopback is another one: use TLS, or no proxy",
            ),
            Self::Options(error) => error.fmt(f),
        }
    }
}

impl Error for SetupError {}
