//! PUBACK, SUBACK, UNSUBACK and PINGRESP: unsolicited, for another kind of packet, duplicate, or with invalid codes.
//!
//! An acknowledgement that matches nothing in flight is counted and ignored, although MQTT-4.8.0-1 would allow a close:
//! a resent PUBLISH may be acknowledged twice, and by then its identifier may belong to another packet.

use iotcore_gateway::cause::{PacketType, Violation};

use crate::{
    Expect::{Closes, Ignores, Tolerates},
    Row,
    stage::{Stage, message},
};

const PUBACK: (&str, u8) = ("PUBACK", 0x40);
const SUBACK: (&str, u8) = ("SUBACK", 0x90);
const UNSUBACK: (&str, u8) = ("UNSUBACK", 0xb0);

pub(crate) fn rows() -> Vec<Row> {
    let mut rows = of_nothing();
    rows.extend(of_another_kind());
    rows.extend(twice());
    rows.extend(late());
    rows.extend(identifier_zero());
    rows.extend(codes());
    rows.extend(pongs());
    rows
}

/// Returns an acknowledgement of this identifier; a SUBACK grants QoS 1.
fn acknowledgement((_, first): (&str, u8), id: u16) -> Vec<u8> {
    let [high, low] = id.to_be_bytes();
    match first {
        0x90 => vec![first, 3, high, low, 1],
        _ => vec![first, 2, high, low],
    }
}

/// Returns the statement about the identifier of each kind.
fn clause((_, first): (&str, u8)) -> &'static str {
    match first {
        0x40 => "MQTT-2.3.1-6",
        0x90 => "MQTT-3.8.4-2",
        _ => "MQTT-3.10.4-4",
    }
}

