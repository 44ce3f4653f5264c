//! PUBLISH: its topic, its identifier, its flags, and when it arrives.

use iotcore_gateway::cause::{PacketType, Violation};

use crate::{
    Expect::{Closes, Tolerates},
    Row,
    peer::publish,
    stage::{CONFIG, ERRORS, Stage, message},
};

pub(crate) fn rows() -> Vec<Row> {
    let mut rows = topic_lengths();
    rows.extend(ill_formed_utf8());
    rows.extend(forbidden_characters());
    rows.extend(unusual_characters());
    rows.extend(identifiers());
    rows.extend(flags());
    rows.extend(unwanted());
    rows
}

fn closes(clause: &'static str, name: &str, bytes: impl Into<Vec<u8>>, why: Violation) -> Row {
    Row::new(clause, name, Stage::Subscribed, bytes, Closes(why))
}

/// Returns a PUBLISH whose topic may be ill-formed.
fn raw(topic: &[u8], id: Option<u16>) -> Vec<u8> {
    let id: Vec<u8> = id.into_iter().flat_map(u16::to_be_bytes).collect();
    let first = if id.is_empty() { 0x30 } else { 0x32 };
    let mut bytes = vec![
        first,
        (2 + topic.len() + id.len() + 2) as u8,
        0,
        topic.len() as u8,
    ];
    bytes.extend(topic);
    bytes.extend(id);
    bytes.extend(b"{}");
    bytes
}

fn topic_lengths() -> Vec<Row> {
    let beyond = |length, room| Violation::TopicBeyondPacket { length, room };
    vec![
        closes(
            "MQTT-4.7.3-1",
            "an empty topic",
            raw(b"", None),
            Violation::TopicEmpty,
        ),
        closes(
            "MQTT-4.7.3-1",
            "an empty topic at QoS 1",
            raw(b"", Some(7)),
            Violation::TopicEmpty,
        ),
        closes(
            "MQTT-3.3.2-1",
            "a topic one byte longer than the packet",
            [0x30, 3, 0, 2, b't'],
            beyond(2, 1),
        ),
        closes(
            "MQTT-3.3.2-1",
            "a topic length of 65,535 bytes",
            [0x30, 4, 0xff, 0xff, b't', b't'],
            beyond(65_535, 2),
        ),
        closes(
            "MQTT-2.3.1-1",
            "a topic that includes the first byte of the identifier",
            [0x32, 6, 0, 3, b't', b't', b't', 1],
            beyond(3, 2),
        ),
        closes(
            "MQTT-2.3.1-1",
            "a topic that includes the identifier",
            [0x32, 6, 0, 4, b't', b't', b't', b't'],
            beyond(4, 2),
        ),
        closes(
            "MQTT-2.3.1-1",
            "a topic that leaves the identifier one byte",
            [0x3a, 5, 0, 2, b't', b't', 1],
            beyond(2, 1),
        ),
        closes(
            "MQTT-1.5.3-1",
            "a topic length with swapped bytes",
            [0x30, 5, 1, 0, b't', b'{', b'}'],
            beyond(256, 3),
        ),
    ]
}

fn ill_formed_utf8() -> Vec<Row> {
    let topics: [(&str, &[u8], usize); 16] = [
        ("a lone continuation byte", b"a\x80b", 1),
        ("a two-byte character cut short", b"a\xc3", 1),
        ("a three-byte character cut short", b"\xe2\x82", 0),
        ("a four-byte character cut short", b"ab\xf0\x9f\xa6", 2),
        ("a two-byte character without its second byte", b"\xc3/b", 0),
        ("an overlong slash", b"/devices\xc0\xafdevice-1", 8),
        ("an overlong U+0000, as Java writes it", b"\xc0\x80", 0),
        ("an overlong U+0000 in three bytes", b"\xe0\x80\x80", 0),
        ("an overlong U+20AC in four bytes", b"\xf0\x82\x82\xac", 0),
        ("the surrogate U+D800", b"\xed\xa0\x80", 0),
        ("the surrogate U+DFFF", b"t\xed\xbf\xbf", 1),
        ("a pair of surrogates", b"\xed\xa0\xbe\xed\xb6\x80", 0),
        ("a code point above U+10FFFF", b"\xf4\x90\x80\x80", 0),
        ("the invalid lead byte 0xf8", b"\xf8\x88\x80\x80", 0),
        ("a UTF-16 byte order mark", b"\xff\xfe/\0", 0),
        ("Latin-1", b"/devices/t\xfcr/config", 10),
    ];
    let mut rows = Vec::new();
    for (name, topic, at) in topics {
        rows.push(closes(
            "MQTT-1.5.3-1",
            &format!("a topic with {name}"),
            raw(topic, None),
            Violation::TopicNotUtf8 { at },
        ));
    }
    // The character is complete only together with the payload that follows the topic.
    rows.push(closes(
        "MQTT-1.5.3-1",
        "a character that continues in the payload",
        [0x30, 5, 0, 2, b't', 0xc3, 0xa9],
        Violation::TopicNotUtf8 { at: 1 },
    ));
    rows.push(closes(
        "MQTT-1.5.3-1",
        "an ill-formed topic at QoS 1",
        raw(b"\xff", Some(9)),
        Violation::TopicNotUtf8 { at: 0 },
    ));
    rows
}

