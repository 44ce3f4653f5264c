//! Encoding and decoding of packets, strict in both directions.
//!
//! The only file that uses `mqttbytes`. `mqttbytes` encodes CONNECT, SUBSCRIBE and UNSUBSCRIBE, checks little and
//! trusts its caller, so this file refuses invalid packets before calling it. All else is decoded and encoded in place.

mod packet;
mod publish;
mod topic_name;
mod unencodable;
mod violation;

#[cfg(test)]
pub(super) mod tests;

use core::ops::RangeInclusive;

use bytes::{BufMut, BytesMut};
use mqttbytes::v4;

pub(crate) use packet::{Connect, Packet, PacketId, Publish, SubAckCode};
pub use packet::{PacketType, QoS};
pub(crate) use publish::{assembled_publish, copied_publish};
pub(crate) use topic_name::TopicName;
pub(crate) use unencodable::Unencodable;
pub use violation::Violation;

/// The longest string: its length is encoded in two bytes (MQTT 3.1.1, 1.5.3).
pub(crate) const MAX_STRING: usize = 65_535;

/// The largest remaining length: four bytes of seven bits (MQTT 3.1.1, 2.2.3).
pub(crate) const MAX_REMAINING_LENGTH: usize = 268_435_455;

/// The longest fixed header (MQTT 3.1.1, 2.2), and the longest packet of a server other than PUBLISH: SUBACK of one
/// filter.
pub(crate) const SHORT: usize = 5;

/// The default limit on an incoming packet, in bytes: a fixed header (5), the longest topic with
/// its length (2 + 65,535), a packet identifier (2) and a payload of 256 KiB.
pub(crate) const DEFAULT_FRAME_LIMIT: usize = 5 + 2 + MAX_STRING + 2 + 256 * 1024;

/// The fixed header of a packet that may be incomplete.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Header {
    packet: PacketType,
    /// Where the body starts.
    start: usize,
    /// Where the packet ends.
    end: usize,
}

/// Reads the fixed header of the packet at the front of `input`; `limit` is the maximum size of the whole packet.
/// `None` while the header is incomplete.
///
/// Refuses a packet at the earliest byte possible: for its type and flags at the first byte, for its length before any
/// of the body.
#[inline(always)]
pub(crate) fn header(input: &[u8], limit: usize) -> Result<Option<Header>, Violation> {
    let Some((&first, rest)) = input.split_first() else {
        return Ok(None);
    };
    let (packet, lengths) = admit(first)?;
    let Some((length, start)) = remaining_length(packet, rest)? else {
        return Ok(None);
    };
    if !lengths.contains(&length) {
        return Err(Violation::Length {
            packet,
            found: length,
            at_least: *lengths.start(),
            at_most: *lengths.end(),
        });
    }
    let end = start + length;
    if end > limit {
        return Err(Violation::TooLarge {
            packet,
            length: end,
            limit,
        });
    }
    Ok(Some(Header { packet, start, end }))
}

/// Returns the length of the packet at the front of `written`, whose whole fixed header is there.
pub(crate) fn packet_len(written: &[u8]) -> usize {
    let rest = written.get(1..).unwrap_or_default();
    let header = remaining_length(PacketType::Publish, rest).ok().flatten();
    let (length, start) = header.expect("packets are queued whole, with a length that can be read");
    start + length
}

/// Returns the type of the packet that starts with `first`, and the remaining lengths it may have.
#[inline(always)]
fn admit(first: u8) -> Result<(PacketType, RangeInclusive<usize>), Violation> {
    match first {
        0x20 => Ok((PacketType::ConnAck, 2..=2)),
        0x30 | 0x31 => Ok((PacketType::Publish, 3..=MAX_REMAINING_LENGTH)),
        0x32 | 0x33 | 0x3a | 0x3b => Ok((PacketType::Publish, 5..=MAX_REMAINING_LENGTH)),
        0x40 => Ok((PacketType::PubAck, 2..=2)),
        0x90 => Ok((PacketType::SubAck, 3..=3)),
        0xb0 => Ok((PacketType::UnsubAck, 2..=2)),
        0xd0 => Ok((PacketType::PingResp, 0..=0)),
        _ => Err(refusal(first)),
    }
}

/// Returns why no packet from a server to this client starts with `first`.
#[cold]
fn refusal(first: u8) -> Violation {
    use PacketType::{ConnAck, PingResp, PubAck, PubComp, PubRec, PubRel, SubAck, UnsubAck};
    match PacketType::of(first) {
        None => Violation::ReservedType { first_byte: first },
        Some(PacketType::Publish) if first & 0b0110 == 0b0110 => Violation::QoS3,
        Some(PacketType::Publish) if first & 0b0100 == 0 => Violation::DupAtQoS0,
        Some(packet @ (PacketType::Publish | PubRec | PubRel | PubComp)) => {
            Violation::QoS2 { packet }
        }
        Some(packet @ (ConnAck | PubAck | SubAck | UnsubAck | PingResp)) => Violation::Flags {
            packet,
            found: first & 0x0f,
        },
        Some(packet) => Violation::ClientPacket { packet },
    }
}

