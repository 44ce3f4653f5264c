//! Injected faults.

mod answers;
mod poison;

use super::packets::{
    PINGREQ, Received, acknowledgement, connect, publish, subscribe, unsubscribe,
};
use super::*;
use crate::OperatorError;
use crate::bridge::faults::Fault;

const TELEMETRY: &str = "/devices/gateway/events";

fn harness() -> Harness {
    Harness::new(AuthMethod::AssociationOnly)
}

impl Harness {
    fn inject(&mut self, line: &str) -> Result<(), OperatorError> {
        let fault: Fault = line.parse().unwrap();
        self.bridge.inject(fault, self.now)
    }

    pub(super) fn fault(&mut self, line: &str) {
        self.inject(line).unwrap();
    }

    fn faults(&self) -> Vec<String> {
        self.bridge.faults().iter().map(Fault::to_string).collect()
    }

    /// Returns the applied faults with their packets, and the answers that were sent late, since the last call.
    pub(super) fn strikes(&mut self) -> Vec<String> {
        let told = self.events().into_iter().filter_map(|event| match event {
            EventKind::FaultStruck { fault, packet } => Some(format!("{packet}: {fault}")),
            EventKind::FaultReleased { packet } => Some(packet),
            _ => None,
        });
        told.collect()
    }

    /// Publishes telemetry with these identifiers, and parses the immediate answers.
    fn publish_all(&mut self, connection: ConnectionId, ids: &[u16]) -> Vec<Received> {
        let packets = ids.iter().map(|id| publish(TELEMETRY, 1, *id, b"x"));
        self.send(connection, &packets.collect::<Vec<_>>().concat())
    }
}

fn pubacks(ids: &[u16]) -> Vec<Received> {
    ids.iter().copied().map(Received::Puback).collect()
}

#[test]
fn the_next_transports_are_refused_before_any_input() {
    for (by, is_reset) in [("close", false), ("reset", true)] {
        let mut harness = harness();
        harness.fault(&format!("refuse 2 {by}"));
        for left in [vec![format!("refuse 1 {by}")], vec![]] {
            let connection = harness.bridge.accept(harness.now);
            assert!(!harness.is_up(connection));
            assert_eq!(harness.bridge.wants_reset(connection), is_reset);
            assert_eq!(harness.read(connection), []);
            assert_eq!(harness.close_reason(), CloseReason::Fault);
            assert_eq!(harness.faults(), left);
        }
        let connection = harness.connect("gateway");
        assert!(!harness.bridge.wants_reset(connection));
    }
}

#[test]
fn a_silent_transport_stays_up_and_answers_nothing() {
    let mut harness = harness();
    harness.fault("refuse 1 silence");
    let connection = harness.bridge.accept(harness.now);
    assert_eq!(harness.strikes(), ["the transport: refuse 1 silence"]);
    let token = harness.token();
    assert_eq!(harness.send(connection, &connect("gateway", &token, 1)), []);
    assert_eq!(harness.send(connection, &[0xFF; 100]), []);
    harness.pass(seconds(86_400));
    assert!(harness.is_up(connection) && harness.bridge.wants_input(connection));
    assert_eq!(harness.bridge.connected().count(), 0);
    harness.bridge.handle_closed(connection, harness.now);
    assert_eq!(harness.close_reason(), CloseReason::ConnectionLost);
    harness.connect("gateway");
}

#[test]
fn the_next_connects_are_refused_by_a_code() {
    let mut harness = harness();
    harness.fault("refuse 2 connack 5");
    for _ in 0..2 {
        let connection = harness.bridge.accept(harness.now);
        let token = harness.token();
        let answer = harness.send(connection, &connect("gateway", &token, 0));
        assert_eq!(answer, [Received::Connack(5)]);
        assert!(!harness.is_up(connection) && !harness.bridge.wants_reset(connection));
    }
    harness.connect("gateway");
    assert_eq!(harness.strikes().len(), 2);
}

#[test]
fn a_client_of_mqtt_5_is_refused_in_the_format_of_mqtt_5() {
    let mut harness = harness().set("mqtt5", "accept");
    harness.fault("refuse connack 5");
    let connection = harness.bridge.accept(harness.now);
    let client_id = packets::client_id("gateway");
    let hello = packets::connect_with(5, 2, 0, &[client_id.as_bytes()]);
    harness.bridge.handle_input(connection, &hello, harness.now);
    assert_eq!(harness.bridge.poll_transmit(connection).get(3), Some(&0x87));
}

#[test]
fn a_refusal_of_one_client_waits_for_its_name() {
    for (by, is_up, is_reset) in [
        ("close", false, false),
        ("reset", false, true),
        ("silence", true, false),
        ("connack 3", false, false),
    ] {
        let mut harness = harness();
        harness.fault(&format!("refuse {by} --client gateway"));
        harness.connect("solo");
        let connection = harness.bridge.accept(harness.now);
        assert!(harness.is_up(connection));
        let token = harness.token();
        let answer = harness.send(connection, &connect("gateway", &token, 0));
        let code = if by == "connack 3" {
            vec![Received::Connack(3)]
        } else {
            vec![]
        };
        assert_eq!(answer, code, "{by}");
        assert_eq!(harness.is_up(connection), is_up, "{by}");
        assert_eq!(harness.bridge.wants_reset(connection), is_reset, "{by}");
        assert_eq!(harness.send(connection, PINGREQ), [], "{by}");
    }
}

