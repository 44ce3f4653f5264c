//! Messages that nobody reads, or not in time: whom they hold up, what is kept, and what is dropped.

use std::time::Duration;

use iotcore_gateway::{DeviceId, Options, driver::Status, options::Acknowledge};
use iotcore_gateway_testkit::packets;

use super::{Opened, Sent, id, messages::send_commands, open, poll_once, topics};

#[test]
fn a_device_without_a_reader_delays_others_once_for_5_seconds_and_causes_no_alarm() {
    for acknowledge in [Acknowledge::Automatic, Acknowledge::Manual] {
        let mut options = Options::default();
        options.acknowledge = acknowledge;
        let mut opened = open(options);
        let deaf = opened.attach(id("deaf"));
        let keen = opened.attach(id("keen"));
        let mut messages = keen.messages();
        opened.changes();
        let Opened { world, server, .. } = &mut opened;
        server.publish(world, "/devices/deaf/config", "old", 1);
        server.publish(world, "/devices/deaf/config", "new", 2);
        server.publish(world, "/devices/keen/config", "mine", 3);
        poll_once(messages.next()).unwrap().unwrap().acknowledge();
        world.pass(Duration::from_secs(5));
        // The cloud is not told that the deaf device has its config.
        assert_eq!(server.received_pubacks(), [3]);
        server.publish(world, "/devices/deaf/config", "new", 5);
        server.publish(world, "/devices/keen/config", "mine", 6);
        poll_once(messages.next()).unwrap().unwrap().acknowledge();
        world.run_until_idle();
        assert_eq!(server.received_pubacks(), [6]);

        // A late reader gets the newest, once, and the bridge is asked for a packet that can be acknowledged.
        let mut late = deaf.messages();
        let config = poll_once(late.next()).unwrap().unwrap();
        assert_eq!(config.payload, "new");
        config.acknowledge();
        assert!(poll_once(late.next()).is_none());
        assert_eq!(topics(&server.serve(world)), ["/devices/deaf/config"]);
        server.publish(world, "/devices/deaf/config", "new", 4);
        assert!(poll_once(late.next()).is_none());
        assert_eq!(server.received_pubacks(), [4]);
        let changes = opened.changes();
        assert!(changes.is_empty(), "{changes:?}");
    }
}

