//! What is encoded, byte for byte, and what is refused.

use proptest::prelude::*;

use super::*;

fn login<'a>(user_name: &'a str, password: &'a str) -> Connect<'a> {
    Connect {
        client_id: "projects/p",
        user_name,
        password,
        keep_alive_secs: 0x0102,
    }
}

#[test]
fn connect_is_the_same_behind_other_bytes() {
    let expected = b"\x10\x23\0\x04MQTT\x04\xc2\x01\x02\0\x0aprojects/p\0\x06unused\0\x03jwt";
    for before in [&b""[..], b"\xc0\0", &[0; 300]] {
        let mut out = BytesMut::from(before);
        connect(&mut out, &login("unused", "jwt")).unwrap();
        assert_eq!(&out[..before.len()], before);
        assert_eq!(&out[before.len()..], expected);
    }
}

#[test]
fn connect_without_a_password_has_no_password_flag() {
    let mut out = BytesMut::new();
    connect(&mut out, &login("unused", "")).unwrap();
    assert_eq!(
        out,
        &b"\x10\x1e\0\x04MQTT\x04\x82\x01\x02\0\x0aprojects/p\0\x06unused"[..]
    );
}

#[test]
fn connect_with_a_string_that_mqtt_cannot_carry_is_not_written() {
    let long = "x".repeat(MAX_STRING + 1);
    let field = |field| (field, MAX_STRING + 1);
    let too_long = |(field, length)| Unencodable::TooLong {
        field,
        length,
        limit: MAX_STRING,
    };
    let with_id = |client_id| Connect {
        client_id,
        ..login("unused", "jwt")
    };
    let cases = [
        (login("", "jwt"), Unencodable::Empty { field: "user name" }),
        (
            login("a\0", "jwt"),
            Unencodable::Nul {
                field: "user name",
                at: 1,
            },
        ),
        (
            login("unused", "\0jwt"),
            Unencodable::Nul {
                field: "password",
                at: 0,
            },
        ),
        (
            with_id("id\0"),
            Unencodable::Nul {
                field: "client id",
                at: 2,
            },
        ),
        (login(&long, "jwt"), too_long(field("user name"))),
        (login("unused", &long), too_long(field("password"))),
        (with_id(&long), too_long(field("client id"))),
    ];
    let mut out = BytesMut::from(&b"before"[..]);
    for (packet, expected) in cases {
        assert_eq!(connect(&mut out, &packet), Err(expected));
        assert_eq!(out, &b"before"[..]);
    }
    connect(&mut out, &login("unused", &long[1..])).unwrap();
}

#[test]
fn an_error_shows_nothing_of_the_password() {
    let secret = format!("secret\0{}", "x".repeat(10));
    let error = connect(&mut BytesMut::new(), &login("unused", &secret)).unwrap_err();
    assert!(!format!("{error} {error:?}").contains("secret"));
}

#[test]
fn publish_is_written_byte_for_byte() {
    let cases: [(Option<u16>, bool, &[u8]); 3] = [
        (None, false, b"\x30\x07\0\x03t/uxy"),
        (Some(0x0a0b), false, b"\x32\x09\0\x03t/u\x0a\x0bxy"),
        (Some(0x0a0b), true, b"\x3a\x09\0\x03t/u\x0a\x0bxy"),
    ];
    for (number, dup, expected) in cases {
        let mut out = BytesMut::new();
        publish(&mut out, &topic("t/u"), b"xy", number.map(id), dup).unwrap();
        assert_eq!(out, expected);
    }
}

#[test]
fn a_remaining_length_takes_as_few_bytes_as_it_can() {
    let cases: [(usize, &[u8]); 8] = [
        (4, b"\x04"),
        (127, b"\x7f"),
        (128, b"\x80\x01"),
        (16_383, b"\xff\x7f"),
        (16_384, b"\x80\x80\x01"),
        (2_097_151, b"\xff\xff\x7f"),
        (2_097_152, b"\x80\x80\x80\x01"),
        (MAX_REMAINING_LENGTH, b"\xff\xff\xff\x7f"),
    ];
    for (length, expected) in cases {
        let mut out = BytesMut::new();
        let payload = vec![0; length - 3];
        publish(&mut out, &topic("t"), &payload, None, false).unwrap();
        assert_eq!(&out[1..1 + expected.len()], expected);
        assert_eq!(out.len(), 1 + expected.len() + length);
    }
}

#[test]
fn a_topic_that_mqtt_cannot_carry_is_not_made() {
    let long = "t".repeat(MAX_STRING + 1);
    let field = "topic";
    let limit = MAX_STRING;
    let length = limit + 1;
    let wildcard = |wildcard, at| Unencodable::Wildcard { wildcard, at };
    let cases = [
        ("", Unencodable::Empty { field }),
        (
            &long,
            Unencodable::TooLong {
                field,
                length,
                limit,
            },
        ),
        ("a\0", Unencodable::Nul { field, at: 1 }),
        ("a/é/+", wildcard('+', 5)),
        ("#", wildcard('#', 0)),
    ];
    let mut topic = topic("before");
    for (name, expected) in cases {
        let made = topic.make(|out| out.push_str(name));
        assert_eq!(made, Err(expected));
        assert_eq!(topic.as_bytes(), b"");
    }
}

