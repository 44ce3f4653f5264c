//! Input while a connection ends, after its end, and without a connection.

use iotcore_gateway::cause::{PacketType, Violation};

use crate::{
    Expect::{Closes, Ignores, Tolerates},
    Row,
    peer::publish,
    stage::{CONFIG, Stage, message},
};

pub(crate) fn rows() -> Vec<Row> {
    let mut rows = violations();
    rows.extend(messages());
    rows.extend(without_connection());
    rows.extend(several());
    rows
}

/// A violation ends the connection at every stage; what follows depends on the stage.
fn violations() -> Vec<Row> {
    let mut rows = Vec::new();
    for stage in [
        Stage::Unwritten,
        Stage::Connecting,
        Stage::Accepted,
        Stage::Attaching,
        Stage::Subscribing,
        Stage::InFlight,
        Stage::TimedOut,
        Stage::Quarantined,
        Stage::Detaching,
        Stage::Pinging,
        Stage::Unacknowledged,
        Stage::PublishUnwritten,
        Stage::Refreshing,
        Stage::Closing,
        Stage::Leaving,
        Stage::LeavingWithUnsent,
    ] {
        rows.push(Row::new(
            "MQTT-4.8.0-1",
            "input that is not a packet",
            stage,
            [0xf7],
            Closes(Violation::ReservedType { first_byte: 0xf7 }),
        ));
    }
    for stage in [Stage::Refreshing, Stage::Closing, Stage::Leaving] {
        rows.push(Row::new(
            "MQTT-3.3.2-2",
            "a topic with a wildcard",
            stage,
            message("/devices/+/config", b"", None),
            Closes(Violation::TopicWithWildcard {
                wildcard: '+',
                at: 9,
            }),
        ));
    }
    rows
}

/// Input after our DISCONNECT is processed but can no longer be acknowledged [MQTT-3.14.4-2].
fn messages() -> Vec<Row> {
    vec![
        Row::new(
            "MQTT-3.14.4-2",
            "a message at QoS 1 after DISCONNECT was queued",
            Stage::Leaving,
            message(CONFIG, b"{}", Some(21)),
            Tolerates("Unrequested"),
        ),
        Row::new(
            "MQTT-3.14.4-2",
            "a duplicate message after DISCONNECT was queued",
            Stage::LeavingWithUnsent,
            publish(CONFIG, b"{}", Some(21), true),
            Tolerates("Unrequested"),
        ),
        Row::new(
            "MQTT-3.14.4-2",
            "the last PUBACK after DISCONNECT was queued",
            Stage::LeavingWithUnsent,
            [0x40, 2, 0, 2],
            Tolerates("done Acknowledged"),
        ),
    ]
}

/// Without a connection, all bytes are ignored.
fn without_connection() -> Vec<Row> {
    let mut rows = Vec::new();
    for stage in [
        Stage::Dialing,
        Stage::Left,
        Stage::HangingUp,
        Stage::Waiting,
        Stage::Closed,
    ] {
        for (name, bytes) in [
            ("a message", message(CONFIG, b"{}", Some(1))),
            ("an acknowledgement", vec![0x40, 2, 0, 2]),
            ("a refusal", vec![0x20, 2, 0, 5]),
            (
                "input that is not a packet",
                vec![0xf7, 0xff, 0xff, 0xff, 0xff, 0xff],
            ),
            ("an incomplete packet", vec![0x30, 0xff, 0x7f, 0]),
        ] {
            rows.push(Row::new("MQTT-3.14.4-1", name, stage, bytes, Ignores(0)));
        }
    }
    rows
}

/// Valid packets before the violation are processed, and nothing after it is.
fn several() -> Vec<Row> {
    let sound = message("/elsewhere", b"", Some(8));
    let bad = vec![0x42, 2, 0, 5];
    let flags = Violation::Flags {
        packet: PacketType::PubAck,
        found: 2,
    };
    vec![
        Row::new(
            "MQTT-4.8.0-1",
            "a message, and a violation",
            Stage::InFlight,
            [sound.clone(), bad.clone()].concat(),
            Closes(flags),
        ),
        Row::new(
            "MQTT-4.8.0-1",
            "a violation, and a message",
            Stage::InFlight,
            [bad.clone(), sound].concat(),
            Closes(flags),
        ),
        Row::new(
            "MQTT-4.8.0-1",
            "an acknowledgement, and another violation",
            Stage::InFlight,
            [vec![0x40, 2, 0, 5], bad].concat(),
            Closes(flags),
        ),
        Row::new(
            "MQTT-4.8.0-1",
            "two violations, of which the first is reported",
            Stage::InFlight,
            [0x36, 0xf0],
            Closes(Violation::QoS3),
        ),
    ]
}
