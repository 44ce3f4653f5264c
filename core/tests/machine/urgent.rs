//! What goes before everything else.

use std::collections::VecDeque;

use iotcore_gateway::{
    DeviceKey, Failure, OpId, Options, Publication,
    message::{Priority, QoS},
    options::Overflow,
};

use super::peer::{Harness, seconds};

fn alarm(harness: &mut Harness, device: DeviceKey, payload: &str) -> OpId {
    let alarm = Publication::telemetry(device, payload.to_owned()).priority(Priority::Urgent);
    harness.gateway.publish(alarm, harness.now).unwrap()
}

fn small() -> Options {
    let mut options = Options::default();
    options.window = 10;
    options.device_window = 10;
    options
}

#[test]
fn it_goes_before_the_ordinary_ones_of_all_devices_and_in_turn_with_urgent_ones() {
    let mut harness = Harness::open(small());
    let devices = ["dev-a", "dev-b", "dev-c"].map(|id| harness.attach(id));
    for device in devices {
        for _ in 0..20 {
            harness.publish(device, "reading");
        }
    }
    let mut ids = harness.sent_ids();
    // With the room that is left for it, the first is sent at once.
    alarm(&mut harness, devices[2], "c1");
    ids.extend(harness.sent_payloads().into_iter().map(|(text, id)| {
        assert_eq!(text, "c1");
        id
    }));
    while harness.gateway.stats().in_flight < 10 {
        harness.puback(ids.remove(0));
        ids.extend(harness.sent_ids());
    }
    for text in ["c2", "c3"] {
        alarm(&mut harness, devices[2], text);
    }
    alarm(&mut harness, devices[0], "a1");
    let mut texts = Vec::new();
    for id in ids {
        harness.puback(id);
        texts.extend(harness.sent_texts());
    }
    let alarms: Vec<_> = texts.iter().take(3).map(String::as_str).collect();
    assert_eq!(alarms, ["c2", "a1", "c3"]);
    assert!(texts[3..].iter().all(|text| text == "reading"));
}

#[test]
fn it_has_room_although_its_device_has_its_share_in_flight() {
    let (mut harness, device) = Harness::attached(Options::default());
    for _ in 0..100 {
        harness.publish(device, "reading");
    }
    assert_eq!(harness.sent_texts(), ["reading"; 10]);
    for _ in 0..20 {
        alarm(&mut harness, device, "alarm");
    }
    assert_eq!(
        harness.sent_texts(),
        ["alarm"; 10],
        "a tenth of the window more"
    );
}

#[test]
fn it_goes_before_attaches_and_subscriptions() {
    let mut options = Options::default();
    options.attach_window = 1;
    let (mut harness, device) = Harness::attached(options);
    for n in 0..10 {
        harness.begin_attach(&format!("other-{n}"));
    }
    harness.sent();
    alarm(&mut harness, device, "alarm");
    assert_eq!(harness.sent_texts(), ["alarm"]);
}

#[test]
fn it_goes_first_after_an_outage_and_keeps_its_order() {
    let (mut harness, device) = Harness::attached(Options::default());
    harness.lose_connection();
    harness.publish(device, "reading");
    alarm(&mut harness, device, "1");
    alarm(&mut harness, device, "2");
    let state = Publication::state(device, "state").priority(Priority::Urgent);
    harness.gateway.publish(state, harness.now).unwrap();
    harness.redial();
    harness.acknowledge_attach("device-1");
    assert_eq!(harness.sent_texts(), ["state", "1", "2", "reading"]);
}

#[test]
fn a_state_that_its_pace_holds_back_does_not_hold_back_alarms() {
    let (mut harness, device) = Harness::attached(Options::default());
    for text in ["s1", "s2"] {
        let state = Publication::state(device, text).priority(Priority::Urgent);
        harness.gateway.publish(state, harness.now).unwrap();
    }
    alarm(&mut harness, device, "alarm");
    harness.publish(device, "reading");
    assert_eq!(harness.sent_texts(), ["s1", "alarm", "reading"]);
    harness.wait(seconds(2));
    assert_eq!(harness.sent_texts(), ["s2"]);
}

#[test]
fn at_qos_0_it_needs_no_room_in_the_window() {
    let (mut harness, device) = Harness::attached(small());
    for _ in 0..20 {
        harness.publish(device, "reading");
    }
    harness.sent();
    let alarm = Publication::telemetry(device, "alarm")
        .qos(QoS::AtMostOnce)
        .priority(Priority::Urgent);
    harness.gateway.publish(alarm, harness.now).unwrap();
    assert_eq!(harness.sent_texts(), ["alarm"]);
}

