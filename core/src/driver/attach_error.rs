//! Why a device was not attached, or not subscribed.

use core::{error::Error, fmt};

use crate::{
    driver::{device::Device, operation_error::OperationError, transport_error::TokenFailure},
    error::Failure,
};

/// A device that was not attached or not subscribed.
#[derive(Debug)]
#[non_exhaustive]
pub enum AttachError {
    /// The token source failed, or did not answer within `dial_timeout`; nothing was sent.
    Token(TokenFailure),
    /// The attach was not accepted, also because the gateway was closed or the driver dropped while a token was fetched,
    /// or did not succeed. After [`OperationError::Failed`] the gateway still has the
    /// device: see its [`status`](Device::status), and attach, authorize or detach it.
    Attach(OperationError, Option<Device>),
    /// The device is attached, but one of its subscriptions did not succeed.
    Subscribe(OperationError, Device),
}

impl AttachError {
    /// Returns the device, if the gateway has accepted it.
    pub fn into_device(self) -> Option<Device> {
        match self {
            Self::Token(_) => None,
            Self::Attach(_, device) => device,
            Self::Subscribe(_, device) => Some(device),
        }
    }

    /// Returns why an accepted operation failed, if one did.
    pub fn failure(&self) -> Option<&Failure> {
        match self {
            Self::Attach(OperationError::Failed(failure), _)
            | Self::Subscribe(OperationError::Failed(failure), _) => Some(failure),
            _ => None,
        }
    }
}

impl fmt::Display for AttachError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Token(_) => f.write_str("no token for the device"),
            Self::Attach(..) => f.write_str("the device was not attached"),
            Self::Subscribe(..) => {
                f.write_str("the device is attached, but a subscription did not succeed")
            }
        }
    }
}

impl Error for AttachError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Token(error) => Some(error),
            Self::Attach(error, _) | Self::Subscribe(error, _) => Some(error),
        }
    }
}
