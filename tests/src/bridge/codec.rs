//! The server's side of MQTT: version 3.1.1 in full, and the subset of version 5 that a client needs if a setting
//! accepts it. It is written for the emulator only and shares no code with the gateway, so that a client's codec is
//! never checked against itself.
//!
//! It is strict: whatever the standard forbids is [`Malformed`], and ends the connection [MQTT-4.8.0-1].

mod decode;
mod encode;
#[cfg(test)]
mod tests;

use core::error::Error;
use core::fmt;

use bytes::{Buf, Bytes, BytesMut};

pub(crate) use encode::Reply;

/// The maximum size of a control packet in bytes. It is far above the bridge's payload limits, so that an oversize
/// payload can still be recognised and answered according to the settings.
pub(crate) const FRAME_LIMIT: usize = 1024 * 1024;

/// The protocol version of a connection, determined by its CONNECT.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Version {
    /// MQTT 3.1.1, protocol level 4.
    V311,
    /// MQTT 5, protocol level 5. The length of properties is checked, and they are skipped.
    V5,
}

/// A control packet that a client sends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Packet {
    Connect(Box<Connect>),
    /// A CONNECT whose protocol level is neither 4 nor 5; nothing after the level was read.
    UnsupportedConnect {
        level: u8,
    },
    Publish(Publish),
    Puback {
        packet_id: u16,
    },
    /// PUBREC, PUBREL or PUBCOMP, which this bridge does not support.
    QosTwo {
        name: &'static str,
        packet_id: u16,
    },
    Subscribe {
        packet_id: u16,
        filters: Vec<(String, u8)>,
    },
    Unsubscribe {
        packet_id: u16,
        filters: Vec<String>,
    },
    Pingreq,
    Disconnect,
}

/// A CONNECT of level 4 or 5.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Connect {
    pub(crate) version: Version,
    pub(crate) clean_session: bool,
    /// Seconds; 0 disables the keep-alive.
    pub(crate) keep_alive: u16,
    pub(crate) client_id: String,
    pub(crate) will: Option<Will>,
    pub(crate) user_name: Option<String>,
    pub(crate) password: Option<Bytes>,
}

/// The client's will message. The bridge does not publish wills.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Will {
    pub(crate) topic: String,
    pub(crate) message: Bytes,
    pub(crate) qos: u8,
    pub(crate) retain: bool,
}

/// A PUBLISH of QoS 0, 1 or 2.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Publish {
    pub(crate) topic: String,
    pub(crate) qos: u8,
    pub(crate) dup: bool,
    pub(crate) retain: bool,
    /// 0 if and only if the QoS is 0.
    pub(crate) packet_id: u16,
    pub(crate) payload: Bytes,
}

/// Collects a connection's bytes, in fragments of any size, and splits them into packets. `Debug` shows no bytes
/// because they may contain a token.
pub(crate) struct Decoder {
    buffer: BytesMut,
    version: Version,
}

/// The reason why a client's bytes are not valid MQTT.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Malformed {
    /// A Remaining Length of more than four bytes (2.2.3).
    RemainingLength,
    /// A packet above the emulator's limit of 1 MiB.
    TooLong {
        /// The Remaining Length in bytes.
        remaining: usize,
    },
    /// A packet type that no client sends.
    PacketType {
        /// The first byte of the packet.
        first: u8,
    },
    /// Reserved flag bits with a wrong value [MQTT-2.2.2-2].
    Flags {
        /// The first byte of the packet.
        first: u8,
    },
    /// A packet that ends before its last field.
    Truncated,
    /// Bytes after the last field.
    Trailing {
        /// How many.
        extra: usize,
    },
    /// A string that is not UTF-8 [MQTT-1.5.3-1].
    NotUtf8,
    /// A string with U+0000 [MQTT-1.5.3-2].
    Nul,
    /// A CONNECT with another protocol name than MQTT [MQTT-3.1.2-1].
    ProtocolName,
    /// Connect flags that contradict each other or set the reserved bit [MQTT-3.1.2-3].
    ConnectFlags {
        /// The byte of the flags.
        flags: u8,
    },
    /// A QoS of 3, or upper bits beside a requested QoS [MQTT-3.3.1-4, MQTT-3-8.3-4].
    Qos {
        /// The byte that holds the QoS.
        byte: u8,
    },
    /// DUP on a QoS 0 PUBLISH [MQTT-3.3.1-2].
    DupWithoutQos,
    /// A packet identifier of 0 [MQTT-2.3.1-1].
    PacketIdZero,
    /// A topic name that is empty or contains a wildcard [MQTT-3.3.2-2, MQTT-4.7.3-1].
    TopicName,
    /// A topic filter that is empty or misplaces a wildcard [MQTT-4.7.1-2, MQTT-4.7.1-3].
    TopicFilter,
    /// A SUBSCRIBE or UNSUBSCRIBE without a filter [MQTT-3.8.3-3, MQTT-3.10.3-2].
    NoFilter,
}

