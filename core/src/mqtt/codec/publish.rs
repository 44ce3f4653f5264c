//! Decoding of a server's PUBLISHes, in one pass.

use bytes::{Buf, Bytes};

use super::{Header, PacketId, PacketType, Publish, QoS, Violation, topic_name};

/// Decodes the PUBLISH with this header, copying the payload out of `frame`. A slice would keep the whole allocation of
/// the frame alive.
#[inline(never)]
pub(crate) fn copied_publish(frame: &[u8], header: Header) -> Result<Publish, Violation> {
    let (envelope, payload) = open(frame, header)?;
    Ok(envelope.with(Bytes::copy_from_slice(payload)))
}

/// Decodes the PUBLISH with this header, with the end of `frame` as its payload: copies nothing, and allocates only the
/// topic if the frame fills its allocation.
#[inline(never)]
pub(crate) fn assembled_publish(frame: Vec<u8>, header: Header) -> Result<Publish, Violation> {
    let (envelope, payload) = open(&frame, header)?;
    let start = frame.len() - payload.len();
    let mut payload = Bytes::from(frame);
    payload.advance(start);
    Ok(envelope.with(payload))
}

/// A PUBLISH without its payload.
struct Envelope {
    topic: String,
    packet_id: Option<PacketId>,
    dup: bool,
    retain: bool,
}

impl Envelope {
    fn with(self, payload: Bytes) -> Publish {
        Publish {
            topic: self.topic,
            payload,
            qos: match self.packet_id {
                None => QoS::AtMostOnce,
                Some(_) => QoS::AtLeastOnce,
            },
            packet_id: self.packet_id,
            dup: self.dup,
            retain: self.retain,
        }
    }
}

/// Checks the topic and the packet identifier; returns them and the payload.
fn open(frame: &[u8], header: Header) -> Result<(Envelope, &[u8]), Violation> {
    let unreadable = Violation::Unreadable {
        packet: PacketType::Publish,
    };
    let first = *frame.first().ok_or(unreadable)?;
    let body = frame.get(header.start..).unwrap_or_default();
    let (length, rest) = body.split_first_chunk().ok_or(unreadable)?;
    let length = usize::from(u16::from_be_bytes(*length));
    let has_id = first & 0b0110 != 0;
    let room = rest.len().saturating_sub(if has_id { 2 } else { 0 });
    let Some((topic, rest)) = rest.split_at_checked(length).filter(|_| length <= room) else {
        return Err(Violation::TopicBeyondPacket { length, room });
    };
    let topic = check_topic(topic)?;
    let (packet_id, payload) = if has_id {
        let (id, payload) = rest.split_first_chunk().ok_or(unreadable)?;
        (Some(super::packet_id(PacketType::Publish, *id)?), payload)
    } else {
        (None, rest)
    };
    let envelope = Envelope {
        topic: topic.to_owned(),
        packet_id,
        dup: first & 0b1000 != 0,
        retain: first & 0b0001 != 0,
    };
    Ok((envelope, payload))
}

fn check_topic(topic: &[u8]) -> Result<&str, Violation> {
    if topic.is_empty() {
        return Err(Violation::TopicEmpty);
    }
    let name = str::from_utf8(topic).map_err(|error| Violation::TopicNotUtf8 {
        at: error.valid_up_to(),
    })?;
    match topic_name::forbidden(topic) {
        None => Ok(name),
        Some(('\0', at)) => Err(Violation::TopicWithNul { at }),
        Some((wildcard, at)) => Err(Violation::TopicWithWildcard { wildcard, at }),
    }
}
