//! Round trips (decode, encode, decode) with the gateway's codec on one side of the wire and the bridge's independent
//! codec on the other.

use core::num::NonZeroU16;

use bytes::BytesMut;
use iotcore_gateway::internals::{Decoder, Received, Sent};
use iotcore_gateway::message::QoS;

use super::source::Source;
use crate::bridge::codec::{self as bridge, Packet, Reply, Version};

const LIMIT: usize = 1 << 20;

/// Runs the target. The first byte selects what the rest is: a server's packets, a client's, or the fields of a
/// client's packet.
///
/// # Panics
///
/// If a decoded packet is not encoded to its original bytes, or is decoded differently the second time; if a refused
/// packet leaves something in the buffer; if something is encoded that the other side refuses.
pub fn run(data: &[u8]) {
    let mut source = Source::new(data);
    match source.byte() % 3 {
        0 => server_packets(source.rest()),
        1 => client_packets(source.rest()),
        _ => fields(source),
    }
}

/// Decodes packets that the bridge may send, and encodes them with the bridge's codec and, if clients send them too,
/// with the gateway's.
fn server_packets(mut bytes: &[u8]) {
    let mut decoder = Decoder::new(LIMIT);
    loop {
        let before = bytes;
        let Ok(Some(packet)) = decoder.next_packet(&mut bytes) else {
            return;
        };
        let (original, _) = before.split_at(before.len() - bytes.len());
        let original = without_session_and_retain(&packet, original);

        let mut written = Vec::new();
        reply(&packet).encode(Version::V311, &mut written);
        assert_eq!(written, original, "{packet:?}");
        if let Some(sent) = as_sent(&packet) {
            assert_eq!(encoded(&sent).unwrap(), original, "{packet:?}");
        }
        let mut again = Decoder::new(LIMIT);
        let mut written = &written[..];
        let read = again.next_packet(&mut written).unwrap().unwrap();
        assert_eq!(reply(&read), reply(&packet));
        assert_eq!(written, b"");
    }
}

/// Returns the packet as the bridge sends it, without sessions and retained messages.
fn without_session_and_retain(packet: &Received, original: &[u8]) -> Vec<u8> {
    let mut bytes = original.to_vec();
    match packet {
        Received::ConnAck { .. } => bytes[2] = 0,
        Received::Publish { .. } => bytes[0] &= !1,
        _ => {}
    }
    bytes
}

fn reply(packet: &Received) -> Reply {
    match packet {
        Received::ConnAck { return_code, .. } => Reply::Connack { code: *return_code },
        Received::Publish {
            topic,
            payload,
            packet_id,
            dup,
            ..
        } => Reply::Publish {
            topic: topic.clone(),
            packet_id: packet_id.map(u16::from),
            dup: *dup,
            payload: payload.clone(),
        },
        Received::PubAck(packet_id) => Reply::Puback {
            packet_id: packet_id.get(),
        },
        Received::SubAck(packet_id, code) => Reply::Suback {
            packet_id: packet_id.get(),
            codes: vec![*code],
        },
        Received::UnsubAck(packet_id) => Reply::Unsuback {
            packet_id: packet_id.get(),
            filters: 1,
        },
        Received::PingResp => Reply::Pingresp,
    }
}

fn as_sent(packet: &Received) -> Option<Sent<'_>> {
    match packet {
        Received::Publish {
            topic,
            payload,
            packet_id,
            dup,
            ..
        } => Some(Sent::Publish {
            topic,
            payload,
            packet_id: *packet_id,
            dup: *dup,
        }),
        Received::PubAck(packet_id) => Some(Sent::PubAck(*packet_id)),
        _ => None,
    }
}

/// Decodes a client's packets with the bridge's codec, and encodes those that a gateway also sends with the gateway's.
fn client_packets(bytes: &[u8]) {
    let mut decoder = bridge::Decoder::new();
    decoder.feed(bytes);
    while let Ok(Some(packet)) = decoder.next_packet() {
        if let Some(sent) = as_gateway(&packet) {
            let written = encoded(&sent);
            let written = written.unwrap_or_else(|error| panic!("{packet:?}: {error}"));
            assert_eq!(read_by_bridge(&written), packet);
        }
    }
}