impl Packet {
    /// Returns the packet type's name in MQTT.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Connect(_) | Self::UnsupportedConnect { .. } => "CONNECT",
            Self::Publish(_) => "PUBLISH",
            Self::Puback { .. } => "PUBACK",
            Self::QosTwo { name, .. } => name,
            Self::Subscribe { .. } => "SUBSCRIBE",
            Self::Unsubscribe { .. } => "UNSUBSCRIBE",
            Self::Pingreq => "PINGREQ",
            Self::Disconnect => "DISCONNECT",
        }
    }
}

impl fmt::Debug for Connect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connect")
            .field("version", &self.version)
            .field("clean_session", &self.clean_session)
            .field("keep_alive", &self.keep_alive)
            .field("client_id", &self.client_id)
            .field("will", &self.will)
            .field("user_name", &self.user_name)
            .field("password", &self.password.as_ref().map(|_| "…"))
            .finish()
    }
}

impl fmt::Debug for Decoder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Decoder")
            .field("buffer", &format_args!("[{} bytes]", self.buffer.len()))
            .field("version", &self.version)
            .finish()
    }
}

impl Decoder {
    pub(crate) fn new() -> Self {
        Self {
            buffer: BytesMut::new(),
            version: Version::V311,
        }
    }

    /// Appends received bytes.
    pub(crate) fn feed(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// Returns the length of the next packet, once its header is complete and valid.
    pub(crate) fn next_len(&self) -> Option<usize> {
        let (_, header, remaining) = fixed_header(&self.buffer).ok().flatten()?;
        Some(header + remaining)
    }

    /// Removes and returns the next packet, if it is complete.
    pub(crate) fn next_packet(&mut self) -> Result<Option<Packet>, Malformed> {
        let Some((first, header, remaining)) = fixed_header(&self.buffer)? else {
            return Ok(None);
        };
        if self.buffer.len() < header + remaining {
            return Ok(None);
        }
        self.buffer.advance(header);
        let body = self.buffer.split_to(remaining).freeze();
        decode::packet(first, body, self.version).map(Some)
    }

    /// Sets the version of the packets after CONNECT.
    pub(crate) fn speak(&mut self, version: Version) {
        self.version = version;
    }
}

/// Returns the first byte, the length of the fixed header, and the Remaining Length, once the header is complete.
fn fixed_header(frame: &[u8]) -> Result<Option<(u8, usize, usize)>, Malformed> {
    let Some((&first, rest)) = frame.split_first() else {
        return Ok(None);
    };
    let mut remaining = 0;
    for (index, byte) in rest.iter().take(4).enumerate() {
        remaining |= usize::from(byte & 0x7F) << (7 * index);
        if byte & 0x80 == 0 {
            if remaining > FRAME_LIMIT {
                return Err(Malformed::TooLong { remaining });
            }
            return Ok(Some((first, index + 2, remaining)));
        }
    }
    if rest.len() >= 4 {
        return Err(Malformed::RemainingLength);
    }
    Ok(None)
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::RemainingLength => f.write_str("a Remaining Length of more than four bytes"),
            Self::TooLong { remaining } => write!(
                f,
                "a packet of {remaining} bytes, above the limit of {FRAME_LIMIT}"
            ),
            Self::PacketType { first } => {
                write!(f, "a packet that no client sends (first byte {first:#04x})")
            }
            Self::Flags { first } => {
                write!(f, "wrong reserved flags (first byte {first:#04x})")?;
                match first {
                    0x16 => f.write_str(", which begins a TLS handshake: the client uses TLS, and this port does not"),
                    _ => Ok(()),
                }
            }
            Self::Truncated => f.write_str("a packet that ends inside a field"),
            Self::Trailing { extra } => write!(f, "{extra} bytes after the last field"),
            Self::NotUtf8 => f.write_str("a string that is not UTF-8"),
            Self::Nul => f.write_str("a string with U+0000"),
            Self::ProtocolName => f.write_str("a CONNECT whose protocol name is not MQTT"),
            Self::ConnectFlags { flags } => {
                write!(f, "contradicting connect flags ({flags:#010b})")
            }
            Self::Qos { byte } => write!(f, "an impossible QoS ({byte:#04x})"),
            Self::DupWithoutQos => f.write_str("DUP set on a QoS 0 PUBLISH"),
            Self::PacketIdZero => f.write_str("a packet identifier of 0"),
            Self::TopicName => f.write_str("a topic name that is empty or has a wildcard"),
            Self::TopicFilter => {
                f.write_str("a topic filter that is empty or misplaces a wildcard")
            }
            Self::NoFilter => f.write_str("no topic filter"),
        }
    }
}

impl Error for Malformed {}
