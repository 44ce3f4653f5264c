//! The events of a gateway.

mod disconnected;
mod transport_end;

use core::fmt;

use bytes::Bytes;

pub use self::{disconnected::Disconnected, transport_end::TransportEnd};
#[cfg(feature = "store")]
use crate::store::StoreFailure;
use crate::{
    command::{DeliveryId, DeviceKey, OpId, Subscription},
    error::Failure,
    error_report::{ErrorReport, ErrorReportError},
    id::ClientId,
    mqtt::{QoS, Violation},
    time::{Duration, UnixTime},
    unsent::Unsent,
};

/// Something that happened. [`Event::Done`] and [`Event::Failed`] end an accepted command, each exactly once; the
/// others report changes and messages.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// The bridge accepted the connection (CONNACK 0). All wanted attachments and subscriptions follow automatically.
    Connected,
    /// The connection, or an attempt at one, ended. Every attachment ended with it; nothing accepted is lost.
    Disconnected(Disconnected),
    /// The bridge acknowledged the attach of this device. Repeated on each connection.
    Attached {
        /// The device.
        device: DeviceKey,
    },
    /// This device is no longer attached, but the connection is still up.
    Detached {
        /// The device.
        device: DeviceKey,
        /// The cause.
        cause: DetachCause,
    },
    /// An accepted command succeeded.
    Done {
        /// The command.
        op: OpId,
        /// Its result.
        outcome: Outcome,
    },
    /// An accepted command failed.
    Failed {
        /// The command.
        op: OpId,
        /// The device that it was for; the gateway itself if it was for all of it.
        device: DeviceKey,
        /// What is known of why, and how surely.
        failure: Failure,
        /// What was not published, if the command was to publish.
        unsent: Option<Box<Unsent>>,
    },
    /// The bridge delivered a configuration. An empty payload is normal for a device that was never configured.
    Config {
        /// The device that it is for.
        device: DeviceKey,
        /// The configuration, at most 64 KiB.
        payload: Bytes,
        /// For [`Gateway::acknowledge`](crate::Gateway::acknowledge).
        delivery: DeliveryId,
    },
    /// The bridge delivered a command.
    Command {
        /// The device that it is for.
        device: DeviceKey,
        /// The part of its topic after `commands/`.
        subfolder: Option<String>,
        /// The command, at most 256 KiB.
        payload: Bytes,
        /// For [`Gateway::acknowledge`](crate::Gateway::acknowledge).
        delivery: DeliveryId,
    },
    /// The bridge reported an error, whether or not it is about a command of this gateway.
    ErrorReport(ErrorReport),
    /// A message on the errors topic was not an error report.
    UnreadableErrorReport {
        /// What the bridge sent.
        payload: Bytes,
        /// Why it cannot be parsed.
        error: ErrorReportError,
    },
    /// The bridge sent a message that was not subscribed to. It was acknowledged.
    Unrequested {
        /// Its topic.
        topic: String,
        /// Its payload.
        payload: Bytes,
    },
    /// The bridge granted a subscription at QoS 0 that was asked for at QoS 1. Repeated each time it is granted. It is not
    /// asked for again because of this.
    SubscriptionDowngraded {
        /// The device.
        device: DeviceKey,
        /// The subscription.
        subscription: Subscription,
    },
    /// The bridge refused a subscription or did not answer in time. It is tried again with backoff; one that a report
    /// refused, on the next connection; after [`Failure::Suspected`] not before the user subscribes again.
    SubscriptionLost {
        /// The device.
        device: DeviceKey,
        /// The subscription.
        subscription: Subscription,
        /// The reason.
        failure: Failure,
    },
    /// The bridge refused the subscription to the errors topic or did not answer in time: failures are not reported until it
    /// grants it, for which it is asked again with backoff; after [`Failure::Suspected`] it is not asked any more. If the
    /// cloud detaches a device meanwhile, its publications are not answered until the next connection, on which it is
    /// attached again.
    ErrorsTopicUnavailable {
        /// The reason.
        failure: Failure,
    },
    /// Reading from the bridge has been paused for 5 s: nothing arrives for any device, and no deadline of the bridge
    /// passes. Reported once for each pause; [`Stats::reading_paused_since`](crate::Stats::reading_paused_since)
    /// tells since when.
    ReadingPaused {
        /// At `max_unacknowledged` deliveries: the device with the most that the user has not acknowledged. `None` if the
        /// events are not taken, or the transport takes no acknowledgements.
        device: Option<DeviceKey>,
    },
    /// Deliveries of this device were not acknowledged, and have held up other devices for 5 s: reading was paused, or
    /// acknowledgements waited for their turn. They hold up nobody any more, nor do the next ones, on whatever connection,
    /// until the user acknowledges a delivery of the device. Its commands are acknowledged. A config is not, because that
    /// would confirm to the cloud that the device has it: if the newest one is acknowledged later, the gateway subscribes to it
    /// again, and acknowledges it when it comes; one with another payload is delivered.
    AcknowledgementsOverdue {
        /// The device.
        device: DeviceKey,
        /// Number of its deliveries that were not acknowledged.
        messages: usize,
    },
    /// This device has no token that is good for its attach: its last one has expired or, if it is
    /// [renewable](crate::DeviceAuth::Renewable), is in doubt or was refused. Provide a new one with
    /// [`Gateway::authorize`](crate::Gateway::authorize). Repeated on each connection until the device has one.
    TokenNeeded {
        /// The device.
        device: DeviceKey,
    },
    /// The token of this connection is the same as that of the connection before: it is not refreshed before it expires,
    /// because a refresh would bring it again. Provide a fresh one for each connection. Reported once for each token.
    TokenUnchanged,
    /// A device whose publication was refused as blocked has room again: its own queue is half empty, or what it needs of
    /// the room that all share is free, in the order in which they were refused.
    Writable {
        /// The device.
        device: DeviceKey,
    },
    /// This publication is in the store: it is restored after a restart if the bridge has not acknowledged it by then.
    /// Reported at most once, before its end; never for one that was acknowledged first, at QoS 0, or restored.
    #[cfg(feature = "store")]
    Stored {
        /// The publication.
        op: OpId,
    },
    /// The store could not be written: what was to be stored meanwhile is in memory only. All of it is put again, with
    /// backoff. Reported once until [`StoreRecovered`](Self::StoreRecovered).
    #[cfg(feature = "store")]
    StoreFailed {
        /// Why.
        failure: StoreFailure,
    },
    /// The store can be written again, and has what it did not have when it failed.
    #[cfg(feature = "store")]
    StoreRecovered,
    /// A publication was refused as blocked because the store has no room left for it. Reported once until half of
    /// [`Durability::max_bytes`](crate::options::Durability::max_bytes) is left again. What is acknowledged makes room; what
    /// is unclaimed waits until its device is attached or detached, however long.
    #[cfg(feature = "store")]
    StoreFull {
        /// The bytes that are reserved.
        reserved: usize,
        /// How many of them are for devices that nobody has attached since the start.
        unclaimed: usize,
    },
    /// The gateway is permanently closed. This is the last event, except the end of a [`close`](crate::Gateway::close)
    /// that is called after the gateway gave up connecting.
    Closed {
        /// Publications that were accepted and not acknowledged, in the order of acceptance; each also ended in its own
        /// [`Event::Failed`].
        unsent: Vec<Unsent>,
    },
}

