//! Errors of handles: not accepted, or accepted and failed.

use core::{error::Error, fmt};

use bytes::Bytes;

#[cfg(feature = "store")]
use crate::store::StoreFailure;
use crate::{
    command::Publication,
    error::{CommandError, Failure, PublishError, PublishErrorKind},
    unsent::Unsent,
};

/// The driver was dropped before the gateway was closed. Keep the future of [`Driver::run`](crate::driver::Driver::run)
/// running until it completes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DriverStopped;

impl fmt::Display for DriverStopped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the driver was dropped: its `run` must be kept running until it ends")
    }
}

impl Error for DriverStopped {}

/// A message that was not accepted. Nothing was sent; [`into_payload`](Self::into_payload) returns it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum AcceptError {
    /// The gateway refused it.
    Refused(PublishError),
    /// The driver was dropped.
    DriverStopped(Publication),
}

impl AcceptError {
    /// Returns whether the queue was full, which is temporary.
    pub fn is_blocked(&self) -> bool {
        matches!(self, Self::Refused(error) if error.kind == PublishErrorKind::Blocked)
    }

    /// Returns the payload that was handed in.
    pub fn into_payload(self) -> Bytes {
        match self {
            Self::Refused(error) => error.publication.payload,
            Self::DriverStopped(publication) => publication.payload,
        }
    }
}

impl fmt::Display for AcceptError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(error) => error.fmt(f),
            Self::DriverStopped(_) => DriverStopped.fmt(f),
        }
    }
}

impl Error for AcceptError {}

/// A message that was accepted but is not known to have arrived.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum DeliveryError {
    /// The gateway gave it up.
    Failed {
        /// The reason.
        failure: Failure,
        /// The message.
        unsent: Box<Unsent>,
    },
    /// The driver was dropped before. [`Closed::unsent`](crate::driver::closed::Closed::unsent) holds the message.
    DriverStopped,
}

impl DeliveryError {
    /// Returns the message, if the gateway gave it up.
    pub fn into_unsent(self) -> Option<Unsent> {
        match self {
            Self::Failed { unsent, .. } => Some(*unsent),
            Self::DriverStopped => None,
        }
    }
}

/// A message that is not known to be in the store.
#[cfg(feature = "store")]
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum StoredError {
    /// There is no store, or the message is at QoS 0, which is never stored.
    NotKept,
    /// The store cannot be written. It is tried again: the message may be stored later, or acknowledged before.
    StoreFailed(StoreFailure),
    /// The message has failed. Its [`Delivery`](crate::driver::Delivery) returns it.
    Failed(Failure),
    /// The driver was dropped.
    DriverStopped,
}

#[cfg(feature = "store")]
impl From<Unsuccessful> for StoredError {
    fn from(error: Unsuccessful) -> Self {
        match error {
            Unsuccessful::Failed { failure, .. } => Self::Failed(failure),
            Unsuccessful::DriverStopped => Self::DriverStopped,
        }
    }
}

#[cfg(feature = "store")]
impl fmt::Display for StoredError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotKept => f.write_str(
                "it is not kept in a store: there is none (`Setup::store`), or it is at QoS 0",
            ),
            Self::StoreFailed(failure) => failure.fmt(f),
            Self::Failed(failure) => failure.fmt(f),
            Self::DriverStopped => DriverStopped.fmt(f),
        }
    }
}

#[cfg(feature = "store")]
impl Error for StoredError {}

/// An operation that was accepted and did not succeed, of any kind.
#[derive(Clone, Debug)]
pub(crate) enum Unsuccessful {
    Failed {
        failure: Failure,
        /// Of a publication.
        unsent: Option<Box<Unsent>>,
    },
    DriverStopped,
}

impl From<Unsuccessful> for DeliveryError {
    fn from(error: Unsuccessful) -> Self {
        match error {
            Unsuccessful::Failed { failure, unsent } => Self::Failed {
                failure,
                unsent: unsent.expect("a publication that fails is handed back"),
            },
            Unsuccessful::DriverStopped => Self::DriverStopped,
        }
    }
}

impl From<Unsuccessful> for OperationError {
    fn from(error: Unsuccessful) -> Self {
        match error {
            Unsuccessful::Failed { failure, .. } => Self::Failed(failure),
            Unsuccessful::DriverStopped => Self::DriverStopped,
        }
    }
}

impl fmt::Display for DeliveryError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Failed { failure, unsent } => {
                failure.fmt(f)?;
                match unsent.is_stored {
                    true => f.write_str(
                        "; it is in the store, and is sent after the next start: do not publish it again",
                    ),
                    false => Ok(()),
                }
            }
            Self::DriverStopped => DriverStopped.fmt(f),
        }
    }
}

impl Error for DeliveryError {}

/// A command that did not succeed.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum OperationError {
    /// The gateway did not accept it; nothing was sent.
    Refused(CommandError),
    /// It was accepted, then failed.
    Failed(Failure),
    /// The driver was dropped.
    DriverStopped,
}

impl From<DriverStopped> for OperationError {
    fn from(DriverStopped: DriverStopped) -> Self {
        Self::DriverStopped
    }
}

impl From<CommandError> for OperationError {
    fn from(error: CommandError) -> Self {
        Self::Refused(error)
    }
}

impl From<DeliveryError> for OperationError {
    fn from(error: DeliveryError) -> Self {
        match error {
            DeliveryError::Failed { failure, .. } => Self::Failed(failure),
            DeliveryError::DriverStopped => Self::DriverStopped,
        }
    }
}

impl fmt::Display for OperationError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(error) => error.fmt(f),
            Self::Failed(failure) => failure.fmt(f),
            Self::DriverStopped => DriverStopped.fmt(f),
        }
    }
}

impl Error for OperationError {}
