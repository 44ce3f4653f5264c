//! The packets of MQTT 3.1.1 that a client without QoS 2 uses.

use core::fmt;
use core::num::NonZeroU16;

use bytes::Bytes;

/// Quality of service: how often a message is delivered.
///
/// The bridge does not support QoS 2, so it is not included.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum QoS {
    /// At most once (QoS 0): sent once, never acknowledged, lost with the connection.
    AtMostOnce,
    /// At least once (QoS 1): sent until it is acknowledged; the receiver may get it more than once.
    AtLeastOnce,
}

/// The type of an MQTT control packet, with its number on the wire (MQTT 3.1.1, table 2.1).
///
/// `Display` writes the standard's name, such as `PUBACK`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum PacketType {
    /// The client opens the connection.
    Connect = 1,
    /// The server accepts or refuses it.
    ConnAck = 2,
    /// A message, in either direction.
    Publish = 3,
    /// Acknowledges a PUBLISH of QoS 1.
    PubAck = 4,
    /// QoS 2, first answer.
    PubRec = 5,
    /// QoS 2, release.
    PubRel = 6,
    /// QoS 2, completion.
    PubComp = 7,
    /// The client subscribes to topics.
    Subscribe = 8,
    /// The server grants or refuses them.
    SubAck = 9,
    /// The client unsubscribes from topics.
    Unsubscribe = 10,
    /// Acknowledges an UNSUBSCRIBE.
    UnsubAck = 11,
    /// Keep-alive probe of the client.
    PingReq = 12,
    /// The server's answer to it.
    PingResp = 13,
    /// The client ends the connection.
    Disconnect = 14,
}

impl PacketType {
    /// Returns the type in the upper four bits of a packet's first byte; `None` for the reserved 0 and 15.
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

/// A packet from a server to a client that uses no QoS 2 and one topic filter per SUBSCRIBE.
///
/// Small, so that an acknowledgement stays in registers: the contents of a PUBLISH are stored separately.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Packet {
    /// The answer to CONNECT. Code 0 accepts; every other code refuses, including the reserved 6 to 255.
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

/// An incoming message. Owns its bytes: it keeps no input alive except its own packet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Publish {
    /// 1 to 65,535 bytes without U+0000, `+` and `#`.
    pub(crate) topic: String,
    pub(crate) payload: Bytes,
    pub(crate) qos: QoS,
    /// Present if and only if `qos` is [`QoS::AtLeastOnce`].
    pub(crate) packet_id: Option<PacketId>,
    /// Does not show whether this client has received the message before [MQTT-3.3.1-3].
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
    /// 0x02, which this client never requests.
    MaximumQoS2,
    /// 0x80.
    Failure,
}

impl SubAckCode {
    /// Returns the code with this number; `None` for a reserved one [MQTT-3.9.3-2].
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

/// The contents of this client's CONNECT. The rest is fixed: MQTT 3.1.1, CleanSession 1, no will.
///
/// Has no `Debug`, because the password is a token.
pub(crate) struct Connect<'a> {
    /// At most 65,535 bytes.
    pub(crate) client_id: &'a str,
    /// 1 to 65,535 bytes: 3.1.1 allows no password without a user name [MQTT-3.1.2-22].
    pub(crate) user_name: &'a str,
    /// At most 65,535 bytes; omitted from the packet when empty.
    pub(crate) password: &'a str,
    /// Seconds; 0 disables the server's check.
    pub(crate) keep_alive_secs: u16,
}
