//! Violations of MQTT 3.1.1 by a server.

use core::error::Error;
use core::fmt;

use super::{PacketId, PacketType};

/// What the server sent that MQTT 3.1.1 forbids, or that this client's packets cannot have caused.
///
/// Always an error of the peer, and always the end of the connection [MQTT-4.8.0-1]. `Display` names the packet, the
/// value, the limit and the clause.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Violation {
    /// Packet types 0 and 15 do not exist.
    ReservedType {
        /// The packet's first byte.
        first_byte: u8,
    },
    /// A packet that only a client may send.
    ClientPacket {
        /// Its type.
        packet: PacketType,
    },
    /// A packet of QoS 2, at which this client never publishes or subscribes.
    QoS2 {
        /// PUBLISH, PUBREC, PUBREL or PUBCOMP.
        packet: PacketType,
    },
    /// A PUBLISH with both QoS bits set.
    QoS3,
    /// A PUBLISH of QoS 0 that is marked as a re-delivery.
    DupAtQoS0,
    /// Reserved flag bits that are not zero.
    Flags {
        /// The packet type.
        packet: PacketType,
        /// The lower four bits of its first byte.
        found: u8,
    },
    /// A remaining length that continues after its fourth byte.
    LengthEndless {
        /// The packet type.
        packet: PacketType,
    },
    /// A remaining length encoded in more bytes than necessary.
    LengthNotMinimal {
        /// The packet type.
        packet: PacketType,
        /// The encoded length.
        length: usize,
    },
    /// A remaining length that packets of this type cannot have.
    Length {
        /// The packet's type.
        packet: PacketType,
        /// Its remaining length in bytes.
        found: usize,
        /// Minimum.
        at_least: usize,
        /// Maximum.
        at_most: usize,
    },
    /// A packet larger than this client accepts: a limit of its options, not of the standard.
    TooLarge {
        /// The packet's type.
        packet: PacketType,
        /// Its whole length in bytes, header included.
        length: usize,
        /// Maximum size of a packet in bytes.
        limit: usize,
    },
    /// Another packet before CONNACK.
    NotConnAckFirst {
        /// The packet that came first.
        packet: PacketType,
    },
    /// A second CONNACK on one connection.
    SecondConnAck,
    /// A packet identifier of zero.
    PacketIdZero {
        /// The packet type.
        packet: PacketType,
    },
    /// Reserved bits in the first byte of a CONNACK's body.
    ConnAckFlags {
        /// That byte; 0 and 1 are legal.
        found: u8,
    },
    /// A CONNACK that refuses and still reports a stored session.
    SessionPresentWithRefusal {
        /// The return code, 1 to 255.
        return_code: u8,
    },
    /// A SUBACK with a reserved return code.
    SubAckReturnCode {
        /// The packet identifier of the SUBACK.
        packet_id: PacketId,
        /// The code; 0x00, 0x01, 0x02 and 0x80 are legal.
        found: u8,
    },
    /// A PUBLISH without a topic.
    TopicEmpty,
    /// A topic that is longer than the rest of its PUBLISH.
    TopicBeyondPacket {
        /// The claimed length of the topic in bytes.
        length: usize,
        /// The number of bytes available.
        room: usize,
    },
    /// A topic that is not well-formed UTF-8.
    TopicNotUtf8 {
        /// The offset of its first ill-formed byte.
        at: usize,
    },
    /// A topic that contains U+0000.
    TopicWithNul {
        /// The offset of that byte.
        at: usize,
    },
    /// A topic that contains a wildcard, which only a topic filter may have.
    TopicWithWildcard {
        /// `+` or `#`.
        wildcard: char,
        /// The offset of that byte.
        at: usize,
    },
    /// A packet that passed every check above and still could not be decoded.
    Unreadable {
        /// The packet's type.
        packet: PacketType,
    },
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::ReservedType { first_byte } => write!(
                f,
                "a packet starts with {first_byte:#04x}: types 0 and 15 are reserved (MQTT 3.1.1, 2.2.1)"
            ),
            Self::ClientPacket { packet } => {
                write!(f, "{packet}: only a client sends it (MQTT 3.1.1, 2.2.1)")
            }
            Self::QoS2 { packet } => write!(
                f,
                "{packet} of QoS 2: this client publishes and subscribes with QoS 0 and 1 only \
                 (MQTT 3.1.1, 4.3.3)"
            ),
            Self::QoS3 => write!(f, "PUBLISH of QoS 3 [MQTT-3.3.1-4]"),
            Self::DupAtQoS0 => write!(f, "PUBLISH with DUP 1 at QoS 0 [MQTT-3.3.1-2]"),
            Self::Flags { packet, found } => {
                write!(
                    f,
                    "{packet} with flags {found:#06b}, which must be 0b0000 [MQTT-2.2.2-2]"
                )
            }
            Self::LengthEndless { packet } => write!(
                f,
                "{packet} with a remaining length of more than 4 bytes (MQTT 3.1.1, 2.2.3)"
            ),
            Self::LengthNotMinimal { packet, length } => write!(
                f,
                "{packet} with its remaining length {length} encoded in more bytes than necessary \
                 (MQTT 3.1.1, 2.2.3)"
            ),
            Self::Length {
                packet,
                found,
                at_least,
                at_most,
            } if at_least == at_most => write!(
                f,
                "{packet} with remaining length {found}, which must be {at_least} (MQTT 3.1.1, 2.2.3)"
            ),
            Self::Length {
                packet,
                found,
                at_least,
                at_most,
            } => write!(
                f,
                "{packet} with remaining length {found}, which must be {at_least} to {at_most} \
                 (MQTT 3.1.1, 2.2.3)"
            ),
            Self::TooLarge {
                packet,
                length,
                limit,
            } => write!(
                f,
                "{packet} of {length} bytes: this client accepts packets of at most {limit} bytes"
            ),
            Self::NotConnAckFirst { packet } => {
                write!(f, "{packet} before CONNACK [MQTT-3.2.0-1]")
            }
            Self::SecondConnAck => write!(f, "a second CONNACK (MQTT 3.1.1, 3.2)"),
            Self::PacketIdZero { packet } => {
                write!(f, "{packet} with packet identifier 0 [MQTT-2.3.1-1]")
            }
            Self::ConnAckFlags { found } => write!(
                f,
                "CONNACK with acknowledge flags {found:#04x}, which must be 0 or 1 (MQTT 3.1.1, 3.2.2.1)"
            ),
            Self::SessionPresentWithRefusal { return_code } => write!(
                f,
                "CONNACK with session present and return code {return_code}, which must be 0 then \
                 [MQTT-3.2.2-4]"
            ),
            Self::SubAckReturnCode { packet_id, found } => write!(
                f,
                "SUBACK {packet_id} with return code {found:#04x}, which must be 0x00, 0x01, 0x02 or \
                 0x80 [MQTT-3.9.3-2]"
            ),
            Self::TopicEmpty => write!(f, "PUBLISH with an empty topic [MQTT-4.7.3-1]"),
            Self::TopicBeyondPacket { length, room } => write!(
                f,
                "PUBLISH with a topic of {length} bytes but only {room} bytes left (MQTT 3.1.1, 3.3.2.1)"
            ),
            Self::TopicNotUtf8 { at } => {
                write!(
                    f,
                    "PUBLISH with ill-formed UTF-8 at byte {at} of its topic [MQTT-1.5.3-1]"
                )
            }
            Self::TopicWithNul { at } => {
                write!(
                    f,
                    "PUBLISH with U+0000 at byte {at} of its topic [MQTT-1.5.3-2]"
                )
            }
            Self::TopicWithWildcard { wildcard, at } => write!(
                f,
                "PUBLISH with the wildcard {wildcard} at byte {at} of its topic [MQTT-3.3.2-2]"
            ),
            Self::Unreadable { packet } => {
                write!(f, "{packet} could not be decoded (MQTT 3.1.1, 4.8)")
            }
        }
    }
}

impl Error for Violation {}
