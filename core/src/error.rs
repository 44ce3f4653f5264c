//! Errors of commands: refused at once, or failed later.

use core::fmt;

#[cfg(feature = "store")]
use crate::store::StoreSeq;
use crate::{
    command::{OpId, Publication, Subscription},
    error_report::{ErrorReport, Retry},
    id::DeviceId,
    time::Duration,
};

/// Why an accepted command failed.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Failure {
    /// The bridge reported it. Confirmed.
    Reported(ErrorReport),
    /// No acknowledgement arrived within this time. Inferred: the command may have been carried out.
    TimedOut(Duration),
    /// The bridge answered SUBSCRIBE with 0x80. Confirmed.
    SubscriptionRefused(Subscription),
    /// The bridge answered the SUBSCRIBE of the errors topic with 0x80. Confirmed.
    ErrorsTopicRefused,
    /// A newer command replaced it. Confirmed.
    Superseded,
    /// It was the oldest in a full queue, and the options say to drop that one for a newer publication.
    Dropped,
    /// It had waited for longer than [`Publication::expires_after`] says. If it had been in flight, it may have arrived.
    Expired,
    /// [`Gateway::cancel`](crate::Gateway::cancel) ended it. If it had been in flight, it may have arrived.
    Cancelled,
    /// The device was detached before.
    Detached,
    /// This device is not attached any more before the user asks for it, so nothing can be published or subscribed for it:
    /// the bridge has refused it, or closed the connection at each attempt. Confirmed.
    DeviceRefused,
    /// The bridge has detached the device, and the options say not to attach it again automatically.
    NotAttached,
    /// The peer closed that many connections in a row soon after this was sent, or a part of it, or the attach that it waited
    /// for, and before answering it: the last two while nothing else was sent. Suspected: it is not sent any more.
    Suspected {
        /// How many connections.
        connections: u32,
    },
    /// The gateway was closed before.
    Closed,
    /// The gateway gave up connecting, as the options say.
    GaveUp,
}

impl Failure {
    /// Returns whether the end of the gateway is the reason: what is in a store stays there.
    pub(crate) fn is_of_the_gateway(&self) -> bool {
        matches!(self, Self::Closed | Self::GaveUp)
    }

    /// Returns how certain the cause is.
    pub fn certainty(&self) -> Certainty {
        match self {
            Self::TimedOut(_) => Certainty::Inferred,
            Self::Suspected { .. } => Certainty::Suspected,
            _ => Certainty::Confirmed,
        }
    }

    /// Returns whether the same command may succeed later: for a report, what the bridge's documentation recommends.
    pub fn retry(&self) -> Retry {
        match self {
            Self::Reported(report) => report.error_type().retry(),
            Self::TimedOut(_)
            | Self::SubscriptionRefused(_)
            | Self::ErrorsTopicRefused
            | Self::Closed
            | Self::GaveUp => Retry::Backoff,
            Self::Superseded
            | Self::Dropped
            | Self::Expired
            | Self::Cancelled
            | Self::Detached
            | Self::DeviceRefused
            | Self::NotAttached
            | Self::Suspected { .. } => Retry::Never,
        }
    }
}

/// What the end of a command says that may have been in flight.
const MAY_HAVE_ARRIVED: &str = "; if it had been sent, it may have arrived";

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Reported(report) => write!(f, "the bridge reported {report}"),
            Self::TimedOut(after) => write!(f, "no acknowledgement came within {after:?}"),
            Self::SubscriptionRefused(subscription) => {
                write!(f, "the bridge refused the subscription to {subscription} (SUBACK 0x80)")
            }
            Self::ErrorsTopicRefused => {
                f.write_str("the bridge refused the subscription to the errors topic (SUBACK 0x80)")
            }
            Self::Superseded => f.write_str("a newer command replaced it"),
            Self::Dropped => f.write_str("the queue was full, and a newer publication replaced it"),
            Self::Expired => write!(f, "it had expired before it was acknowledged{MAY_HAVE_ARRIVED}"),
            Self::Cancelled => write!(f, "it was cancelled before it was acknowledged{MAY_HAVE_ARRIVED}"),
            Self::Detached => write!(f, "the device was detached before it was acknowledged{MAY_HAVE_ARRIVED}"),
            Self::DeviceRefused => f.write_str(
                "the bridge refused to attach the device, or closed the connection at each attempt; the attach said why: \
                 create the device, unblock it, or bind it to this gateway, or attach it with a valid token",
            ),
            Self::NotAttached => f.write_str("the bridge has detached the device: attach it again"),
            Self::Suspected { connections } => write!(
                f,
                "the bridge closed {connections} connections in a row at it, the last ones while nothing else was sent: it \
                 is not sent any more"
            ),
            Self::Closed => write!(f, "the gateway was closed before it was acknowledged{MAY_HAVE_ARRIVED}"),
            Self::GaveUp => write!(f, "the gateway gave up connecting before it was acknowledged{MAY_HAVE_ARRIVED}"),
        }
    }
}