/// Converts the packet to the gateway's type, unless a gateway never sends it: other versions, wills, persistent
/// sessions, QoS 2, retained messages, several filters.
fn as_gateway(packet: &Packet) -> Option<Sent<'_>> {
    let id = |packet_id: u16| NonZeroU16::new(packet_id).expect("no identifier is 0");
    match packet {
        Packet::Connect(connect) => {
            let user_name = connect.user_name.as_deref()?;
            let password = connect.password.as_deref().map(str::from_utf8);
            let password = match password {
                None => "",
                Some(Ok(password)) if !password.is_empty() => password,
                Some(_) => return None,
            };
            let is_gateways = connect.version == Version::V311
                && connect.clean_session
                && connect.will.is_none()
                && !user_name.is_empty()
                && !password.contains('\0');
            is_gateways.then_some(Sent::Connect {
                client_id: &connect.client_id,
                user_name,
                password,
                keep_alive: connect.keep_alive,
            })
        }
        Packet::Publish(publish) if publish.qos < 2 && !publish.retain => Some(Sent::Publish {
            topic: &publish.topic,
            payload: &publish.payload,
            packet_id: NonZeroU16::new(publish.packet_id),
            dup: publish.dup,
        }),
        Packet::Puback { packet_id } => Some(Sent::PubAck(id(*packet_id))),
        Packet::Subscribe { packet_id, filters } => match &filters[..] {
            [(filter, 0)] => Some(Sent::Subscribe(id(*packet_id), filter, QoS::AtMostOnce)),
            [(filter, 1)] => Some(Sent::Subscribe(id(*packet_id), filter, QoS::AtLeastOnce)),
            _ => None,
        },
        Packet::Unsubscribe { packet_id, filters } => match &filters[..] {
            [filter] => Some(Sent::Unsubscribe(id(*packet_id), filter)),
            _ => None,
        },
        Packet::Pingreq => Some(Sent::PingReq),
        Packet::Disconnect => Some(Sent::Disconnect),
        Packet::Publish(_) | Packet::QosTwo { .. } | Packet::UnsupportedConnect { .. } => None,
    }
}

/// Encodes a packet with any fields, valid or not: what is encoded must be decoded by the bridge with the same fields.
fn fields(mut source: Source<'_>) {
    let kind = source.byte();
    let packet_id = NonZeroU16::new(source.number()).unwrap_or(NonZeroU16::MAX);
    let times = usize::from(source.pick(&[1, 1, 1, 255, 1_024, 8_191, 8_192, u16::MAX]));
    let text = String::from_utf8_lossy(source.rest());
    let (text, payload) = text.split_once('\n').unwrap_or((&text, ""));
    let many = times.min((1 << 18) / text.len().max(1));
    let text = text.repeat(many.max(1));
    let qos = [QoS::AtMostOnce, QoS::AtLeastOnce][usize::from(kind & 1)];
    let sent = match kind >> 1 & 3 {
        0 => Sent::Publish {
            topic: &text,
            payload: payload.as_bytes(),
            packet_id: (kind & 1 == 1).then_some(packet_id),
            dup: kind & 8 != 0,
        },
        1 => Sent::Subscribe(packet_id, &text, qos),
        2 => Sent::Unsubscribe(packet_id, &text),
        _ => Sent::Connect {
            client_id: &text,
            user_name: if kind & 1 == 1 { payload } else { "unused" },
            password: payload,
            keep_alive: packet_id.get(),
        },
    };
    let Ok(written) = encoded(&sent) else {
        return;
    };
    let read = read_by_bridge(&written);
    assert!(as_gateway(&read) == Some(sent), "{read:?} has other fields");
}

/// Returns the bytes of a packet. Bytes before them in the buffer are kept, and do not affect them.
fn encoded(sent: &Sent<'_>) -> Result<Vec<u8>, String> {
    const BEFORE: &[u8] = b"before";
    let mut out = BytesMut::from(BEFORE);
    let result = sent.encode(&mut out).map_err(|error| error.to_string());
    let written = out.strip_prefix(BEFORE).expect("waiting bytes are kept");
    match result {
        Ok(()) => Ok(written.to_vec()),
        Err(error) => {
            assert_eq!(written, b"", "{error}");
            Err(error)
        }
    }
}

fn read_by_bridge(bytes: &[u8]) -> Packet {
    let mut decoder = bridge::Decoder::new();
    decoder.feed(bytes);
    let read = decoder.next_packet();
    let packet = read.unwrap_or_else(|malformed| panic!("{malformed}: {bytes:02x?}"));
    assert_eq!(decoder.next_packet(), Ok(None), "more than one packet");
    packet.expect("a packet is written as a whole")
}