fn forbidden_characters() -> Vec<Row> {
    let mut rows = Vec::new();
    for (topic, at) in [
        (&b"\0"[..], 0),
        (b"\0/devices", 0),
        (b"/devices/\0/config", 9),
        (b"/devices/device-1/config\0", 24),
    ] {
        rows.push(closes(
            "MQTT-1.5.3-2",
            &format!("a topic with U+0000 at {at} of {}", topic.len()),
            raw(topic, Some(7)),
            Violation::TopicWithNul { at },
        ));
    }
    for (topic, wildcard, at) in [
        ("#", '#', 0),
        ("+", '+', 0),
        ("/devices/+/config", '+', 9),
        ("/devices/+/commands/#", '+', 9),
        ("/devices/device-1/commands/#", '#', 27),
        ("/devices/device-1/commands/a#", '#', 28),
        ("/devices/device+1/config", '+', 15),
    ] {
        rows.push(closes(
            "MQTT-3.3.2-2",
            &format!("the topic {topic}"),
            raw(topic.as_bytes(), None),
            Violation::TopicWithWildcard { wildcard, at },
        ));
    }
    rows
}

/// Characters that a string may contain, although the standard advises against some: a gateway need not reject them.
fn unusual_characters() -> Vec<Row> {
    let topics = [
        (
            "MQTT-1.5.3-3",
            "a leading U+FEFF",
            "\u{feff}/devices/device-1/config",
        ),
        (
            "1.5.3",
            "a control character",
            "/devices/device-1\u{1}/config",
        ),
        ("1.5.3", "a line break", "/devices/device-1/config\n"),
        (
            "1.5.3",
            "a control character of Latin-1",
            "/devices/\u{9f}/config",
        ),
        ("1.5.3", "the noncharacter U+FFFF", "/devices/\u{ffff}"),
        ("1.5.3", "the noncharacter U+FDD0", "\u{fdd0}"),
    ];
    let rows = topics.map(|(clause, what, topic)| {
        Row::new(
            clause,
            format!("a topic with {what}"),
            Stage::Subscribed,
            message(topic, b"{}", Some(7)),
            Tolerates("Unrequested, PUBACK 7"),
        )
    });
    rows.into()
}

fn identifiers() -> Vec<Row> {
    let mut rows = Vec::new();
    for first in [0x32, 0x33, 0x3a, 0x3b] {
        let mut bytes = raw(CONFIG.as_bytes(), Some(0));
        bytes[0] = first;
        rows.push(closes(
            "MQTT-2.3.1-1",
            &format!("PUBLISH {first:#04x} with identifier 0"),
            bytes,
            Violation::PacketIdZero {
                packet: PacketType::Publish,
            },
        ));
    }
    let tolerated = |clause, name: &str, stage, bytes, expected| {
        Row::new(clause, name, stage, bytes, Tolerates(expected))
    };
    let two = |second: Vec<u8>| [message(CONFIG, b"1", Some(12)), second].concat();
    rows.extend([
        // Our identifiers and the server's are independent: 5 is in flight in the other direction.
        tolerated(
            "2.3.1",
            "a config with the identifier of our PUBLISH",
            Stage::InFlight,
            message(CONFIG, b"{}", Some(5)),
            "Config, PUBACK 5",
        ),
        tolerated(
            "MQTT-2.3.1-2",
            "a new config with an identifier that is not yet acknowledged",
            Stage::Unacknowledged,
            message(CONFIG, b"{}", Some(11)),
            "Config",
        ),
        tolerated(
            "MQTT-4.3.2-2",
            "two configs with one identifier, the first acknowledged",
            Stage::Subscribed,
            two(message(CONFIG, b"2", Some(12))),
            "Config, Config, PUBACK 12, PUBACK 12",
        ),
        tolerated(
            "MQTT-4.6.0-6",
            "configs with decreasing identifiers",
            Stage::Subscribed,
            two(message(CONFIG, b"2", Some(3))),
            "Config, Config, PUBACK 12, PUBACK 3",
        ),
    ]);
    rows
}

