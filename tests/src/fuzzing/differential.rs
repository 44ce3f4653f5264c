//! Compares the gateway's codec with a decoder written for this purpose: both must return the same packets after the
//! same byte, except for each [`Difference`].

pub mod server_packet;

use iotcore_gateway::internals::{Decoder, Received};

use self::server_packet::{Malformed, ServerPacket};
use super::source::Source;

/// The intended deviations of the gateway's codec from MQTT 3.1.1, stricter or more tolerant; there are no others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Difference {
    /// QoS 2 is part of the standard. The gateway neither publishes nor subscribes with it, so that PUBREC, PUBREL,
    /// PUBCOMP and a PUBLISH with QoS 2 are not answers to anything that it sent: it refuses them at their first byte.
    QosTwo,
    /// A SUBACK has one return code for each topic filter. The gateway subscribes to one filter at a time: it refuses a
    /// SUBACK with another number of codes because of its length.
    SubAckOfSeveralFilters,
    /// The standard does not require the shortest form of a remaining length (MQTT 5 does). The gateway refuses any
    /// other form.
    LongFormOfLength,
    /// The gateway refuses a packet above its limit because of its length.
    AboveLimit,
    /// Return codes 6 to 255 of a CONNACK are reserved. The service uses some of them: the gateway treats all as
    /// refusals.
    ReservedReturnCode,
}

/// The reason why a packet must be refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The standard forbids it.
    Malformed(Malformed),
    /// The gateway's codec is stricter.
    Agreed(Difference),
}

/// The expected behaviour of the gateway's codec: the standard, and the intended differences.
#[derive(Debug)]
pub struct Reference {
    bytes: Vec<u8>,
    limit: usize,
}

impl Reference {
    /// Creates a decoder for packets of at most `limit` bytes, including the header.
    #[must_use]
    pub fn new(limit: usize) -> Self {
        Self {
            bytes: Vec::new(),
            limit,
        }
    }

    /// Appends received bytes.
    pub fn push(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// Returns the next packet, if it is complete.
    ///
    /// # Errors
    ///
    /// The first reason to refuse it in the bytes so far.
    pub fn next_packet(&mut self) -> Result<Option<ServerPacket>, Refusal> {
        let Some((first, rest)) = self.bytes.split_first() else {
            return Ok(None);
        };
        let Some((length, written_in)) = check_header(*first, rest, self.limit)? else {
            return Ok(None);
        };
        let Some(body) = rest.get(written_in..written_in + length) else {
            return Ok(None);
        };
        let packet = match server_packet::body(*first, body) {
            Err(Malformed::ReturnCode(return_code)) => ServerPacket::ConnAck {
                session_present: false,
                return_code,
            },
            read => read.map_err(Refusal::Malformed)?,
        };
        self.bytes.drain(..1 + written_in + length);
        Ok(Some(packet))
    }
}

/// Checks the available part of the fixed header, and returns the remaining length and the length of its encoding.
fn check_header(first: u8, rest: &[u8], limit: usize) -> Result<Option<(usize, usize)>, Refusal> {
    server_packet::check_first(first).map_err(Refusal::Malformed)?;
    if matches!(first >> 4, 5..=7) || (first >> 4 == 3 && first & 0b0100 != 0) {
        return Err(Refusal::Agreed(Difference::QosTwo));
    }
    let read = server_packet::remaining_length(rest).map_err(Refusal::Malformed)?;
    let Some((length, written_in)) = read else {
        return Ok(None);
    };
    server_packet::check_length(first, length).map_err(Refusal::Malformed)?;
    if written_in > 1 && length < 1 << (7 * (written_in - 1)) {
        return Err(Refusal::Agreed(Difference::LongFormOfLength));
    }
    if first >> 4 == 9 && length != 3 {
        return Err(Refusal::Agreed(Difference::SubAckOfSeveralFilters));
    }
    if 1 + written_in + length > limit {
        return Err(Refusal::Agreed(Difference::AboveLimit));
    }
    Ok(Some((length, written_in)))
}

impl From<Received> for ServerPacket {
    fn from(packet: Received) -> Self {
        match packet {
            Received::ConnAck {
                session_present,
                return_code,
            } => Self::ConnAck {
                session_present,
                return_code,
            },
            Received::Publish {
                topic,
                payload,
                packet_id,
                dup,
                retain,
            } => Self::Publish {
                dup,
                qos: u8::from(packet_id.is_some()),
                retain,
                topic,
                packet_id: packet_id.map_or(0, u16::from),
                payload: payload.to_vec(),
            },
            Received::PubAck(packet_id) => Self::PubAck(packet_id.get()),
            Received::SubAck(packet_id, code) => Self::SubAck(packet_id.get(), vec![code]),
            Received::UnsubAck(packet_id) => Self::UnsubAck(packet_id.get()),
            Received::PingResp => Self::PingResp,
        }
    }
}

/// Runs the target. The first byte selects the packet limit, the second the fragments; the rest is what a server sends.
///
/// # Panics
///
/// If the decoders disagree, after any byte or with any fragments, or if the gateway's holds more than was received.
pub fn run(data: &[u8]) {
    let mut source = Source::new(data);
    let limit = source.pick(&[4_096, 64, 127 + 2, 128 + 3, 1 << 20]);
    let fragment = 1 + usize::from(source.byte());
    let bytes = source.rest();
    compare(Reference::new(limit), bytes.chunks(1));
    compare(Reference::new(limit), bytes.chunks(fragment));
}

fn compare<'a>(mut reference: Reference, fragments: impl Iterator<Item = &'a [u8]>) {
    let limit = reference.limit;
    let mut decoder = Decoder::new(limit);
    for mut fragment in fragments {
        reference.push(fragment);
        loop {
            let (read, expected) = (decoder.next_packet(&mut fragment), reference.next_packet());
            match (read, expected) {
                (Ok(None), Ok(None)) => break,
                (Ok(Some(packet)), Ok(Some(expected))) => {
                    assert_eq!(ServerPacket::from(packet), expected);
                }
                (Err(violation), Err(_)) => {
                    assert_eq!(
                        decoder.next_packet(&mut fragment),
                        Err(violation),
                        "a violation is final"
                    );
                    assert_eq!(decoder.waiting(), 0, "bytes after a violation are kept");
                    return;
                }
                (read, expected) => panic!("read {read:?}, expected {expected:?}"),
            }
        }
        assert_eq!(fragment, b"", "some of a fragment is left");
        assert_eq!(decoder.waiting(), reference.bytes.len());
        assert!(decoder.waiting() < limit, "more is held than one packet");
    }
}

#[cfg(test)]
mod tests;
