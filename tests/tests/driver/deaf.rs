//! A device whose messages nobody takes, or takes too late each time, beside one that takes its own at once.

use std::time::Duration;

use iotcore_gateway::{
    Options,
    driver::{Messages, Status},
    options::Acknowledge,
};

use super::{Opened, Sent, id, open, poll_once};

const SECOND: Duration = Duration::from_secs(1);

/// Returns how many commands one device takes in 20 s of 1,000 a second, and how often another one was reported, which
/// takes none of its messages, one a second, if it is sent any.
fn taken_beside(deaf: Option<&str>, acknowledge: Acknowledge) -> (usize, usize) {
    let mut options = Options::default();
    options.acknowledge = acknowledge;
    let mut opened = open(options);
    let deaf_device = opened.attach(id("deaf"));
    let keen = opened.attach(id("keen"));
    let (_unread, mut messages) = (deaf_device.messages(), keen.messages());
    let Opened { world, server, .. } = &mut opened;
    let mut packet_ids = (1..=60_000).cycle();
    let mut taken = 0;
    for tick in 0..200 {
        if let Some(topic) = deaf.filter(|_| tick % 10 == 0) {
            let packet_id = packet_ids.next().unwrap();
            server.publish(world, topic, &tick.to_string(), packet_id);
        }
        for packet_id in packet_ids.by_ref().take(100) {
            server.publish(world, "/devices/keen/commands", "go", packet_id);
        }
        while let Some(message) = poll_once(messages.next()).flatten() {
            taken += 1;
            message.acknowledge();
        }
        world.pass(SECOND / 10);
        server.received();
    }
    let changes = opened.changes().into_iter();
    let overdue = changes.filter(|change| matches!(change, Status::AcknowledgementsOverdue { .. }));
    (taken, overdue.count())
}

#[test]
fn messages_that_nobody_takes_slow_the_commands_of_another_device_once() {
    for (topic, acknowledge) in [
        ("/devices/deaf/config", Acknowledge::Automatic),
        ("/devices/deaf/config", Acknowledge::Manual),
        ("/devices/deaf/commands", Acknowledge::Manual),
    ] {
        let (alone, _) = taken_beside(None, acknowledge);
        let (beside, overdue) = taken_beside(Some(topic), acknowledge);
        assert!(
            alone - beside <= 5_000,
            "{beside} of {alone} commands beside {topic}"
        );
        assert_eq!(overdue, 1, "{topic}");
    }
}

/// Takes all messages of a device, and returns how many.
fn take_all(messages: &mut Messages) -> usize {
    let mut taken = 0;
    while let Some(message) = poll_once(messages.next()).flatten() {
        message.acknowledge();
        taken += 1;
    }
    taken
}

#[test]
fn a_config_that_is_taken_too_late_is_given_once_and_acknowledged() {
    let config = "/devices/slow/config";
    let mut opened = open(Options::default());
    let slow = opened.attach(id("slow"));
    let keen = opened.attach(id("keen"));
    let (mut slow_messages, mut messages) = (slow.messages(), keen.messages());
    let Opened { world, server, .. } = &mut opened;
    server.publish(world, config, "the config", 60_000);
    let (mut acknowledged, mut given, mut last) = (Vec::new(), 0, 60_000);
    for second in 1..600 {
        server.publish(world, "/devices/keen/commands", "go", second);
        take_all(&mut messages);
        if second % 60 == 0 {
            given += take_all(&mut slow_messages);
        }
        world.pass(SECOND);
        for sent in server.serve(world) {
            match sent {
                Sent::PubAck(id) if id >= 60_000 => acknowledged.push(id),
                Sent::Subscribe { filter, .. } if filter == config => {
                    // The bridge sends the current config at each subscription.
                    last += 1;
                    server.publish(world, config, "the config", last);
                }
                _ => {}
            }
        }
    }
    assert_eq!((given, &acknowledged[..]), (1, &[60_001][..]));
}