#[test]
fn it_takes_the_place_of_the_oldest_reading_and_a_reading_never_that_of_an_alarm() {
    let mut options = Options::default();
    options.device_queue.messages = 2;
    options.overflow = Overflow::DropOldest;
    let (mut harness, device) = Harness::attached(options);
    harness.lose_connection();
    harness.events();
    let reading = harness.publish(device, "reading");
    let first = alarm(&mut harness, device, "1");
    let second = alarm(&mut harness, device, "2");
    assert_eq!(harness.ended(reading), Some(Err(Failure::Dropped)));
    let late = Publication::telemetry(device, "late");
    assert!(harness.gateway.publish(late, harness.now).is_err());
    let third = alarm(&mut harness, device, "3");
    assert_eq!(harness.ended(first), Some(Err(Failure::Dropped)));
    let left: Vec<_> = harness.gateway.unsent().map(|unsent| unsent.op).collect();
    assert_eq!(left, [second, third]);
}

#[test]
fn a_cancelled_alarm_gives_its_turn_to_the_next() {
    let (mut harness, device) = Harness::attached(small());
    for _ in 0..20 {
        harness.publish(device, "reading");
    }
    let ids = harness.sent_ids();
    let alarms: Vec<_> = (0..3)
        .map(|n| alarm(&mut harness, device, &format!("alarm {n}")))
        .collect();
    assert_eq!(harness.sent_texts(), ["alarm 0"]);
    for op in &alarms[1..] {
        harness.gateway.cancel(*op, harness.now).unwrap();
    }
    harness.puback(ids[0]);
    let texts = harness.sent_texts();
    assert!(
        !texts.is_empty() && texts.iter().all(|text| text == "reading"),
        "{texts:?}"
    );
}

/// How many ordinary messages of the first of 20 busy devices are sent in 2,000 answers, while it has something urgent as
/// often as this.
fn ordinary_beside_urgent(every: usize, qos: QoS) -> (usize, usize) {
    let mut options = Options::default();
    options.quota.device_bytes_per_second = None;
    options.window = 20;
    let mut harness = Harness::open(options);
    let devices: Vec<_> = (1..=20)
        .map(|n| harness.attach(&format!("device-{n}")))
        .collect();
    for device in &devices {
        for _ in 0..500 {
            harness.publish(
                *device,
                if *device == devices[0] {
                    "first"
                } else {
                    "other"
                },
            );
        }
    }
    let mut in_flight = VecDeque::new();
    let (mut first, mut other) = (0, 0);
    for n in 1..=2_000 {
        if n % every == 0 {
            let urgent = Publication::telemetry(devices[0], "urgent").priority(Priority::Urgent);
            harness
                .gateway
                .publish(urgent.qos(qos), harness.now)
                .unwrap();
        }
        for (payload, id) in harness.sent_payloads() {
            first += usize::from(payload == "first");
            other += usize::from(payload == "other");
            if id > 0 {
                in_flight.push_back(id);
            }
        }
        harness.puback(in_flight.pop_front().unwrap());
        harness.events();
    }
    (first, other / 19)
}

#[test]
fn a_device_that_has_something_urgent_now_and_then_keeps_its_turn_for_the_rest() {
    for qos in [QoS::AtLeastOnce, QoS::AtMostOnce] {
        for every in [10, 15, 30, 10_000] {
            let (first, other) = ordinary_beside_urgent(every, qos);
            assert!(
                first * 2 > other,
                "{first}, and {other} of each other device"
            );
        }
    }
}

/// Returns how many answers an alarm waits for behind 95 publications of its device in flight, of which the bridge has
/// lost so many.
fn answers_before_an_alarm(lost: usize) -> usize {
    let mut options = Options::default();
    options.quota.device_bytes_per_second = None;
    let (mut harness, device) = Harness::attached(options);
    harness.widen(device, 100);
    for _ in 0..900 {
        harness.publish(device, "reading");
    }
    let mut ids = VecDeque::from(harness.sent_ids());
    assert_eq!(ids.len(), 95);
    ids.drain(..lost);
    for _ in 0..10 {
        harness.puback(ids.pop_front().unwrap());
        ids.extend(harness.sent_ids());
    }
    harness.wait(seconds(1));
    ids.extend(harness.sent_ids());
    assert_eq!(harness.gateway.stats().skipped, lost);
    alarm(&mut harness, device, "alarm");
    let mut answers = 0;
    loop {
        for (payload, id) in harness.sent_payloads() {
            if payload == "alarm" {
                return answers;
            }
            ids.push_back(id);
        }
        harness.puback(ids.pop_front().expect("the alarm is never sent"));
        answers += 1;
    }
}

#[test]
fn an_alarm_waits_for_one_answer_at_most_although_messages_of_its_device_were_lost() {
    for lost in [0, 1, 2, 4] {
        let answers = answers_before_an_alarm(lost);
        assert!(answers <= 1, "{answers} answers, with {lost} lost");
    }
}
