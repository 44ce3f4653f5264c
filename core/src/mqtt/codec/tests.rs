//! What is read and what is refused.
//!
//! [`packets`] and [`violations`] are also what the receive buffer is tested with, in every split.

use bytes::Bytes;

use super::*;

mod encode;

fn id(number: u16) -> PacketId {
    PacketId::new(number).expect("tests name identifiers from 1")
}

pub(crate) fn topic(name: &str) -> TopicName {
    let mut topic = TopicName::default();
    topic
        .make(|out| out.push_str(name))
        .expect("tests name legal topics");
    topic
}

/// A packet, with what a PUBLISH says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::mqtt) enum Read {
    Packet(Packet),
    Publish(Publish),
}

/// The first packet of `bytes`, and what is left; `None` while it is not whole. A PUBLISH reads the same in memory of its
/// own.
fn first(bytes: &[u8], limit: usize) -> Result<Option<(Read, &[u8])>, Violation> {
    let Some(header) = header(bytes, limit)? else {
        return Ok(None);
    };
    let Some((frame, rest)) = bytes.split_at_checked(header.len()) else {
        return Ok(None);
    };
    let read = if header.is_publish() {
        let copied = copied_publish(frame, header);
        assert_eq!(assembled_publish(frame.to_vec(), header), copied);
        Read::Publish(copied?)
    } else {
        Read::Packet(decode(frame, header)?)
    };
    Ok(Some((read, rest)))
}

/// The length that the header at the front of `input` claims, once it is known.
fn length(input: &[u8], limit: usize) -> Result<Option<usize>, Violation> {
    Ok(header(input, limit)?.map(|header| header.len()))
}

fn message(topic: &str, payload: &'static [u8], packet_id: u16) -> Publish {
    Publish {
        topic: topic.to_owned(),
        payload: Bytes::from_static(payload),
        qos: if packet_id == 0 {
            QoS::AtMostOnce
        } else {
            QoS::AtLeastOnce
        },
        packet_id: PacketId::new(packet_id),
        dup: false,
        retain: false,
    }
}

fn suback(number: u16, return_code: SubAckCode) -> Read {
    Read::Packet(Packet::SubAck {
        packet_id: id(number),
        return_code,
    })
}

/// One of each packet and of each of its shapes.
pub(in crate::mqtt) fn packets() -> Vec<(&'static [u8], Read)> {
    let accepted = |session_present| {
        Read::Packet(Packet::ConnAck {
            session_present,
            return_code: 0,
        })
    };
    let retained = Publish {
        retain: true,
        ..message("a/b", b"", 0)
    };
    let repeated = Publish {
        dup: true,
        ..message("t", b"xy", 0x0102)
    };
    let both = Publish {
        dup: true,
        retain: true,
        ..message("t", b"x", 3)
    };
    vec![
        (&[0x20, 2, 0, 0], accepted(false)),
        (&[0x20, 2, 1, 0], accepted(true)),
        (
            &[0x40, 2, 0x12, 0x34],
            Read::Packet(Packet::PubAck(id(0x1234))),
        ),
        (&[0x90, 3, 0, 1, 0x00], suback(1, SubAckCode::MaximumQoS0)),
        (&[0x90, 3, 0, 2, 0x01], suback(2, SubAckCode::MaximumQoS1)),
        (&[0x90, 3, 0, 3, 0x02], suback(3, SubAckCode::MaximumQoS2)),
        (
            &[0x90, 3, 0xff, 0xff, 0x80],
            suback(65_535, SubAckCode::Failure),
        ),
        (&[0xb0, 2, 0, 9], Read::Packet(Packet::UnsubAck(id(9)))),
        (&[0xd0, 0], Read::Packet(Packet::PingResp)),
        (&[0x30, 3, 0, 1, b't'], Read::Publish(message("t", b"", 0))),
        (&[0x31, 5, 0, 3, b'a', b'/', b'b'], Read::Publish(retained)),
        (
            &[0x32, 5, 0, 1, b't', 0, 7],
            Read::Publish(message("t", b"", 7)),
        ),
        (
            &[0x3a, 7, 0, 1, b't', 1, 2, b'x', b'y'],
            Read::Publish(repeated),
        ),
        (&[0x3b, 6, 0, 1, b't', 0, 3, b'x'], Read::Publish(both)),
        (
            b"\x30\x0c\0\x09\xef\xbb\xbf\xc3\xa9/\xe2\x82\xac\0",
            Read::Publish(message("\u{feff}é/€", b"\0", 0)),
        ),
        (
            b"\x32\x0a\0\x05\xf0\x9f\xa6\x80$\0\x05\xff",
            Read::Publish(message("🦀$", b"\xff", 5)),
        ),
    ]
}

