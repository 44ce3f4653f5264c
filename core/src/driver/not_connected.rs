//! An attempt to connect that failed, before the first connection.

use core::{error::Error, fmt};
use std::sync::Arc;

use crate::{driver::transport_error::TransportError, event::Disconnected};

/// An attempt to connect failed, or a connection ended, before the bridge had answered anything but CONNECT.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct NotConnected {
    /// The reason, its certainty, and when the next attempt begins.
    pub ended: Disconnected,
    /// The error of the transport or the token source, if it is the reason.
    pub error: Option<Arc<TransportError>>,
}

impl fmt::Display for NotConnected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "not connected: {}", self.ended)?;
        match &self.error {
            Some(error) => write!(f, " ({error})"),
            None => Ok(()),
        }
    }
}

impl Error for NotConnected {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.error.as_ref()?.source()
    }
}