/// Returns the remaining length at the front of `bytes`, and the length of the whole fixed header; `None` while it is
/// incomplete.
#[inline(always)]
fn remaining_length(packet: PacketType, bytes: &[u8]) -> Result<Option<(usize, usize)>, Violation> {
    let mut length = 0;
    for (index, byte) in bytes.iter().take(4).enumerate() {
        length |= usize::from(byte & 0x7f) << (7 * index);
        if *byte == 0 && index > 0 {
            return Err(Violation::LengthNotMinimal { packet, length });
        }
        if *byte < 0x80 {
            return Ok(Some((length, 2 + index)));
        }
    }
    if bytes.len() < 4 {
        return Ok(None);
    }
    Err(Violation::LengthEndless { packet })
}

impl Header {
    /// Returns whether the packet may have more than [`SHORT`] bytes.
    pub(crate) fn is_publish(&self) -> bool {
        self.packet == PacketType::Publish
    }

    /// Returns the length of the packet, header included.
    pub(crate) fn len(&self) -> usize {
        self.end
    }
}

/// Decodes the packet with this header, which is not a PUBLISH; `frame` is the whole packet.
#[inline(always)]
pub(crate) fn decode(frame: &[u8], header: Header) -> Result<Packet, Violation> {
    let packet = header.packet;
    match (packet, frame.get(header.start..).unwrap_or_default()) {
        (PacketType::PubAck, &[high, low]) => packet_id(packet, [high, low]).map(Packet::PubAck),
        (PacketType::UnsubAck, &[high, low]) => {
            packet_id(packet, [high, low]).map(Packet::UnsubAck)
        }
        (PacketType::SubAck, &[high, low, found]) => {
            let packet_id = packet_id(packet, [high, low])?;
            let return_code =
                SubAckCode::of(found).ok_or(Violation::SubAckReturnCode { packet_id, found })?;
            Ok(Packet::SubAck {
                packet_id,
                return_code,
            })
        }
        (PacketType::ConnAck, &[flags, return_code]) => match (flags, return_code) {
            (0, _) | (1, 0) => Ok(Packet::ConnAck {
                session_present: flags == 1,
                return_code,
            }),
            (1, _) => Err(Violation::SessionPresentWithRefusal { return_code }),
            _ => Err(Violation::ConnAckFlags { found: flags }),
        },
        (PacketType::PingResp, []) => Ok(Packet::PingResp),
        _ => Err(Violation::Unreadable { packet }),
    }
}

/// Takes a PUBACK off the front of `input`, if it is a valid and complete one: returns its identifier, and the rest.
#[inline(always)]
pub(crate) fn split_puback(input: &[u8]) -> Option<(PacketId, &[u8])> {
    match input {
        [0x40, 2, high, low, rest @ ..] => {
            let packet_id = PacketId::new(u16::from_be_bytes([*high, *low]))?;
            Some((packet_id, rest))
        }
        _ => None,
    }
}

#[inline]
fn packet_id(packet: PacketType, bytes: [u8; 2]) -> Result<PacketId, Violation> {
    PacketId::new(u16::from_be_bytes(bytes)).ok_or(Violation::PacketIdZero { packet })
}

/// Appends a CONNECT: MQTT 3.1.1, CleanSession 1, no will.
pub(crate) fn connect(out: &mut BytesMut, connect: &Connect<'_>) -> Result<(), Unencodable> {
    check_string("client id", connect.client_id)?;
    check_filled("user name", connect.user_name)?;
    check_string("password", connect.password)?;
    let packet = v4::Connect {
        protocol: mqttbytes::Protocol::V4,
        keep_alive: connect.keep_alive_secs,
        client_id: connect.client_id.to_owned(),
        clean_session: true,
        last_will: None,
        login: Some(v4::Login::new(connect.user_name, connect.password)),
    };
    // mqttbytes sets the connect flags at an offset from the start of the buffer that it is passed.
    let mut frame = BytesMut::new();
    write(&mut frame, PacketType::Connect, |frame| packet.write(frame))?;
    out.extend_from_slice(&frame);
    Ok(())
}

