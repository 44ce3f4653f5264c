//! What ends is removed, whatever ends it, and leaves no trace if it ends before its group begins.

use std::time::Duration;

use iotcore_gateway::{
    DeviceKey, Failure, OpId, Options, Publication,
    options::{OnRefusal, Overflow},
    quota::Quota,
};

use super::{
    super::peer::{Harness, failed, seconds},
    Kit, lingering,
};

/// How far a publication has come on its way into the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// It waits behind a group that has not been answered.
    Waiting,
    /// Its put was taken, the commit was not.
    Put,
    /// Its commit is outstanding.
    Committed,
    Durable,
}

use Stage::{Committed, Durable, Put, Waiting};

/// Returns a gateway with an attached device of which one publication in the queue has come so far. There is a first one
/// of the gateway itself in the store, which is number 1.
fn with_one_at(stage: Stage, options: Options) -> (Kit, DeviceKey, OpId) {
    let (harness, device) = Harness::attached(options);
    let mut kit = Kit::from(harness);
    kit.lose_connection();
    kit.publish_own("first");
    if stage == Waiting {
        kit.ops();
    } else {
        kit.save();
    }
    let op = kit.publish(device, "x");
    match stage {
        Waiting => {}
        Put => assert_eq!(kit.next_op().as_deref(), Some("put 2 x")),
        Committed => assert_eq!(kit.ops().len(), 2),
        Durable => assert_eq!(kit.save().len(), 2),
    }
    kit.events();
    (kit, device, op)
}

/// Ends the publication, and asserts that its record is removed if it may have been written, and nothing else is.
fn assert_removed(options: &Options, failure: &Failure, end: impl Fn(&mut Kit, DeviceKey, OpId)) {
    for stage in [Waiting, Put, Committed, Durable] {
        let (mut kit, device, op) = with_one_at(stage, options.clone());
        end(&mut kit, device, op);
        let events = kit.events();
        let told = failed(&events, op);
        let is_same = told.map(core::mem::discriminant) == Some(core::mem::discriminant(failure));
        assert!(is_same, "{stage:?}: {told:?}");
        let mut all = kit.ops();
        if kit.disk.commit.is_some() {
            kit.commit();
        }
        kit.wait(seconds(1));
        all.extend(kit.save());
        let of_2: Vec<_> = all.iter().filter(|op| op.contains(" 2")).collect();
        let puts = of_2.iter().filter(|op| op.starts_with("put")).count();
        let removals = of_2.iter().filter(|op| **op == "remove 2").count();
        assert_eq!(puts, 0, "{stage:?}: {all:?}");
        assert_eq!(
            removals,
            usize::from(stage != Waiting),
            "{stage:?}: {all:?}"
        );
        assert!(!kit.durable().contains(&"x"), "{stage:?}");
        let stored = kit.stored();
        assert!(!stored.contains(&op), "{stage:?}: it has ended");
        let stats = kit.gateway.stats();
        assert_eq!(stats.stored, kit.disk.durable.len(), "{stage:?}");
        let one = 320 + "first".len();
        assert_eq!(stats.stored_bytes, one * stats.stored, "{stage:?}");
    }
}

#[test]
fn a_cancelled_one_is_removed() {
    let options = lingering(Duration::ZERO);
    assert_removed(&options, &Failure::Cancelled, |kit, _, op| kit.cancel(op));
}

#[test]
fn an_expired_one_is_removed() {
    let mut kit = Kit::offline();
    let own = kit.gateway.own_key();
    let op = kit.accept(Publication::telemetry(own, "x").expires_after(seconds(60)));
    assert_eq!(kit.save().len(), 2);
    kit.wait(seconds(60));
    assert_eq!(kit.ended(op), Some(Err(Failure::Expired)));
    kit.wait(seconds(1));
    assert_eq!(kit.save(), ["remove 1", "commit 1"]);
}

#[test]
fn one_that_is_dropped_for_a_newer_one_is_removed() {
    let mut options = lingering(Duration::ZERO);
    options.device_queue.messages = 1;
    options.overflow = Overflow::DropOldest;
    assert_removed(&options, &Failure::Dropped, |kit, device, _| {
        let newer = kit.publish(device, "newer");
        kit.cancel(newer);
    });
}

