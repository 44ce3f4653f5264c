//! Reattaching: devices that the bridge has detached, and all devices after a lost connection.

use std::collections::BTreeSet;

use iotcore_gateway::{
    DeviceAuth, Event, Failure, Options, Outcome,
    cause::DetachCause,
    device::DeviceState,
    message::{QoS, Subscription},
};

use super::peer::{ATTACH, EVENTS, Harness, Sent, UNIX_NOW, seconds};

#[test]
fn a_refusal_without_an_identifier_after_the_puback_detaches_the_device_and_retries_it() {
    let mut harness = Harness::open(Options::default());
    let (device, op) = harness.begin_attach("device-1");
    let id = harness.expect_publish(ATTACH);
    harness.puback(id);
    harness.report("GATEWAY_ATTACHMENT_ERROR", "device-1", None);
    let events = harness.events();
    assert!(events.contains(&Event::Done {
        op,
        outcome: Outcome::Attached
    }));
    assert!(events.iter().any(|event| matches!(event, Event::Detached { device: gone, cause: DetachCause::Reported(_) } if *gone == device)));
    harness.step();
    harness.acknowledge_attach("device-1");
    assert_eq!(
        harness.gateway.device_state(device),
        Some(DeviceState::Attached)
    );
}

#[test]
fn a_device_that_the_bridge_detached_is_reattached_with_its_subscriptions_and_its_queue() {
    for error_type in [
        "GATEWAY_DETACHMENT_DEVICE_ERROR",
        "GATEWAY_DEVICE_NOT_FOUND",
    ] {
        let (mut harness, device) = Harness::attached(Options::default());
        harness
            .gateway
            .subscribe(device, Subscription::Config, QoS::AtLeastOnce, harness.now)
            .unwrap();
        let id = harness.expect_subscribe("/devices/device-1/config");
        harness.suback(id, 1);
        let first = harness.publish(device, "1");
        harness.sent();
        harness.report(error_type, "device-1", None);
        let second = harness.publish(device, "2");
        assert_eq!(harness.sent(), [], "{error_type}");
        let events = harness.events();
        assert!(
            events
                .iter()
                .any(|event| matches!(event, Event::Detached { .. })),
            "{events:?}"
        );

        harness.step();
        harness.acknowledge_attach("device-1");
        harness.expect_subscribe("/devices/device-1/config");
        let sent = harness.sent_payloads();
        assert_eq!(
            sent.iter()
                .map(|(payload, _)| &payload[..])
                .collect::<Vec<_>>(),
            ["1", "2"]
        );
        for (_, id) in sent {
            harness.puback(id);
        }
        let done = harness.events();
        for op in [first, second] {
            assert!(done.contains(&Event::Done {
                op,
                outcome: Outcome::Acknowledged
            }));
        }
    }
}

#[test]
fn without_reattach_a_device_that_the_bridge_detached_stays_detached() {
    let mut options = Options::default();
    options.reattach = false;
    let (mut harness, device) = Harness::attached(options);
    let op = harness.publish(device, "1");
    harness.sent();
    harness.report("GATEWAY_DETACHMENT_DEVICE_ERROR", "device-1", None);
    harness.wait(seconds(50));
    assert_eq!(harness.sent(), []);
    assert_eq!(
        harness.gateway.device_state(device),
        Some(DeviceState::Dormant)
    );
    harness.begin_attach("device-1");
    harness.acknowledge_attach("device-1");
    let id = harness.expect_publish(EVENTS);
    harness.puback(id);
    assert_eq!(harness.ended(op), Some(Ok(Outcome::Acknowledged)));
}

#[test]
fn an_attach_pending_when_the_connection_is_lost_is_sent_on_the_next() {
    let mut harness = Harness::open(Options::default());
    let (_, op) = harness.begin_attach("device-1");
    harness.expect_publish(ATTACH);
    harness.reconnect();
    assert_eq!(harness.ended(op), None);
    harness.acknowledge_attach("device-1");
    assert_eq!(harness.ended(op), Some(Ok(Outcome::Attached)));
}

#[test]
fn the_attach_timeout_restarts_on_each_connection() {
    let mut harness = Harness::open(Options::default());
    let (_, op) = harness.begin_attach("device-1");
    harness.expect_publish(ATTACH);
    harness.wait(seconds(20));
    harness.reconnect();
    harness.events();
    harness.expect_publish(ATTACH);
    harness.time_out(seconds(30));
    assert_eq!(harness.ended(op), Some(Err(Failure::TimedOut(seconds(30)))));
}

#[test]
fn each_connection_begins_to_attach_at_another_device() {
    let mut options = Options::default();
    options.attach_window = 1;
    let mut harness = Harness::open(options);
    for n in 0..10 {
        harness.begin_attach(&format!("device-{n}"));
    }
    let mut last = String::new();
    let mut first = BTreeSet::new();
    for _ in 0..20 {
        let sent = harness.sent();
        let [Sent::Publish { topic, .. }] = &sent[..] else {
            panic!("{sent:?}");
        };
        assert_ne!(*topic, last, "twice in a row");
        last.clone_from(topic);
        first.insert(topic.clone());
        harness.reconnect();
    }
    assert_eq!(first.len(), 10, "each device is the first at times");
}

#[test]
fn a_lost_connection_frees_the_whole_attach_window() {
    let mut options = Options::default();
    options.attach_window = 1;
    let mut harness = Harness::open(options);
    harness.begin_attach("device-1");
    harness.expect_publish(ATTACH);
    harness.reconnect();
    harness.acknowledge_attach("device-1");
}

#[test]
fn a_thousand_devices_are_reattached_within_the_attach_window() {
    let mut harness = Harness::open(Options::default());
    for n in 0..1_000 {
        harness
            .gateway
            .attach(
                format!("device-{n}").try_into().unwrap(),
                DeviceAuth::ByAssociation,
                UNIX_NOW,
                harness.now,
            )
            .unwrap();
    }
    for round in 0..2 {
        let mut attached = 0;
        while attached < 1_000 {
            let attaches = harness.sent();
            assert_eq!(attaches.len(), 100, "round {round}");
            for sent in attaches {
                let Sent::Publish { id: Some(id), .. } = sent else {
                    panic!("{sent:?}")
                };
                harness.puback(id);
                attached += 1;
            }
        }
        harness.events();
        harness.reconnect();
    }
}