/// Appends a PUBLISH, of QoS 1 if and only if it has a packet identifier. Encoded in place: mqttbytes would take the
/// topic and the payload by value.
#[inline]
pub(crate) fn publish(
    out: &mut BytesMut,
    topic: &TopicName,
    payload: &[u8],
    packet_id: Option<PacketId>,
    dup: bool,
) -> Result<(), Unencodable> {
    if dup && packet_id.is_none() {
        return Err(Unencodable::DupAtQoS0);
    }
    let topic = topic.as_bytes();
    let length = 2 + topic.len() + packet_id.map_or(0, |_| 2) + payload.len();
    if length > MAX_REMAINING_LENGTH {
        return Err(Unencodable::PacketTooLarge {
            length,
            limit: MAX_REMAINING_LENGTH,
        });
    }
    let first = 0x30 | u8::from(dup) << 3 | u8::from(packet_id.is_some()) << 1;
    out.reserve(5 + length);
    out.put_u8(first);
    put_remaining_length(out, length);
    out.put_u16(topic.len() as u16);
    out.put_slice(topic);
    if let Some(packet_id) = packet_id {
        out.put_u16(packet_id.get());
    }
    out.put_slice(payload);
    Ok(())
}

/// Appends a remaining length in as few bytes as possible (MQTT 3.1.1, 2.2.3).
#[inline]
fn put_remaining_length(out: &mut BytesMut, mut length: usize) {
    while length > 0x7f {
        out.put_u8(length as u8 | 0x80);
        length >>= 7;
    }
    out.put_u8(length as u8);
}

/// Appends a SUBSCRIBE for one topic filter.
pub(crate) fn subscribe(
    out: &mut BytesMut,
    packet_id: PacketId,
    filter: &str,
    qos: QoS,
) -> Result<(), Unencodable> {
    check_filter(filter)?;
    let qos = match qos {
        QoS::AtMostOnce => mqttbytes::QoS::AtMostOnce,
        QoS::AtLeastOnce => mqttbytes::QoS::AtLeastOnce,
    };
    let mut packet = v4::Subscribe::new(filter, qos);
    packet.pkid = packet_id.get();
    write(out, PacketType::Subscribe, |out| packet.write(out))
}

/// Appends an UNSUBSCRIBE for one topic filter.
pub(crate) fn unsubscribe(
    out: &mut BytesMut,
    packet_id: PacketId,
    filter: &str,
) -> Result<(), Unencodable> {
    check_filter(filter)?;
    let mut packet = v4::Unsubscribe::new(filter);
    packet.pkid = packet_id.get();
    write(out, PacketType::Unsubscribe, |out| packet.write(out))
}

/// Appends the PUBACK of the PUBLISH with this packet identifier.
pub(crate) fn puback(out: &mut BytesMut, packet_id: PacketId) {
    let [high, low] = packet_id.get().to_be_bytes();
    out.extend_from_slice(&[0x40, 2, high, low]);
}

/// Appends a PINGREQ.
pub(crate) fn pingreq(out: &mut BytesMut) {
    out.extend_from_slice(&[0xc0, 0]);
}

/// Appends a DISCONNECT.
pub(crate) fn disconnect(out: &mut BytesMut) {
    out.extend_from_slice(&[0xe0, 0]);
}

/// Encodes a packet completely or not at all: an error leaves `out` as it was.
fn write(
    out: &mut BytesMut,
    packet: PacketType,
    write: impl FnOnce(&mut BytesMut) -> Result<usize, mqttbytes::Error>,
) -> Result<(), Unencodable> {
    let mark = out.len();
    // The length in `Ok` is wrong for some packets.
    match write(out) {
        Ok(_) => Ok(()),
        Err(_) => {
            out.truncate(mark);
            Err(Unencodable::Unwritable { packet })
        }
    }
}

fn check_string(field: &'static str, string: &str) -> Result<(), Unencodable> {
    if string.len() > MAX_STRING {
        return Err(Unencodable::TooLong {
            field,
            length: string.len(),
            limit: MAX_STRING,
        });
    }
    match string.find('\0') {
        Some(at) => Err(Unencodable::Nul { field, at }),
        None => Ok(()),
    }
}

fn check_filled(field: &'static str, string: &str) -> Result<(), Unencodable> {
    if string.is_empty() {
        return Err(Unencodable::Empty { field });
    }
    check_string(field, string)
}

fn check_filter(filter: &str) -> Result<(), Unencodable> {
    check_filled("topic filter", filter)?;
    let mut at = 0;
    for level in filter.split('/') {
        let is_last = at + level.len() == filter.len();
        let is_sound = match level {
            "+" => true,
            "#" => is_last,
            _ => !level.contains(['+', '#']),
        };
        if !is_sound {
            return Err(Unencodable::Filter { at });
        }
        at += level.len() + 1;
    }
    Ok(())
}