fn flags() -> Vec<Row> {
    let tolerated = |clause, name: &str, stage, bytes, expected| {
        Row::new(clause, name, stage, bytes, Tolerates(expected))
    };
    let retained = |id: Option<u16>| {
        let mut bytes = message(CONFIG, b"{}", id);
        bytes[0] |= 1;
        bytes
    };
    vec![
        tolerated(
            "MQTT-3.3.1-3",
            "DUP on a first delivery",
            Stage::Subscribed,
            publish(CONFIG, b"{}", Some(9), true),
            "Config, PUBACK 9",
        ),
        tolerated(
            "MQTT-3.3.1-3",
            "a duplicate of a config that is not yet acknowledged",
            Stage::Unacknowledged,
            publish(CONFIG, b"x", Some(11), true),
            "",
        ),
        tolerated(
            "MQTT-3.3.1-3",
            "DUP with an unused identifier",
            Stage::Unacknowledged,
            publish(CONFIG, b"y", Some(12), true),
            "Config",
        ),
        tolerated(
            "MQTT-3.3.1-9",
            "RETAIN at QoS 1 on an established subscription",
            Stage::Subscribed,
            retained(Some(9)),
            "Config, PUBACK 9",
        ),
        tolerated(
            "MQTT-3.3.1-9",
            "RETAIN at QoS 0",
            Stage::Subscribed,
            retained(None),
            "Config",
        ),
        tolerated(
            "MQTT-3.8.4-6",
            "a config at QoS 1 where QoS 0 was granted",
            Stage::SubscribedAtQoS0,
            message(CONFIG, b"{}", Some(9)),
            "Config, PUBACK 9",
        ),
        tolerated(
            "MQTT-3.8.4-6",
            "a report at QoS 1 where QoS 0 was granted",
            Stage::Open,
            message(ERRORS, br#"{"error_type":"UNKNOWN"}"#, Some(9)),
            "report UNKNOWN, PUBACK 9",
        ),
    ]
}

/// MQTT-3.3.2-3: messages that match none of our filters. They are acknowledged anyway [MQTT-4.5.0-2], and reported.
fn unwanted() -> Vec<Row> {
    let mut rows = Vec::new();
    for (name, stage, expected) in [
        (
            "a config before anything is subscribed",
            Stage::Accepted,
            "Unrequested, PUBACK 21",
        ),
        (
            "a config of a device that is not attached",
            Stage::Open,
            "Unrequested, PUBACK 21",
        ),
        (
            "a config of a device that is being attached",
            Stage::Attaching,
            "Unrequested, PUBACK 21",
        ),
        (
            "a config of a device that is not subscribed",
            Stage::Attached,
            "Unrequested, PUBACK 21",
        ),
        (
            "a config before its SUBACK",
            Stage::Subscribing,
            "Config, PUBACK 21",
        ),
        (
            "a config before its UNSUBACK",
            Stage::Unsubscribing,
            "Config, PUBACK 21",
        ),
        (
            "a config after its UNSUBACK",
            Stage::Unsubscribed,
            "Unrequested, PUBACK 21",
        ),
        (
            "a config of a device whose attach timed out",
            Stage::TimedOut,
            "Unrequested, PUBACK 21",
        ),
        (
            "a config of a device that is being detached",
            Stage::Detaching,
            "Unrequested, PUBACK 21",
        ),
        (
            "a config of an unknown device during a token refresh",
            Stage::Refreshing,
            "Unrequested, PUBACK 21",
        ),
        (
            "a config of an unknown device during a close",
            Stage::Closing,
            "Unrequested, PUBACK 21",
        ),
    ] {
        let bytes = message(CONFIG, b"{}", Some(21));
        rows.push(Row::new(
            "MQTT-3.3.2-3",
            name,
            stage,
            bytes,
            Tolerates(expected),
        ));
    }
    rows
}
