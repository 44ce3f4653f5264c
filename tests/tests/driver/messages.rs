//! Configs and commands: who reads them, and when they are acknowledged.

use iotcore_gateway::{
    Options,
    driver::{Attach, MessageKind, Status},
    options::Acknowledge,
};

use super::{Opened, Server, World, id, open, poll_once, setup};

pub(crate) fn send_commands(opened: &mut Opened, device: &str, ids: std::ops::Range<u16>) {
    for packet_id in ids {
        let topic = format!("/devices/{device}/commands/go");
        let payload = packet_id.to_string();
        let Opened { world, server, .. } = opened;
        server.publish(world, &topic, &payload, packet_id);
    }
}

#[test]
fn messages_are_acknowledged_when_they_are_read() {
    let mut opened = open(Options::default());
    let device = opened.attach(id("device-1"));
    let mut messages = device.messages();
    opened
        .server
        .publish(&opened.world, "/devices/device-1/config", "", 1);
    send_commands(&mut opened, "device-1", 2..4);
    assert!(opened.server.received_pubacks().is_empty());

    let config = poll_once(messages.next()).unwrap().unwrap();
    assert_eq!(config.kind, MessageKind::Config);
    assert_eq!(config.payload, "");
    opened.world.run_until_idle();
    assert_eq!(opened.server.received_pubacks(), [1]);
    let command = poll_once(messages.next()).unwrap().unwrap();
    let subfolder = Some("go".to_owned());
    assert_eq!(command.kind, MessageKind::Command { subfolder });
    assert_eq!(command.payload, "2");
    opened.world.run_until_idle();
    assert_eq!(opened.server.received_pubacks(), [2]);
}

#[test]
fn a_dropped_reader_delays_nothing() {
    let mut opened = open(Options::default());
    let device = opened.attach(id("device-1"));
    drop((device.messages(), device.messages()));
    send_commands(&mut opened, "device-1", 1..2);
    assert_eq!(opened.server.received_pubacks(), [1]);
    let (first, second) = (device.messages(), device.messages());
    drop(first);
    send_commands(&mut opened, "device-1", 2..3);
    assert!(opened.server.received_pubacks().is_empty(), "one reads");
    drop(second);
}

#[test]
fn a_message_wakes_the_task_that_waits_for_it() {
    let mut opened = open(Options::default());
    let device = opened.attach(id("device-1"));
    let mut messages = device.messages();
    let reading = opened.world.spawn(async move { messages.next().await });
    assert!(!reading.is_finished());
    send_commands(&mut opened, "device-1", 1..2);
    assert_eq!(reading.ended().unwrap().payload, "1");
}

#[test]
fn up_to_64_kib_are_read_in_one_poll() {
    let mut opened = open(Options::default());
    let device = opened.attach(id("device-1"));
    let before = opened.driver.polls();
    let Opened { world, server, .. } = &mut opened;
    let config = "x".repeat(63 * 1024);
    server.publish(world, "/devices/device-1/config", &config, 1);
    let turns = opened.driver.polls() - before;
    assert!(turns <= 2, "{turns} turns");
    let mut messages = device.messages();
    assert_eq!(poll_once(messages.next()).unwrap().unwrap().payload, config);
}

#[test]
fn messages_outlive_their_connection_and_their_acknowledgements_do_not() {
    let mut options = Options::default();
    options.max_unacknowledged = 4;
    let mut opened = open(options);
    let device = opened.attach(id("device-1"));
    let mut messages = device.messages();
    for first in [1, 4] {
        send_commands(&mut opened, "device-1", first..first + 3);
        opened.server.close(&opened.world);
        opened.server = Server::accept_again(&opened.world);
        opened.server.serve(&opened.world);
    }
    // At most `max_unacknowledged` messages of earlier connections are kept.
    let dropped = |change: &Status| matches!(change, Status::Dropped { messages: 2, .. });
    assert!(opened.changes().iter().any(dropped));
    for expected in 3..7 {
        let message = poll_once(messages.next()).unwrap().unwrap();
        assert_eq!(message.payload, expected.to_string());
    }
    opened.world.run_until_idle();
    assert!(opened.server.received().is_empty());
    send_commands(&mut opened, "device-1", 7..8);
    assert_eq!(poll_once(messages.next()).unwrap().unwrap().payload, "7");
    opened.world.run_until_idle();
    assert_eq!(opened.server.received_pubacks(), [7]);
}

#[test]
fn messages_that_nobody_can_read_are_acknowledged_and_reported() {
    let mut opened = open(Options::default());
    let device = opened.attach(id("device-1"));
    let messages = device.messages();
    opened.changes();
    send_commands(&mut opened, "device-1", 1..4);
    drop(device);
    opened.world.run_until_idle();
    assert!(opened.server.received_pubacks().is_empty());
    drop(messages);
    opened.world.run_until_idle();
    assert_eq!(opened.server.received_pubacks(), [1, 2, 3]);
    send_commands(&mut opened, "device-1", 4..5);
    assert_eq!(opened.server.received_pubacks(), [4]);
    let dropped = opened.changes().into_iter().map(|change| match change {
        Status::Dropped { messages, .. } => messages,
        other => panic!("{other:?}"),
    });
    assert_eq!(Vec::from_iter(dropped), [4], "one change, as none was read");
}

#[test]
fn dropping_a_device_without_messages_reports_no_loss() {
    let mut opened = open(Options::default());
    let device = opened.attach(id("device-1"));
    opened.changes();
    drop(device);
    let changes = opened.changes();
    assert!(changes.is_empty(), "{changes:?}");
}

#[test]
fn a_manual_acknowledgement_waits_for_the_user() {
    let world = World::new();
    let mut options = Options::default();
    options.acknowledge = Acknowledge::Manual;
    let (client, driver) = setup(options).start(world.net.clone()).unwrap();
    let _driver = world.spawn(driver.run());
    let server = Server::open(&world);
    let device = world.spawn(client.attach(Attach::new(id("device-1"))));
    server.serve(&world);
    let device = device.ended().unwrap();
    for packet_id in [1, 2] {
        server.publish(&world, "/devices/device-1/commands", "go", packet_id);
    }
    let mut messages = device.messages();
    let first = poll_once(messages.next()).unwrap().unwrap();
    let second = poll_once(messages.next()).unwrap().unwrap();
    assert_ne!(first.delivery(), second.delivery());
    second.acknowledge();
    world.run_until_idle();
    assert!(server.received_pubacks().is_empty());
    first.acknowledge();
    world.run_until_idle();
    assert_eq!(server.received_pubacks(), [1, 2]);
}
