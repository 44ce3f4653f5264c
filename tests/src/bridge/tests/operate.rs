//! The operator's interface.

use super::packets::{Received, publish, subscribe};
use super::*;
use crate::OperatorError;

fn harness() -> Harness {
    Harness::new(AuthMethod::AssociationOnly)
}

#[test]
fn a_command_needs_a_connected_device_that_has_subscribed() {
    let mut harness = harness();
    let device = || "solo".to_owned();
    let send = |harness: &mut Harness, name: &str| {
        harness.bridge.send_command(name, None, "x", harness.now)
    };
    let unknown = OperatorError::UnknownDevice {
        device: "nobody".to_owned(),
    };
    assert_eq!(send(&mut harness, "nobody"), Err(unknown));
    let absent = OperatorError::NotConnected { device: device() };
    assert_eq!(send(&mut harness, "solo"), Err(absent));
    let connection = harness.connect("solo");
    let deaf = OperatorError::NotSubscribed { device: device() };
    assert_eq!(send(&mut harness, "solo"), Err(deaf));
    harness.send(
        connection,
        &subscribe(1, &[("/devices/solo/commands/#", 1)]),
    );
    assert_eq!(send(&mut harness, "solo"), Ok(()));
}

#[test]
fn a_client_that_acknowledges_no_commands_gets_no_more() {
    let mut harness = harness();
    let connection = harness.connect("solo");
    harness.send(
        connection,
        &subscribe(1, &[("/devices/solo/commands/#", 1)]),
    );
    let payload = vec![0; 262_144];
    for _ in 0..64 {
        harness
            .bridge
            .send_command("solo", None, payload.clone(), harness.now)
            .unwrap();
    }
    let full = harness
        .bridge
        .send_command("solo", None, payload, harness.now);
    assert_eq!(
        full,
        Err(OperatorError::Backlog {
            device: "solo".to_owned()
        })
    );
    assert!(harness.is_up(connection));
}

#[test]
fn sizes_and_subfolders_are_checked() {
    let mut harness = harness();
    let (bridge, now) = (&mut harness.bridge, harness.now);
    let (length, limit) = (65_537, 65_536);
    let large = bridge.send_config("solo", vec![0; length], now);
    assert_eq!(large, Err(OperatorError::TooLarge { length, limit }));
    assert_eq!(bridge.device("solo").unwrap().config_version(), 1);
    let (length, limit) = (262_145, 262_144);
    let large = bridge.send_command("solo", None, vec![0; length], now);
    assert_eq!(large, Err(OperatorError::TooLarge { length, limit }));
    for subfolder in ["", "a/+", "#", "a\0", &"x".repeat(257)] {
        let refused = bridge.send_command("solo", Some(subfolder), "x", now);
        let subfolder = subfolder.to_owned();
        assert_eq!(refused, Err(OperatorError::Subfolder { subfolder }));
    }
}

#[test]
fn the_operator_detaches_a_device_with_an_error() {
    let mut harness = harness();
    let gateway = harness.gateway(&["dev1"]);
    harness
        .bridge
        .detach_with_error("dev1", harness.now)
        .unwrap();
    let answer = harness.read(gateway);
    assert_eq!(answer[0].error_type(), "GATEWAY_DETACHMENT_DEVICE_ERROR");
    assert_eq!(harness.bridge.attached("gateway").count(), 0);
    let again = harness.bridge.detach_with_error("dev1", harness.now);
    assert_eq!(
        again,
        Err(OperatorError::NotAttached {
            device: "dev1".to_owned()
        })
    );
}

#[test]
fn the_operator_drops_a_connection() {
    let mut harness = harness();
    let gateway = harness.gateway(&["dev1"]);
    harness
        .bridge
        .drop_connection("gateway", harness.now)
        .unwrap();
    assert!(!harness.is_up(gateway));
    assert_eq!(harness.close_reason(), CloseReason::Operator);
    let again = harness.bridge.drop_connection("gateway", harness.now);
    assert_eq!(
        again,
        Err(OperatorError::NotConnected {
            device: "gateway".to_owned()
        })
    );
}

#[test]
fn blocking_and_unbinding_take_effect_at_once() {
    let mut harness = harness();
    let gateway = harness.gateway(&["dev1", "dev2"]);
    let device = harness.connect("solo");
    harness
        .bridge
        .set_blocked("solo", true, harness.now)
        .unwrap();
    assert!(!harness.is_up(device));
    harness
        .bridge
        .set_blocked("dev1", true, harness.now)
        .unwrap();
    harness
        .bridge
        .unbind("gateway", "dev2", harness.now)
        .unwrap();
    assert_eq!(harness.bridge.attached("gateway").count(), 0);
    assert_eq!(harness.read(gateway).len(), 2);
    harness
        .bridge
        .unbind("gateway", "dev2", harness.now)
        .unwrap();
    assert_eq!(harness.read(gateway), []);

    let own = harness.bridge.unbind("gateway", "gateway", harness.now);
    assert!(own.is_err());
    assert_eq!(harness.read(gateway), []);

    harness.bridge.bind("gateway", "dev2").unwrap();
    let attach = publish("/devices/dev2/attach", 1, 5, b"{}");
    assert_eq!(harness.send(gateway, &attach), [Received::Puback(5)]);
}

#[test]
fn new_keys_are_valid_from_the_next_connect() {
    let mut harness = harness();
    let connection = harness.connect("solo");
    harness
        .bridge
        .set_public_keys("solo", &[ES256_OTHER_PUBLIC, RS256_PUBLIC])
        .unwrap();
    assert!(harness.is_up(connection));
    for (key, code) in [
        (ES256_PRIVATE, 4),
        (ES256_OTHER_PRIVATE, 0),
        (RS256_PRIVATE, 0),
    ] {
        let connection = harness.bridge.accept(harness.now);
        let token = token(START, START + 60, "my-project", key);
        let answer = harness.send(connection, &connect("solo", &token, 0));
        assert_eq!(answer, [Received::Connack(code)]);
    }
}

#[test]
fn any_split_of_the_input_gives_the_same_bytes_and_events() {
    let script = |harness: &Harness| {
        [
            connect("gateway", &harness.token(), 60),
            subscribe(
                1,
                &[
                    ("/devices/gateway/errors", 0),
                    ("/devices/gateway/config", 1),
                ],
            ),
            publish("/devices/dev1/attach", 1, 2, b"{}"),
            publish("/devices/solo/attach", 1, 3, b"{}"),
            publish("/devices/dev1/events/a", 1, 4, &[b'x'; 300]),
            publish("/devices/dev1/state", 1, 5, b"on"),
            publish("/devices/dev1/state", 1, 6, b"off"),
            packets::PINGREQ.to_vec(),
            packets::DISCONNECT.to_vec(),
        ]
        .concat()
    };
    let mut whole = harness();
    let bytes = script(&whole);
    let connection = whole.bridge.accept(whole.now);
    let expected = (whole.send(connection, &bytes), whole.events());
    assert_eq!(expected.0.len(), 9);
    for size in 1..bytes.len() {
        let mut split = harness();
        let connection = split.bridge.accept(split.now);
        let answers: Vec<_> = bytes
            .chunks(size)
            .flat_map(|chunk| split.send(connection, chunk))
            .collect();
        assert_eq!((answers, split.events()), expected, "in pieces of {size}");
    }
}
