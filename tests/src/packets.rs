//! MQTT 3.1.1 for tests that act as the bridge: a strict parser for what a gateway sends, and an encoder for what a
//! bridge sends.
//!
//! It is independent of the gateway's codec and of the emulator's, so that the same error cannot hide in both. The
//! parser panics on a packet that a gateway must not send.
//!
//! ```
//! use iotcore_gateway_testkit::packets::{Sent, puback, take};
//!
//! let mut stream = b"\x32\x07\0\x01t\0\x09hi\xc0".to_vec();
//! let sent = take(&mut stream);
//! assert!(matches!(&sent[..], [Sent::Publish { topic, id: Some(9), .. }] if topic == "t"));
//! assert_eq!(sent[0].answer(), Some(puback(9)));
//! assert_eq!(stream, [0xc0], "which has only begun");
//! ```

// The core's own tests also compile this file: it must not use anything else of this crate.

use std::io::{self, Read};

/// A packet that a gateway sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sent {
    /// CONNECT, with user name and password, a clean session, and no will.
    Connect {
        /// The client identifier.
        client_id: String,
        /// The user name.
        user_name: String,
        /// The password, which is the token.
        password: String,
        /// The keep alive, in seconds.
        keep_alive: u16,
    },
    /// PUBLISH.
    Publish {
        /// The topic.
        topic: String,
        /// The payload.
        payload: Vec<u8>,
        /// The packet identifier, at QoS 1.
        id: Option<u16>,
        /// Whether it is a retransmission.
        dup: bool,
    },
    /// PUBACK of this packet identifier.
    PubAck(u16),
    /// SUBSCRIBE of one topic filter.
    Subscribe {
        /// The packet identifier.
        id: u16,
        /// The topic filter.
        filter: String,
        /// The requested QoS.
        qos: u8,
    },
    /// UNSUBSCRIBE of one topic filter.
    Unsubscribe {
        /// The packet identifier.
        id: u16,
        /// The topic filter.
        filter: String,
    },
    /// PINGREQ.
    PingReq,
    /// DISCONNECT.
    Disconnect,
}

impl Sent {
    /// Returns the positive answer of a bridge to this packet; `None` for PUBACK, DISCONNECT and a PUBLISH at QoS 0.
    #[must_use]
    pub fn answer(&self) -> Option<Vec<u8>> {
        match *self {
            Self::Connect { .. } => Some(connack(0)),
            Self::Publish { id, .. } => id.map(puback),
            Self::Subscribe { id, qos, .. } => Some(suback(id, qos)),
            Self::Unsubscribe { id, .. } => Some(unsuback(id)),
            Self::PingReq => Some(PINGRESP.to_vec()),
            Self::PubAck(_) | Self::Disconnect => None,
        }
    }
}

/// Parses a stream of complete packets.
#[must_use]
pub fn parse(bytes: &[u8]) -> Vec<Sent> {
    let mut rest = bytes.to_vec();
    let sent = take(&mut rest);
    assert!(rest.is_empty(), "not a whole packet: {rest:02x?}");
    sent
}

/// Removes the complete packets from the front of a stream and returns them.
pub fn take(stream: &mut Vec<u8>) -> Vec<Sent> {
    let mut sent = Vec::new();
    let mut rest = &stream[..];
    while let Some((first, body, behind)) = split(rest) {
        sent.push(packet(first, body));
        rest = behind;
    }
    let is_endless = matches!(rest, [_, length @ ..] if length.len() > 3 && extent(rest).is_none());
    assert!(!is_endless, "a remaining length of more than four bytes");
    let taken = stream.len() - rest.len();
    stream.drain(..taken);
    sent
}

fn packet(first: u8, body: &[u8]) -> Sent {
    let mut body = Body(body);
    let packet = match first {
        0x10 => connect(&mut body),
        0x30 | 0x32 | 0x3a => Sent::Publish {
            topic: body.string(),
            id: (first & 0x06 != 0).then(|| body.id()),
            payload: core::mem::take(&mut body.0).to_vec(),
            dup: first & 0x08 != 0,
        },
        0x40 => Sent::PubAck(body.id()),
        0x82 => Sent::Subscribe {
            id: body.id(),
            filter: body.string(),
            qos: body.byte(),
        },
        0xa2 => Sent::Unsubscribe {
            id: body.id(),
            filter: body.string(),
        },
        0xc0 => Sent::PingReq,
        0xe0 => Sent::Disconnect,
        _ => panic!("a gateway must not send {first:#04x}"),
    };
    assert!(body.0.is_empty(), "{packet:?} has bytes left over");
    packet
}

fn connect(body: &mut Body<'_>) -> Sent {
    assert_eq!(body.string(), "MQTT");
    assert_eq!(body.byte(), 4, "the level of MQTT 3.1.1");
    assert_eq!(
        body.byte(),
        0xc2,
        "user name, password, CleanSession 1 and nothing else"
    );
    Sent::Connect {
        keep_alive: body.number(),
        client_id: body.string(),
        user_name: body.string(),
        password: body.string(),
    }
}

