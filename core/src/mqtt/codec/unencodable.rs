//! Packets that MQTT 3.1.1 has no encoding for.

use core::error::Error;
use core::fmt;

use super::PacketType;

/// Why a packet was not encoded; the buffer contains nothing of it.
///
/// Always an error of the caller. Contains no string of the packet, because one of them is a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unencodable {
    /// A string is empty that must have at least one byte.
    Empty { field: &'static str },
    /// A string has more bytes than its length field can express.
    TooLong {
        field: &'static str,
        length: usize,
        limit: usize,
    },
    /// A string contains U+0000 at this byte [MQTT-1.5.3-2].
    Nul { field: &'static str, at: usize },
    /// A topic contains a wildcard at this byte [MQTT-3.3.2-2].
    Wildcard { wildcard: char, at: usize },
    /// The topic filter's level that starts at this byte has a wildcard and other characters [MQTT-4.7.1-3], or is a
    /// `#` and not the last level [MQTT-4.7.1-2].
    Filter { at: usize },
    /// A re-delivery of QoS 0 [MQTT-3.3.1-2].
    DupAtQoS0,
    /// What follows the fixed header is longer than a remaining length can express (MQTT 3.1.1, 2.2.3).
    PacketTooLarge { length: usize, limit: usize },
    /// The packet passed every check above and still could not be encoded.
    Unwritable { packet: PacketType },
}

impl fmt::Display for Unencodable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Empty { field } => write!(f, "the {field} is empty"),
            Self::TooLong {
                field,
                length,
                limit,
            } => write!(
                f,
                "the {field} has {length} bytes, at most {limit} are possible"
            ),
            Self::Nul { field, at } => {
                write!(f, "the {field} has U+0000 at byte {at} [MQTT-1.5.3-2]")
            }
            Self::Wildcard { wildcard, at } => {
                write!(
                    f,
                    "the topic has the wildcard {wildcard} at byte {at} [MQTT-3.3.2-2]"
                )
            }
            Self::Filter { at } => write!(
                f,
                "the topic filter's level at byte {at} misplaces a wildcard \
                 [MQTT-4.7.1-2] [MQTT-4.7.1-3]"
            ),
            Self::DupAtQoS0 => write!(
                f,
                "a PUBLISH of QoS 0 cannot be a re-delivery [MQTT-3.3.1-2]"
            ),
            Self::PacketTooLarge { length, limit } => write!(
                f,
                "the packet has a remaining length of {length} bytes, at most {limit} are possible \
                 (MQTT 3.1.1, 2.2.3)"
            ),
            Self::Unwritable { packet } => write!(f, "the {packet} could not be encoded"),
        }
    }
}

impl Error for Unencodable {}
