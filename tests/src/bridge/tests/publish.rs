//! Telemetry, state, and invalid PUBLISH packets.

use super::packets::{Received, acknowledgement, publish};
use super::*;

fn harness() -> Harness {
    Harness::new(AuthMethod::AssociationOnly)
}

#[test]
fn telemetry_of_qos_1_is_acknowledged_and_of_qos_0_is_not() {
    let mut harness = harness();
    let device = harness.connect("solo");
    let qos_1 = publish("/devices/solo/events/a/b", 1, 5, b"one");
    assert_eq!(harness.send(device, &qos_1), [Received::Puback(5)]);
    assert_eq!(
        harness.send(device, &publish("/devices/solo/events", 0, 0, b"")),
        []
    );
    let record = harness.bridge.device("solo").unwrap();
    let taken: Vec<_> = record
        .telemetry()
        .map(|event| (event.subfolder.as_deref(), &event.payload[..]))
        .collect();
    assert_eq!(taken, [(Some("a/b"), &b"one"[..]), (None, b"")]);
}

#[test]
fn a_gateway_publishes_for_itself_and_its_attached_devices() {
    let mut harness = harness();
    let gateway = harness.gateway(&["dev1"]);
    for (device, packet_id) in [("gateway", 11), ("dev1", 12)] {
        let events = publish(&format!("/devices/{device}/events"), 1, packet_id, b"x");
        assert_eq!(
            harness.send(gateway, &events),
            [Received::Puback(packet_id)]
        );
        let state = publish(&format!("/devices/{device}/state"), 1, packet_id, b"on");
        assert_eq!(harness.send(gateway, &state), [Received::Puback(packet_id)]);
        let record = harness.bridge.device(device).unwrap();
        assert_eq!((record.telemetry_total(), record.states_total()), (1, 1));
    }
}

#[test]
fn a_publish_for_a_device_that_is_not_attached_is_reported() {
    let mut harness = harness();
    let gateway = harness.gateway(&[]);
    let answer = harness.send(gateway, &publish("/devices/dev1/state", 1, 10, b"on"));
    let report = r#"{"error_type":"GATEWAY_DEVICE_NOT_FOUND","description":"The specified device with ID 'dev1' is not attached to the gateway.","device_id":"dev1","mqtt_message_info":{"message_type":"PUBLISH","topic":"/devices/dev1/state","packet_id":10}}"#;
    assert_eq!(
        answer,
        [Received::message("/devices/gateway/errors", report)]
    );
    let answer = harness.send(gateway, &publish("/devices/dev1/events", 0, 0, b"x"));
    assert_eq!(answer[0].error_type(), "GATEWAY_DEVICE_NOT_FOUND");
    assert!(harness.is_up(gateway));
    assert_eq!(harness.bridge.device("dev1").unwrap().telemetry_total(), 0);
}

#[test]
fn a_failed_publish_of_qos_0_is_never_acknowledged() {
    let mut harness = harness().set("failed_puback", "before_report");
    let gateway = harness.gateway(&[]);
    let answer = harness.send(gateway, &publish("/devices/dev1/events", 0, 0, b"x"));
    assert_eq!(answer.len(), 1);
    let answer = harness.send(gateway, &publish("/devices/dev1/events", 1, 4, b"x"));
    assert_eq!((answer.len(), &answer[0]), (2, &Received::Puback(4)));
}

#[test]
fn an_ill_formed_topic_is_reported_to_a_gateway() {
    let mut harness = harness();
    let gateway = harness.gateway(&["dev1"]);
    for topic in [
        "/devices/x/events",
        "/devices/dev1/state/sub",
        "/devices/dev1/config",
    ] {
        let answer = harness.send(gateway, &publish(topic, 1, 9, b"x"));
        assert_eq!(answer.len(), 1, "{topic}");
        assert_eq!(
            answer[0].error_type(),
            "GATEWAY_INVALID_MQTT_TOPIC",
            "{topic}"
        );
        assert!(harness.is_up(gateway));
    }
}

#[test]
fn an_illegal_topic_ends_the_connection_without_puback() {
    for (client, topic) in [
        ("gateway", "projects/my-project/topics/t"),
        ("solo", "/devices/solo"),
        ("solo", "/devices/solo/state/sub"),
        ("solo", "/devices/dev1/events"),
    ] {
        let mut harness = harness();
        let connection = harness.connect(client);
        assert_eq!(
            harness.send(connection, &publish(topic, 1, 1, b"x")),
            [],
            "{topic}"
        );
        let topic = topic.to_owned();
        assert_eq!(harness.close_reason(), CloseReason::IllegalTopic { topic });
    }
}

#[test]
fn qos_2_ends_the_connection() {
    let mut harness = harness();
    let gateway = harness.gateway(&[]);
    assert_eq!(
        harness.send(gateway, &publish("/devices/gateway/events", 2, 1, b"x")),
        []
    );
    assert_eq!(
        harness.close_reason(),
        CloseReason::QosTwo { packet: "PUBLISH" }
    );
}

