//! CONNACK: what arrives before it or instead of it, and a second one.

use iotcore_gateway::cause::{PacketType, Violation};

use crate::{
    Expect::{Closes, Ignores, Refuses, Tolerates},
    Row,
    stage::{Stage, message},
};

pub(crate) fn rows() -> Vec<Row> {
    let mut rows = flags();
    rows.extend(codes());
    rows.extend(others_first());
    rows.extend(again());
    rows
}

fn connecting(clause: &'static str, name: String, bytes: &[u8], closes: Violation) -> Row {
    Row::new(clause, name, Stage::Connecting, bytes, Closes(closes))
}

/// The reserved bits of the acknowledge flags, and the session-present flag.
fn flags() -> Vec<Row> {
    let mut rows = Vec::new();
    for found in [2, 3, 4, 8, 16, 32, 64, 128, 255] {
        rows.push(connecting(
            "3.2.2.1",
            format!("CONNACK 0 with acknowledge flags {found:#04x}"),
            &[0x20, 2, found, 0],
            Violation::ConnAckFlags { found },
        ));
    }
    rows.push(connecting(
        "3.2.2.1",
        "CONNACK 5 with acknowledge flags 0x80".into(),
        &[0x20, 2, 0x80, 5],
        Violation::ConnAckFlags { found: 0x80 },
    ));
    for return_code in [1, 2, 3, 4, 5, 6, 13, 19, 255] {
        rows.push(connecting(
            "MQTT-3.2.2-4",
            format!("CONNACK {return_code} with session present"),
            &[0x20, 2, 1, return_code],
            Violation::SessionPresentWithRefusal { return_code },
        ));
    }
    // The standard lets the client continue with a session that it did not expect, and the gateway does not depend on
    // any state that the server may have kept.
    rows.push(Row::new(
        "MQTT-3.2.2-1",
        "CONNACK 0 with session present, after CleanSession 1",
        Stage::Connecting,
        [0x20, 2, 1, 0],
        Tolerates("Connected, done Opened, SUBSCRIBE 1"),
    ));
    rows
}

/// Table 3.1. The bridge sends some of the codes that the standard reserves, so each is a refusal, not a violation.
fn codes() -> Vec<Row> {
    let mut rows = Vec::new();
    for code in [1, 2, 3, 4, 5, 6, 7, 13, 0x13, 0x80, 0x87, 0xff] {
        let clause = if code < 6 { "MQTT-3.2.2-5" } else { "3.2.2.3" };
        let name = format!("CONNACK {code}, and no close");
        rows.push(Row::new(
            clause,
            name,
            Stage::Connecting,
            [0x20, 2, 0, code],
            Refuses(code),
        ));
    }
    let mut and_more = vec![0x20, 2, 0, 5];
    and_more.extend(message("/devices/gw-1/config", b"{}", Some(1)));
    let name = "CONNACK 5, and a message";
    rows.push(Row::new(
        "MQTT-3.2.2-5",
        name,
        Stage::Connecting,
        and_more,
        Refuses(5),
    ));
    rows.push(Row::new(
        "MQTT-3.2.2-5",
        "CONNACK 5, and CONNACK 0",
        Stage::Connecting,
        [0x20, 2, 0, 5, 0x20, 2, 0, 0],
        Refuses(5),
    ));
    rows
}

/// MQTT-3.2.0-1: no packet precedes CONNACK; input that is not a packet at all is reported as such.
fn others_first() -> Vec<Row> {
    use PacketType::{PingResp, PubAck, Publish, SubAck, UnsubAck};
    let mut rows = Vec::new();
    for (packet, bytes) in [
        (Publish, message("/devices/gw-1/config", b"{}", None)),
        (Publish, message("/devices/gw-1/config", b"{}", Some(1))),
        (PubAck, vec![0x40, 2, 0, 1]),
        (SubAck, vec![0x90, 3, 0, 1, 0]),
        (UnsubAck, vec![0xb0, 2, 0, 1]),
        (PingResp, vec![0xd0, 0]),
    ] {
        let name = format!("{packet} {:#04x} before CONNACK", bytes[0]);
        let violation = Violation::NotConnAckFirst { packet };
        rows.push(connecting("MQTT-3.2.0-1", name, &bytes, violation));
        let mut and_connack = bytes;
        and_connack.extend([0x20, 2, 0, 0]);
        let name = format!("{packet} {:#04x} and CONNACK", and_connack[0]);
        rows.push(connecting("MQTT-3.2.0-1", name, &and_connack, violation));
    }
    for (name, bytes, violation) in [
        (
            "an HTTP response",
            &b"HTTP/1.1 400 Bad Request\r\n\r\n"[..],
            Violation::Flags {
                packet: PubAck,
                found: 8,
            },
        ),
        (
            "a TLS alert",
            &[0x15, 3, 3, 0, 2, 2, 70],
            Violation::ClientPacket {
                packet: PacketType::Connect,
            },
        ),
        (
            "an SSH banner",
            b"SSH-2.0-OpenSSH_9.6\r\n",
            Violation::QoS2 {
                packet: PacketType::PubRec,
            },
        ),
        (
            "a malformed PUBLISH",
            &[0x32, 5, 0, 1, b't', 0, 0],
            Violation::PacketIdZero { packet: Publish },
        ),
        (
            "an MQTT 5 CONNACK",
            &[0x20, 3, 0, 0, 0],
            Violation::Length {
                packet: PacketType::ConnAck,
                found: 3,
                at_least: 2,
                at_most: 2,
            },
        ),
    ] {
        let name = format!("{name} instead of CONNACK");
        rows.push(connecting("MQTT-3.2.0-1", name, bytes, violation));
    }
    rows
}

/// A server sends exactly one CONNACK for a CONNECT.
fn again() -> Vec<Row> {
    let mut rows = Vec::new();
    for stage in [
        Stage::Accepted,
        Stage::Open,
        Stage::Attaching,
        Stage::InFlight,
        Stage::Refreshing,
        Stage::Closing,
        Stage::Leaving,
    ] {
        rows.push(Row::new(
            "3.2",
            "a second CONNACK",
            stage,
            [0x20, 2, 0, 0],
            Closes(Violation::SecondConnAck),
        ));
    }
    rows.extend([
        connecting(
            "3.2",
            "two CONNACKs at once".into(),
            &[0x20, 2, 0, 0, 0x20, 2, 0, 0],
            Violation::SecondConnAck,
        ),
        Row::new(
            "3.2",
            "a refusal after CONNACK 0",
            Stage::Open,
            [0x20, 2, 0, 3],
            Closes(Violation::SecondConnAck),
        ),
        Row::new(
            "MQTT-3.2.0-1",
            "CONNACK without a connection",
            Stage::Dialing,
            [0x20, 2, 0, 0],
            Ignores(0),
        ),
        // The answer may be received before the writer has reported that the transport took the request.
        Row::new(
            "MQTT-3.1.0-1",
            "CONNACK before it is known that CONNECT was written",
            Stage::Unwritten,
            [0x20, 2, 0, 0],
            Tolerates("Connected, done Opened, SUBSCRIBE 1"),
        ),
        Row::new(
            "MQTT-3.1.0-1",
            "a refusal before it is known that CONNECT was written",
            Stage::Unwritten,
            [0x20, 2, 0, 2],
            Refuses(2),
        ),
        Row::new(
            "MQTT-3.2.0-1",
            "PINGRESP before it is known that CONNECT was written",
            Stage::Unwritten,
            [0xd0, 0],
            Closes(Violation::NotConnAckFirst {
                packet: PacketType::PingResp,
            }),
        ),
    ]);
    rows
}