/// The unread rest of a packet.
struct Body<'a>(&'a [u8]);

impl<'a> Body<'a> {
    fn take(&mut self, length: usize) -> &'a [u8] {
        let (taken, rest) = self.0.split_at_checked(length).expect("a whole field");
        self.0 = rest;
        taken
    }

    fn byte(&mut self) -> u8 {
        self.take(1)[0]
    }

    fn number(&mut self) -> u16 {
        u16::from_be_bytes([self.byte(), self.byte()])
    }

    fn id(&mut self) -> u16 {
        let id = self.number();
        assert_ne!(id, 0, "[MQTT-2.3.1-1]");
        id
    }

    fn string(&mut self) -> String {
        let length = usize::from(self.number());
        String::from_utf8(self.take(length).to_vec()).expect("[MQTT-1.5.3-1]")
    }
}

/// Splits off the packet at the front: returns its first byte, its body, and the rest; `None` if it is incomplete.
#[must_use]
pub fn split(bytes: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (start, end) = extent(bytes)?;
    let (packet, behind) = bytes.split_at_checked(end)?;
    Some((packet[0], &packet[start..], behind))
}

/// Returns where the body of the packet at the front begins and ends; `None` if its length is incomplete or has more
/// than four bytes.
#[must_use]
pub fn extent(bytes: &[u8]) -> Option<(usize, usize)> {
    let mut length = 0;
    for (at, byte) in bytes.iter().enumerate().skip(1).take(4) {
        length |= usize::from(byte & 0x7f) << (7 * (at - 1));
        if byte & 0x80 == 0 {
            return Some((at + 1, at + 1 + length));
        }
    }
    None
}

/// Reads one packet and returns its bytes; `None` at the end of the stream.
///
/// # Errors
///
/// Returns the stream's error, also if the stream ends in the middle of a packet.
pub fn read(stream: &mut impl Read) -> io::Result<Option<Vec<u8>>> {
    let mut packet = vec![0; 2];
    if stream.read(&mut packet[..1])? == 0 {
        return Ok(None);
    }
    stream.read_exact(&mut packet[1..])?;
    let end = loop {
        if let Some((_, end)) = extent(&packet) {
            break end;
        }
        let start = packet.len();
        assert!(start < 5, "a remaining length of more than four bytes");
        packet.push(0);
        stream.read_exact(&mut packet[start..])?;
    };
    let start = packet.len();
    packet.resize(end, 0);
    stream.read_exact(&mut packet[start..])?;
    Ok(Some(packet))
}

/// PINGRESP.
pub const PINGRESP: [u8; 2] = [0xd0, 0];

/// Encodes CONNACK with this return code.
#[must_use]
pub fn connack(code: u8) -> Vec<u8> {
    vec![0x20, 2, 0, code]
}

/// Encodes PUBACK.
#[must_use]
pub fn puback(id: u16) -> Vec<u8> {
    frame(0x40, &[&id.to_be_bytes()])
}

/// Encodes SUBACK with one return code.
#[must_use]
pub fn suback(id: u16, code: u8) -> Vec<u8> {
    frame(0x90, &[&id.to_be_bytes(), &[code]])
}

/// Encodes UNSUBACK.
#[must_use]
pub fn unsuback(id: u16) -> Vec<u8> {
    frame(0xb0, &[&id.to_be_bytes()])
}

/// Encodes PUBLISH: at QoS 1 with an identifier, otherwise at QoS 0.
#[must_use]
pub fn publish(topic: &str, payload: &[u8], id: Option<u16>, dup: bool) -> Vec<u8> {
    let first = 0x30 | u8::from(id.is_some()) << 1 | u8::from(dup) << 3;
    let id = id.map(u16::to_be_bytes);
    let id = id.as_ref().map_or(&[][..], |id| &id[..]);
    frame(first, &[&string(topic.as_bytes()), id, payload])
}

/// Encodes a string with its length prefix.
#[must_use]
pub fn string(text: &[u8]) -> Vec<u8> {
    let length = u16::try_from(text.len()).expect("two bytes hold its length");
    [&length.to_be_bytes(), text].concat()
}

/// Encodes any packet from its first byte and the parts of its body; the length is computed.
#[must_use]
pub fn frame(first: u8, body: &[&[u8]]) -> Vec<u8> {
    let mut packet = Vec::new();
    put_frame(&mut packet, first, body);
    packet
}

/// Appends the same packet to a buffer.
#[inline]
pub fn put_frame(out: &mut Vec<u8>, first: u8, body: &[&[u8]]) {
    out.push(first);
    let mut length: usize = body.iter().map(|part| part.len()).sum();
    while length >= 0x80 {
        out.push(length as u8 | 0x80);
        length >>= 7;
    }
    out.push(length as u8);
    for part in body {
        out.extend_from_slice(part);
    }
}
