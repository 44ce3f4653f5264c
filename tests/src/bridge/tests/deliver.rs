//! Delivery of configs and commands to a client.

use super::packets::{Received, acknowledgement, publish, subscribe};
use super::*;

const CONFIG: &str = "/devices/solo/config";
const COMMANDS: &str = "/devices/solo/commands/#";

/// Connects a device with a subscription.
fn subscribed(filter: &str, qos: u8) -> (Harness, ConnectionId) {
    let mut harness = Harness::new(AuthMethod::AssociationOnly);
    let device = harness.connect("solo");
    harness.send(device, &subscribe(1, &[(filter, qos)]));
    (harness, device)
}

fn configure(harness: &mut Harness, payload: &'static str) -> u64 {
    harness
        .bridge
        .send_config("solo", payload, harness.now)
        .unwrap()
}

fn acknowledged(harness: &Harness) -> Option<u64> {
    harness.bridge.device("solo").unwrap().config_acknowledged()
}

#[test]
fn the_current_config_follows_suback_immediately() {
    let mut harness = Harness::new(AuthMethod::AssociationOnly);
    let device = harness.connect("solo");
    let answer = harness.send(device, &subscribe(1, &[(CONFIG, 1)]));
    let empty = Received::acknowledged(CONFIG, 1, false, "");
    assert_eq!(answer, [Received::Suback(1, vec![1]), empty]);
    assert_eq!(acknowledged(&harness), None);
    assert_eq!(harness.send(device, &acknowledgement(0x40, 1)), []);
    assert_eq!(acknowledged(&harness), Some(1));

    assert_eq!(configure(&mut harness, "blue"), 2);
    assert_eq!(
        harness.read(device),
        [Received::acknowledged(CONFIG, 2, false, "blue")]
    );
}

#[test]
fn an_initial_config_is_version_1_and_follows_suback() {
    let mut registry = Registry::new("my-project", "us-central1", "my-registry").unwrap();
    registry.add_device("solo", &[ES256_PUBLIC]).unwrap();
    registry.set_initial_config("solo", "red").unwrap();
    let mut harness = Harness::with_registry(registry);
    let device = harness.connect("solo");
    let answer = harness.send(device, &subscribe(1, &[(CONFIG, 1)]));
    let initial = Received::acknowledged(CONFIG, 1, false, "red");
    assert_eq!(answer, [Received::Suback(1, vec![1]), initial]);
    harness.send(device, &acknowledgement(0x40, 1));
    assert_eq!(acknowledged(&harness), Some(1));
    assert_eq!(configure(&mut harness, "blue"), 2);
}

#[test]
fn an_attached_devices_config_comes_through_its_gateway() {
    let mut harness = Harness::new(AuthMethod::AssociationOnly);
    let gateway = harness.gateway(&["dev1"]);
    harness.send(gateway, &subscribe(3, &[("/devices/dev1/config", 0)]));
    harness
        .bridge
        .send_config("dev1", "red", harness.now)
        .unwrap();
    assert_eq!(
        harness.read(gateway),
        [Received::message("/devices/dev1/config", "red")]
    );
    harness.send(gateway, &publish("/devices/dev1/detach", 1, 4, b""));
    harness
        .bridge
        .send_config("dev1", "green", harness.now)
        .unwrap();
    assert_eq!(harness.read(gateway), []);
}

#[test]
fn an_unacknowledged_config_is_sent_again_with_dup_until_its_puback() {
    let (mut harness, device) = subscribed(CONFIG, 1);
    harness.pass(Duration::from_millis(9_999));
    assert_eq!(harness.read(device), []);
    for _ in 0..3 {
        harness.pass(seconds(10));
        assert_eq!(
            harness.read(device),
            [Received::acknowledged(CONFIG, 1, true, "")]
        );
    }
    harness.send(device, &acknowledgement(0x40, 1));
    harness.pass(seconds(60));
    assert_eq!(harness.read(device), []);
}

#[test]
fn a_client_that_reads_nothing_gets_no_copies() {
    let (mut harness, device) = subscribed(CONFIG, 1);
    configure(&mut harness, "blue");
    harness.pass(seconds(300));
    assert_eq!(
        harness.read(device),
        [Received::acknowledged(CONFIG, 2, false, "blue")]
    );
    harness.pass(seconds(10));
    assert_eq!(
        harness.read(device),
        [Received::acknowledged(CONFIG, 2, true, "blue")]
    );
}

#[test]
fn everything_overdue_is_retransmitted_at_once() {
    let (mut harness, device) = subscribed(COMMANDS, 1);
    for command in ["first", "second", "third"] {
        harness
            .bridge
            .send_command("solo", None, command, harness.now)
            .unwrap();
    }
    harness.read(device);
    let again = [(1, "first"), (2, "second"), (3, "third")]
        .map(|(id, command)| Received::acknowledged("/devices/solo/commands", id, true, command));
    for _ in 0..2 {
        harness.pass(seconds(10));
        assert_eq!(harness.read(device), again);
    }
}