/// Input, of which all but the last byte is legal so far, and what its last byte breaks.
///
/// The limit on a packet is [`SMALL_LIMIT`].
pub(in crate::mqtt) fn violations() -> Vec<(&'static [u8], Violation)> {
    use PacketType::*;
    let mut all = first_bytes();
    let length = |packet, found, at_least, at_most| Violation::Length {
        packet,
        found,
        at_least,
        at_most,
    };
    let too_large = |length| Violation::TooLarge {
        packet: Publish,
        length,
        limit: SMALL_LIMIT,
    };
    let not_minimal = |packet, length| Violation::LengthNotMinimal { packet, length };
    let zero = |packet| Violation::PacketIdZero { packet };
    let refused = |return_code| Violation::SessionPresentWithRefusal { return_code };
    let code = |found| Violation::SubAckReturnCode {
        packet_id: id(8),
        found,
    };
    let topic = |length, room| Violation::TopicBeyondPacket { length, room };
    all.extend::<Vec<(&[u8], Violation)>>(vec![
        // The remaining length itself.
        (
            &[0x30, 0x80, 0x80, 0x80, 0x80],
            Violation::LengthEndless { packet: Publish },
        ),
        (
            &[0x40, 0xff, 0xff, 0xff, 0xff],
            Violation::LengthEndless { packet: PubAck },
        ),
        (&[0x40, 0x82, 0x00], not_minimal(PubAck, 2)),
        (&[0xd0, 0x80, 0x00], not_minimal(PingResp, 0)),
        (&[0x30, 0xff, 0x80, 0x00], not_minimal(Publish, 127)),
        (
            &[0x30, 0xff, 0xff, 0x80, 0x00],
            not_minimal(Publish, 16_383),
        ),
        (&[0x30, 0xff, 0x07], too_large(1026)),
        (&[0x30, 0xff, 0xff, 0xff, 0x7f], too_large(5 + 268_435_455)),
        // The remaining length of each packet.
        (&[0x20, 1], length(ConnAck, 1, 2, 2)),
        (&[0x20, 3], length(ConnAck, 3, 2, 2)),
        (&[0x40, 0], length(PubAck, 0, 2, 2)),
        (
            &[0x40, 0xff, 0xff, 0xff, 0x7f],
            length(PubAck, 268_435_455, 2, 2),
        ),
        (&[0x90, 2], length(SubAck, 2, 3, 3)),
        (&[0x90, 4], length(SubAck, 4, 3, 3)),
        (&[0xb0, 4], length(UnsubAck, 4, 2, 2)),
        (&[0xd0, 1], length(PingResp, 1, 0, 0)),
        (&[0x30, 2], length(Publish, 2, 3, 268_435_455)),
        (&[0x32, 4], length(Publish, 4, 5, 268_435_455)),
        // The bodies of the small packets.
        (&[0x20, 2, 2, 0], Violation::ConnAckFlags { found: 2 }),
        (&[0x20, 2, 0x81, 5], Violation::ConnAckFlags { found: 0x81 }),
        (&[0x20, 2, 1, 1], refused(1)),
        (&[0x20, 2, 1, 255], refused(255)),
        (&[0x40, 2, 0, 0], zero(PubAck)),
        (&[0xb0, 2, 0, 0], zero(UnsubAck)),
        (&[0x90, 3, 0, 0, 1], zero(SubAck)),
        (&[0x90, 3, 0, 8, 3], code(3)),
        (&[0x90, 3, 0, 8, 0x81], code(0x81)),
        // The topic and the identifier of a PUBLISH.
        (&[0x30, 3, 0, 0, b'x'], Violation::TopicEmpty),
        (&[0x32, 5, 0, 0, 0, 1, b'x'], Violation::TopicEmpty),
        (&[0x30, 3, 0, 2, b't'], topic(2, 1)),
        (&[0x30, 4, 0xff, 0xff, b't', b't'], topic(65_535, 2)),
        (&[0x32, 6, 0, 3, b't', b't', 0, 1], topic(3, 2)),
        (
            &[0x30, 5, 0, 3, b't', 0xff, b't'],
            Violation::TopicNotUtf8 { at: 1 },
        ),
        (
            &[0x30, 5, 0, 3, 0xed, 0xa0, 0x80],
            Violation::TopicNotUtf8 { at: 0 },
        ),
        (
            &[0x30, 4, 0, 2, 0xc0, 0x80],
            Violation::TopicNotUtf8 { at: 0 },
        ),
        (
            &[0x30, 5, 0, 2, b't', 0xc3, 0xa9],
            Violation::TopicNotUtf8 { at: 1 },
        ),
        (
            &[0x30, 5, 0, 3, b'a', 0, b'b'],
            Violation::TopicWithNul { at: 1 },
        ),
        (
            &[0x30, 5, 0, 3, b'a', b'/', b'+'],
            Violation::TopicWithWildcard {
                wildcard: '+',
                at: 2,
            },
        ),
        (
            &[0x32, 5, 0, 1, b'#', 0, 1],
            Violation::TopicWithWildcard {
                wildcard: '#',
                at: 0,
            },
        ),
        (&[0x32, 5, 0, 1, b't', 0, 0], zero(Publish)),
        (&[0x3a, 6, 0, 1, b't', 0, 0, 1], zero(Publish)),
    ]);
    all
}