#[test]
fn a_program_that_never_reads_stops_no_other_device() {
    let mut opened = open(Options::default());
    let deaf = opened.attach(id("deaf"));
    let keen = opened.attach(id("keen"));
    let mut messages = keen.messages();
    let Opened { world, server, .. } = &mut opened;
    server.publish(world, "/devices/deaf/config", "old", 2_000);
    send_commands(&mut opened, "deaf", 1..1_101);
    let Opened { world, server, .. } = &mut opened;
    server.publish(world, "/devices/deaf/config", "new", 2_001);
    server.publish(world, "/devices/keen/commands", "go", 2_002);
    let telemetry = world.spawn({
        let keen = keen.clone();
        async move { keen.telemetry("x").await.unwrap().await }
    });
    world.pass(Duration::from_secs(5));
    assert_eq!(poll_once(messages.next()).unwrap().unwrap().payload, "go");
    world.pass(Duration::from_secs(5));
    let received = server.serve(world);
    assert!(received.contains(&Sent::PubAck(2_002)), "{received:?}");
    let config = |sent: &Sent| matches!(sent, Sent::PubAck(2_000 | 2_001));
    assert!(!received.iter().any(config), "{received:?}");
    assert!(telemetry.ended().is_ok());
    let mut dropped = 0;
    for change in opened.changes() {
        match change {
            Status::Dropped { device, messages } if device.as_str() == "deaf" => {
                dropped += messages;
            }
            Status::AcknowledgementsOverdue { device, .. }
            | Status::ReadingPaused {
                device: Some(device),
            } if device.as_str() == "deaf" => {}
            Status::Attached { .. } => {}
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(dropped, 1_100 - 64);
    let mut late = deaf.messages();
    let first = poll_once(late.next()).unwrap().unwrap();
    assert_eq!(first.payload, "1037");
    let mut last = first;
    while let Some(message) = poll_once(late.next()).flatten() {
        last = message;
    }
    assert_eq!(last.payload, "new");
}

#[test]
fn a_reader_that_is_not_polled_stops_no_other_device() {
    let mut opened = open(Options::default());
    let deaf = opened.attach(id("deaf"));
    let keen = opened.attach(id("keen"));
    let (mut unpolled, mut messages) = (deaf.messages(), keen.messages());
    opened.changes();
    send_commands(&mut opened, "deaf", 1..1_101);
    let Opened { world, server, .. } = &mut opened;
    server.publish(world, "/devices/keen/commands", "go", 2_000);
    assert!(poll_once(messages.next()).is_none(), "it was not read yet");
    world.pass(Duration::from_secs(5));
    assert_eq!(poll_once(messages.next()).unwrap().unwrap().payload, "go");
    world.pass(Duration::from_secs(5));
    let acknowledged = Vec::from_iter((1..1_101).chain([2_000]));
    assert_eq!(server.received_pubacks(), acknowledged);
    let changes = opened.changes();
    let dropped = changes.iter().filter_map(|change| match change {
        Status::Dropped { messages, .. } => Some(*messages),
        _ => None,
    });
    assert_eq!(Vec::from_iter(dropped), [1_100 - 64], "{changes:?}");
    assert_eq!(poll_once(unpolled.next()).unwrap().unwrap().payload, "1037");
}

#[test]
fn at_qos_0_the_newest_commands_are_kept() {
    let mut options = Options::default();
    options.max_unacknowledged = 4;
    let mut opened = open(options);
    let device = opened.attach(id("device-1"));
    let mut messages = device.messages();
    opened.changes();
    let packets = (0..6).map(|n: i32| {
        let topic = "/devices/device-1/commands";
        packets::publish(topic, n.to_string().as_bytes(), None, false)
    });
    let packets = Vec::from_iter(packets).concat();
    opened.server.send(&opened.world, &packets);
    let changes = opened.changes();
    assert!(
        matches!(changes[..], [Status::Dropped { messages: 2, .. }]),
        "{changes:?}"
    );
    for expected in 2..6 {
        let message = poll_once(messages.next()).unwrap().unwrap();
        assert_eq!(message.payload, expected.to_string());
    }
}

#[test]
fn a_replaced_config_is_acknowledged_with_the_newest() {
    for acknowledge in [Acknowledge::Automatic, Acknowledge::Manual] {
        let mut options = Options::default();
        options.acknowledge = acknowledge;
        let mut opened = open(options);
        let device = opened.attach(id("device-1"));
        let mut messages = device.messages();
        let Opened { world, server, .. } = &mut opened;
        for packet_id in 1..4 {
            let payload = packet_id.to_string();
            server.publish(world, "/devices/device-1/config", &payload, packet_id);
        }
        let config = poll_once(messages.next()).unwrap().unwrap();
        assert_eq!(config.payload, "3");
        assert!(poll_once(messages.next()).is_none());
        world.run_until_idle();
        if acknowledge == Acknowledge::Manual {
            assert!(server.received_pubacks().is_empty());
            config.acknowledge();
            world.run_until_idle();
        }
        assert_eq!(server.received_pubacks(), [1, 2, 3]);
    }
}

#[test]
fn the_newest_config_outlives_the_last_handle() {
    let mut opened = open(Options::default());
    drop(opened.attach(id("device-1")));
    let Opened { world, server, .. } = &mut opened;
    server.publish(world, "/devices/device-1/config", "old", 1);
    server.publish(world, "/devices/device-1/config", "new", 2);
    assert!(server.received_pubacks().is_empty());
    let device = opened.client.device(&id("device-1")).unwrap();
    let config = poll_once(device.messages().next()).unwrap().unwrap();
    assert_eq!(config.payload, "new");
    opened.world.run_until_idle();
    assert_eq!(opened.server.received_pubacks(), [1, 2]);
}

#[test]
fn commands_that_nobody_reads_are_acknowledged_and_the_newest_64_are_kept() {
    let mut opened = open(Options::default());
    let device = opened.attach(id("device-1"));
    opened.changes();
    send_commands(&mut opened, "device-1", 1..65);
    assert_eq!(opened.server.received_pubacks(), Vec::from_iter(1..65));
    assert!(opened.changes().is_empty());
    send_commands(&mut opened, "device-1", 65..67);
    assert_eq!(opened.server.received_pubacks(), [65, 66]);
    let changes = opened.changes();
    assert!(
        matches!(changes[..], [Status::Dropped { messages: 2, .. }]),
        "{changes:?}"
    );
    let mut messages = device.messages();
    for expected in 3..67 {
        let message = poll_once(messages.next()).unwrap().unwrap();
        assert_eq!(message.payload, expected.to_string());
    }
    assert!(poll_once(messages.next()).is_none());
}

#[test]
fn messages_dropped_in_one_turn_are_one_change() {
    let mut opened = open(Options::default());
    let device = opened.attach(id("device-1"));
    opened.changes();
    let packets = (1..101).map(|packet_id| {
        let topic = "/devices/device-1/commands";
        packets::publish(topic, b"x", Some(packet_id), false)
    });
    let packets = Vec::from_iter(packets).concat();
    opened.server.send(&opened.world, &packets);
    let changes = opened.changes();
    assert!(
        matches!(changes[..], [Status::Dropped { messages: 36, .. }]),
        "{changes:?}"
    );
    drop(device);
}

#[test]
fn a_late_reader_gets_commands_and_the_newest_config_in_order() {
    let mut opened = open(Options::default());
    let device = opened.attach(id("device-1"));
    let Opened { world, server, .. } = &mut opened;
    for (packet_id, (topic, payload)) in (1..).zip([
        ("config", "old"),
        ("commands", "first"),
        ("config", "new"),
        ("commands", "second"),
    ]) {
        let topic = format!("/devices/device-1/{topic}");
        server.publish(world, &topic, payload, packet_id);
    }
    assert!(
        server.received_pubacks().is_empty(),
        "the config comes first"
    );
    let mut messages = device.messages();
    for expected in ["first", "new", "second"] {
        let message = poll_once(messages.next()).unwrap().unwrap();
        assert_eq!(message.payload, expected);
    }
    assert!(poll_once(messages.next()).is_none());
    world.run_until_idle();
    assert_eq!(server.received_pubacks(), [1, 2, 3, 4]);
}

#[test]
fn a_slow_reader_pauses_reading_for_5_seconds_at_most_and_nothing_is_lost() {
    let mut options = Options::default();
    options.max_unacknowledged = 20;
    let mut opened = open(options);
    let device = opened.attach(id("device-1"));
    let mut messages = device.messages();
    send_commands(&mut opened, "device-1", 1..41);
    opened.changes();
    assert!(opened.server.peer.unread() > 400, "nothing waits");
    assert!(opened.server.received_pubacks().is_empty());
    let before = opened.driver.polls();
    opened.world.pass(Duration::from_millis(4_990));
    assert!(opened.driver.polls() - before <= 2);
    assert!(opened.server.received_pubacks().is_empty());
    opened.world.pass(Duration::from_secs(5));
    // Then each is acknowledged as it arrives, until somebody reads.
    assert_eq!(opened.server.received_pubacks(), Vec::from_iter(1..41));
    let changes = opened.changes();
    let is_named = |device: &DeviceId| device.as_str() == "device-1";
    assert!(
        matches!(
            &changes[..],
            [
                Status::ReadingPaused { device: Some(paused) },
                Status::AcknowledgementsOverdue { device, messages: 20 }
            ] if is_named(paused) && is_named(device)
        ),
        "{changes:?}"
    );
    for expected in 1..41 {
        let message = poll_once(messages.next()).expect("it was read").unwrap();
        assert_eq!(message.payload, expected.to_string());
    }
    assert!(poll_once(messages.next()).is_none());
    assert!(opened.changes().is_empty());
    send_commands(&mut opened, "device-1", 41..42);
    assert!(opened.server.received_pubacks().is_empty());
    assert!(poll_once(messages.next()).is_some());
    opened.world.run_until_idle();
    assert_eq!(opened.server.received_pubacks(), [41]);
}
