//! Why a device was not attached, or not subscribed.

use core::{error::Error, fmt};

use crate::{
    driver::{
        device::Device, not_connected::NotConnected, operation_error::OperationError,
        transport_error::TokenFailure,
    },
    error::Failure,
};

/// A device that was not attached or not subscribed. [`Client::attach`](crate::driver::Client::attach) says what the gateway
/// does about it afterwards.
#[derive(Debug)]
#[non_exhaustive]
pub enum AttachError {
    /// The bridge has not answered anything yet but CONNECT, and an attempt to connect has failed, or a connection has ended.
    /// The gateway keeps trying, unless [`retry_in`](crate::cause::Disconnected::retry_in) is `None`, and attaches the device as
    /// soon as it is connected; what the device sends meanwhile is kept. Does not end an attach that shall
    /// [keep waiting](crate::driver::Attach::keep_waiting), unless the gateway gives up, nor one on a later connection. There is
    /// no device if the gateway had given up before.
    NotConnected(NotConnected, Option<Device>),
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
            Self::NotConnected(_, device) | Self::Attach(_, device) => device,
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

/// One sentence, the reason included.
impl fmt::Display for AttachError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotConnected(error, device) => {
                match device {
                    Some(device) => device.id().fmt(f)?,
                    None => f.write_str("the device")?,
                }
                write!(f, " is not attached, because the gateway is {error}")
            }
            Self::Token(error) => write!(f, "the device was not attached: {error}"),
            Self::Attach(error, None) => write!(f, "the device was not attached: {error}"),
            Self::Attach(error, Some(device)) => {
                write!(f, "{} was not attached: {error}", device.id())
            }
            Self::Subscribe(error, device) => write!(
                f,
                "{} is attached, but a subscription did not succeed: {error}",
                device.id()
            ),
        }
    }
}

/// The reason is displayed, and is in the variants: a chain of sources would repeat it.
impl Error for AttachError {}