pub(in crate::mqtt) const SMALL_LIMIT: usize = 1025;

fn first_bytes() -> Vec<(&'static [u8], Violation)> {
    use PacketType::*;
    let reserved = |first_byte| Violation::ReservedType { first_byte };
    let client = |packet| Violation::ClientPacket { packet };
    let qos2 = |packet| Violation::QoS2 { packet };
    let flags = |packet, found| Violation::Flags { packet, found };
    vec![
        (&[0x00], reserved(0x00)),
        (&[0xf0], reserved(0xf0)),
        (&[0xff], reserved(0xff)),
        (&[0x10], client(Connect)),
        (&[0x82], client(Subscribe)),
        (&[0xa2], client(Unsubscribe)),
        (&[0xc0], client(PingReq)),
        (&[0xe0], client(Disconnect)),
        (&[0x50], qos2(PubRec)),
        (&[0x62], qos2(PubRel)),
        (&[0x70], qos2(PubComp)),
        (&[0x34], qos2(Publish)),
        (&[0x3d], qos2(Publish)),
        (&[0x36], Violation::QoS3),
        (&[0x3f], Violation::QoS3),
        (&[0x38], Violation::DupAtQoS0),
        (&[0x39], Violation::DupAtQoS0),
        (&[0x21], flags(ConnAck, 1)),
        (&[0x42], flags(PubAck, 2)),
        (&[0x98], flags(SubAck, 8)),
        (&[0xbf], flags(UnsubAck, 15)),
        (&[0xd4], flags(PingResp, 4)),
    ]
}

#[test]
fn every_packet_is_read_and_leaves_what_follows_it() {
    for (bytes, expected) in packets() {
        let followed = [bytes, b"\xf0rest"].concat();
        let (packet, rest) = first(&followed, SMALL_LIMIT).unwrap().unwrap();
        assert_eq!(packet, expected);
        assert_eq!(rest, b"\xf0rest");
    }
}

#[test]
fn a_header_says_how_much_must_come_as_soon_as_it_is_there() {
    assert_eq!(length(&[], SMALL_LIMIT), Ok(None));
    for (bytes, _) in packets() {
        assert_eq!(length(&bytes[..1], SMALL_LIMIT), Ok(None));
        for end in 2..=bytes.len() {
            assert_eq!(length(&bytes[..end], SMALL_LIMIT), Ok(Some(bytes.len())));
        }
    }
    let long = [0x30, 0xff, 0xff, 0x7f];
    for end in 1..4 {
        assert_eq!(length(&long[..end], usize::MAX), Ok(None));
    }
    assert_eq!(length(&long, usize::MAX), Ok(Some(4 + 2_097_151)));
}

