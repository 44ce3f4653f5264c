//! The room that publications reserve in the store.

use std::time::Duration;

use iotcore_gateway::{
    DeviceKey, Event, Failure, OpId, Options, Publication, command_error::PublishErrorKind,
    message::QoS, options::Overflow, quota::Quota,
};

use super::{
    super::peer::{Harness, failed, seconds},
    Kit, lingering,
};

/// What an empty payload reserves.
const LEAST: usize = 320;

/// Options of a store with this room. The largest publication may have 12 bytes.
fn roomy(bytes: usize) -> Options {
    let mut options = lingering(Duration::ZERO);
    options.quota = Quota::unpaced();
    options.quota.max_telemetry_bytes = 12;
    options.quota.max_state_bytes = 12;
    options.durability.max_bytes = bytes;
    options
}

fn try_publish(kit: &mut Kit, publication: Publication) -> Result<OpId, PublishErrorKind> {
    let now = kit.now;
    let published = kit.gateway.publish(publication, now);
    published.map_err(|error| error.kind)
}

fn writables(kit: &mut Kit) -> Vec<DeviceKey> {
    let events = kit.events().into_iter();
    let writables = events.filter_map(|event| match event {
        Event::Writable { device } => Some(device),
        _ => None,
    });
    writables.collect()
}

/// Returns a gateway whose store is full with five events of its own.
fn full(options: Options) -> (Kit, DeviceKey, Vec<OpId>) {
    let mut kit = Kit::from(Harness::new(options));
    let own = kit.gateway.own_key();
    let ops = (0..5).map(|_| kit.publish_own("123456789012")).collect();
    (kit, own, ops)
}

#[test]
fn each_reserves_its_payload_subfolder_and_tag_and_the_rest_of_a_record() {
    let mut kit = Kit::offline();
    let own = kit.gateway.own_key();
    let publication = Publication::telemetry(own, "12345")
        .subfolder("abc".try_into().unwrap())
        .tag("de".try_into().unwrap());
    let op = kit.accept(publication);
    assert_eq!(kit.gateway.stats().stored_bytes, LEAST + 10);
    kit.cancel(op);
    assert_eq!(kit.gateway.stats().stored_bytes, 0);
}

#[test]
fn a_full_store_blocks_and_tells_when_there_is_room_again() {
    let (mut kit, own, ops) = full(roomy(5 * (LEAST + 12)));
    for _ in 0..3 {
        let refused = try_publish(&mut kit, Publication::telemetry(own, ""));
        assert_eq!(refused, Err(PublishErrorKind::Blocked));
    }
    kit.save();
    assert_eq!(writables(&mut kit), []);
    kit.cancel(ops[2]);
    assert_eq!(writables(&mut kit), [own]);
    try_publish(&mut kit, Publication::telemetry(own, "")).unwrap();
    kit.cancel(ops[3]);
    assert_eq!(writables(&mut kit), [], "nobody waits any more");
}

#[test]
fn what_is_acknowledged_makes_room() {
    let (mut kit, own, _) = full(roomy(5 * (LEAST + 12)));
    let now = kit.now;
    kit.gateway.open(now).unwrap();
    kit.connect();
    let refused = try_publish(&mut kit, Publication::telemetry(own, ""));
    assert_eq!(refused, Err(PublishErrorKind::Blocked));
    kit.events();
    let id = kit.sent_ids()[0];
    kit.puback(id);
    assert_eq!(writables(&mut kit), [own]);
}

#[test]
fn nothing_at_qos_0_is_blocked_by_a_full_store() {
    let (mut kit, own, _) = full(roomy(5 * (LEAST + 12)));
    let publication = Publication::telemetry(own, "").qos(QoS::AtMostOnce);
    try_publish(&mut kit, publication).unwrap();
}

