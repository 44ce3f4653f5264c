//! The packets of MQTT 3.1.1, as far as a client without QoS 2 meets them.

use core::fmt;
use core::num::NonZeroU16;

use bytes::Bytes;

/// How often a message is delivered: at most once, or at least once.
///
/// The bridge has no QoS 2, so neither has this type.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum QoS {
    /// QoS 0: sent once, never acknowledged, lost with the connection.
    AtMostOnce,
    /// QoS 1: sent until it is acknowledged; the receiver may see it more than once.
    AtLeastOnce,
}

/// The type of an MQTT control packet, with its number on the wire (MQTT 3.1.1, table 2.1).
///
/// `Display` gives the standard's name, such as `PUBACK`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum PacketType {
    /// The client opens the connection.
    Connect = 1,
    /// The server accepts or refuses it.
    ConnAck = 2,
    /// A message, either way.
    Publish = 3,
    /// Acknowledges a PUBLISH of QoS 1.
    PubAck = 4,
    /// QoS 2, first answer.
    PubRec = 5,
    /// QoS 2, release.
    PubRel = 6,
    /// QoS 2, completion.
    PubComp = 7,
    /// The client asks for topics.
    Subscribe = 8,
    /// The server grants or refuses them.
    SubAck = 9,
    /// The client gives topics up.
    Unsubscribe = 10,
    /// Acknowledges an UNSUBSCRIBE.
    UnsubAck = 11,
    /// The client asks for a sign of life.
    PingReq = 12,
    /// The server gives it.
    PingResp = 13,
    /// The client ends the connection.
    Disconnect = 14,
}

impl PacketType {
    /// The type named by the upper four bits of a packet's first byte; `None` for the reserved 0 and 15.
    pub(super) fn of(first_byte: u8) -> Option<Self> {
        Some(match first_byte >> 4 {
            1 => Self::Connect,
            2 => Self::ConnAck,
            3 => Self::Publish,
            4 => Self::PubAck,
            5 => Self::PubRec,
            6 => Self::PubRel,
            7 => Self::PubComp,
            8 => Self::Subscribe,
            9 => Self::SubAck,
            10 => Self::Unsubscribe,
            11 => Self::UnsubAck,
            12 => Self::PingReq,
            13 => Self::PingResp,
            14 => Self::Disconnect,
            _ => return None,
        })
    }
}

impl fmt::Display for PacketType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Connect => "CONNECT",
            Self::ConnAck => "CONNACK",
            Self::Publish => "PUBLISH",
            Self::PubAck => "PUBACK",
            Self::PubRec => "PUBREC",
            Self::PubRel => "PUBREL",
            Self::PubComp => "PUBCOMP",
            Self::Subscribe => "SUBSCRIBE",
            Self::SubAck => "SUBACK",
            Self::Unsubscribe => "UNSUBSCRIBE",
            Self::UnsubAck => "UNSUBACK",
            Self::PingReq => "PINGREQ",
            Self::PingResp => "PINGRESP",
            Self::Disconnect => "DISCONNECT",
        })
    }
}

/// A packet identifier; never zero [MQTT-2.3.1-1].
pub(crate) type PacketId = NonZeroU16;

/// What a server may send to a client that uses no QoS 2 and asks for one topic filter per SUBSCRIBE.
///
/// Small, so that an acknowledgement stays in registers: what a PUBLISH says is beside it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Packet {
    /// The answer to CONNECT. Code 0 accepts; every other one refuses, the reserved 6 to 255 too.
    ConnAck {
        session_present: bool,
        return_code: u8,
    },
    Publish,
    PubAck(PacketId),
    SubAck {
        packet_id: PacketId,
        return_code: SubAckCode,
    },
    UnsubAck(PacketId),
    PingResp,
}

impl Packet {
    pub(crate) fn packet_type(&self) -> PacketType {
        match self {
            Self::ConnAck { .. } => PacketType::ConnAck,
            Self::Publish => PacketType::Publish,
            Self::PubAck(_) => PacketType::PubAck,
            Self::SubAck { .. } => PacketType::SubAck,
            Self::UnsubAck(_) => PacketType::UnsubAck,
            Self::PingResp => PacketType::PingResp,
        }
    }
}

/// An incoming message. Owns its bytes: it keeps nothing of the input alive but its own packet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Publish {
    /// 1 to 65,535 bytes without U+0000, `+` and `#`.
    pub(crate) topic: String,
    pub(crate) payload: Bytes,
    pub(crate) qos: QoS,
    /// Present exactly when `qos` is [`QoS::AtLeastOnce`].
    pub(crate) packet_id: Option<PacketId>,
    /// Says nothing about whether this client has seen the message [MQTT-3.3.1-3].
    pub(crate) dup: bool,
    pub(crate) retain: bool,
}

/// The server's answer for one topic filter (MQTT 3.1.1, 3.9.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SubAckCode {
    /// 0x00.
    MaximumQoS0,
    /// 0x01.
    MaximumQoS1,
    /// 0x02, which nothing this client sends asks for.
    MaximumQoS2,
    /// 0x80.
    Failure,
}

impl SubAckCode {
    /// The code with this number; `None` for a reserved one [MQTT-3.9.3-2].
    pub(super) fn of(number: u8) -> Option<Self> {
        Some(match number {
            0x00 => Self::MaximumQoS0,
            0x01 => Self::MaximumQoS1,
            0x02 => Self::MaximumQoS2,
            0x80 => Self::Failure,
            _ => return None,
        })
    }
}

/// What a CONNECT of this client says. The rest is fixed: MQTT 3.1.1, CleanSession 1, no will.
///
/// Has no `Debug`: the password is a token.
pub(crate) struct Connect<'a> {
    /// At most 65,535 bytes.
    pub(crate) client_id: &'a str,
    /// 1 to 65,535 bytes: 3.1.1 allows no password without a user name [MQTT-3.1.2-22].
    pub(crate) user_name: &'a str,
    /// At most 65,535 bytes; left out of the packet when empty.
    pub(crate) password: &'a str,
    /// Seconds; 0 turns the server's check off.
    pub(crate) keep_alive_secs: u16,
}