fn unsolicited(kind: (&'static str, u8), name: &str, stage: Stage, id: u16) -> Row {
    Row::new(
        clause(kind),
        format!("{} {id} {name}", kind.0),
        stage,
        acknowledgement(kind, id),
        Ignores(1),
    )
}

fn of_nothing() -> Vec<Row> {
    let mut rows = Vec::new();
    for kind in [PUBACK, SUBACK, UNSUBACK] {
        rows.push(unsolicited(
            kind,
            "with an identifier never used",
            Stage::InFlight,
            6,
        ));
        rows.push(unsolicited(
            kind,
            "with the highest identifier",
            Stage::Open,
            65_535,
        ));
        rows.push(unsolicited(
            kind,
            "with the bytes of ours swapped",
            Stage::InFlight,
            0x0500,
        ));
        rows.push(unsolicited(
            kind,
            "while the connection is refreshed",
            Stage::Refreshing,
            3,
        ));
        rows.push(unsolicited(
            kind,
            "after DISCONNECT was queued",
            Stage::Leaving,
            2,
        ));
    }
    let burst: Vec<u8> = (100..150)
        .flat_map(|id| acknowledgement(PUBACK, id))
        .collect();
    rows.push(Row::new(
        "MQTT-2.3.1-6",
        "fifty unsolicited PUBACKs",
        Stage::InFlight,
        burst,
        Ignores(50),
    ));
    rows
}

/// The identifier is in flight, but its packet requires another answer.
fn of_another_kind() -> Vec<Row> {
    let mut rows = Vec::new();
    for (stage, id, what, right) in [
        (Stage::Accepted, 1, "of the errors topic", SUBACK),
        (Stage::Attaching, 2, "of an attach", PUBACK),
        (Stage::Subscribing, 3, "of a SUBSCRIBE", SUBACK),
        (Stage::Unsubscribing, 5, "of an UNSUBSCRIBE", UNSUBACK),
        (Stage::InFlight, 5, "of a telemetry event", PUBACK),
        (Stage::Detaching, 3, "of a detach", PUBACK),
        (Stage::TimedOut, 2, "of an attach that timed out", PUBACK),
        (Stage::Quarantined, 2, "of an attach that ended", PUBACK),
    ] {
        for kind in [PUBACK, SUBACK, UNSUBACK] {
            if kind != right {
                rows.push(unsolicited(kind, what, stage, id));
            }
        }
    }
    rows
}

/// The packet has already been acknowledged.
fn twice() -> Vec<Row> {
    let mut rows = Vec::new();
    for (kind, stage, id) in [
        (SUBACK, Stage::Open, 1),
        (PUBACK, Stage::Attached, 2),
        (SUBACK, Stage::Subscribed, 3),
        (UNSUBACK, Stage::Unsubscribed, 5),
        (PUBACK, Stage::Acknowledged, 5),
    ] {
        rows.push(unsolicited(kind, "again", stage, id));
    }
    let twice = [acknowledgement(PUBACK, 5), acknowledgement(PUBACK, 5)].concat();
    rows.push(Row::new(
        "MQTT-2.3.1-6",
        "PUBACK twice at once",
        Stage::InFlight,
        twice,
        Tolerates("done Acknowledged"),
    ));
    rows
}

/// An answer after its operation timed out, and an answer before its packet is known to be written.
fn late() -> Vec<Row> {
    vec![
        Row::new(
            "MQTT-4.3.2-1",
            "the PUBACK of an attach that timed out",
            Stage::TimedOut,
            acknowledgement(PUBACK, 2),
            Tolerates("Attached"),
        ),
        Row::new(
            "MQTT-4.3.2-1",
            "the PUBACK of an attach that timed out, twice",
            Stage::TimedOut,
            acknowledgement(PUBACK, 2).repeat(2),
            Tolerates("Attached"),
        ),
        Row::new(
            "MQTT-4.3.2-1",
            "the PUBACK of an attach with an earlier token",
            Stage::Quarantined,
            acknowledgement(PUBACK, 2),
            Ignores(0),
        ),
        Row::new(
            "MQTT-4.3.2-1",
            "the PUBACK of an attach with an earlier token, twice",
            Stage::Quarantined,
            acknowledgement(PUBACK, 2).repeat(2),
            Ignores(1),
        ),
        Row::new(
            "MQTT-4.3.2-1",
            "PUBACK before it is known that PUBLISH was written",
            Stage::PublishUnwritten,
            acknowledgement(PUBACK, 2),
            Tolerates("done Acknowledged"),
        ),
    ]
}

fn identifier_zero() -> Vec<Row> {
    let mut rows = Vec::new();
    for (kind, packet) in [
        (PUBACK, PacketType::PubAck),
        (SUBACK, PacketType::SubAck),
        (UNSUBACK, PacketType::UnsubAck),
    ] {
        for stage in [Stage::InFlight, Stage::Leaving] {
            rows.push(Row::new(
                "MQTT-2.3.1-1",
                format!("{} with identifier 0", kind.0),
                stage,
                acknowledgement(kind, 0),
                Closes(Violation::PacketIdZero { packet }),
            ));
        }
    }
    rows
}

/// The return codes of a SUBACK: reserved, a higher QoS than requested, or more codes than filters.
fn codes() -> Vec<Row> {
    let mut rows = Vec::new();
    let packet_id = 3.try_into().expect("not zero");
    for found in [
        0x03, 0x04, 0x0f, 0x10, 0x7f, 0x81, 0x82, 0x83, 0x87, 0x8f, 0x97, 0xff,
    ] {
        rows.push(Row::new(
            "MQTT-3.9.3-2",
            format!("SUBACK with code {found:#04x}"),
            Stage::Subscribing,
            [0x90, 3, 0, 3, found],
            Closes(Violation::SubAckReturnCode { packet_id, found }),
        ));
    }
    for (clause, name, stage, bytes, expected) in [
        (
            "MQTT-3.8.4-6",
            "SUBACK with QoS 2 where QoS 1 was requested",
            Stage::Subscribing,
            [0x90, 3, 0, 3, 2],
            "done Subscribed(AtLeastOnce)",
        ),
        (
            "MQTT-3.8.4-6",
            "SUBACK with QoS 1 for the errors topic",
            Stage::Accepted,
            [0x90, 3, 0, 1, 1],
            "",
        ),
        (
            "MQTT-3.8.4-6",
            "SUBACK with QoS 0 where QoS 1 was requested",
            Stage::Subscribing,
            [0x90, 3, 0, 3, 0],
            "SubscriptionDowngraded, done Subscribed(AtMostOnce)",
        ),
        (
            "3.9.3",
            "SUBACK with a failure",
            Stage::Subscribing,
            [0x90, 3, 0, 3, 0x80],
            "failed SubscriptionRefused",
        ),
        (
            "3.9.3",
            "SUBACK with a failure for the errors topic",
            Stage::Accepted,
            [0x90, 3, 0, 1, 0x80],
            "ErrorsTopicUnavailable",
        ),
    ] {
        rows.push(Row::new(clause, name, stage, bytes, Tolerates(expected)));
    }
    for found in [2, 4, 5] {
        let bytes = [0x90, found as u8, 0, 3, 1, 1, 1];
        rows.push(Row::new(
            "MQTT-3.8.4-5",
            format!("SUBACK with {} codes for one filter", found - 2),
            Stage::Subscribing,
            &bytes[..2 + found],
            Closes(Violation::Length {
                packet: PacketType::SubAck,
                found,
                at_least: 3,
                at_most: 3,
            }),
        ));
    }
    rows
}

/// An unsolicited PINGRESP only shows that the peer is alive.
fn pongs() -> Vec<Row> {
    let mut rows = Vec::new();
    for (name, stage, bytes) in [
        ("PINGRESP without PINGREQ", Stage::Open, vec![0xd0, 0]),
        (
            "PINGRESP while a PUBACK is due",
            Stage::InFlight,
            vec![0xd0, 0],
        ),
        ("PINGRESP twice", Stage::Pinging, [0xd0, 0].repeat(2)),
        (
            "a hundred PINGRESPs",
            Stage::Subscribed,
            [0xd0, 0].repeat(100),
        ),
        (
            "PINGRESP while the connection is refreshed",
            Stage::Refreshing,
            vec![0xd0, 0],
        ),
        (
            "PINGRESP after DISCONNECT was queued",
            Stage::Leaving,
            vec![0xd0, 0],
        ),
    ] {
        rows.push(Row::new("MQTT-3.12.4-1", name, stage, bytes, Ignores(0)));
    }
    let mut between = vec![0xd0, 0];
    between.extend(message("/elsewhere", b"", None));
    between.extend([0xd0, 0]);
    rows.push(Row::new(
        "MQTT-3.12.4-1",
        "PINGRESPs around a message",
        Stage::Open,
        between,
        Tolerates("Unrequested"),
    ));
    rows
}