/// The result of a command that succeeded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Outcome {
    /// The gateway is connected.
    Opened,
    /// The device is attached.
    Attached,
    /// The device is no longer attached, and its key is no longer valid.
    Detached,
    /// The token is stored for the next attach of the device.
    Authorized,
    /// The bridge granted the subscription at this quality of service, which may be lower than requested.
    Subscribed(QoS),
    /// The subscription has ended.
    Unsubscribed,
    /// The bridge acknowledged the publication (QoS 1).
    Acknowledged,
    /// The publication was handed over to the transport (QoS 0).
    Transmitted,
    /// The gateway is closed.
    Closed,
}

/// Why a device is no longer attached.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum DetachCause {
    /// [`Gateway::detach`](crate::Gateway::detach) requested it.
    Requested,
    /// The bridge reported it.
    Reported(ErrorReport),
    /// The peer closed that many connections in a row soon after its attach was sent, the last ones while nothing else
    /// was sent: it is not attached again until the user attaches or authorizes it. An attach that the user waits for
    /// ends with [`Failure::Suspected`] instead.
    Suspected {
        /// How many connections.
        connections: u32,
    },
}

/// One sentence: what ended the attachment.
impl fmt::Display for DetachCause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Requested => f.write_str("it was requested"),
            Self::Reported(report) => write!(f, "the bridge reported {report}"),
            Self::Suspected { connections } => write!(
                f,
                "the bridge closed {connections} connections in a row soon after its attach was sent"
            ),
        }
    }
}