#[test]
fn those_who_wait_are_told_in_turn_and_only_as_many_as_have_room() {
    let (mut kit, own, ops) = full(roomy(5 * (LEAST + 12)));
    let devices = ["device-1", "device-2", "device-3"].map(|id| kit.begin_attach(id).0);
    for device in devices {
        let refused = try_publish(&mut kit, Publication::telemetry(device, ""));
        assert_eq!(refused, Err(PublishErrorKind::Blocked));
    }
    kit.cancel(ops[0]);
    assert_eq!(writables(&mut kit), devices[..1]);
    // It does not use the room, and nothing is told again by time alone.
    kit.wait(seconds(30));
    assert_eq!(writables(&mut kit), []);
    kit.cancel(ops[1]);
    assert_eq!(writables(&mut kit), devices[1..]);
    kit.cancel(ops[2]);
    assert_eq!(writables(&mut kit), []);
    try_publish(&mut kit, Publication::telemetry(own, "")).unwrap();
}

#[test]
fn one_that_needs_more_than_was_freed_goes_on_waiting_and_is_told_once() {
    let (mut kit, own, ops) = full(roomy(5 * (LEAST + 12)));
    kit.cancel(ops[0]);
    kit.accept(Publication::telemetry(own, ""));
    let refused = try_publish(&mut kit, Publication::telemetry(own, "123456789012"));
    assert_eq!(refused, Err(PublishErrorKind::Blocked));
    assert_eq!(writables(&mut kit), [], "12 bytes are not enough");
    kit.wait(seconds(30));
    assert_eq!(writables(&mut kit), []);
    kit.cancel(ops[1]);
    assert_eq!(writables(&mut kit), [own]);
}

#[test]
fn a_device_that_waits_and_is_detached_is_not_told() {
    let (mut kit, _, ops) = full(roomy(5 * (LEAST + 12)));
    let (device, _) = kit.begin_attach("device-1");
    try_publish(&mut kit, Publication::telemetry(device, "")).unwrap_err();
    let now = kit.now;
    kit.gateway.detach(device, now).unwrap();
    let (other, _) = kit.begin_attach("device-2");
    kit.events();
    kit.cancel(ops[0]);
    assert_eq!(writables(&mut kit), []);
    try_publish(&mut kit, Publication::telemetry(other, "")).unwrap();
}

#[test]
fn with_drop_oldest_the_oldest_of_the_device_make_room_in_a_full_store() {
    let mut options = roomy(5 * (LEAST + 12));
    options.overflow = Overflow::DropOldest;
    let (mut kit, own, ops) = full(options);
    kit.save();
    kit.events();
    let newest = kit.publish(own, "newest");
    let events = kit.events();
    assert_eq!(failed(&events, ops[0]), Some(&Failure::Dropped));
    assert_eq!(failed(&events, ops[1]), None);
    let ops = kit.save();
    assert_eq!(ops, ["put 6 newest", "remove 1", "commit 6"]);
    assert_eq!(kit.stored(), [newest]);
}

#[test]
fn with_drop_oldest_nothing_is_dropped_in_vain() {
    let mut options = roomy(5 * (LEAST + 12));
    options.overflow = Overflow::DropOldest;
    let (mut kit, _, ops) = full(options);
    let (device, _) = kit.begin_attach("device-1");
    let refused = try_publish(&mut kit, Publication::telemetry(device, ""));
    assert_eq!(
        refused,
        Err(PublishErrorKind::Blocked),
        "it has none to drop"
    );
    for op in ops {
        assert_eq!(failed(&kit.events(), op), None);
    }
    assert_eq!(kit.gateway.stats().dropped, 0);
}

#[test]
fn with_drop_oldest_nothing_is_dropped_for_room_in_the_store_if_the_queues_have_none() {
    let mut options = roomy(1_420);
    options.overflow = Overflow::DropOldest;
    options.quota.max_devices = 1;
    (options.total_queue.bytes, options.device_queue.bytes) = (24, 24);
    let mut kit = Kit::from(Harness::new(options));
    let (device, _) = kit.begin_attach("device-1");
    let oldest = kit.publish(device, "");
    for payload in ["123456789012", "123456", ""] {
        kit.publish_own(payload);
    }
    let refused = try_publish(&mut kit, Publication::telemetry(device, "123456789012"));
    assert_eq!(refused, Err(PublishErrorKind::Blocked));
    assert_eq!(failed(&kit.events(), oldest), None);
}

