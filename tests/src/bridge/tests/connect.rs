//! CONNECT and CONNACK.

use super::packets::{
    DISCONNECT, PINGREQ, Received, client_id, connect, connect_with, frame, token,
};
use super::*;

fn harness() -> Harness {
    Harness::new(AuthMethod::AssociationOnly)
}

/// Returns the answer to a first packet, and whether the connection is kept.
fn answer(harness: &mut Harness, packet: &[u8]) -> (Vec<Received>, bool) {
    let connection = harness.bridge.accept(harness.now);
    let answer = harness.send(connection, packet);
    (answer, harness.is_up(connection))
}

#[test]
fn a_device_with_a_valid_token_is_accepted() {
    let mut harness = harness();
    let connection = harness.connect("solo");
    assert!(harness.is_up(connection));
    assert_eq!(
        harness.bridge.connected().collect::<Vec<_>>(),
        [("solo", connection)]
    );
    assert!(!harness.bridge.is_gateway("solo"));
    let gateway = harness.connect("gateway");
    assert_ne!(gateway, connection);
    assert!(harness.bridge.is_gateway("gateway"));
    let connected = harness
        .events()
        .into_iter()
        .filter_map(|event| match event {
            EventKind::Connected {
                gateway,
                token_valid,
                ..
            } => Some((gateway, token_valid)),
            _ => None,
        });
    assert_eq!(connected.collect::<Vec<_>>(), [(false, 3600), (true, 3600)]);
}

#[test]
fn every_identifier_but_a_devices_is_rejected_with_code_2() {
    let mut harness = harness();
    let token = harness.token();
    for id in [
        "",
        "solo",
        "projects/my-project/locations/us-central1/registries/my-registry/devices/",
        "projects/my-project/locations/us-central1/registries/my-registry/devices/None",
        "projects/my-project/locations/us-central1/registries/my-registry/devices/SOLO",
        "projects/other/locations/us-central1/registries/my-registry/devices/solo",
    ] {
        let packet = connect_with(4, 0xC2, 60, &[id.as_bytes(), b"unused", token.as_bytes()]);
        assert_eq!(
            answer(&mut harness, &packet),
            (vec![Received::Connack(2)], false),
            "{id}"
        );
    }
    assert_eq!(harness.close_reason(), CloseReason::Refused);
}

#[test]
fn an_invalid_token_is_answered_as_set() {
    for (value, expected) in [
        ("connack_4", vec![Received::Connack(4)]),
        ("connack_5", vec![Received::Connack(5)]),
        ("connack_13", vec![Received::Connack(13)]),
        ("connack_0x13", vec![Received::Connack(0x13)]),
        ("close", vec![]),
    ] {
        let mut harness = harness().set("auth_failure", value);
        let forged = token(START, START + 60, "my-project", ES256_OTHER_PRIVATE);
        for token in ["", "nonsense", &forged] {
            let packet = connect("solo", token, 60);
            assert_eq!(
                answer(&mut harness, &packet),
                (expected.clone(), false),
                "{token}"
            );
        }
    }
}

#[test]
fn a_missing_password_is_an_authentication_failure() {
    let mut harness = harness();
    let id = client_id("solo");
    let bare = connect_with(4, 0x02, 60, &[id.as_bytes()]);
    assert_eq!(
        answer(&mut harness, &bare),
        (vec![Received::Connack(4)], false)
    );
    let user_only = connect_with(4, 0x82, 60, &[id.as_bytes(), b"unused"]);
    assert_eq!(
        answer(&mut harness, &user_only),
        (vec![Received::Connack(4)], false)
    );
}

#[test]
fn the_user_name_is_ignored() {
    let mut harness = harness();
    let (id, token) = (client_id("solo"), harness.token());
    let packet = connect_with(4, 0xC2, 60, &[id.as_bytes(), b"", token.as_bytes()]);
    assert_eq!(
        answer(&mut harness, &packet),
        (vec![Received::Connack(0)], true)
    );
}