/// What ended a connection, or an attempt at one.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum DisconnectReason {
    /// The transport ended, or was never established.
    Transport(TransportEnd),
    /// The bridge refused the connection.
    Refused(Box<Refusal>),
    /// The token passed to [`handle_connected`](crate::Gateway::handle_connected) had expired.
    TokenExpired,
    /// No CONNACK arrived within this time.
    ConnAckTimedOut(Duration),
    /// Nothing arrived within this time after PINGREQ was sent: the peer is gone. More time is given for bytes that a
    /// slow link may still have to carry.
    PingRespTimedOut(Duration),
    /// No whole packet arrived within this time, ten keep alives, although a part of one did, or although the transport
    /// took some bytes.
    PacketTimedOut(Duration),
    /// The transport took no bytes for this time, although some were queued.
    WriteStalled(Duration),
    /// The peer violated the MQTT standard.
    Violation(Violation),
    /// Too many packet identifiers wait for late acknowledgements; only a new connection frees them.
    PacketIdsExhausted,
    /// The gateway disconnected, to reconnect with a fresh token.
    TokenRefresh,
    /// The gateway disconnected because it was closed.
    Closed,
}

impl DisconnectReason {
    /// Returns whether an attempt to connect has failed, not a connection that the bridge had accepted.
    #[must_use]
    pub const fn is_of_attempt(&self) -> bool {
        match self {
            Self::Transport(end) => matches!(
                end,
                TransportEnd::DialFailed
                    | TransportEnd::ProxyFailed
                    | TransportEnd::TlsFailed
                    | TransportEnd::TokenFailed
            ),
            Self::Refused(_) | Self::TokenExpired | Self::ConnAckTimedOut(_) => true,
            _ => false,
        }
    }
}

impl fmt::Display for DisconnectReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Transport(end) => end.fmt(f),
            Self::Refused(refusal) => refusal.fmt(f),
            Self::TokenExpired => f.write_str(
                "the token for the connection had expired: mint a new one for each connection",
            ),
            Self::ConnAckTimedOut(after) => write!(f, "no CONNACK came within {after:?}"),
            Self::PingRespTimedOut(after) => {
                write!(f, "no PINGRESP came within {after:?}: the peer is gone")
            }
            Self::PacketTimedOut(after) => {
                write!(
                    f,
                    "no whole packet came within {after:?}: the link is too slow, or the peer is faulty"
                )
            }
            Self::WriteStalled(after) => write!(f, "the transport took no bytes for {after:?}"),
            Self::Violation(violation) => write!(f, "the peer violated MQTT 3.1.1: {violation}"),
            Self::PacketIdsExhausted => {
                f.write_str("too many packet identifiers wait for late acknowledgements")
            }
            Self::TokenRefresh => f.write_str("reconnecting with a fresh token"),
            Self::Closed => f.write_str("closed"),
        }
    }
}

/// The bridge refused a connection with a CONNACK other than 0.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Refusal {
    /// The return code, 1 to 255. The bridge uses some that are reserved in the standard.
    pub return_code: u8,
    /// The client id that was refused.
    pub client_id: ClientId,
    /// The `iat` of the refused token, if known.
    pub issued_at: Option<UnixTime>,
    /// The `exp` of the refused token, if known.
    pub expires_at: Option<UnixTime>,
    /// The time of this machine's wall clock, as last passed with a token.
    pub unix_now: Option<UnixTime>,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            return_code,
            client_id,
            issued_at,
            expires_at,
            unix_now,
        } = self;
        let meaning = match return_code {
            1 => "the protocol level is not supported",
            2 => "the client id is not allowed, or is in use",
            3 => "the service is unavailable",
            4 | 5 => "the token was not accepted",
            _ => "a code of the bridge's own, for all other reasons",
        };
        write!(
            f,
            "the bridge refused `{client_id}` with return code {return_code}: {meaning}"
        )?;
        if let (Some(issued_at), Some(expires_at)) = (issued_at, expires_at) {
            write!(
                f,
                "; the token says issued {issued_at}, expires {expires_at}"
            )?;
            if *issued_at < PLAUSIBLE {
                f.write_str(": the clock of this machine is wrong, because it was not set when the token was minted")?;
            }
        }
        if let Some(unix_now) = unix_now {
            write!(f, "; the clock of this machine says {unix_now}")?;
        }
        f.write_str("; check the ids and the clock, that the key is registered, and that the gateway is not blocked")
    }
}

/// 2020-01-01: no token that this library minted with a correct clock is older. Machines without a clock battery boot in
/// 1970.
pub(crate) const PLAUSIBLE: UnixTime = UnixTime::from_secs(1_577_836_800);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_small() {
        assert!(size_of::<Event>() <= 88, "{} bytes", size_of::<Event>());
    }
}