#[test]
fn whatever_is_no_publish_is_short() {
    for (bytes, packet) in packets() {
        let is_publish = matches!(packet, Read::Publish(_));
        assert!(is_publish || bytes.len() <= SHORT, "{packet:?}");
    }
}

#[test]
fn every_connack_code_is_read() {
    for code in 0..=255 {
        let expected = Read::Packet(Packet::ConnAck {
            session_present: false,
            return_code: code,
        });
        let (packet, _) = first(&[0x20, 2, 0, code], SMALL_LIMIT).unwrap().unwrap();
        assert_eq!(packet, expected);
    }
}

#[test]
fn a_violation_is_refused_on_its_byte_and_not_before() {
    for (bytes, expected) in violations() {
        let (last, before) = bytes.split_last().unwrap();
        assert_eq!(
            first(before, SMALL_LIMIT),
            Ok(None),
            "{before:02x?} {last:02x}"
        );
        assert_eq!(first(bytes, SMALL_LIMIT), Err(expected), "{bytes:02x?}");
    }
}

#[test]
fn every_first_byte_is_admitted_or_refused_at_once() {
    let legal = [
        0x20, 0x30, 0x31, 0x32, 0x33, 0x3a, 0x3b, 0x40, 0x90, 0xb0, 0xd0,
    ];
    for byte in 0..=255 {
        let is_admitted = header(&[byte], SMALL_LIMIT).is_ok();
        assert_eq!(is_admitted, legal.contains(&byte), "{byte:#04x}");
    }
}

#[test]
fn every_suback_code_but_four_is_refused() {
    for code in 0..=255 {
        let is_read = first(&[0x90, 3, 0, 1, code], SMALL_LIMIT).is_ok();
        assert_eq!(is_read, [0, 1, 2, 0x80].contains(&code), "{code:#04x}");
    }
}

#[test]
fn a_packet_as_large_as_the_limit_is_taken_and_one_byte_more_is_not() {
    let claim = [0x30, 0xfe, 0x07];
    assert_eq!(length(&claim, SMALL_LIMIT), Ok(Some(SMALL_LIMIT)));
    assert!(header(&claim, SMALL_LIMIT - 1).is_err());
}

#[test]
fn the_default_limit_holds_the_longest_topic_and_256_kib() {
    let mut out = BytesMut::new();
    let topic = topic(&"t".repeat(MAX_STRING));
    publish(&mut out, &topic, &[1; 256 * 1024], Some(id(1)), false).unwrap();
    assert_eq!(length(&out, DEFAULT_FRAME_LIMIT), Ok(Some(out.len())));
}

#[test]
fn a_violation_names_the_packet_the_value_and_the_clause() {
    let expected: [(&[u8], &str); 6] = [
        (
            &[0x34],
            "PUBLISH of QoS 2: this client publishes and subscribes with QoS 0 and 1 only (MQTT 3.1.1, 4.3.3)",
        ),
        (
            &[0x42],
            "PUBACK with flags 0b0010, which must be 0b0000 [MQTT-2.2.2-2]",
        ),
        (
            &[0x90, 4],
            "SUBACK with remaining length 4, which must be 3 (MQTT 3.1.1, 2.2.3)",
        ),
        (
            &[0x30, 0xff, 0x07],
            "PUBLISH of 1026 bytes: this client takes packets of at most 1025 bytes",
        ),
        (
            &[0x90, 3, 0, 8, 3],
            "SUBACK 8 with return code 0x03, which must be 0x00, 0x01, 0x02 or 0x80 [MQTT-3.9.3-2]",
        ),
        (
            &[0x30, 5, 0, 3, b'a', b'/', b'+'],
            "PUBLISH with the wildcard + at byte 2 of its topic [MQTT-3.3.2-2]",
        ),
    ];
    for (bytes, text) in expected {
        assert_eq!(first(bytes, SMALL_LIMIT).unwrap_err().to_string(), text);
    }
    for (_, violation) in violations() {
        let text = violation.to_string();
        let is_ours = matches!(violation, Violation::TooLarge { .. });
        assert!(
            is_ours || text.contains("MQTT-") || text.contains("MQTT 3.1.1,"),
            "{text}"
        );
    }
}