#[test]
fn acknowledgements_of_qos_2_are_reported_to_a_gateway_and_end_a_devices_connection() {
    for (first, name) in [(0x50, "PUBREC"), (0x62, "PUBREL"), (0x70, "PUBCOMP")] {
        let mut harness = harness();
        let gateway = harness.gateway(&[]);
        let answer = harness.send(gateway, &acknowledgement(first, 3));
        assert_eq!(answer[0].error_type(), "GATEWAY_UNEXPECTED_MESSAGE_TYPE");
        let Received::Publish { payload, .. } = &answer[0] else {
            panic!("{answer:?}");
        };
        let about = format!(
            r#""mqtt_message_info":{{"message_type":"{name}","topic":"","packet_id":3}}}}"#
        );
        assert!(payload.ends_with(&about), "{payload}");
        let device = harness.connect("solo");
        harness.send(device, &acknowledgement(first, 3));
        assert_eq!(harness.close_reason(), CloseReason::QosTwo { packet: name });
    }
}

#[test]
fn states_less_than_a_second_apart_end_a_direct_connection() {
    let mut harness = harness();
    let device = harness.connect("solo");
    let state = publish("/devices/solo/state", 1, 1, b"on");
    assert_eq!(harness.send(device, &state), [Received::Puback(1)]);
    harness.pass(seconds(1));
    assert_eq!(harness.send(device, &state), [Received::Puback(1)]);
    harness.pass(Duration::from_millis(999));
    assert_eq!(harness.send(device, &state), []);
    assert_eq!(harness.close_reason(), CloseReason::StateTooFast);
}

#[test]
fn states_less_than_a_second_apart_detach_a_proxied_device() {
    let mut harness = harness();
    let gateway = harness.gateway(&["dev1", "dev2"]);
    let state = publish("/devices/dev1/state", 1, 1, b"on");
    assert_eq!(harness.send(gateway, &state), [Received::Puback(1)]);
    let other = publish("/devices/dev2/state", 1, 2, b"on");
    assert_eq!(harness.send(gateway, &other), [Received::Puback(2)]);
    let report = r#"{"error_type":"GATEWAY_DETACHMENT_DEVICE_ERROR","description":"Device detached because of a device error.","device_id":"dev1"}"#;
    let expected = Received::message("/devices/gateway/errors", report);
    assert_eq!(harness.send(gateway, &state), [expected]);
    assert_eq!(
        harness.bridge.attached("gateway").collect::<Vec<_>>(),
        ["dev2"]
    );
    assert_eq!(harness.bridge.device("dev1").unwrap().states_total(), 1);
    let answer = harness.send(gateway, &state);
    assert_eq!(answer[0].error_type(), "GATEWAY_DEVICE_NOT_FOUND");
}

#[test]
fn the_rate_limit_of_states_outlives_connections() {
    let mut harness = harness();
    let device = harness.connect("solo");
    let state = publish("/devices/solo/state", 1, 1, b"on");
    harness.send(device, &state);
    harness.bridge.handle_closed(device, harness.now);
    let device = harness.connect("solo");
    assert_eq!(harness.send(device, &state), []);
    assert_eq!(harness.close_reason(), CloseReason::StateTooFast);
}

#[test]
fn states_less_than_a_second_apart_are_ignored_for_five_seconds_if_set_so() {
    let mut harness = harness().set("state_rate", "ignore_for_five_seconds");
    let device = harness.connect("solo");
    let state = publish("/devices/solo/state", 1, 1, b"on");
    assert_eq!(harness.send(device, &state), [Received::Puback(1)]);
    for _ in 0..5 {
        assert_eq!(harness.send(device, &state), []);
        harness.pass(Duration::from_millis(999));
    }
    harness.pass(Duration::from_millis(5));
    assert_eq!(harness.send(device, &state), [Received::Puback(1)]);
    assert!(harness.is_up(device));
}

#[test]
fn a_payload_above_its_limit_ends_the_connection_or_is_dropped_as_set() {
    for (kind, limit) in [("events", 262_144), ("state", 65_536)] {
        let mut harness = harness().set("oversize_payload", "drop");
        let device = harness.connect("solo");
        let topic = format!("/devices/solo/{kind}");
        let fits = publish(&topic, 1, 1, &vec![0; limit]);
        assert_eq!(harness.send(device, &fits), [Received::Puback(1)]);
        harness.pass(seconds(1));
        let too_large = publish(&topic, 1, 2, &vec![0; limit + 1]);
        assert_eq!(harness.send(device, &too_large), []);
        assert!(harness.is_up(device));
        harness = harness.set("oversize_payload", "close");
        harness.send(device, &too_large);
        let length = limit + 1;
        assert_eq!(
            harness.close_reason(),
            CloseReason::Oversize {
                topic,
                length,
                limit
            }
        );
    }
}

#[test]
fn retain_is_ignored_or_ends_the_connection_as_set() {
    let mut harness = harness();
    let device = harness.connect("solo");
    let mut retained = publish("/devices/solo/events", 1, 1, b"x");
    retained[0] |= 1;
    assert_eq!(harness.send(device, &retained), [Received::Puback(1)]);
    harness = harness.set("retain", "close");
    assert_eq!(harness.send(device, &retained), []);
    assert_eq!(harness.close_reason(), CloseReason::Retain);
}

#[test]
fn telemetry_to_a_registry_without_a_telemetry_topic_ends_the_connection_and_state_does_not() {
    let mut registry = harness().bridge.registry().clone();
    registry.set_telemetry_topic(false);
    let mut harness = Harness::with_registry(registry);
    let device = harness.connect("solo");
    let state = publish("/devices/solo/state", 1, 1, b"on");
    assert_eq!(harness.send(device, &state), [Received::Puback(1)]);
    assert_eq!(
        harness.send(device, &publish("/devices/solo/events", 1, 2, b"x")),
        []
    );
    assert_eq!(harness.close_reason(), CloseReason::NoTelemetryTopic);
}