impl core::error::Error for Failure {}

/// How certain the cause of a failure is. An MQTT 3.1.1 peer does not report why it hangs up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Certainty {
    /// One of several commands may have caused it.
    Suspected,
    /// It follows from a deadline that has passed.
    Inferred,
    /// A packet, a report or the transport confirms it.
    Confirmed,
}

impl fmt::Display for Certainty {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Suspected => "suspected",
            Self::Inferred => "inferred",
            Self::Confirmed => "confirmed",
        })
    }
}

/// A publication that was not accepted, and why. Nothing was sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublishError {
    /// Why it was not accepted.
    pub kind: PublishErrorKind,
    /// The publication that was passed in.
    pub publication: Publication,
}

/// Why a publication was not accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PublishErrorKind {
    /// The queue of the device, or of all devices, is full; [`Event::Writable`](crate::Event::Writable) follows.
    Blocked,
    /// The payload is larger than the bridge accepts: an error of the caller.
    TooLarge {
        /// Maximum for this topic, in bytes.
        limit: usize,
    },
    /// The key belongs to no device, or to one that was detached: an error of the caller.
    UnknownDevice,
    /// The device is being detached.
    Detaching,
    /// The bridge has refused to attach the device, or closed the connection at each attempt; attach or authorize it again.
    DeviceRefused,
    /// The store cannot be written, and the options say to refuse publications meanwhile;
    /// [`Event::StoreRecovered`](crate::Event::StoreRecovered) follows.
    #[cfg(feature = "store")]
    StoreFailed,
    /// The gateway is closing or closed.
    Closed,
}

impl fmt::Display for PublishError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.kind {
            PublishErrorKind::Blocked => {
                f.write_str("the queue is full: publish it again when the device is writable")
            }
            PublishErrorKind::TooLarge { limit } => write!(
                f,
                "the payload has {} bytes: the bridge takes at most {limit} here",
                self.publication.payload.len()
            ),
            PublishErrorKind::UnknownDevice => CommandError::UnknownDevice.fmt(f),
            PublishErrorKind::Detaching => CommandError::Detaching.fmt(f),
            PublishErrorKind::DeviceRefused => Failure::DeviceRefused.fmt(f),
            #[cfg(feature = "store")]
            PublishErrorKind::StoreFailed => f.write_str(
                "the store cannot be written: mend what it reported, and publish it again once it has recovered",
            ),
            PublishErrorKind::Closed => CommandError::Closed.fmt(f),
        }
    }
}

impl core::error::Error for PublishError {}

/// A command that was not accepted. Nothing was sent and nothing changed.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CommandError {
    /// The key belongs to no device, or to one that was detached: an error of the caller.
    UnknownDevice,
    /// The gateway itself cannot be attached or detached: an error of the caller.
    OwnDevice(DeviceId),
    /// The device is being detached: wait for its `Detached`.
    Detaching,
    /// The bridge has refused to attach the device, or closed the connection at each attempt; attach or authorize it again.
    DeviceRefused,
    /// The maximum number of devices, as set in the options, are attached or to be attached.
    TooManyDevices(usize),
    /// The token has expired: an error of the caller, or of its clock.
    TokenExpired,
    /// Only a publication that waits or is in flight can be cancelled, and this operation is another command, or has ended: an
    /// error of the caller, or too late.
    NotCancellable(OpId),
    /// Records are restored before the first publication, and only with a store
    /// ([`Durability::linger`](crate::options::Durability::linger)): an error of the caller.
    #[cfg(feature = "store")]
    NotRestorable(StoreSeq),
    /// The gateway is closing or closed.
    Closed,
}

impl fmt::Display for CommandError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnknownDevice => {
                f.write_str("no such device: it was never attached here, or has been detached")
            }
            Self::OwnDevice(id) => write!(
                f,
                "`{id}` is the gateway itself, which needs no attach or detach"
            ),
            Self::Detaching => {
                f.write_str("the device is being detached: wait until that has ended")
            }
            Self::DeviceRefused => Failure::DeviceRefused.fmt(f),
            Self::TooManyDevices(limit) => {
                write!(
                    f,
                    "{limit} devices are attached already, which is the limit: detach one first"
                )
            }
            Self::TokenExpired => {
                f.write_str("the device's token has expired: mint a new one, and check the clock")
            }
            Self::NotCancellable(op) => write!(
                f,
                "{op} cannot be cancelled: it has ended, or is no publication"
            ),
            #[cfg(feature = "store")]
            Self::NotRestorable(seq) => write!(
                f,
                "record {seq} cannot be restored: restore all before the first publication, with a store \
                 (`durability.linger`)"
            ),
            Self::Closed => f.write_str("the gateway is closing or closed"),
        }
    }
}

impl core::error::Error for CommandError {}