#[test]
fn a_repetition_at_qos_0_is_not_written() {
    let mut out = BytesMut::from(&b"before"[..]);
    let written = publish(&mut out, &topic("t"), b"xy", None, true);
    assert_eq!(written, Err(Unencodable::DupAtQoS0));
    assert_eq!(out, &b"before"[..]);
}

#[test]
fn a_publish_beyond_the_greatest_remaining_length_is_not_written() {
    let mut out = BytesMut::new();
    let payload = vec![0; MAX_REMAINING_LENGTH - 4];
    let written = publish(&mut out, &topic("t"), &payload, Some(id(1)), false);
    let expected = Unencodable::PacketTooLarge {
        length: MAX_REMAINING_LENGTH + 1,
        limit: MAX_REMAINING_LENGTH,
    };
    assert_eq!(written, Err(expected));
    assert!(out.is_empty());
}

#[test]
fn a_failed_write_leaves_nothing_behind() {
    let without_id = v4::Publish::new("t", mqttbytes::QoS::AtLeastOnce, "xy");
    let mut out = BytesMut::from(&b"before"[..]);
    let written = write(&mut out, PacketType::Publish, |out| without_id.write(out));
    assert_eq!(
        written,
        Err(Unencodable::Unwritable {
            packet: PacketType::Publish
        })
    );
    assert_eq!(out, &b"before"[..]);
}

#[test]
fn subscribe_and_unsubscribe_carry_one_filter() {
    let mut out = BytesMut::new();
    subscribe(&mut out, id(0x0102), "a/#", QoS::AtMostOnce).unwrap();
    subscribe(&mut out, id(3), "a", QoS::AtLeastOnce).unwrap();
    unsubscribe(&mut out, id(4), "a/+").unwrap();
    let expected = [
        &b"\x82\x08\x01\x02\0\x03a/#\0"[..],
        b"\x82\x06\0\x03\0\x01a\x01",
        b"\xa2\x07\0\x04\0\x03a/+",
    ];
    assert_eq!(out, expected.concat());
}

#[test]
fn a_filter_has_its_wildcards_in_their_places() {
    for filter in [
        "#", "+", "/", "a/#", "+/+/#", "/+", "é/+/b", "$SYS/#", "a//#",
    ] {
        assert_eq!(
            subscribe(&mut BytesMut::new(), id(1), filter, QoS::AtMostOnce),
            Ok(()),
            "{filter}"
        );
    }
    let misplaced = [
        ("a#", 0),
        ("é/b#", 3),
        ("#/a", 0),
        ("a/#/b", 2),
        ("a/+b", 2),
        ("++", 0),
        ("a/#/", 2),
    ];
    let field = "topic filter";
    let mut cases: Vec<(String, Unencodable)> = misplaced
        .map(|(filter, at)| (filter.to_owned(), Unencodable::Filter { at }))
        .to_vec();
    let length = MAX_STRING + 1;
    cases.push((String::new(), Unencodable::Empty { field }));
    cases.push(("a/\0".to_owned(), Unencodable::Nul { field, at: 2 }));
    cases.push((
        "f".repeat(length),
        Unencodable::TooLong {
            field,
            length,
            limit: MAX_STRING,
        },
    ));
    let mut out = BytesMut::new();
    for (filter, expected) in cases {
        assert_eq!(
            subscribe(&mut out, id(1), &filter, QoS::AtLeastOnce),
            Err(expected)
        );
        assert_eq!(unsubscribe(&mut out, id(1), &filter), Err(expected));
        assert!(out.is_empty());
    }
}

#[test]
fn the_fixed_packets_are_written_byte_for_byte() {
    let mut out = BytesMut::new();
    puback(&mut out, id(0x1234));
    pingreq(&mut out);
    disconnect(&mut out);
    assert_eq!(out, &b"\x40\x02\x12\x34\xc0\0\xe0\0"[..]);
}

#[test]
fn what_cannot_be_written_says_where_and_what_would_be_legal() {
    let field = "topic filter";
    for (error, expected) in [
        (Unencodable::Empty { field }, "the topic filter is empty"),
        (
            Unencodable::TooLong {
                field,
                length: 65_536,
                limit: MAX_STRING,
            },
            "the topic filter has 65536 bytes, at most 65535 are possible",
        ),
        (
            Unencodable::Wildcard {
                wildcard: '+',
                at: 2,
            },
            "the topic has the wildcard + at byte 2 [MQTT-3.3.2-2]",
        ),
    ] {
        assert_eq!(error.to_string(), expected);
    }
}

proptest! {
    #[test]
    fn a_publish_comes_back_as_it_went(
        name in "[^\0+#]{1,40}",
        payload in proptest::collection::vec(any::<u8>(), 0..3000),
        number in any::<u16>(),
        dup in any::<bool>(),
    ) {
        let packet_id = PacketId::new(number);
        let dup = dup && packet_id.is_some();
        let mut out = BytesMut::new();
        publish(&mut out, &topic(&name), &payload, packet_id, dup).unwrap();
        let (packet, rest) = first(&out, DEFAULT_FRAME_LIMIT).unwrap().unwrap();
        let qos = if number == 0 { QoS::AtMostOnce } else { QoS::AtLeastOnce };
        let payload = Bytes::from(payload);
        let expected = Publish { topic: name, payload, qos, packet_id, dup, retain: false };
        prop_assert_eq!(packet, Read::Publish(expected));
        prop_assert!(rest.is_empty());
    }
}
