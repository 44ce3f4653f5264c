//! The status of the connection and the devices.

use core::{error::Error, fmt};
use std::sync::Arc;

use bytes::Bytes;

#[cfg(feature = "store")]
use crate::store::{Damage, StoreFailure};
use crate::{
    command::{OpId, Subscription},
    driver::transport_error::{TokenFailure, TransportError},
    error::Failure,
    error_report::{ErrorReport, ErrorReportError},
    event::{DetachCause, Disconnected},
    id::DeviceId,
    tag::Tag,
};

/// A change of the connection or of a device, or a message of the bridge about them.
///
/// ```
/// # mod bridge { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/doctests/bridge.rs")); }
/// # use iotcore_gateway::driver::*;
/// # bridge::on_bridge(async |client, world| {
/// # let mut changes = client.status();
/// let change = changes.next().await.expect("the driver runs");
/// match &change {
///     Status::Disconnected { ended, .. } if ended.retry_in.is_none() => eprintln!("{change}: the end"),
///     _ => println!("{change}"), // each displays as one sentence
/// }
/// # Ok(())
/// # });
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Status {
    /// The bridge accepted a connection.
    Connected,
    /// A connection, or an attempt at one, ended.
    Disconnected {
        /// The reason, its certainty, and when the next attempt begins.
        ended: Disconnected,
        /// The error of the transport or the token source, if it is the reason.
        error: Option<Arc<TransportError>>,
    },
    /// The bridge attached this device, which happens on each connection.
    Attached {
        /// The device.
        device: DeviceId,
    },
    /// This device is no longer attached, but the connection remains.
    Detached {
        /// The device.
        device: DeviceId,
        /// The reason.
        cause: DetachCause,
    },
    /// The bridge reported an error, which may or may not concern an operation of this gateway.
    ErrorReport(ErrorReport),
    /// A message on the errors topic was not an error report.
    UnreadableErrorReport {
        /// The payload that the bridge sent.
        payload: Bytes,
        /// The reason why it cannot be read.
        error: ErrorReportError,
    },
    /// The bridge sent a message that the gateway had not requested. It was acknowledged.
    Unrequested {
        /// Its topic.
        topic: String,
        /// Its payload.
        payload: Bytes,
    },
    /// The bridge granted a subscription at QoS 0 that was asked for at QoS 1. Repeated each time it is granted.
    SubscriptionDowngraded {
        /// The device.
        device: DeviceId,
        /// The subscription.
        subscription: Subscription,
    },
    /// A subscription was refused or not answered after its operation had ended. It is tried again, but after
    /// [`Failure::Suspected`] not before the user subscribes again.
    SubscriptionLost {
        /// The device.
        device: DeviceId,
        /// The subscription.
        subscription: Subscription,
        /// The reason.
        failure: Failure,
    },
    /// The bridge sends no error reports until it grants the subscription to them, for which it is asked again with backoff;
    /// after [`Failure::Suspected`] it is not asked any more. If the cloud detaches a device meanwhile, its publications are
    /// not answered until the next connection, on which it is attached again.
    ErrorsTopicUnavailable {
        /// The reason.
        failure: Failure,
    },
    /// This device needs a new token for its attach, and the token source has none for it. Set one with
    /// [`Device::authorize`](crate::driver::Device::authorize). The source is asked again on each connection, and this is
    /// reported again if it still has none.
    TokenNeeded {
        /// The device.
        device: DeviceId,
    },
    /// The token source has returned the same token for this connection as for the one before: it is not refreshed before
    /// it expires. Let the source return a fresh one for each connection. Reported once for each token.
    TokenUnchanged,
    /// The token source failed to return a token for this device. It is asked again, with backoff.
    TokenFailed {
        /// The device.
        device: DeviceId,
        /// The reason.
        error: Arc<TokenFailure>,
    },
    /// The token source has answered, and reported something that needs attention, such as a key file that could not be read
    /// again ([`TokenRequest::warn`](crate::driver::token_source::TokenRequest::warn)). Repeated for each token until
    /// it is mended.
    TokenWarning {
        /// The device that the token is for; the gateway itself is one.
        device: DeviceId,
        /// What the token source reports.
        error: Arc<dyn Error + Send + Sync>,
    },
    /// An operation other than that of a message failed after its future had been dropped.
    Failed {
        /// The operation.
        op: OpId,
        /// The device that it was for; the gateway itself if it was for all of it.
        device: DeviceId,
        /// The reason.
        failure: Failure,
    },
    /// Messages of this device failed after their [`Delivery`](crate::driver::Delivery) had been dropped, which would have
    /// returned them. Those of a device that failed for the same reason, and were not read yet, are one change. A state that
    /// a newer one replaced is no failure, unless
    /// [`Setup::report_replaced_states`](crate::driver::Setup::report_replaced_states) asks for them.
    Undelivered {
        /// The device.
        device: DeviceId,
        /// The reason.
        failure: Failure,
        /// The number of messages.
        messages: usize,
        /// The operation of the last one.
        op: OpId,
        /// The tag of the last one.
        tag: Option<Tag>,
    },
    /// Nothing has been read from the bridge for 5 s.
    ReadingPaused {
        /// At `max_unacknowledged` messages: the device with the most that nobody has acknowledged. `None` if the reason is
        /// another: the bridge takes no acknowledgements, or a reader of the status applies back-pressure.
        device: Option<DeviceId>,
    },
    /// Messages of this device were not acknowledged, and have held up other devices for 5 s. Until somebody takes or
    /// acknowledges one, neither these nor the next ones hold up anybody: its commands are acknowledged, its configs are
    /// not, and the newest is asked for again once somebody acknowledges it. For a device that only sends, subscribe to
    /// nothing ([`Attach`](crate::driver::Attach)).
    AcknowledgementsOverdue {
        /// The device.
        device: DeviceId,
        /// The number of messages.
        messages: usize,
    },
    /// Commands were dropped: no handle was left to take them, or nobody took them and too many that need no
    /// acknowledgement any more were waiting ([`Messages`](crate::driver::Messages)). Those of a device that were not read
    /// yet are one change.
    Dropped {
        /// The device.
        device: DeviceId,
        /// The number of messages.
        messages: usize,
    },
    /// So many messages were found in the store at the start. They go out first, once their devices are attached.
    #[cfg(feature = "store")]
    Restored {
        /// The number of messages.
        messages: usize,
    },
    /// Something in the store is damaged, and was set aside. It is lost, unless it is a file that a later start can read.
    #[cfg(feature = "store")]
    StoreDamaged {
        /// In how many places, and how many bytes.
        damage: Damage,
    },
    /// Messages of this device were found in the store, and nobody has attached it: they are kept. Attach it, and they are
    /// sent; or drop them with [`Client::device`](crate::driver::Client::device) and
    /// [`Device::detach`](crate::driver::Device::detach). Reported on each connection.
    #[cfg(feature = "store")]
    Unclaimed {
        /// The device.
        device: DeviceId,
        /// The number of messages.
        messages: usize,
    },
    /// The store cannot be written: what was accepted and is not acknowledged is in memory only. It is tried again, with
    /// backoff. What happens to new messages, the options say
    /// ([`Durability::on_failure`](crate::options::Durability::on_failure)).
    #[cfg(feature = "store")]
    StoreFailed {
        /// Why.
        failure: StoreFailure,
    },
    /// The store can be written again, and has what it did not have when it failed.
    #[cfg(feature = "store")]
    StoreRecovered,
    /// A message waits because the store has no room left for it. Reported once until half of it is left again.
    #[cfg(feature = "store")]
    StoreFull {
        /// The bytes that are reserved.
        reserved: usize,
        /// How many of them are for devices that nobody has attached since the start, and stay until somebody does, or
        /// detaches them.
        unclaimed: usize,
    },
    /// This number of the oldest changes was dropped, because this reader was too slow.
    Missed(u64),
}

