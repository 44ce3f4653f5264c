//! Everything that can happen to a gateway, as plain data of four bytes.

mod encoding;

use core::time::Duration;

use iotcore_gateway::{QoS, Subscription, TransportEnd};

pub use self::encoding::KINDS;
use crate::bridge::faults::{Fault, FaultKind};
use crate::link::{BOUND, GATEWAY, Side, UNBOUND};
use crate::packets;

/// The devices of all scripts, the gateway first: three that are bound to it, one that is not, another gateway, and one
/// that no registry knows.
pub const DEVICES: [&str; 7] = [
    GATEWAY,
    BOUND[0],
    BOUND[1],
    BOUND[2],
    UNBOUND,
    "gateway-2",
    "ghost-1",
];

/// The other gateway, among [`DEVICES`].
pub(super) const NESTED: usize = 5;

/// One thing that happens. A `device` counts in [`DEVICES`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Time passes, until three hours have.
    Wait(Duration),
    /// The user does something.
    User(Command),
    /// The cloud does something.
    Cloud(Operation),
    /// The bridge does something wrong from now on, or once.
    Fault(FaultKind),
    /// The bridge sends a packet that nobody expects.
    Stray(Stray),
    /// The bridge reports an error that nothing caused.
    Report {
        /// Of whom.
        device: usize,
        /// What, among [`REPORTS`].
        error: usize,
        /// About which packet; 0 for none.
        packet_id: u8,
    },
    /// The network changes, or does something to the bytes.
    Network(NetworkFault),
    /// The user does not poll events for a while.
    LeaveUnpolled(Duration),
    /// The wall clock of the gateway's machine is ahead by so many seconds.
    ClockError(i16),
    /// From the next connection on tokens are valid for so long.
    TokenLifetime(Duration),
}

/// What a user can ask for. Tokens are told by their lifetime; a device that needs none gets none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names of the gateway's commands")]
pub enum Command {
    Open,
    Attach {
        device: usize,
        lifetime: Duration,
    },
    Authorize {
        device: usize,
        lifetime: Duration,
    },
    Detach {
        device: usize,
    },
    /// A payload of at most so many bytes, and not less than the number in it.
    Telemetry {
        device: usize,
        qos: QoS,
        size: u16,
    },
    State {
        device: usize,
        qos: QoS,
        size: u16,
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
    /// One of the deliveries that were not acknowledged, by its age.
    Acknowledge {
        delivery: u8,
    },
    Close,
    /// The process ends and starts anew, with what was unsent.
    Restart,
}

/// What the operator of the cloud can do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names of the bridge's operations")]
pub enum Operation {
    Config { device: usize, size: u16 },
    Command { device: usize, size: u16 },
    Detach { device: usize },
    DropConnection,
    Block { device: usize },
    Unblock { device: usize },
    Bind { device: usize },
    Unbind { device: usize },
}

/// A packet that nobody expects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "MQTT's names")]
pub enum Stray {
    Puback(u8),
    Suback(u8),
    Unsuback(u8),
    Pingresp,
    Connack(u8),
    /// QoS 1 on a topic that is none of the bridge's.
    Publish(u8),
    /// A SUBACK with a reserved return code.
    BadSuback(u8),
    /// A remaining length that never ends.
    Garbage,
}

/// What the network can do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NetworkFault {
    /// From the sending of a byte to its arrival.
    Latency(Duration),
    /// Bytes arrive in fragments of at most so many.
    Fragment(u16),
    /// At most so many bytes are on their way to the bridge.
    Capacity(u16),
    /// The transport is cut.
    Cut,
    /// The transport is cut once so many bytes have arrived.
    CutAfter {
        /// Where.
        side: Side,
        /// How many.
        bytes: u16,
    },
    /// The peer vanishes, without a word.
    HalfOpen,
    /// A bit is flipped once so many bytes have arrived.
    Flip {
        /// Where.
        side: Side,
        /// How many.
        bytes: u8,
        /// 0 to 7.
        bit: u8,
    },
    /// Nothing arrives for a while.
    Stall(Duration),
    /// Attempts to get a transport fail.
    FailDials {
        /// How many.
        count: u8,
        /// How.
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
    /// The packet itself.
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

/// The bytes of an error report that nothing caused, as a PUBLISH.
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
    /// For whoever is connected.
    fn from(kind: &FaultKind) -> Self {
        Self {
            client: None,
            kind: kind.clone(),
        }
    }
}
