//! Room in the queues: each device has its reserve, and all share the rest.

use iotcore_gateway::{
    DeviceKey, Event, Failure, OpId, Options, Publication,
    command_error::PublishErrorKind,
    options::{Overflow, QueueLimit},
};

use super::peer::{EVENTS, Harness, seconds};

/// With a reserve of 10 messages for each of two devices and the gateway, and 30 that they share.
fn shared() -> Options {
    let mut options = Options::default();
    options.quota.max_devices = 2;
    options.total_queue.messages = 60;
    options
}

fn publish(
    harness: &mut Harness,
    device: DeviceKey,
    size: usize,
) -> Result<OpId, PublishErrorKind> {
    let publication = Publication::telemetry(device, vec![b'x'; size]);
    let published = harness.gateway.publish(publication, harness.now);
    published.map_err(|error| error.kind)
}

/// Publishes until the device is blocked; returns how often it could.
fn fill(harness: &mut Harness, device: DeviceKey, size: usize) -> usize {
    (0..)
        .take_while(|_| publish(harness, device, size).is_ok())
        .count()
}

/// Returns the devices that were told to have room, in order.
fn writable(harness: &mut Harness) -> Vec<DeviceKey> {
    let events = harness.events().into_iter();
    let writable = events.filter_map(|event| match event {
        Event::Writable { device } => Some(device),
        _ => None,
    });
    writable.collect()
}

fn attach(harness: &mut Harness, id: &str) -> DeviceKey {
    let device = harness.attach(id);
    harness.events();
    device
}

#[test]
fn a_healthy_device_publishes_beside_51_offline_ones_with_full_queues_and_is_told_of_room() {
    let mut harness = Harness::open(Options::default());
    let healthy = attach(&mut harness, "healthy-1");
    for number in 1..=51 {
        let (offline, _) = harness.begin_attach(&format!("offline-{number}"));
        assert_eq!(fill(&mut harness, offline, 0), 1_000);
    }
    harness.sent();
    assert_eq!(fill(&mut harness, healthy, 0), 1_000);
    let mut acknowledged = 0;
    while acknowledged < 1_000 {
        for id in harness.sent_ids() {
            harness.puback(id);
            acknowledged += 1;
            let expected: &[_] = if acknowledged == 500 { &[healthy] } else { &[] };
            assert_eq!(writable(&mut harness), expected, "after {acknowledged}");
        }
    }
}

#[test]
fn a_device_always_has_its_reserve_whatever_the_others_hold() {
    let mut harness = Harness::open(Options::default());
    let healthy = attach(&mut harness, "healthy-1");
    let offline: Vec<_> = (1..=80)
        .map(|number| harness.begin_attach(&format!("offline-{number}")).0)
        .collect();
    let all: usize = offline
        .iter()
        .map(|device| fill(&mut harness, *device, 0))
        .sum();
    assert_eq!(all, 67_968 + 80 * 32);
    harness.sent();
    assert_eq!(fill(&mut harness, healthy, 1_000), 32);
    for round in 1..=3 {
        for id in harness.sent_ids() {
            harness.puback(id);
        }
        assert_eq!(writable(&mut harness), [healthy], "round {round}");
        assert!(fill(&mut harness, healthy, 1_000) > 0);
    }
}

#[test]
fn shared_room_goes_to_those_who_were_refused_first() {
    let mut harness = Harness::open(shared());
    let own = harness.gateway.own_key();
    let devices = ["device-1", "device-2"].map(|id| attach(&mut harness, id));
    for _ in 0..40 {
        publish(&mut harness, own, 0).unwrap();
    }
    let ids = harness.sent_ids();
    let [first, second] = devices;
    for device in [second, first] {
        assert_eq!(fill(&mut harness, device, 0), 10);
    }
    harness.puback(ids[0]);
    assert_eq!(writable(&mut harness), [second], "there is room for one");
    publish(&mut harness, second, 0).unwrap();
    assert_eq!(writable(&mut harness), []);
    harness.puback(ids[1]);
    assert_eq!(writable(&mut harness), [first]);
}

