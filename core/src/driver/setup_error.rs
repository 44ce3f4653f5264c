//! What can be wrong with a setup.

use core::{error::Error, fmt};

#[cfg(feature = "store")]
use crate::driver::store::StoreError;
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
    /// The store cannot be used.
    #[cfg(feature = "store")]
    Store(StoreError),
    /// [`Durability::linger`](crate::options::Durability::linger) is set, and there is no
    /// [`Setup::store`](crate::driver::Setup::store).
    #[cfg(feature = "store")]
    NoStore,
    /// The operating system has no thread left for the store.
    #[cfg(feature = "store")]
    NoThread(Box<str>),
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
            #[cfg(feature = "store")]
            Self::Store(error) => error.fmt(f),
            #[cfg(feature = "store")]
            Self::NoStore => f.write_str(
                "durability.linger is set, and there is no store: set one with `Setup::store`, or no linger",
            ),
            #[cfg(feature = "store")]
            Self::NoThread(detail) => write!(f, "no thread for the store: {detail}"),
        }
    }
}

impl Error for SetupError {}
