//! Tests of the queues of devices.

use iotcore_gateway_tokio::options::QueueLimit;

use super::*;
use crate::operation::{Id, Operation};

/// Queues the operations of these lines.
fn queue(lanes: &mut Lanes, lines: &[&str]) {
    for line in lines {
        let operation = Operation::parse(line.as_bytes(), Instant::now());
        let Ok(Operation::Request(request)) = operation else {
            panic!("{line}: {operation:?}");
        };
        let device = id(request.device.as_deref().unwrap());
        let place = lanes.next_place(&device, &request.action);
        lanes.push(&device, place, request);
    }
}

fn limit() -> DeviceQueue {
    let limit = QueueLimit {
        messages: 9,
        bytes: 9,
    };
    DeviceQueue {
        ordinary: limit,
        urgent: limit,
    }
}

fn id(device: &str) -> DeviceId {
    device.parse().unwrap()
}

#[test]
fn urgent_messages_pass_ordinary_ones_and_tokens_pass_both_but_nothing_an_attach_or_detach() {
    let mut lanes = Lanes::default();
    queue(
        &mut lanes,
        &[
            r#"{"op":"telemetry","id":3,"device":"d-1","payload":""}"#,
            r#"{"op":"state","id":4,"device":"d-1","payload":""}"#,
            r#"{"op":"telemetry","id":1,"device":"d-1","payload":"","priority":"urgent"}"#,
            r#"{"op":"state","id":2,"device":"d-1","payload":"","priority":"urgent"}"#,
            r#"{"op":"authorize","id":0,"device":"d-1","token":""}"#,
            r#"{"op":"detach","id":5,"device":"d-1"}"#,
            r#"{"op":"attach","id":6,"device":"d-1"}"#,
            r#"{"op":"telemetry","id":9,"device":"d-1","payload":""}"#,
            r#"{"op":"telemetry","id":8,"device":"d-1","payload":"","priority":"urgent"}"#,
            r#"{"op":"authorize","id":7,"device":"d-1","token":""}"#,
        ],
    );
    let limit = limit();
    let device = id("d-1");
    let next = || lanes.pop_startable(&device, true, limit);
    let started: Vec<_> = std::iter::from_fn(next)
        .map(|(_, request)| request.id)
        .collect();
    assert_eq!(started, (0..10).map(Id::Number).collect::<Vec<_>>());
}

#[test]
fn room_that_becomes_free_is_offered_first_to_devices_whose_next_message_is_urgent() {
    let mut lanes = Lanes::default();
    let devices = ["d-1", "d-2", "d-3", "d-4"].map(id);
    for (device, priority) in devices
        .iter()
        .zip(["ordinary", "ordinary", "urgent", "urgent"])
    {
        let line = format!(
            r#"{{"op":"telemetry","id":0,"device":"{device}","payload":"","priority":"{priority}"}}"#
        );
        queue(&mut lanes, &[&line]);
    }
    let limit = limit();
    // The gateway has none for the messages of the first three, and a message of the last one ends.
    let mut ended = None;
    while let Some(device) = lanes.pop_due() {
        let (place, request) = lanes.pop_startable(&device, true, limit).unwrap();
        if device == devices[3] {
            lanes.on_accepted(&device, &request);
            ended = Some(request.clone());
        }
        lanes.put_back(&device, place, request, limit);
    }
    lanes.on_ended(&devices[3], &ended.unwrap());
    let due = std::iter::from_fn(|| lanes.pop_due());
    // At last that one again, because its own room may be what it waits for.
    assert_eq!(
        due.collect::<Vec<_>>(),
        [2, 3, 0, 1, 3].map(|n| devices[n].clone())
    );
}

#[test]
fn a_message_that_ends_costs_one_look_however_many_devices_wait_for_shared_room() {
    const DEVICES: usize = 1_000;
    let (mut lanes, limit) = (Lanes::default(), limit());
    let line = |n| format!(r#"{{"op":"telemetry","id":{n},"device":"d-{n}","payload":""}}"#);
    for n in 0..DEVICES {
        queue(&mut lanes, &[&line(n)]);
    }
    // Looks at every device that is due, for which the gateway has no room.
    let look = |lanes: &mut Lanes| {
        let mut looks = Vec::new();
        while let Some(device) = lanes.pop_due() {
            if let Some((place, request)) = lanes.pop_startable(&device, true, limit) {
                lanes.put_back(&device, place, request, limit);
            }
            looks.push(device);
        }
        looks
    };
    assert_eq!(look(&mut lanes).len(), DEVICES);
    queue(&mut lanes, &[&line(DEVICES)]);
    let ending = id(&format!("d-{DEVICES}"));
    let (_, request) = lanes.pop_startable(&ending, true, limit).unwrap();
    assert!(look(&mut lanes).iter().eq([&ending]));
    for _ in 0..2 {
        lanes.on_accepted(&ending, &request);
        lanes.on_ended(&ending, &request);
        // The first one keeps its place.
        assert_eq!(look(&mut lanes), [id("d-0"), ending.clone()]);
    }
}

#[test]
fn a_device_that_found_room_for_one_message_goes_behind_the_others_that_wait() {
    let (mut lanes, limit) = (Lanes::default(), limit());
    for (n, device) in [(0, "d-1"), (1, "d-2"), (2, "d-1")] {
        let line = format!(r#"{{"op":"telemetry","id":{n},"device":"{device}","payload":""}}"#);
        queue(&mut lanes, &[&line]);
    }
    let ending = Operation::parse(
        br#"{"op":"telemetry","id":9,"device":"d-9","payload":""}"#,
        Instant::now(),
    );
    let Ok(Operation::Request(ending)) = ending else {
        panic!("{ending:?}");
    };
    let mut room = 0;
    let mut accepted = Vec::new();
    for _ in 0..4 {
        while let Some(device) = lanes.pop_due() {
            while let Some((place, request)) = lanes.pop_startable(&device, true, limit) {
                if room == 0 {
                    lanes.put_back(&device, place, request, limit);
                    break;
                }
                room -= 1;
                lanes.on_accepted(&device, &request);
                accepted.push(request.id);
            }
        }
        room = 1;
        lanes.on_accepted(&id("d-9"), &ending);
        lanes.on_ended(&id("d-9"), &ending);
    }
    assert_eq!(accepted, [0, 1, 2].map(Id::Number));
}
