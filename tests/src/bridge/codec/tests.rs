//! Every packet type of a client, whole and in fragments, and every violation.

use super::super::tests::packets::{
    acknowledgement, connect_with, frame, publish, string, subscribe,
};
use super::*;

fn decode(bytes: &[u8], version: Version) -> Result<Option<Packet>, Malformed> {
    let mut decoder = Decoder::new();
    decoder.speak(version);
    decoder.feed(bytes);
    decoder.next_packet()
}

fn malformed(bytes: &[u8]) -> Malformed {
    decode(bytes, Version::V311).expect_err("malformed")
}

/// Returns one packet of each kind, and what it decodes to.
fn samples() -> Vec<(Vec<u8>, Packet)> {
    let connect = Connect {
        version: Version::V311,
        clean_session: true,
        keep_alive: 300,
        client_id: "id".to_owned(),
        will: Some(Will {
            topic: "w/t".to_owned(),
            message: Bytes::from_static(&[0, 255]),
            qos: 1,
            retain: true,
        }),
        user_name: Some("\u{FEFF}user".to_owned()),
        password: Some(Bytes::from_static(b"secret")),
    };
    let fields: [&[u8]; 5] = [
        b"id",
        b"w/t",
        &[0, 255],
        "\u{FEFF}user".as_bytes(),
        b"secret",
    ];
    let publish_qos_1 = Publish {
        topic: "a/b".to_owned(),
        qos: 1,
        dup: true,
        retain: false,
        packet_id: 0x1234,
        payload: Bytes::from(vec![7; 200]),
    };
    let publish_qos_0 = Publish {
        topic: "a".to_owned(),
        qos: 0,
        dup: false,
        retain: true,
        packet_id: 0,
        payload: Bytes::new(),
    };
    let mut qos_1 = publish("a/b", 1, 0x1234, &[7; 200]);
    qos_1[0] |= 8;
    let mut qos_0 = publish("a", 0, 0, b"");
    qos_0[0] |= 1;
    let unsubscribe = frame(0xA2, &[&[0, 5], &string(b"x")[..], &string(b"y")].concat());
    vec![
        (
            connect_with(4, 0xEE, 300, &fields),
            Packet::Connect(Box::new(connect)),
        ),
        (
            connect_with(3, 0x02, 0, &[b"id"]),
            Packet::UnsupportedConnect { level: 3 },
        ),
        (qos_1, Packet::Publish(publish_qos_1)),
        (qos_0, Packet::Publish(publish_qos_0)),
        (
            acknowledgement(0x40, 0xFFFF),
            Packet::Puback { packet_id: 0xFFFF },
        ),
        (
            acknowledgement(0x50, 1),
            Packet::QosTwo {
                name: "PUBREC",
                packet_id: 1,
            },
        ),
        (
            acknowledgement(0x62, 1),
            Packet::QosTwo {
                name: "PUBREL",
                packet_id: 1,
            },
        ),
        (
            acknowledgement(0x70, 1),
            Packet::QosTwo {
                name: "PUBCOMP",
                packet_id: 1,
            },
        ),
        (
            subscribe(4, &[("a/+/b", 0), ("c/#", 2), ("#", 1)]),
            Packet::Subscribe {
                packet_id: 4,
                filters: vec![
                    ("a/+/b".to_owned(), 0),
                    ("c/#".to_owned(), 2),
                    ("#".to_owned(), 1),
                ],
            },
        ),
        (
            unsubscribe,
            Packet::Unsubscribe {
                packet_id: 5,
                filters: vec!["x".to_owned(), "y".to_owned()],
            },
        ),
        (vec![0xC0, 0], Packet::Pingreq),
        (vec![0xE0, 0], Packet::Disconnect),
    ]
}

#[test]
fn every_packet_of_a_client_is_decoded() {
    for (bytes, packet) in samples() {
        assert_eq!(decode(&bytes, Version::V311), Ok(Some(packet)));
    }
}

#[test]
fn packets_are_decoded_however_the_bytes_are_split() {
    let (bytes, packets): (Vec<_>, Vec<_>) = samples().into_iter().unzip();
    let bytes = bytes.concat();
    for size in 1..=bytes.len() {
        let mut decoder = Decoder::new();
        let mut decoded = Vec::new();
        for piece in bytes.chunks(size) {
            decoder.feed(piece);
            while let Some(packet) = decoder.next_packet().unwrap() {
                decoded.push(packet);
            }
        }
        assert_eq!(decoded, packets, "in pieces of {size}");
    }
}