#[test]
fn one_whose_device_is_detached_is_removed() {
    let mut options = lingering(Duration::ZERO);
    options.drain_timeout = Duration::ZERO;
    assert_removed(&options, &Failure::Detached, |kit, device, _| {
        let now = kit.now;
        kit.gateway.detach(device, now).unwrap();
        kit.gateway.handle_timeout(now);
    });
}

/// Connects, and lets the bridge refuse the device.
fn refuse(kit: &mut Kit) {
    kit.redial();
    let id = kit.expect_publish("/devices/device-1/attach");
    kit.report("GATEWAY_ATTACHMENT_ERROR", "device-1", Some(id));
}

/// Options with which everything that is not acknowledged stays unwritten while there is a connection.
fn never_due() -> Options {
    lingering(seconds(7 * 24 * 3_600))
}

#[test]
fn one_whose_device_is_refused_is_removed() {
    assert_removed(&never_due(), &Failure::DeviceRefused, |kit, _, _| {
        refuse(kit)
    });
}

#[test]
fn the_queue_of_a_refused_device_that_is_kept_stays_in_the_store() {
    let mut options = lingering(Duration::ZERO);
    options.on_refusal = OnRefusal::KeepQueue;
    let (mut kit, device, op) = with_one_at(Durable, options);
    refuse(&mut kit);
    kit.wait(seconds(2));
    assert_eq!(failed(&kit.events(), op), None);
    assert!(!kit.save().contains(&"remove 2".to_owned()));
    let now = kit.now;
    kit.gateway.detach(device, now).unwrap();
    kit.wait(seconds(1));
    assert_eq!(kit.save(), ["remove 2", "commit 2"]);
}

#[test]
fn one_that_the_bridge_reports_is_removed() {
    let (mut kit, device) = Kit::attached(Duration::ZERO);
    let op = kit.publish(device, "x");
    kit.save();
    let id = kit.sent_ids()[0];
    kit.events();
    kit.report("GATEWAY_INVALID_MQTT_TOPIC", "device-1", Some(id));
    let events = kit.events();
    assert!(matches!(failed(&events, op), Some(Failure::Reported(_))));
    kit.wait(seconds(1));
    assert_eq!(kit.save(), ["remove 1", "commit 1"]);
}

/// Lets time pass until the poison is sent, at which the bridge closes the connection.
fn hang_up_at_poison(kit: &mut Kit) {
    while !kit.sent_texts().contains(&"poison".to_owned()) {
        kit.wait(seconds(1));
    }
    kit.lose_connection();
}

#[test]
fn one_that_is_given_up_as_suspected_is_removed() {
    let mut kit = Kit::from(Harness::open(lingering(Duration::ZERO)));
    let op = kit.publish_own("poison");
    assert_eq!(kit.save(), ["put 1 poison", "commit 1"]);
    for _ in 0..4 {
        hang_up_at_poison(&mut kit);
        assert_eq!(failed(&kit.events(), op), None);
        assert_eq!(kit.save(), [""; 0]);
        kit.redial();
    }
    hang_up_at_poison(&mut kit);
    let suspected = Failure::Suspected { connections: 5 };
    assert_eq!(failed(&kit.events(), op), Some(&suspected));
    kit.wait(seconds(1));
    assert_eq!(kit.save(), ["remove 1", "commit 1"]);
}

#[test]
fn a_detach_that_sends_its_queue_first_removes_what_was_acknowledged_and_what_was_not() {
    let mut options = lingering(Duration::ZERO);
    options.quota = Quota::unpaced();
    let (harness, device) = Harness::attached(options);
    let mut kit = Kit::from(harness);
    let ops = ["1", "2"].map(|payload| kit.publish(device, payload));
    kit.save();
    let ids = kit.sent_ids();
    let now = kit.now;
    kit.gateway.detach(device, now).unwrap();
    kit.puback(ids[0]);
    kit.wait(seconds(1));
    assert_eq!(kit.save(), ["remove 1", "commit 2"]);
    kit.wait(seconds(10));
    let events = kit.events();
    assert_eq!(failed(&events, ops[1]), Some(&Failure::Detached));
    kit.wait(seconds(1));
    assert_eq!(kit.save(), ["remove 2", "commit 2"]);
    assert_eq!(kit.disk.durable.len(), 0);
}