#[test]
fn an_unacknowledged_config_is_sent_again_only_on_subscribing_if_set_so() {
    let (harness, device) = subscribed(CONFIG, 1);
    let mut harness = harness.set("config_redelivery", "on_resubscribe");
    configure(&mut harness, "blue");
    assert_eq!(harness.read(device).len(), 1);
    harness.pass(seconds(60));
    assert_eq!(harness.read(device), []);
    let answer = harness.send(device, &subscribe(2, &[(CONFIG, 1)]));
    assert_eq!(answer[1], Received::acknowledged(CONFIG, 3, false, "blue"));
}

#[test]
fn a_newer_config_replaces_one_that_is_not_acknowledged() {
    let (mut harness, device) = subscribed(CONFIG, 1);
    configure(&mut harness, "blue");
    configure(&mut harness, "green");
    harness.read(device);
    harness.pass(seconds(10));
    assert_eq!(
        harness.read(device),
        [Received::acknowledged(CONFIG, 3, true, "green")]
    );
    assert_eq!(harness.send(device, &acknowledgement(0x40, 2)), []);
    assert_eq!(acknowledged(&harness), None);
    harness.send(device, &acknowledgement(0x40, 3));
    assert_eq!(acknowledged(&harness), Some(3));
}

#[test]
fn a_config_of_qos_0_is_sent_once() {
    let (mut harness, device) = subscribed(CONFIG, 0);
    configure(&mut harness, "blue");
    assert_eq!(harness.read(device), [Received::message(CONFIG, "blue")]);
    harness.pass(seconds(60));
    assert_eq!(harness.read(device), []);
    assert_eq!(acknowledged(&harness), None);
}

#[test]
fn commands_arrive_with_and_without_subfolder() {
    let (mut harness, device) = subscribed(COMMANDS, 1);
    harness
        .bridge
        .send_command("solo", None, "on", harness.now)
        .unwrap();
    harness
        .bridge
        .send_command("solo", Some("a/b"), "off", harness.now)
        .unwrap();
    let expected = [
        Received::acknowledged("/devices/solo/commands", 1, false, "on"),
        Received::acknowledged("/devices/solo/commands/a/b", 2, false, "off"),
    ];
    assert_eq!(harness.read(device), expected);
    harness.send(device, &acknowledgement(0x40, 1));
    harness.pass(seconds(10));
    let again = Received::acknowledged("/devices/solo/commands/a/b", 2, true, "off");
    assert_eq!(harness.read(device), [again]);
    harness.send(device, &acknowledgement(0x40, 2));
    let acknowledged = harness
        .events()
        .into_iter()
        .filter_map(|event| match event {
            EventKind::CommandAcknowledged { subfolder, .. } => Some(subfolder),
            _ => None,
        });
    assert_eq!(
        acknowledged.collect::<Vec<_>>(),
        [None, Some("a/b".to_owned())]
    );
}

#[test]
fn an_unexpected_puback_is_reported_only_to_a_gateway() {
    let mut harness = Harness::new(AuthMethod::AssociationOnly);
    let gateway = harness.gateway(&[]);
    let answer = harness.send(gateway, &acknowledgement(0x40, 77));
    assert_eq!(answer.len(), 1);
    assert_eq!(answer[0].error_type(), "GATEWAY_UNEXPECTED_PACKET_ID");
    let device = harness.connect("solo");
    assert_eq!(harness.send(device, &acknowledgement(0x40, 77)), []);
    assert!(harness.is_up(gateway) && harness.is_up(device));
}

#[test]
fn the_puback_of_a_detached_devices_message_has_no_effect() {
    let mut harness = Harness::new(AuthMethod::AssociationOnly);
    let gateway = harness.gateway(&["dev1"]);
    harness.send(gateway, &subscribe(3, &[("/devices/dev1/config", 1)]));
    harness.send(gateway, &publish("/devices/dev1/detach", 1, 4, b""));
    harness.pass(seconds(30));
    assert_eq!(harness.read(gateway), []);
    assert_eq!(harness.send(gateway, &acknowledgement(0x40, 1)), []);
    assert_eq!(
        harness.bridge.device("dev1").unwrap().config_acknowledged(),
        None
    );
}

#[test]
fn packet_identifiers_wrap_around_and_skip_those_in_flight() {
    let (mut harness, device) = subscribed(COMMANDS, 1);
    let mut used = std::collections::BTreeSet::new();
    for number in 0..70_000_u32 {
        harness
            .bridge
            .send_command("solo", None, "x", harness.now)
            .unwrap();
        let Some(Received::Publish { packet_id, .. }) = harness.read(device).pop() else {
            panic!("no command");
        };
        assert_ne!(packet_id, 0);
        assert!(number == 0 || packet_id != 1, "1 is still in flight");
        if number > 0 {
            used.insert(packet_id);
            harness.send(device, &acknowledgement(0x40, packet_id));
        }
    }
    assert_eq!(used.len(), 65_534);
}