#[test]
fn with_drop_oldest_what_is_not_in_the_store_is_not_dropped_for_room_there() {
    let mut options = roomy(5 * (LEAST + 12));
    options.overflow = Overflow::DropOldest;
    let mut kit = Kit::from(Harness::new(options));
    let own = kit.gateway.own_key();
    let volatile = kit.accept(Publication::telemetry(own, "0").qos(QoS::AtMostOnce));
    let ops: Vec<_> = (0..5).map(|_| kit.publish_own("123456789012")).collect();
    kit.publish_own("newest");
    let events = kit.events();
    assert_eq!(failed(&events, volatile), None);
    assert_eq!(failed(&events, ops[0]), Some(&Failure::Dropped));
}

#[test]
fn a_state_takes_the_room_of_one_that_was_not_put() {
    let (mut kit, own, ops) = full(roomy(5 * (LEAST + 12)));
    kit.ops();
    kit.cancel(ops[4]);
    kit.publish_state(own, "123456789012");
    for _ in 0..10 {
        kit.publish_state(own, "123456789012");
    }
    kit.save();
    let refused = try_publish(&mut kit, Publication::state(own, ""));
    assert_eq!(refused, Err(PublishErrorKind::Blocked), "the record stays");
}

/// Returns what was reported of a full store.
fn fulls(kit: &mut Kit) -> Vec<(usize, usize)> {
    let events = kit.events().into_iter();
    let fulls = events.filter_map(|event| match event {
        Event::StoreFull {
            reserved,
            unclaimed,
        } => Some((reserved, unclaimed)),
        _ => None,
    });
    fulls.collect()
}

#[test]
fn a_full_store_is_reported_once_until_half_of_it_is_left() {
    let (mut kit, own, ops) = full(roomy(5 * (LEAST + 12)));
    for _ in 0..3 {
        try_publish(&mut kit, Publication::telemetry(own, "")).unwrap_err();
    }
    assert_eq!(fulls(&mut kit), [(5 * (LEAST + 12), 0)]);
    kit.cancel(ops[0]);
    kit.publish_own("");
    try_publish(&mut kit, Publication::telemetry(own, "")).unwrap_err();
    assert_eq!(fulls(&mut kit), []);
    ops[1..4].iter().for_each(|op| kit.cancel(*op));
    (0..3).for_each(|_| _ = kit.publish_own(""));
    try_publish(&mut kit, Publication::telemetry(own, "")).unwrap_err();
    assert_eq!(fulls(&mut kit).len(), 1);
}

#[test]
fn a_full_store_reports_what_is_unclaimed() {
    let mut kit = Kit::from(Harness::new(roomy(5 * (LEAST + 12))));
    let (device, _) = kit.begin_attach("device-1");
    (0..4).for_each(|_| _ = kit.publish(device, "123456789012"));
    kit.publish_own("123456789012");
    kit.save();
    let (mut kit, _) = kit.restart(roomy(5 * (LEAST + 12)));
    let own = kit.gateway.own_key();
    try_publish(&mut kit, Publication::telemetry(own, "")).unwrap_err();
    assert_eq!(fulls(&mut kit), [(5 * (LEAST + 12), 4 * (LEAST + 12))]);
}

#[test]
fn what_was_refused_as_too_large_is_no_matter_of_the_store() {
    let (mut kit, own, _) = full(roomy(5 * (LEAST + 12)));
    let refused = try_publish(&mut kit, Publication::telemetry(own, "1234567890123"));
    assert_eq!(refused, Err(PublishErrorKind::TooLarge { limit: 12 }));
}

#[test]
fn everything_reserved_is_released_in_the_end() {
    let (mut kit, device) = Kit::attached(Duration::ZERO);
    for n in 0..30 {
        let op = kit.publish(device, "x");
        kit.publish_state(device, "y");
        if n % 3 == 0 {
            kit.ops();
        }
        if n % 4 == 0 && kit.disk.commit.is_some() {
            kit.commit();
        }
        if n % 5 == 0 {
            kit.cancel(op);
        }
    }
    for _ in 0..100 {
        kit.save();
        for id in kit.sent_ids() {
            kit.puback(id);
        }
        kit.wait(seconds(2));
    }
    kit.save();
    let stats = kit.gateway.stats();
    assert_eq!((stats.stored, stats.stored_bytes), (0, 0));
    assert_eq!(kit.disk.durable.len(), 0);
}
