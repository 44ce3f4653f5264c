//! What is decoded and what is refused.
//!
//! The tests of the receive buffer also use [`packets`] and [`violations`], in every split.

use bytes::Bytes;

use super::*;

mod encode;
mod violations;

pub(in crate::mqtt) use self::violations::{SMALL_LIMIT, violations};

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

/// A packet, with the contents of a PUBLISH.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::mqtt) enum Read {
    Packet(Packet),
    Publish(Publish),
}

/// Returns the first packet of `bytes`, and the rest; `None` while it is incomplete. Checks that a PUBLISH decodes the
/// same in an allocation of its own.
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

/// Returns the length in the header at the front of `input`, once it is known.
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

/// One packet of each type and form.
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
