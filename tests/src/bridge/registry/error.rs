//! Errors of an invalid registry.

use core::error::Error;
use core::fmt;

use super::{MAX_BOUND, MAX_GATEWAYS, MAX_KEYS};
use crate::bridge::auth::KeyError;
use crate::bridge::quotas::MAX_STATE;

/// The reason why a registry is invalid. The message names the place and what would be valid.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RegistryError {
    /// Not JSON, or not with the members of a registry file.
    Json {
        /// What is wrong, with line and column.
        message: String,
    },
    /// A name that the service would not accept.
    Id {
        /// The kind of object that it names.
        what: &'static str,
        /// The name.
        id: String,
    },
    /// Two devices or gateways with the same name.
    Duplicate {
        /// The name.
        id: String,
    },
    /// More than [`MAX_KEYS`] public keys.
    TooManyKeys {
        /// The device.
        device: String,
        /// The number of keys.
        count: usize,
    },
    /// A public key that cannot be used.
    Key {
        /// The device.
        device: String,
        /// The position among its keys, counted from 1.
        number: usize,
        /// What is wrong with it.
        error: KeyError,
    },
    /// A file with a public key that cannot be read.
    KeyFile {
        /// The device.
        device: String,
        /// The file.
        file: String,
        /// The system's error.
        error: String,
    },
    /// An initial config of more than 64 KiB.
    ConfigTooLarge {
        /// The device.
        device: String,
        /// Its size, in bytes.
        length: usize,
    },
    /// An initial config that is not base64.
    ConfigEncoding {
        /// The device.
        device: String,
        /// What is wrong with it.
        error: String,
    },
    /// A name that is not in the registry.
    Unknown {
        /// The name.
        id: String,
    },
    /// A name of something other than a gateway.
    NotGateway {
        /// The name.
        id: String,
    },
    /// A gateway to be bound to a gateway.
    BoundGateway {
        /// The gateway it would be bound to.
        gateway: String,
        /// The gateway that would be bound.
        device: String,
    },
    /// More than [`MAX_BOUND`] devices for one gateway.
    TooManyBound {
        /// The gateway.
        gateway: String,
    },
    /// More than [`MAX_GATEWAYS`] gateways for one device.
    TooManyGateways {
        /// The device.
        device: String,
    },
}

impl fmt::Display for RegistryError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Json { message } => f.write_str(message),
            Self::Id {
                what: what @ ("project" | "location"),
                id,
            } => write!(
                f,
                "{what} {id:?}: must not be empty nor have '/', '+' or '#'"
            ),
            Self::Id { what, id } => write!(
                f,
                "{what} {id:?}: an id is a letter and then letters, digits or any of -._+~%, \
                 3 to 255 in all, and does not begin with \"goog\""
            ),
            Self::Duplicate { id } => write!(f, "{id:?} is there twice"),
            Self::TooManyKeys { device, count } => write!(
                f,
                "device {device:?} has {count} public keys; {MAX_KEYS} are allowed"
            ),
            Self::Key {
                device,
                number,
                error,
            } => write!(f, "device {device:?}, public key {number}: {error}"),
            Self::KeyFile {
                device,
                file,
                error,
            } => write!(
                f,
                "device {device:?}: cannot read public key {file:?}: {error}"
            ),
            Self::ConfigTooLarge { device, length } => write!(
                f,
                "device {device:?} has a config of {length} bytes; the limit is {MAX_STATE} bytes"
            ),
            Self::ConfigEncoding { device, error } => {
                write!(f, "device {device:?}: the config is not base64: {error}")
            }
            Self::Unknown { id } => write!(f, "the registry has no device {id:?}"),
            Self::NotGateway { id } => write!(f, "device {id:?} is no gateway"),
            Self::BoundGateway { gateway, device } => write!(
                f,
                "{device:?} is a gateway and cannot be bound to gateway {gateway:?}"
            ),
            Self::TooManyBound { gateway } => write!(
                f,
                "gateway {gateway:?} has {MAX_BOUND} devices, the most that can be bound"
            ),
            Self::TooManyGateways { device } => write!(
                f,
                "device {device:?} is bound to {MAX_GATEWAYS} gateways, the most there can be"
            ),
        }
    }
}

impl Error for RegistryError {}
