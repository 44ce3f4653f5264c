//! Answers that a server must send and does not.

use iotcore_gateway::cause::DisconnectReason;

use crate::{
    Expect::{TimesOut, Tolerates},
    Row,
    peer::seconds,
    stage::{CONFIG, Stage, message},
};

pub(crate) fn rows() -> Vec<Row> {
    let mut rows = no_connack();
    rows.extend(no_pong());
    rows.extend(no_acknowledgement());
    rows
}

fn no_connack() -> Vec<Row> {
    let rows = [
        ("no CONNACK", Stage::Connecting, &[][..]),
        ("the first byte of a CONNACK", Stage::Connecting, &[0x20]),
        (
            "a CONNACK without its code",
            Stage::Connecting,
            &[0x20, 2, 0],
        ),
        (
            "an incomplete PUBLISH instead of CONNACK",
            Stage::Connecting,
            &[0x30, 3, 0],
        ),
    ];
    let row = |(name, stage, bytes): (&str, _, &[u8])| {
        let expect = TimesOut(DisconnectReason::ConnAckTimedOut(seconds(20)));
        Row::new("3.2", name, stage, bytes, expect).then_silence(21)
    };
    let mut rows: Vec<_> = rows.map(row).into();
    let stalled = TimesOut(DisconnectReason::WriteStalled(seconds(20)));
    let name = "no CONNACK, CONNECT not written";
    rows.push(Row::new("3.2", name, Stage::Unwritten, [], stalled).then_silence(20));
    rows
}

/// Any byte shows that the peer is alive; the next PINGREQ follows 55 s later.
fn no_pong() -> Vec<Row> {
    let timed_out = || TimesOut(DisconnectReason::PingRespTimedOut(seconds(20)));
    let clause = "MQTT-3.12.4-1";
    let no_byte = Row::new(clause, "no PINGRESP", Stage::Pinging, [], timed_out());
    let rows = [
        ("half a PINGRESP", vec![0xd0]),
        (
            "a message instead of PINGRESP",
            message(CONFIG, b"{}", Some(4)),
        ),
        (
            "an unsolicited SUBACK instead of PINGRESP",
            vec![0x90, 3, 0, 9, 0],
        ),
        (
            "an incomplete PUBLISH",
            message(CONFIG, b"{}", Some(4))[..20].to_vec(),
        ),
    ];
    let row = |(name, bytes): (_, Vec<u8>)| {
        Row::new(clause, name, Stage::Pinging, bytes, timed_out()).then_silence(76)
    };
    let mut rows: Vec<_> = rows.map(row).into();
    rows.push(no_byte.then_silence(21));
    rows
}

/// The connection stays up when an acknowledgement is missing; the operation is reported as failed, or sent again.
fn no_acknowledgement() -> Vec<Row> {
    let row = |clause, name: &str, stage, bytes: &[u8], expected| {
        Row::new(clause, name, stage, bytes, Tolerates(expected)).then_silence(31)
    };
    vec![
        row(
            "MQTT-3.8.4-1",
            "no SUBACK",
            Stage::Subscribing,
            &[],
            "failed TimedOut",
        ),
        row(
            "MQTT-3.8.4-1",
            "no SUBACK of the errors topic",
            Stage::Accepted,
            &[],
            "ErrorsTopicUnavailable",
        ),
        row(
            "MQTT-3.10.4-5",
            "no UNSUBACK",
            Stage::Unsubscribing,
            &[],
            "failed TimedOut",
        ),
        row(
            "MQTT-3.3.4-1",
            "no PUBACK",
            Stage::InFlight,
            &[],
            "PUBLISH 5",
        ),
        row(
            "bridge",
            "no PUBACK of an attach",
            Stage::Attaching,
            &[],
            "failed TimedOut",
        ),
        row(
            "bridge",
            "no PUBACK of a detach",
            Stage::Detaching,
            &[],
            "Detached, failed TimedOut",
        ),
        row(
            "MQTT-3.8.4-2",
            "a SUBACK of another SUBSCRIBE instead of SUBACK",
            Stage::Subscribing,
            &[0x90, 3, 0, 4, 1],
            "failed TimedOut",
        ),
        row(
            "MQTT-3.10.4-4",
            "a SUBACK instead of UNSUBACK",
            Stage::Unsubscribing,
            &[0x90, 3, 0, 5, 1],
            "failed TimedOut",
        ),
        row(
            "MQTT-2.3.1-6",
            "a PUBACK of another PUBLISH instead of PUBACK",
            Stage::InFlight,
            &[0x40, 2, 0, 6],
            "PUBLISH 5",
        ),
    ]
}
