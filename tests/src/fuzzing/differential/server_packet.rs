//! A server's MQTT 3.1.1 packets, parsed directly according to the standard: strict, simple, slow, and independent of
//! other code.

/// A packet sent by a server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ServerPacket {
    /// CONNACK (3.2).
    ConnAck {
        /// Whether the server has a session stored.
        session_present: bool,
        /// 0 accepts, 1 to 5 refuse.
        return_code: u8,
    },
    /// PUBLISH (3.3).
    Publish {
        /// Whether it is marked as a retransmission.
        dup: bool,
        /// 0, 1 or 2.
        qos: u8,
        /// Whether it is a retained message.
        retain: bool,
        /// Its topic.
        topic: String,
        /// 0 if and only if the QoS is 0.
        packet_id: u16,
        /// Its payload.
        payload: Vec<u8>,
    },
    /// PUBACK (3.4).
    PubAck(u16),
    /// PUBREC (3.5).
    PubRec(u16),
    /// PUBREL (3.6).
    PubRel(u16),
    /// PUBCOMP (3.7).
    PubComp(u16),
    /// SUBACK (3.9), with at least one return code.
    SubAck(u16, Vec<u8>),
    /// UNSUBACK (3.11).
    UnsubAck(u16),
    /// PINGRESP (3.13).
    PingResp,
}

/// The ways in which bytes violate the standard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Malformed {
    /// Types 0 and 15, and those that only a client sends (table 2.1).
    Type,
    /// Flags that are not in table 2.2 [MQTT-2.2.2-2].
    Flags,
    /// A PUBLISH with both bits of its QoS set [MQTT-3.3.1-4].
    QosThree,
    /// A PUBLISH of QoS 0 with DUP [MQTT-3.3.1-2].
    DupAtQosZero,
    /// A remaining length of more than four bytes (2.2.3).
    EndlessLength,
    /// A remaining length that is invalid for the type of packet.
    Length,
    /// A field that extends beyond its packet.
    Truncated,
    /// CONNACK flags other than session present (3.2.2.1).
    ConnAckFlags,
    /// Session present with a refusal [MQTT-3.2.2-4].
    SessionPresent,
    /// A reserved CONNACK return code: 6 to 255 (table 3.1).
    ReturnCode(u8),
    /// A SUBACK return code other than the four [MQTT-3.9.3-2].
    SubAckCode,
    /// A packet identifier of 0 [MQTT-2.3.1-1].
    PacketIdZero,
    /// A topic that is not UTF-8 [MQTT-1.5.3-1].
    NotUtf8,
    /// A topic with U+0000 [MQTT-1.5.3-2].
    Nul,
    /// A topic with a wildcard [MQTT-3.3.2-2].
    Wildcard,
    /// An empty topic [MQTT-4.7.3-1].
    EmptyTopic,
}

/// Returns the packet at the front and its length; `None` while it is incomplete.
///
/// # Errors
///
/// The violation of the standard.
pub fn read(bytes: &[u8]) -> Result<Option<(ServerPacket, usize)>, Malformed> {
    let Some((first, rest)) = bytes.split_first() else {
        return Ok(None);
    };
    check_first(*first)?;
    let Some((length, written_in)) = remaining_length(rest)? else {
        return Ok(None);
    };
    check_length(*first, length)?;
    match rest.get(written_in..written_in + length) {
        Some(whole) => Ok(Some((body(*first, whole)?, 1 + written_in + length))),
        None => Ok(None),
    }
}

/// Checks the type and the flags.
pub(super) fn check_first(first: u8) -> Result<(), Malformed> {
    let flags = first & 0x0f;
    match first >> 4 {
        3 if flags & 0b0110 == 0b0110 => Err(Malformed::QosThree),
        3 if flags & 0b1110 == 0b1000 => Err(Malformed::DupAtQosZero),
        3 => Ok(()),
        6 if flags == 0b0010 => Ok(()),
        2 | 4 | 5 | 7 | 9 | 11 | 13 if flags == 0 => Ok(()),
        2 | 4 | 5 | 6 | 7 | 9 | 11 | 13 => Err(Malformed::Flags),
        _ => Err(Malformed::Type),
    }
}

