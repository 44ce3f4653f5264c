//! What the user sees of devices and of the bridge's speed.

use std::time::Duration;

use iotcore_gateway::{
    Failure, Options,
    device::{DeviceInfo, DeviceState},
    message::{QoS, Subscription},
};

use super::peer::{Harness, seconds};

fn info(harness: &Harness, id: &str) -> DeviceInfo {
    let mut devices = harness.gateway.devices();
    devices.find(|info| info.id.as_str() == id).unwrap()
}

#[test]
fn each_device_shows_its_state_and_what_it_has() {
    let (mut harness, device) = Harness::attached(Options::default());
    let (waiting, _) = harness.begin_attach("device-2");
    harness.publish(device, "12");
    harness.sent();
    harness.publish(waiting, "345");
    harness.publish(waiting, "6");
    let (first, second) = (info(&harness, "device-1"), info(&harness, "device-2"));
    assert_eq!(first.state, DeviceState::Attached);
    assert_eq!(
        (first.queued, first.queued_bytes, first.in_flight),
        (1, 2, 1)
    );
    assert_eq!(second.state, DeviceState::Attaching);
    assert_eq!(
        (second.queued, second.queued_bytes, second.in_flight),
        (2, 4, 0)
    );
    assert_eq!(harness.gateway.devices().count(), 3, "the gateway too");
    harness.lose_connection();
    let first = info(&harness, "device-1");
    assert_eq!((first.queued, first.in_flight), (1, 0));
}

#[test]
fn the_last_failure_of_a_device_is_the_one_that_nobody_asked_for() {
    let (mut harness, device) = Harness::attached(Options::default());
    let subscribed =
        harness
            .gateway
            .subscribe(device, Subscription::Config, QoS::AtLeastOnce, harness.now);
    let id = harness.expect_subscribe("/devices/device-1/config");
    harness.suback(id, 0x80);
    let failure = Failure::SubscriptionRefused(Subscription::Config);
    let at = harness.now;
    let last = info(&harness, "device-1").last_failure.unwrap();
    assert_eq!((last.failure, last.at), (failure, at));
    assert!(harness.ended(subscribed.unwrap()).is_some());
    harness.wait(seconds(1));
    let op = harness.publish(device, "1");
    harness.gateway.cancel(op, harness.now).unwrap();
    assert_eq!(info(&harness, "device-1").last_failure.unwrap().at, at);
    assert_eq!(info(&harness, "gw-1").last_failure, None);
}

#[test]
fn the_latency_follows_the_acknowledgements_and_the_worst_is_kept_until_it_is_reset() {
    let (mut harness, device) = Harness::attached(Options::default());
    let measure = |harness: &mut Harness, millis| {
        harness.publish(device, "");
        let id = harness.sent_ids()[0];
        harness.wait(Duration::from_millis(millis));
        harness.puback(id);
        let stats = harness.gateway.stats();
        [stats.latency, stats.worst_latency].map(|latency| latency.unwrap().as_millis())
    };
    assert_eq!(harness.gateway.stats().latency, None);
    assert_eq!(measure(&mut harness, 80), [80, 80]);
    assert_eq!(measure(&mut harness, 160), [90, 160]);
    assert_eq!(measure(&mut harness, 10), [80, 160]);
    harness.reconnect();
    harness.acknowledge_attach("device-1");
    let stats = harness.gateway.stats();
    assert_eq!(
        stats.latency.unwrap().as_millis(),
        80,
        "of the last connection"
    );
    harness.gateway.reset_worst_latency();
    assert_eq!(harness.gateway.stats().worst_latency, None);
    assert_eq!(measure(&mut harness, 20)[1], 20);
}

#[test]
fn a_device_shows_why_it_is_not_attached_again_after_a_reconnect() {
    for is_refused in [true, false] {
        let (mut harness, _) = Harness::attached(Options::default());
        harness.reconnect();
        let id = harness.expect_publish("/devices/device-1/attach");
        match is_refused {
            true => harness.report("GATEWAY_ATTACHMENT_ERROR", "device-1", Some(id)),
            false => harness.wait(seconds(31)),
        }
        let info = info(&harness, "device-1");
        let expected = match is_refused {
            true => DeviceState::Refused,
            false => DeviceState::Retrying,
        };
        assert_eq!(info.state, expected);
        let failure = info.last_failure.unwrap().failure;
        assert_eq!(
            matches!(failure, Failure::Reported(_)),
            is_refused,
            "{failure}"
        );
    }
}