#[test]
fn a_packet_that_ends_early_or_late_is_malformed() {
    for (bytes, packet) in samples() {
        let body = &bytes[bytes.len() - remaining(&bytes)..];
        for length in 0..body.len() {
            let cut = frame(bytes[0], &body[..length]);
            // A packet with a shorter payload, or with one filter less, is also valid.
            match decode(&cut, Version::V311) {
                Ok(Some(Packet::Publish(_))) => assert!(matches!(packet, Packet::Publish(_))),
                Ok(Some(Packet::Subscribe { .. } | Packet::Unsubscribe { .. })) => {}
                Ok(Some(Packet::UnsupportedConnect { level })) => assert_eq!(level, 3),
                other => assert!(other.is_err(), "{packet:?} cut to {length}: {other:?}"),
            }
        }
        let long = decode(&frame(bytes[0], &[body, &[9]].concat()), Version::V311);
        match packet {
            Packet::Publish(_) | Packet::UnsupportedConnect { .. } => assert!(long.is_ok()),
            Packet::Subscribe { .. } | Packet::Unsubscribe { .. } => {
                assert_eq!(long, Err(Malformed::Truncated));
            }
            _ => assert_eq!(long, Err(Malformed::Trailing { extra: 1 })),
        }
    }
}

fn remaining(bytes: &[u8]) -> usize {
    let (_, header, remaining) = fixed_header(bytes).unwrap().unwrap();
    assert_eq!(header + remaining, bytes.len());
    remaining
}

#[test]
fn wrong_flags_and_types_are_malformed() {
    for (bytes, packet) in samples() {
        if matches!(packet, Packet::Publish(_)) {
            continue;
        }
        for flags in 0..16 {
            let first = bytes[0] & 0xF0 | flags;
            let mut changed = bytes.clone();
            changed[0] = first;
            if first != bytes[0] {
                assert_eq!(malformed(&changed), Malformed::Flags { first });
            }
        }
    }
    for first in [0x00, 0x20, 0x90, 0xB0, 0xD0, 0xF0] {
        assert_eq!(malformed(&[first, 0]), Malformed::PacketType { first });
    }
}

#[test]
fn a_publish_is_checked() {
    assert_eq!(
        malformed(&frame(0x36, &[0, 1, b'a', 0, 1])),
        Malformed::Qos { byte: 0x36 }
    );
    assert_eq!(
        malformed(&frame(0x38, &[0, 1, b'a'])),
        Malformed::DupWithoutQos
    );
    assert_eq!(malformed(&publish("a", 1, 0, b"")), Malformed::PacketIdZero);
    for topic in ["", "a/+", "#"] {
        assert_eq!(
            malformed(&publish(topic, 0, 0, b"")),
            Malformed::TopicName,
            "{topic}"
        );
    }
    assert_eq!(malformed(&publish("a\0", 0, 0, b"")), Malformed::Nul);
    for bad in [&[0xFF][..], &[0xED, 0xA0, 0x80], &[0xC0, 0x80]] {
        assert_eq!(
            malformed(&frame(0x30, &string(bad))),
            Malformed::NotUtf8,
            "{bad:x?}"
        );
    }
}

#[test]
fn a_connect_is_checked() {
    for flags in [0x01, 0x08, 0x20, 0x1E, 0x42] {
        let packet = connect_with(4, flags, 60, &[b"id"]);
        assert_eq!(
            malformed(&packet),
            Malformed::ConnectFlags { flags },
            "{flags:#x}"
        );
    }
    let mut foreign = connect_with(4, 2, 60, &[b"id"]);
    foreign[4] = b'm';
    assert_eq!(malformed(&foreign), Malformed::ProtocolName);
    let old = frame(
        0x10,
        &[&string(b"MQIsdp")[..], &[3, 2, 0, 60], &string(b"id")].concat(),
    );
    let level = Packet::UnsupportedConnect { level: 3 };
    assert_eq!(decode(&old, Version::V311), Ok(Some(level)));
}

#[test]
fn filters_are_checked() {
    assert_eq!(malformed(&subscribe(1, &[])), Malformed::NoFilter);
    assert_eq!(malformed(&frame(0xA2, &[0, 1])), Malformed::NoFilter);
    assert_eq!(
        malformed(&subscribe(0, &[("a", 0)])),
        Malformed::PacketIdZero
    );
    for byte in [3, 4, 0x81] {
        assert_eq!(
            malformed(&subscribe(1, &[("a", byte)])),
            Malformed::Qos { byte }
        );
    }
    for filter in ["", "a#", "#/a", "a/#/b", "a+", "+a/b"] {
        let packet = subscribe(1, &[(filter, 0)]);
        assert_eq!(malformed(&packet), Malformed::TopicFilter, "{filter}");
    }
}