/// Returns the remaining length and the number of bytes that encode it; `None` while it is incomplete. The algorithm of
/// 2.2.3.
pub(super) fn remaining_length(bytes: &[u8]) -> Result<Option<(usize, usize)>, Malformed> {
    let (mut multiplier, mut value) = (1, 0);
    for (index, byte) in bytes.iter().enumerate() {
        value += usize::from(byte % 128) * multiplier;
        if *byte < 128 {
            return Ok(Some((value, index + 1)));
        }
        if multiplier == 128 * 128 * 128 {
            return Err(Malformed::EndlessLength);
        }
        multiplier *= 128;
    }
    Ok(None)
}

/// Checks that a packet with this first byte can have this remaining length.
pub(super) fn check_length(first: u8, length: usize) -> Result<(), Malformed> {
    let is_possible = match first >> 4 {
        13 => length == 0,
        // A topic of one character and, for QoS 1 and above, an identifier.
        3 if first & 0b0110 == 0 => length >= 3,
        3 => length >= 5,
        9 => length >= 3,
        _ => length == 2,
    };
    is_possible.then_some(()).ok_or(Malformed::Length)
}

/// Parses the body after a fixed header that was checked.
pub(super) fn body(first: u8, body: &[u8]) -> Result<ServerPacket, Malformed> {
    let packet_id = || match body {
        [0, 0, ..] => Err(Malformed::PacketIdZero),
        [high, low, ..] => Ok(u16::from_be_bytes([*high, *low])),
        _ => Err(Malformed::Truncated),
    };
    Ok(match first >> 4 {
        2 => return connack(body),
        3 => return publish(first, body),
        4 => ServerPacket::PubAck(packet_id()?),
        5 => ServerPacket::PubRec(packet_id()?),
        6 => ServerPacket::PubRel(packet_id()?),
        7 => ServerPacket::PubComp(packet_id()?),
        9 => {
            let codes = body.get(2..).unwrap_or_default().to_vec();
            if !codes.iter().all(|code| matches!(code, 0 | 1 | 2 | 0x80)) {
                return Err(Malformed::SubAckCode);
            }
            ServerPacket::SubAck(packet_id()?, codes)
        }
        11 => ServerPacket::UnsubAck(packet_id()?),
        13 => ServerPacket::PingResp,
        _ => return Err(Malformed::Type),
    })
}

fn connack(body: &[u8]) -> Result<ServerPacket, Malformed> {
    let [flags, return_code] = *body else {
        return Err(Malformed::Truncated);
    };
    match (flags, return_code) {
        (2.., _) => Err(Malformed::ConnAckFlags),
        (1, 1..) => Err(Malformed::SessionPresent),
        (_, 6..) => Err(Malformed::ReturnCode(return_code)),
        _ => Ok(ServerPacket::ConnAck {
            session_present: flags == 1,
            return_code,
        }),
    }
}

fn publish(first: u8, body: &[u8]) -> Result<ServerPacket, Malformed> {
    let [high, low, rest @ ..] = body else {
        return Err(Malformed::Truncated);
    };
    let length = usize::from(u16::from_be_bytes([*high, *low]));
    let topic = rest.get(..length).ok_or(Malformed::Truncated)?;
    let topic = String::from_utf8(topic.to_vec()).map_err(|_| Malformed::NotUtf8)?;
    if topic.is_empty() {
        return Err(Malformed::EmptyTopic);
    }
    for character in topic.chars() {
        match character {
            '\0' => return Err(Malformed::Nul),
            '+' | '#' => return Err(Malformed::Wildcard),
            _ => {}
        }
    }
    let qos = first >> 1 & 0b11;
    let (packet_id, payload) = match (qos, &rest[length..]) {
        (0, payload) => (0, payload),
        (_, [0, 0, ..]) => return Err(Malformed::PacketIdZero),
        (_, [high, low, payload @ ..]) => (u16::from_be_bytes([*high, *low]), payload),
        _ => return Err(Malformed::Truncated),
    };
    Ok(ServerPacket::Publish {
        dup: first & 0b1000 != 0,
        qos,
        retain: first & 1 != 0,
        topic,
        packet_id,
        payload: payload.to_vec(),
    })
}