#[test]
fn refusals_are_a_script() {
    let mut harness = harness();
    harness.fault("refuse 1 connack 3");
    harness.fault("refuse 1 close");
    let connection = harness.bridge.accept(harness.now);
    let token = harness.token();
    let answer = harness.send(connection, &connect("gateway", &token, 0));
    assert_eq!(answer, [Received::Connack(3)]);
    let connection = harness.bridge.accept(harness.now);
    assert!(!harness.is_up(connection));
    harness.connect("gateway");
}

#[test]
fn a_fault_of_one_client_leaves_the_others_alone() {
    let mut harness = harness();
    let gateway = harness.connect("gateway");
    let solo = harness.connect("solo");
    harness.fault("pingresp hold --client gateway");
    harness.fault("segment 1 --client gateway");
    assert_eq!(harness.send(solo, PINGREQ), [Received::Pingresp]);
    assert_eq!(harness.send(gateway, PINGREQ), []);
    harness.fault("clear --client solo");
    assert_eq!(harness.faults().len(), 2);
    harness.fault("pingresp release --client solo");
    assert_eq!(harness.read(gateway), []);
    harness.fault("pingresp double");
    harness.fault("clear --client gateway");
    assert_eq!(harness.read(gateway), [Received::Pingresp]);
    assert_eq!(harness.faults(), ["pingresp double"]);
}

#[test]
fn bytes_go_out_in_segments() {
    let mut harness = harness();
    let connection = harness.connect("gateway");
    harness.fault("segment 3");
    let packet = publish(TELEMETRY, 1, 9, b"");
    harness
        .bridge
        .handle_input(connection, &packet, harness.now);
    let mut segments = Vec::new();
    loop {
        let segment = harness.bridge.poll_transmit(connection).to_vec();
        if segment.is_empty() {
            break;
        }
        harness
            .bridge
            .handle_transmitted(connection, segment.len(), harness.now);
        segments.push(segment);
    }
    assert_eq!(segments, [vec![0x40, 2, 0], vec![9]]);
    harness.fault("clear");
    assert_eq!(harness.publish_all(connection, &[1]), pubacks(&[1]));
}

#[test]
fn raw_bytes_go_to_one_client_or_to_all() {
    let mut harness = harness();
    let gateway = harness.connect("gateway");
    let solo = harness.connect("solo");
    harness.fault("raw gateway d000");
    assert_eq!(harness.read(gateway), [Received::Pingresp]);
    assert_eq!(harness.read(solo), []);
    harness.fault("raw 40020007");
    assert_eq!(harness.read(gateway), pubacks(&[7]));
    assert_eq!(harness.read(solo), pubacks(&[7]));
    assert_eq!(harness.faults(), Vec::<String>::new());
}

#[test]
fn the_next_error_reports_are_lost() {
    let mut harness = harness();
    let connection = harness.gateway(&[]);
    harness.fault("reports lose 1");
    harness.events();
    let stray = publish("/devices/dev1/events", 1, 3, b"");
    assert_eq!(harness.send(connection, &stray), []);
    let told = harness.events();
    assert!(told.iter().any(|event| matches!(
        event,
        EventKind::ErrorReport {
            delivered: false,
            ..
        }
    )));
    assert!(told.iter().any(|event| matches!(
        event,
        EventKind::FaultStruck { packet, .. } if packet == "GATEWAY_DEVICE_NOT_FOUND"
    )));
    let reports = harness.send(connection, &stray);
    assert_eq!(
        reports.first().unwrap().error_type(),
        "GATEWAY_DEVICE_NOT_FOUND"
    );
}

#[test]
fn a_report_without_a_subscriber_uses_up_no_fault() {
    let mut harness = harness();
    let connection = harness.connect("gateway");
    harness.fault("reports lose 1");
    harness.send(connection, &acknowledgement(0x40, 77));
    assert_eq!(harness.faults(), ["reports lose 1"]);
}

#[test]
fn a_fault_for_an_unknown_client_is_refused() {
    let mut harness = harness();
    let device = || "nobody".to_owned();
    assert_eq!(
        harness.inject("puback hold --client nobody"),
        Err(OperatorError::UnknownDevice { device: device() })
    );
    let device = "solo".to_owned();
    assert_eq!(
        harness.inject("raw solo d000"),
        Err(OperatorError::NotConnected { device })
    );
    assert_eq!(harness.faults(), Vec::<String>::new());
    assert_eq!(harness.events(), []);
    harness.inject("puback hold --client solo").unwrap();
}

#[test]
fn faults_are_formatted_on_one_line_and_in_json() {
    let mut harness = harness();
    let connection = harness.connect("gateway");
    harness.fault("pingresp hold");
    harness.send(connection, PINGREQ);
    harness.fault("clear");
    let events = core::iter::from_fn(|| harness.bridge.poll_event());
    let told: Vec<(String, String)> = events
        .map(|event| (event.to_string(), serde_json::to_string(&event).unwrap()))
        .filter(|(_, json)| json.contains("\"fault_"))
        .collect();
    for ((line, json), (words, members)) in told.iter().zip([
        (
            "FAULT SET    pingresp hold",
            r#""event":"fault_injected","fault":"pingresp hold"}"#,
        ),
        (
            "gateway          FAULT        PINGRESP: pingresp hold",
            r#""event":"fault_struck","fault":"pingresp hold","packet":"PINGRESP"}"#,
        ),
        ("FAULT SET    clear", r#""fault":"clear"}"#),
        (
            "FAULT END    PINGRESP is sent",
            r#""event":"fault_released","packet":"PINGRESP"}"#,
        ),
    ]) {
        assert!(line.contains(words), "{line}");
        assert!(json.ends_with(members), "{json}");
    }
    assert_eq!(told.len(), 4);
}
