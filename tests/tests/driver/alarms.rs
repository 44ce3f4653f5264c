//! Urgent messages at a full queue.

use std::{collections::VecDeque, time::Duration};

use iotcore_gateway::{
    Options,
    driver::{Delivery, Telemetry},
    message::Priority,
};

use super::{Opened, open};

/// A queue of 100 messages, of which nothing is acknowledged, and an urgent message that waits for room in it.
fn alarm_at_a_full_queue() -> (Opened, Vec<Delivery>, super::Task<bool>) {
    let mut options = Options::default();
    options.device_queue.messages = 100;
    let opened = open(options);
    let gateway = opened.client.gateway();
    let mut held = Vec::new();
    while let Ok(delivery) = gateway.try_telemetry("reading") {
        held.push(delivery);
    }
    assert_eq!(held.len(), 100);
    let alarm = opened.world.spawn(async move {
        let alarm = Telemetry::new("alarm").priority(Priority::Urgent);
        gateway.telemetry(alarm).await.is_ok()
    });
    assert!(!alarm.is_finished());
    (opened, held, alarm)
}

#[test]
fn an_urgent_message_that_waits_at_a_full_queue_is_accepted_once_one_is_cancelled() {
    let (opened, held, alarm) = alarm_at_a_full_queue();
    held[99].cancel().unwrap();
    opened.world.pass(Duration::from_secs(1));
    assert!(
        alarm.is_finished(),
        "there is room for it, and nothing else would fill it"
    );
}

#[test]
fn an_urgent_message_that_waits_at_a_full_queue_is_accepted_once_one_is_acknowledged() {
    let (opened, _held, alarm) = alarm_at_a_full_queue();
    let [(_, packet_id), ..] = &opened.server.received_payloads()[..] else {
        panic!("expected a PUBLISH");
    };
    opened.server.puback(&opened.world, *packet_id);
    opened.world.pass(Duration::from_secs(1));
    assert!(alarm.is_finished(), "there is room for it");
}

/// Readings are dropped when the queue is full, alarms are not: the bridge acknowledges one message, a new reading comes, and
/// so on.
#[test]
fn an_urgent_message_that_waits_for_room_is_not_starved_by_readings_that_are_tried() {
    let (opened, mut held, alarm) = alarm_at_a_full_queue();
    let gateway = opened.client.gateway();
    let mut unanswered = VecDeque::new();
    for _ in 0..1_000 {
        unanswered.extend(opened.server.received_payloads());
        let (_, packet_id) = unanswered.pop_front().unwrap();
        opened.server.puback(&opened.world, packet_id);
        opened.world.pass(Duration::from_millis(100));
        held.extend(gateway.try_telemetry("reading"));
    }
    assert!(
        alarm.is_finished(),
        "{} readings were accepted before it",
        held.len()
    );
}
