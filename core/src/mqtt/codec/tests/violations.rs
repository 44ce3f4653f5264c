//! All violations, and how each is reported.

use super::{super::*, first, id};

/// Inputs that are legal except for the last byte, and the violation by that byte.
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
            "PUBLISH of 1026 bytes: this client accepts packets of at most 1025 bytes",
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
