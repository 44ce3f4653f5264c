//! Everything that can happen to a gateway, as plain data of four bytes.

mod encoding;
mod terms;

use core::time::Duration;

use iotcore_gateway::{
    cause::TransportEnd,
    message::{QoS, Subscription},
};

pub use self::encoding::KINDS;
use self::encoding::with_qos;
pub use self::terms::{Choice, Terms};
use super::world::Slowness;
use crate::bridge::faults::{Fault, FaultKind};
use crate::link::{BOUND, GATEWAY, Side, UNBOUND};
use crate::packets;

/// The devices of all scripts, the gateway first: three that are bound to it, one that is not, another gateway, and one
/// that is in no registry.
pub const DEVICES: [&str; 7] = [
    GATEWAY,
    BOUND[0],
    BOUND[1],
    BOUND[2],
    UNBOUND,
    "gateway-2",
    "ghost-1",
];

/// The index of the other gateway in [`DEVICES`].
pub(super) const NESTED: usize = 5;

/// One step. A `device` is an index into [`DEVICES`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Time passes, three hours in total at most.
    Wait(Duration),
    /// The user acts.
    User(Command),
    /// The cloud's operator acts.
    Cloud(CloudOperation),
    /// The bridge misbehaves, from now on or once.
    Fault(FaultKind),
    /// The bridge sends an unexpected packet.
    Stray(Stray),
    /// The bridge reports an error without a cause.
    Report {
        /// The device.
        device: usize,
        /// The error, as an index into [`REPORTS`].
        error: usize,
        /// The packet identifier; 0 for none.
        packet_id: u8,
    },
    /// The network changes, or damages the bytes.
    Network(NetworkFault),
    /// The user does not poll events for a while.
    LeaveUnpolled(Duration),
    /// The wall clock of the gateway's machine is ahead by this many seconds.
    ClockError(i16),
    /// The lifetime of tokens, starting with the next connection.
    TokenLifetime(Duration),
    /// The bridge takes its time, or ignores something, from now on.
    Slow(Slowness),
    /// The bridge answers nothing for a while; then, everything.
    StallService(Duration),
    /// The gateway's machine sleeps: its clock stands still, the date and everything else go on.
    Sleep(Duration),
    /// The gateway's machine believes that it is 1970.
    ForgetDate,
    /// The date of the gateway's machine is set, to the right one.
    SetDate,
}

/// The user's commands. Tokens are identified by their lifetime; a device that needs none gets none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names of the gateway's commands")]
pub enum Command {
    Open,
    /// A device that needs tokens has a fixed one, or renewable ones, of which the first may be missing.
    Attach {
        device: usize,
        lifetime: Duration,
        tokens: Tokens,
    },
    Authorize {
        device: usize,
        lifetime: Duration,
    },
    Detach {
        device: usize,
    },
    /// A payload of at most this many bytes, and at least the length of the number in it.
    Telemetry {
        device: usize,
        qos: QoS,
        size: u16,
        terms: Terms,
    },
    State {
        device: usize,
        qos: QoS,
        size: u16,
        terms: Terms,
    },
    /// One of the operations so far, by age.
    Cancel {
        choice: Choice,
        nth: u8,
    },
    Subscribe {
        device: usize,
        subscription: Subscription,
        qos: QoS,
    },
    Unsubscribe {
        device: usize,
        subscription: Subscription,
    },
    /// One of the unacknowledged deliveries, by age.
    Acknowledge {
        delivery: u8,
    },
    /// One of the unacknowledged deliveries, by age.
    Postpone {
        delivery: u8,
    },
    ResetWorstLatency,
    Close,
    /// The process is restarted with the unsent messages.
    Restart,
}

/// The tokens of a device that is attached.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Tokens {
    /// One.
    #[default]
    Fixed,
    /// One, and others when they are needed.
    Renewable,
    /// The same, but the first is still to come.
    ToCome,
}