impl Status {
    /// Returns the device whose messages it counts, if [`add`](Self::add) may add others to it.
    pub(crate) fn counts_for(&self) -> Option<&DeviceId> {
        match self {
            Self::Undelivered { device, .. } | Self::Dropped { device, .. } => Some(device),
            _ => None,
        }
    }

    /// Adds the messages that another change counts to those of this one, if both count the same. Returns whether they do.
    pub(crate) fn add(&mut self, other: &Self) -> bool {
        match (self, other) {
            (
                Self::Undelivered {
                    device,
                    failure,
                    messages,
                    op,
                    tag,
                },
                Self::Undelivered {
                    device: same,
                    failure: cause,
                    messages: more,
                    op: last,
                    tag: its_tag,
                },
            ) if device == same && failure == cause => {
                *messages += more;
                *op = *last;
                tag.clone_from(its_tag);
                true
            }
            (
                Self::Dropped { device, messages },
                Self::Dropped {
                    device: same,
                    messages: more,
                },
            ) if device == same => {
                *messages += more;
                true
            }
            _ => false,
        }
    }
}

/// One sentence, without payloads.
impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Connected => f.write_str("connected"),
            Self::Disconnected { ended, error } => {
                let what = match ended.reason.is_of_attempt() {
                    true => "not connected",
                    false => "disconnected",
                };
                write!(f, "{what}: {ended}")?;
                match error {
                    Some(error) => write!(f, " ({error})"),
                    None => Ok(()),
                }
            }
            Self::Attached { device } => write!(f, "{device} is attached"),
            Self::Detached { device, cause } => {
                write!(f, "{device} is no longer attached: {cause}")
            }
            Self::ErrorReport(report) => write!(f, "the bridge reported {report}"),
            Self::UnreadableErrorReport { payload, error } => write!(
                f,
                "a message of {} bytes on the errors topic is no error report: {error}",
                payload.len()
            ),
            Self::Unrequested { topic, payload } => write!(
                f,
                "the bridge sent {} bytes on {topic:?}, which nothing here is subscribed to",
                payload.len()
            ),
            Self::SubscriptionDowngraded {
                device,
                subscription,
            } => write!(
                f,
                "the bridge granted {device} its subscription to {subscription} at QoS 0 only"
            ),
            Self::SubscriptionLost {
                device,
                subscription,
                failure,
            } => write!(
                f,
                "{device} has lost its subscription to {subscription}: {failure}"
            ),
            Self::ErrorsTopicUnavailable { failure } => {
                write!(f, "no error reports on this connection: {failure}")
            }
            Self::TokenNeeded { device } => write!(f, "{device} needs a new token"),
            Self::TokenUnchanged => f.write_str(
                "the token source has returned the token of the last connection again, which is not refreshed before it \
                 expires: let it return a fresh one for each connection",
            ),
            Self::TokenFailed { device, error } => write!(f, "no token for {device}: {error}"),
            Self::TokenWarning { device, error } => write!(f, "the token for {device}: {error}"),
            Self::Failed {
                op,
                device,
                failure,
            } => write!(f, "{op} of {device} failed: {failure}"),
            Self::Undelivered {
                device,
                failure,
                messages,
                op,
                tag,
            } => {
                let tag = tag.as_ref().map(|tag| format!(" ({:?})", tag.as_str()));
                let op = format!("{op}{}", tag.unwrap_or_default());
                match messages {
                    1 => write!(f, "{op} of {device} failed: {failure}"),
                    _ => write!(
                        f,
                        "{messages} messages of {device} failed, the last of them {op}: {failure}"
                    ),
                }
            }
            Self::ReadingPaused { device: None } => {
                f.write_str("nothing has been read for 5 s, because of back-pressure")
            }
            Self::ReadingPaused {
                device: Some(device),
            } => write!(
                f,
                "nothing has been read for 5 s, because too many messages wait for their acknowledgement, most of \
                 them of {device}"
            ),
            Self::AcknowledgementsOverdue { device, messages } => {
                let (s, were) = if *messages == 1 { ("", "was") } else { ("s", "were") };
                write!(
                    f,
                    "{messages} message{s} for {device} {were} not acknowledged and held up other devices for 5 s: \
                     commands are acknowledged now, a config once it is taken or acknowledged, and until then its \
                     messages hold up nobody; take or acknowledge them, or subscribe the device to none"
                )
            }
            Self::Dropped { device, messages } => {
                write!(f, "{messages} messages for {device} were dropped")
            }
            #[cfg(feature = "store")]
            Self::Restored { messages } => {
                write!(f, "{messages} messages were found in the store")
            }
            #[cfg(feature = "store")]
            Self::StoreDamaged { damage } => write!(
                f,
                "the store is damaged in {} places, {} bytes in all: what cannot be read is left out, and the rest is there",
                damage.places, damage.bytes
            ),
            #[cfg(feature = "store")]
            Self::Unclaimed { device, messages } => write!(
                f,
                "{messages} messages of {device} were found in the store, and nobody has attached it: attach or detach it"
            ),
            #[cfg(feature = "store")]
            Self::StoreFailed { failure } => failure.fmt(f),
            #[cfg(feature = "store")]
            Self::StoreRecovered => f.write_str("the store can be written again"),
            #[cfg(feature = "store")]
            Self::StoreFull { reserved, unclaimed } => write!(
                f,
                "the store is full: {reserved} bytes are taken, {unclaimed} of them by devices that are not attached: attach \
                 or detach these, wait for the bridge to take some, or allow more"
            ),
            Self::Missed(changes) => write!(f, "{changes} changes were missed"),
        }
    }
}

#[cfg(test)]
mod tests;