#[test]
fn a_blocked_device_and_a_registry_without_mqtt_are_refused() {
    let mut harness = harness();
    harness
        .bridge
        .set_blocked("solo", true, harness.now)
        .unwrap();
    let packet = connect("solo", &harness.token(), 60);
    assert_eq!(
        answer(&mut harness, &packet),
        (vec![Received::Connack(4)], false)
    );
    harness
        .bridge
        .set_blocked("solo", false, harness.now)
        .unwrap();
    assert_eq!(
        answer(&mut harness, &packet),
        (vec![Received::Connack(0)], true)
    );

    let mut registry = harness.bridge.registry().clone();
    registry.set_mqtt_enabled(false);
    let mut harness = Harness::with_registry(registry);
    assert_eq!(
        answer(&mut harness, &packet),
        (vec![Received::Connack(3)], false)
    );
}

#[test]
fn a_new_connection_with_a_connected_identifier_takes_over() {
    let mut harness = harness();
    let older = harness.connect("solo");
    let newer = harness.connect("solo");
    assert!(!harness.is_up(older) && harness.is_up(newer));
    assert_eq!(harness.close_reason(), CloseReason::TakenOver);
    harness.bridge.handle_closed(older, harness.now);
    assert_eq!(
        harness.bridge.connected().collect::<Vec<_>>(),
        [("solo", newer)]
    );
}

#[test]
fn a_new_connection_with_a_connected_identifier_is_refused_if_set_so() {
    let mut harness = harness().set("duplicate_client", "refuse_new");
    let older = harness.connect("solo");
    let packet = connect("solo", &harness.token(), 60);
    assert_eq!(
        answer(&mut harness, &packet),
        (vec![Received::Connack(2)], false)
    );
    assert!(harness.is_up(older));
    harness.bridge.handle_closed(older, harness.now);
    assert_eq!(
        answer(&mut harness, &packet),
        (vec![Received::Connack(0)], true)
    );
}

#[test]
fn persistent_sessions_and_wills_are_ignored_refused_or_closed_as_set() {
    let (id, persistent, with_will) = (client_id("solo"), 0xC0, 0xE6);
    for (value, expected) in [
        ("accept", (vec![Received::Connack(0)], true)),
        ("refuse", (vec![Received::Connack(13)], false)),
        ("close", (vec![], false)),
    ] {
        let mut harness = harness().set("persistent_session", value);
        let token = harness.token();
        let fields: [&[u8]; 3] = [id.as_bytes(), b"unused", token.as_bytes()];
        let packet = connect_with(4, persistent, 60, &fields);
        assert_eq!(answer(&mut harness, &packet), expected);

        let mut harness = self::harness().set("will", value);
        let fields: [&[u8]; 5] = [
            id.as_bytes(),
            b"topic",
            b"gone",
            b"unused",
            token.as_bytes(),
        ];
        let packet = connect_with(4, with_will, 60, &fields);
        assert_eq!(answer(&mut harness, &packet), expected);
    }
}

#[test]
fn other_protocol_levels_are_refused_with_code_1() {
    let mut harness = harness();
    let (id, token) = (client_id("solo"), harness.token());
    let fields: [&[u8]; 3] = [id.as_bytes(), b"unused", token.as_bytes()];
    for level in [3, 5, 6, 0x84] {
        let packet = connect_with(level, 0xC2, 60, &fields);
        assert_eq!(
            answer(&mut harness, &packet),
            (vec![Received::Connack(1)], false),
            "{level}"
        );
    }
}

