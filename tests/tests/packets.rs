//! The packet reader that other tests rely on rejects packets that a gateway must not send.
#![forbid(unsafe_code)]

use std::panic::catch_unwind;

use iotcore_gateway_testkit::packets::{
    Sent, connack, extent, frame, parse, publish, read, string, suback, take,
};

/// Returns a CONNECT with these flags.
fn connect(flags: u8) -> Vec<u8> {
    let [name, id, user, password] = ["MQTT", "id", "user", "token"].map(str::as_bytes);
    let fields = [name, id, user, password].map(string);
    let head = [4, flags, 0, 60];
    frame(
        0x10,
        &[&fields[0], &head, &fields[1], &fields[2], &fields[3]],
    )
}

fn is_refused(bytes: &[u8]) -> bool {
    let bytes = bytes.to_vec();
    catch_unwind(|| parse(&bytes)).is_err()
}

#[test]
fn every_packet_of_a_gateway_is_read() {
    let stream = [
        connect(0xc2),
        publish("t", b"once", None, false),
        publish("t", &[7; 16_384], Some(2), true),
        frame(0x40, &[&[1, 0]]),
        frame(0x82, &[&[0, 3], &string(b"f"), &[1]]),
        frame(0xa2, &[&[0, 4], &string(b"f")]),
        vec![0xc0, 0],
        vec![0xe0, 0],
    ]
    .concat();
    let published = |payload: &[u8], id, dup| Sent::Publish {
        topic: "t".to_owned(),
        payload: payload.to_owned(),
        id,
        dup,
    };
    let filter = || "f".to_owned();
    let expected = [
        Sent::Connect {
            client_id: "id".to_owned(),
            user_name: "user".to_owned(),
            password: "token".to_owned(),
            keep_alive: 60,
        },
        published(b"once", None, false),
        published(&[7; 16_384], Some(2), true),
        Sent::PubAck(256),
        Sent::Subscribe {
            id: 3,
            filter: filter(),
            qos: 1,
        },
        Sent::Unsubscribe {
            id: 4,
            filter: filter(),
        },
        Sent::PingReq,
        Sent::Disconnect,
    ];
    assert_eq!(parse(&stream), expected);

    let (mut begun, mut taken) = (Vec::new(), Vec::new());
    for byte in &stream {
        begun.push(*byte);
        taken.extend(take(&mut begun));
    }
    assert_eq!(taken, expected);

    let mut rest = &stream[..];
    let mut taken = Vec::new();
    while let Some(packet) = read(&mut rest).unwrap() {
        taken.extend(parse(&packet));
    }
    assert_eq!(taken, expected);
    assert!(read(&mut &stream[..3]).is_err());
}

#[test]
fn packets_that_a_gateway_must_not_send_are_refused() {
    for (bytes, what) in [
        (connack(0), "a packet that only the bridge sends"),
        (suback(1, 0), "another"),
        (connect(0xc6), "a will"),
        (connect(0xc0), "a persistent session"),
        (vec![0x34, 6, 0, 1, b't', 0, 1, 2], "QoS 2"),
        (vec![0x38, 3, 0, 1, b't'], "DUP at QoS 0"),
        (publish("t", b"", Some(0), false), "packet identifier 0"),
        (vec![0x30, 4, 0, 2, 0xc0, 0x80], "a topic that is not UTF-8"),
        (vec![0x30, 3, 0, 2, b't'], "a truncated topic"),
        (vec![0xc0, 1, 0], "an extra byte"),
        (vec![0xc0], "a truncated packet"),
        (vec![0xc0, 0x80, 0x80, 0x80, 0x80, 0], "an endless length"),
    ] {
        assert!(is_refused(&bytes), "{what}");
    }
    assert_eq!(extent(&[0xc0, 0x80, 0x80, 0x80, 0x80, 0]), None);
}
