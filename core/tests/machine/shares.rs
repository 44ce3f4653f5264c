//! How devices share the window: each has room for a tenth, whatever the others do.

use iotcore_gateway::{DeviceKey, Options};

use super::peer::{Harness, seconds};

/// A gateway with so many attached devices.
fn attached(options: Options, devices: usize) -> (Harness, Vec<DeviceKey>) {
    let mut harness = Harness::open(options);
    let ids = (1..=devices).map(|n| format!("device-{n}"));
    let devices = ids.map(|id| harness.attach(&id)).collect();
    harness.events();
    (harness, devices)
}

fn publish(harness: &mut Harness, device: DeviceKey, payload: &str, count: usize) {
    for _ in 0..count {
        harness.publish(device, payload);
    }
}

#[test]
fn a_device_begins_with_a_tenth_of_the_window_and_has_one_more_with_each_puback() {
    let (mut harness, devices) = attached(Options::default(), 1);
    publish(&mut harness, devices[0], "", 1_000);
    let mut ids = harness.sent_ids();
    assert_eq!(ids.len(), 10);
    for in_flight in 11..=95 {
        harness.puback(ids.remove(0));
        let more = harness.sent_ids();
        assert_eq!(more.len(), 2, "one instead, and one more");
        ids.extend(more);
        assert_eq!(harness.gateway.stats().in_flight, in_flight);
    }
    for _ in 0..20 {
        harness.puback(ids.remove(0));
        ids.extend(harness.sent_ids());
    }
    let in_flight = harness.gateway.stats().in_flight;
    assert_eq!(in_flight, 95, "a twentieth is left for the others");
}

#[test]
fn a_device_that_has_just_something_to_send_finds_room_beside_one_that_fills_its_share() {
    let (mut harness, devices) = attached(Options::default(), 2);
    harness.widen(devices[0], 100);
    publish(&mut harness, devices[0], "busy", 1_000);
    let ids = harness.sent_ids();
    assert_eq!(ids.len(), 95);
    publish(&mut harness, devices[1], "quiet", 6);
    assert_eq!(harness.sent_texts(), ["quiet"; 5]);
    harness.puback(ids[0]);
    assert_eq!(harness.sent_texts(), ["quiet"], "it goes first");
    harness.puback(ids[1]);
    assert_eq!(harness.sent_texts(), [""; 0], "a twentieth is left again");
}

#[test]
fn a_device_that_falls_below_its_share_while_it_waits_goes_before_those_above_theirs() {
    let mut options = Options::default();
    options.window = 20;
    let (mut harness, devices) = attached(options, 10);
    for device in &devices {
        harness.widen(*device, 2);
    }
    // Each has its share in flight.
    for device in &devices {
        publish(&mut harness, *device, "", 2);
    }
    let ids = harness.sent_ids();
    assert_eq!(ids.len(), 20);
    harness.publish(devices[0], "first");
    harness.publish(devices[1], "second");
    harness.puback(ids[2]);
    assert_eq!(harness.sent_texts(), ["second"]);
    harness.puback(ids[4]);
    assert_eq!(harness.sent_texts(), [""; 0], "a twentieth is left");
    harness.puback(ids[6]);
    assert_eq!(harness.sent_texts(), ["first"]);
}

#[test]
fn a_device_that_gets_no_puback_keeps_a_tenth_for_a_second_and_then_nothing_of_the_window() {
    let (mut harness, devices) = attached(Options::default(), 2);
    let [deaf, healthy] = devices[..] else {
        panic!("two devices")
    };
    publish(&mut harness, deaf, "deaf", 100);
    assert_eq!(harness.sent_texts(), ["deaf"; 10]);
    harness.widen(healthy, 100);
    publish(&mut harness, healthy, "healthy", 500);
    let ids = harness.sent_ids();
    assert_eq!(ids.len(), 85);
    harness.wait(seconds(1));
    let more = harness.sent_ids();
    assert_eq!(more.len(), 10, "ten have left the window");
    assert_eq!(harness.gateway.stats().skipped, 10);
    for id in ids.into_iter().chain(more) {
        harness.puback(id);
    }
    assert_eq!(harness.sent_texts(), ["healthy"; 95]);
}

#[test]
fn a_device_has_half_as_many_in_flight_for_each_that_leaves_the_window_unanswered() {
    let (mut harness, devices) = attached(Options::default(), 1);
    let device = devices[0];
    harness.widen(device, 70);
    publish(&mut harness, device, "", 500);
    let ids = harness.sent_ids();
    assert_eq!(ids.len(), 80);
    // The first is not answered. With the others, it may have 100.
    for id in &ids[1..] {
        harness.puback(*id);
    }
    let more = harness.sent_ids();
    assert_eq!(more.len(), 94, "with the first, 95");
    harness.wait(seconds(1));
    assert_eq!(harness.gateway.stats().skipped, 1);
    assert_eq!(harness.sent(), [], "95 are in flight, and it may have 50");
    for id in &more[..22] {
        harness.puback(*id);
    }
    assert_eq!(harness.sent(), [], "73 are in flight, and it may have 72");
    harness.puback(more[22]);
    assert_eq!(harness.sent().len(), 1);
}
