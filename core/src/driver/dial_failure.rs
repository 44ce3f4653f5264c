//! Why no TCP connection with the host was established.

use core::{error::Error, fmt};
use std::{io, net::SocketAddr};

use crate::time::Duration;

/// How many addresses the text names.
const MAX_SHOWN: usize = 4;

/// Why no TCP connection was established: the host's name, this machine's DNS or network, or the server is at fault.
#[derive(Debug)]
#[non_exhaustive]
pub enum DialFailure {
    /// The host could not be resolved, with the error of the resolver: the host is misspelt, or DNS does not work.
    Lookup(io::Error),
    /// The resolver did not answer within this time.
    LookupTimedOut(Duration),
    /// The resolver knows the host, but no address of it.
    NoAddress,
    /// None of these addresses, at most 32, accepted a connection: each was tried in this order, and failed so.
    Unreachable(Vec<(SocketAddr, io::Error)>),
}

impl fmt::Display for DialFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Lookup(error) => write!(
                f,
                "its name cannot be resolved: {error} (check the host's name and this machine's DNS)"
            ),
            Self::LookupTimedOut(limit) => write!(
                f,
                "the resolver gave no answer within {limit:?} (check this machine's network and DNS)"
            ),
            Self::NoAddress => f.write_str("its name has no address (check the host's name)"),
            Self::Unreachable(tried) => {
                for (index, (address, error)) in tried.iter().take(MAX_SHOWN).enumerate() {
                    let separator = if index == 0 { "" } else { "; " };
                    write!(f, "{separator}{address}: {error}")?;
                }
                match tried.len().saturating_sub(MAX_SHOWN) {
                    0 => Ok(()),
                    more => write!(f, "; {more} more failed"),
                }
            }
        }
    }
}

impl Error for DialFailure {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Lookup(error) => Some(error),
            Self::Unreachable(tried) => match tried.first() {
                Some((_, error)) => Some(error),
                None => None,
            },
            Self::LookupTimedOut(_) | Self::NoAddress => None,
        }
    }
}