#[test]
fn lengths_are_bounded_before_anything_is_collected() {
    let remaining = FRAME_LIMIT + 1;
    assert_eq!(
        malformed(&[0x30, 0x81, 0x80, 0x40]),
        Malformed::TooLong { remaining }
    );
    assert_eq!(decode(&[0x30, 0x80, 0x80, 0x40], Version::V311), Ok(None));
    assert_eq!(
        malformed(&[0x30, 0xFF, 0xFF, 0xFF, 0xFF]),
        Malformed::RemainingLength
    );
    assert_eq!(decode(&[0x30, 0xFF, 0xFF, 0xFF], Version::V311), Ok(None));
}

#[test]
fn mqtt_5_has_properties_reasons_and_options() {
    let v5 = |bytes: &[u8]| decode(bytes, Version::V5);
    let property = [2, 0x01, 0x01];
    let bytes = frame(
        0x32,
        &[&string(b"a")[..], &[0, 9], &property, b"x"].concat(),
    );
    let Ok(Some(Packet::Publish(publish))) = v5(&bytes) else {
        panic!("no PUBLISH");
    };
    assert_eq!((publish.packet_id, &publish.payload[..]), (9, &b"x"[..]));

    let puback = Ok(Some(Packet::Puback { packet_id: 9 }));
    assert_eq!(v5(&[0x40, 2, 0, 9]), puback);
    assert_eq!(v5(&[0x40, 3, 0, 9, 0]), puback);
    assert_eq!(v5(&[0x40, 4, 0, 9, 0, 0]), puback);
    assert_eq!(v5(&[0x40, 4, 0, 9, 0, 1]), Err(Malformed::Truncated));
    assert_eq!(v5(&[0xE0, 1, 4]), Ok(Some(Packet::Disconnect)));
    let options = frame(0x82, &[&[0, 1, 0], &string(b"a")[..], &[0x2D]].concat());
    let subscribe = Packet::Subscribe {
        packet_id: 1,
        filters: vec![("a".to_owned(), 1)],
    };
    assert_eq!(v5(&options), Ok(Some(subscribe)));
    let endless = frame(
        0x32,
        &[&string(b"a")[..], &[0, 9, 255, 255, 255, 255]].concat(),
    );
    assert_eq!(v5(&endless), Err(Malformed::RemainingLength));
}

#[test]
fn replies_are_encoded_as_the_standard_shows_them() {
    let encode = |reply: Reply, version| {
        let mut bytes = Vec::new();
        reply.encode(version, &mut bytes);
        bytes
    };
    let publish = |packet_id, dup| Reply::Publish {
        topic: "a/b".to_owned(),
        packet_id,
        dup,
        payload: Bytes::from_static(b"hi"),
    };
    let v311 = |reply| encode(reply, Version::V311);
    assert_eq!(v311(Reply::Connack { code: 5 }), [0x20, 2, 0, 5]);
    assert_eq!(v311(publish(None, false)), *b"\x30\x07\x00\x03a/bhi");
    assert_eq!(
        v311(publish(Some(258), true)),
        *b"\x3A\x09\x00\x03a/b\x01\x02hi"
    );
    assert_eq!(v311(Reply::Puback { packet_id: 258 }), [0x40, 2, 1, 2]);
    let suback = |codes| Reply::Suback {
        packet_id: 1,
        codes,
    };
    assert_eq!(v311(suback(vec![0, 0x80])), [0x90, 4, 0, 1, 0, 0x80]);
    assert_eq!(
        v311(Reply::Unsuback {
            packet_id: 1,
            filters: 2
        }),
        [0xB0, 2, 0, 1]
    );
    assert_eq!(v311(Reply::Pingresp), [0xD0, 0]);
    let long = Reply::Publish {
        topic: "t".to_owned(),
        packet_id: None,
        dup: false,
        payload: Bytes::from(vec![0; 16_381]),
    };
    assert_eq!(v311(long)[..4], [0x30, 0x80, 0x80, 0x01]);

    let v5 = |reply| encode(reply, Version::V5);
    assert_eq!(
        v5(Reply::Connack { code: 4 }),
        [0x20, 5, 0, 0x86, 2, 0x24, 1]
    );
    assert_eq!(
        v5(publish(Some(1), false)),
        *b"\x32\x0A\x00\x03a/b\x00\x01\x00hi"
    );
    assert_eq!(v5(suback(vec![1])), [0x90, 4, 0, 1, 0, 1]);
    assert_eq!(
        v5(Reply::Unsuback {
            packet_id: 1,
            filters: 2
        }),
        [0xB0, 5, 0, 1, 0, 0, 0]
    );
}

#[test]
fn a_password_does_not_show_in_debug() {
    for (bytes, _) in samples() {
        let packet = format!("{:?}", decode(&bytes, Version::V311));
        assert!(
            !packet.contains("secret") && !packet.contains("115, 101"),
            "{packet}"
        );
    }
}
