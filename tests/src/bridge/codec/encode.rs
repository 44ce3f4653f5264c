//! Encodes a [`Reply`] to bytes.

use core::fmt;

use bytes::Bytes;

use super::super::faults::AnswerKind;
use super::Version;

/// A control packet that the bridge sends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Reply {
    /// Session present is always 0, because there are no sessions to resume [MQTT-3.2.2-1].
    Connack {
        code: u8,
    },
    Publish {
        topic: String,
        /// An identifier for QoS 1, `None` for QoS 0.
        packet_id: Option<u16>,
        dup: bool,
        payload: Bytes,
    },
    Puback {
        packet_id: u16,
    },
    /// One return code per filter, in their order [MQTT-3.8.4-5].
    Suback {
        packet_id: u16,
        codes: Vec<u8>,
    },
    Unsuback {
        packet_id: u16,
        filters: usize,
    },
    Pingresp,
}

impl Reply {
    /// Returns the kind of answer that this is, if it is one that faults distinguish.
    pub(crate) fn answer_kind(&self) -> Option<AnswerKind> {
        match self {
            Self::Connack { .. } | Self::Publish { .. } => None,
            Self::Puback { .. } => Some(AnswerKind::Puback),
            Self::Suback { .. } => Some(AnswerKind::Suback),
            Self::Unsuback { .. } => Some(AnswerKind::Unsuback),
            Self::Pingresp => Some(AnswerKind::Pingresp),
        }
    }

    /// Appends the packet to `out`.
    pub(crate) fn encode(&self, version: Version, out: &mut Vec<u8>) {
        let properties: &[u8] = match version {
            Version::V311 => &[],
            Version::V5 => &[0],
        };
        match self {
            Self::Connack { code } => match version {
                Version::V311 => frame(out, 0x20, &[&[0, *code]]),
                Version::V5 => frame(out, 0x20, &[&[0, reason(*code)], MAXIMUM_QOS_1]),
            },
            Self::Publish {
                topic,
                packet_id,
                dup,
                payload,
            } => {
                let length = (topic.len() as u16).to_be_bytes();
                let (qos, id) = match packet_id {
                    Some(id) => (0x02, &id.to_be_bytes()[..]),
                    None => (0, &[][..]),
                };
                let first = 0x30 | qos | u8::from(*dup) << 3;
                frame(
                    out,
                    first,
                    &[&length, topic.as_bytes(), id, properties, payload],
                );
            }
            Self::Puback { packet_id } => frame(out, 0x40, &[&packet_id.to_be_bytes()]),
            Self::Suback { packet_id, codes } => {
                frame(out, 0x90, &[&packet_id.to_be_bytes(), properties, codes]);
            }
            Self::Unsuback { packet_id, filters } => {
                let codes = match version {
                    Version::V311 => Vec::new(),
                    Version::V5 => vec![0; *filters],
                };
                frame(out, 0xB0, &[&packet_id.to_be_bytes(), properties, &codes]);
            }
            Self::Pingresp => frame(out, 0xD0, &[]),
        }
    }
}

/// The packet type's name in MQTT, and the fields that distinguish the packet from others.
impl fmt::Display for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Connack { code } => write!(f, "CONNACK {code}"),
            Self::Publish { topic, .. } => write!(f, "PUBLISH {}", topic.escape_debug()),
            Self::Puback { packet_id } => write!(f, "PUBACK {packet_id}"),
            Self::Suback { packet_id, .. } => write!(f, "SUBACK {packet_id}"),
            Self::Unsuback { packet_id, .. } => write!(f, "UNSUBACK {packet_id}"),
            Self::Pingresp => f.write_str("PINGRESP"),
        }
    }
}

/// CONNACK properties that tell an MQTT 5 client not to publish with QoS 2.
const MAXIMUM_QOS_1: &[u8] = &[2, 0x24, 1];

/// Returns the MQTT 5 reason code that corresponds to a 3.1.1 return code.
fn reason(code: u8) -> u8 {
    match code {
        0 => 0,
        1 => 0x84,
        2 => 0x85,
        3 => 0x88,
        4 => 0x86,
        5 => 0x87,
        _ => 0x80,
    }
}

fn frame(out: &mut Vec<u8>, first: u8, parts: &[&[u8]]) {
    out.push(first);
    let mut remaining: usize = parts.iter().map(|part| part.len()).sum();
    loop {
        let more = u8::from(remaining > 0x7F) << 7;
        out.push((remaining & 0x7F) as u8 | more);
        remaining >>= 7;
        if remaining == 0 {
            break;
        }
    }
    for part in parts {
        out.extend_from_slice(part);
    }
}