#[test]
fn mqtt_5_is_spoken_if_set_so() {
    let mut harness = harness().set("mqtt5", "accept");
    let (id, token) = (client_id("solo"), harness.token());
    let packet = connect_with(5, 0xC2, 60, &[id.as_bytes(), b"unused", token.as_bytes()]);
    let connection = harness.bridge.accept(harness.now);
    let mut exchange = |bytes: &[u8]| {
        harness.bridge.handle_input(connection, bytes, harness.now);
        let answer = harness.bridge.poll_transmit(connection).to_vec();
        harness
            .bridge
            .handle_transmitted(connection, answer.len(), harness.now);
        answer
    };
    assert_eq!(exchange(&packet), [0x20, 5, 0, 0, 2, 0x24, 1]);

    let topic = packets::string(b"/devices/solo/events");
    let publish = frame(0x32, &[&topic[..], &[0, 9, 0], b"hello"].concat());
    assert_eq!(exchange(&publish), [0x40, 2, 0, 9]);

    let filter = packets::string(b"/devices/solo/config");
    let subscribe = frame(0x82, &[&[0, 10, 0], &filter[..], &[1]].concat());
    let config = frame(0x32, &[&filter, &[0, 1, 0][..]].concat());
    assert_eq!(
        exchange(&subscribe),
        [&[0x90, 4, 0, 10, 0, 1], &config[..]].concat()
    );

    let unsubscribe = frame(0xA2, &[&[0, 11, 0], &filter[..]].concat());
    assert_eq!(exchange(&unsubscribe), [0xB0, 4, 0, 11, 0, 0]);
}

#[test]
fn the_first_packet_is_connect_and_no_other_is() {
    let mut harness = harness();
    assert_eq!(answer(&mut harness, PINGREQ), (vec![], false));
    assert_eq!(
        harness.close_reason(),
        CloseReason::NotConnected { packet: "PINGREQ" }
    );

    let connection = harness.connect("solo");
    let again = connect("solo", &harness.token(), 60);
    assert_eq!(harness.send(connection, &again), []);
    assert_eq!(harness.close_reason(), CloseReason::SecondConnect);
}

#[test]
fn packets_after_a_refused_connect_are_ignored() {
    let mut harness = harness();
    let publish = packets::publish("/devices/solo/events", 1, 1, b"early");
    let bytes = [connect("solo", "nonsense", 60), publish].concat();
    assert_eq!(
        answer(&mut harness, &bytes),
        (vec![Received::Connack(4)], false)
    );
    assert_eq!(harness.bridge.device("solo").unwrap().telemetry_total(), 0);
}

#[test]
fn packets_before_connack_take_effect_once_connect_is_accepted() {
    let mut harness = harness();
    let publish = packets::publish("/devices/solo/events", 1, 1, b"early");
    let bytes = [connect("solo", &harness.token(), 60), publish].concat();
    let expected = vec![Received::Connack(0), Received::Puback(1)];
    assert_eq!(answer(&mut harness, &bytes), (expected, true));
}

#[test]
fn disconnect_ends_the_connection_and_what_follows_is_ignored() {
    let mut harness = harness();
    let connection = harness.connect("solo");
    let publish = packets::publish("/devices/solo/events", 1, 1, b"late");
    assert_eq!(
        harness.send(connection, &[DISCONNECT, &publish].concat()),
        []
    );
    assert_eq!(harness.close_reason(), CloseReason::Disconnect);
    assert_eq!(harness.send(connection, &publish), []);
    assert_eq!(harness.bridge.device("solo").unwrap().telemetry_total(), 0);
    assert_eq!(harness.bridge.connected().count(), 0);
}

#[test]
fn a_lost_transport_ends_the_connection_once() {
    let mut harness = harness();
    let connection = harness.connect("solo");
    harness.events();
    harness.bridge.handle_closed(connection, harness.now);
    harness.bridge.handle_closed(connection, harness.now);
    let closed = EventKind::Closed {
        by_bridge: false,
        reason: CloseReason::ConnectionLost,
    };
    assert_eq!(harness.events(), [closed]);
    assert_eq!(harness.bridge.poll_timeout(), None);
}