/// The operations of the cloud's operator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names of the bridge's operations")]
pub enum CloudOperation {
    Config { device: usize, size: u16 },
    Command { device: usize, size: u16 },
    Detach { device: usize },
    DropConnection,
    Block { device: usize },
    Unblock { device: usize },
    Bind { device: usize },
    Unbind { device: usize },
}

/// An unexpected packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "MQTT's names")]
pub enum Stray {
    Puback(u8),
    Suback(u8),
    Unsuback(u8),
    Pingresp,
    Connack(u8),
    /// QoS 1 on a topic that the bridge does not use.
    Publish(u8),
    /// A SUBACK with a reserved return code.
    BadSuback(u8),
    /// A remaining length without an end.
    Garbage,
}

/// The events on the network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NetworkFault {
    /// The time between the sending of a byte and its arrival.
    Latency(Duration),
    /// Bytes arrive in fragments of at most this many.
    Fragment(u16),
    /// At most this many bytes are in transit to the bridge.
    Capacity(u16),
    /// The transport is cut.
    Cut,
    /// The transport is cut after this many bytes have arrived.
    CutAfter {
        /// The receiving side.
        side: Side,
        /// The number of bytes.
        bytes: u16,
    },
    /// The peer vanishes silently.
    HalfOpen,
    /// A bit is flipped after this many bytes have arrived.
    Flip {
        /// The receiving side.
        side: Side,
        /// The number of bytes.
        bytes: u8,
        /// The bit, 0 to 7.
        bit: u8,
    },
    /// Nothing arrives for a while.
    Stall(Duration),
    /// The link carries so many bytes a second, 0 for any number.
    Rate {
        /// Towards this side; `None` for both.
        to: Option<Side>,
        /// The number of bytes.
        bytes: u16,
    },
    /// Connection attempts fail.
    FailDials {
        /// The number of attempts.
        count: u8,
        /// The result.
        end: TransportEnd,
    },
}

/// The codes of [`Step::Report`].
pub const REPORTS: [&str; 8] = [
    "UNKNOWN",
    "GATEWAY_ATTACHMENT_ERROR",
    "GATEWAY_DEVICE_NOT_FOUND",
    "GATEWAY_DETACHMENT_DEVICE_ERROR",
    "GATEWAY_INVALID_MQTT_TOPIC",
    "GATEWAY_UNEXPECTED_PACKET_ID",
    "GATEWAY_UNEXPECTED_MESSAGE_TYPE",
    "GATEWAY_NEVER_HEARD_OF",
];

impl Stray {
    /// Returns the encoded packet.
    pub fn packet(self) -> Vec<u8> {
        match self {
            Self::Puback(id) => packets::puback(id.into()),
            Self::Suback(id) => packets::suback(id.into(), 1),
            Self::Unsuback(id) => packets::unsuback(id.into()),
            Self::Pingresp => packets::PINGRESP.to_vec(),
            Self::Connack(code) => packets::connack(code),
            Self::Publish(id) => packets::publish("/x", b"", Some(id.into()), false),
            Self::BadSuback(id) => packets::suback(id.into(), 0x7F),
            Self::Garbage => vec![0x30, 0xFF, 0xFF, 0xFF, 0xFF],
        }
    }
}

/// Returns the bytes of an error report without a cause, as a PUBLISH.
pub(super) fn report_packet(device: usize, error: usize, packet_id: u8) -> Vec<u8> {
    let topic = format!("/devices/{GATEWAY}/errors");
    let about = match packet_id {
        0 => String::new(),
        id => format!(
            r#","mqtt_message_info":{{"message_type":"PUBLISH","topic":"","packet_id":{id}}}"#
        ),
    };
    let report = format!(
        r#"{{"error_type":"{}","description":"out of the blue","device_id":"{}"{about}}}"#,
        REPORTS[error], DEVICES[device]
    );
    packets::publish(&topic, report.as_bytes(), None, false)
}

impl From<&FaultKind> for Fault {
    /// Applies the fault to every connected client.
    fn from(kind: &FaultKind) -> Self {
        Self {
            client: None,
            kind: kind.clone(),
        }
    }
}