#[test]
fn one_that_needs_more_room_than_there_is_holds_nobody_up() {
    let mut options = shared();
    options.quota.max_telemetry_bytes = 1_000;
    options.quota.max_state_bytes = 1_000;
    options.total_queue.bytes = 6_000;
    let mut harness = Harness::open(options);
    let own = harness.gateway.own_key();
    let (offline, _) = harness.begin_attach("offline-1");
    harness.sent();
    let healthy = attach(&mut harness, "healthy-1");
    // Of 6,000 bytes, 1,000 are reserved for each.
    for _ in 0..8 {
        publish(&mut harness, own, 500).unwrap();
    }
    let ids = harness.sent_ids();
    assert_eq!(publish(&mut harness, offline, 1_000).map(drop), Ok(()));
    assert_eq!(publish(&mut harness, healthy, 1_000).map(drop), Ok(()));
    let healthys = harness.sent_ids();
    assert_eq!(
        publish(&mut harness, offline, 900),
        Err(PublishErrorKind::Blocked)
    );
    assert_eq!(
        publish(&mut harness, healthy, 400),
        Err(PublishErrorKind::Blocked)
    );
    harness.puback(ids[0]);
    assert_eq!(writable(&mut harness), [healthy]);
    assert_eq!(publish(&mut harness, healthy, 400).map(drop), Ok(()));
    assert_eq!(
        publish(&mut harness, healthy, 600),
        Err(PublishErrorKind::Blocked)
    );
    harness.puback(healthys[0]);
    assert_eq!(writable(&mut harness), [healthy], "its reserve is enough");
}

#[test]
fn drop_oldest_drops_nothing_where_the_new_one_cannot_fit_even_so() {
    let mut options = Options::default();
    options.overflow = Overflow::DropOldest;
    options.device_queue.bytes = 300_000;
    options.window = 1;
    let (mut harness, device) = Harness::attached(options);
    publish(&mut harness, device, 200_000).unwrap();
    for _ in 0..3 {
        publish(&mut harness, device, 10_000).unwrap();
    }
    let refused = publish(&mut harness, device, 150_000);
    assert_eq!(refused, Err(PublishErrorKind::Blocked));
    assert_eq!(harness.gateway.stats().dropped, 0);
    assert_eq!(harness.gateway.stats().queued, 4);
    let id = harness.expect_publish(EVENTS);
    harness.puback(id);
    assert_eq!(writable(&mut harness), [device]);
    publish(&mut harness, device, 150_000).unwrap();
    assert_eq!(harness.gateway.stats().dropped, 0);
}

#[test]
fn drop_oldest_drops_as_many_as_the_new_one_needs() {
    let mut options = Options::default();
    options.overflow = Overflow::DropOldest;
    options.device_queue = QueueLimit {
        messages: 10,
        bytes: 262_144,
    };
    let mut harness = Harness::open(options);
    let (device, _) = harness.begin_attach("device-1");
    let ops: Vec<_> = (0..4)
        .map(|_| publish(&mut harness, device, 60_000).unwrap())
        .collect();
    publish(&mut harness, device, 100_000).unwrap();
    assert_eq!(harness.gateway.stats().dropped, 2);
    let events = harness.events().into_iter();
    let dropped = events.filter_map(|event| match event {
        Event::Failed { op, failure, .. } => Some((op, failure)),
        _ => None,
    });
    let expected = ops[..2].iter().map(|op| (*op, Failure::Dropped));
    assert!(dropped.eq(expected), "the two oldest");
    assert_eq!(harness.gateway.stats().queued_bytes, 220_000);
}

#[test]
fn a_timeout_without_a_connection_promises_no_room_twice() {
    let mut options = Options::default();
    options.total_queue.messages = 8; // nothing is reserved
    let mut harness = Harness::new(options);
    let own = harness.gateway.own_key();
    let (other, _) = harness.begin_attach("device-1");
    let (gone, _) = harness.begin_attach("device-2");
    harness.publish(gone, "x");
    assert_eq!(fill(&mut harness, own, 1), 7);
    assert_eq!(fill(&mut harness, other, 1), 0);
    harness.gateway.detach(gone, harness.now).unwrap();
    harness.wait(seconds(10));
    assert_eq!(writable(&mut harness), [own]);
    harness.wait(seconds(1));
    harness.gateway.handle_timeout(harness.now);
    assert_eq!(writable(&mut harness), []);
}
