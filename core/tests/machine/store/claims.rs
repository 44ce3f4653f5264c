//! Devices that something was found for, and that the user has not attached yet.

use std::time::Duration;

use iotcore_gateway::{
    DeviceAuth, DeviceKey, Event, Failure, Options,
    command_error::CommandError,
    device::DeviceState,
    message::{QoS, Subscription},
};

use super::{
    super::peer::{Harness, UNIX_NOW, failed, seconds},
    Kit, lingering,
};

const NOTHING: [&str; 0] = [];

/// Returns a gateway that was restarted after it had stored one event for each of so many devices.
fn restarted(devices: usize, options: Options) -> (Kit, Vec<DeviceKey>) {
    let mut kit = Kit::from(Harness::new(lingering(Duration::ZERO)));
    let ids: Vec<_> = (1..=devices).map(|n| format!("device-{n}")).collect();
    for id in &ids {
        let (device, _) = kit.begin_attach(id);
        kit.publish(device, &format!("of {id}"));
    }
    kit.save();
    let (kit, _) = kit.restart(options);
    let key = |id: &String| {
        let id = id.as_str().try_into().unwrap();
        kit.gateway.device_key(&id).unwrap()
    };
    let keys = ids.iter().map(key).collect();
    (kit, keys)
}

fn state_of(kit: &Kit, device: DeviceKey) -> Option<DeviceState> {
    kit.gateway.device_state(device)
}

#[test]
fn an_unclaimed_device_is_listed_and_neither_attached_nor_sent_for() {
    let (mut kit, devices) = restarted(1, lingering(Duration::ZERO));
    assert_eq!(state_of(&kit, devices[0]), Some(DeviceState::Unclaimed));
    let info = kit.gateway.devices().nth(1).unwrap();
    assert_eq!((info.state, info.queued), (DeviceState::Unclaimed, 1));
    let now = kit.now;
    kit.gateway.open(now).unwrap();
    kit.connect();
    kit.reconnect();
    assert_eq!(kit.sent(), []);
    kit.wait(seconds(20));
    assert_eq!(state_of(&kit, devices[0]), Some(DeviceState::Unclaimed));
    assert_eq!(kit.durable(), ["of device-1"]);
    assert_eq!(kit.save(), NOTHING);
}

#[test]
fn an_attach_claims_a_device_and_what_was_found_goes_out_first() {
    for is_connected in [true, false] {
        let (mut kit, devices) = restarted(1, lingering(Duration::ZERO));
        let now = kit.now;
        kit.gateway.open(now).unwrap();
        if is_connected {
            kit.connect();
        }
        let (device, _) = kit.begin_attach("device-1");
        assert_eq!(device, devices[0]);
        assert_eq!(
            state_of(&kit, device),
            Some(if is_connected {
                DeviceState::Attaching
            } else {
                DeviceState::Waiting
            })
        );
        kit.publish(device, "new");
        if !is_connected {
            kit.connect();
        }
        kit.acknowledge_attach("device-1");
        assert_eq!(kit.sent_texts(), ["of device-1", "new"]);
    }
}

#[test]
fn a_publication_for_an_unclaimed_device_waits_with_what_was_found() {
    let (mut kit, devices) = restarted(1, lingering(Duration::ZERO));
    kit.publish(devices[0], "new");
    let now = kit.now;
    kit.gateway.open(now).unwrap();
    kit.connect();
    assert_eq!(kit.sent_texts(), NOTHING);
    kit.attach("device-1");
    assert_eq!(kit.sent_texts(), ["of device-1", "new"]);
}

#[test]
fn a_detach_drops_what_was_found() {
    for is_connected in [true, false] {
        let (mut kit, devices) = restarted(2, lingering(Duration::ZERO));
        let now = kit.now;
        kit.gateway.open(now).unwrap();
        if is_connected {
            kit.connect();
        }
        kit.events();
        let dropped = kit.gateway.unsent().next().unwrap().op;
        let detach = kit.gateway.detach(devices[0], now).unwrap();
        let events = kit.events();
        assert_eq!(failed(&events, dropped), Some(&Failure::Detached));
        let is_done = |event: &Event| matches!(event, Event::Done { op, .. } if *op == detach);
        assert!(events.iter().any(is_done), "{events:?}");
        assert_eq!(kit.sent(), [], "no packet is needed");
        assert_eq!(state_of(&kit, devices[0]), None);
        kit.wait(seconds(1));
        assert_eq!(kit.save(), ["remove 1", "commit 2"]);
        assert_eq!(kit.durable(), ["of device-2"]);
    }
}

#[test]
fn unclaimed_devices_do_not_count_for_the_limit_of_devices_before_they_are_claimed() {
    let mut options = lingering(Duration::ZERO);
    options.quota.max_devices = 2;
    let (mut kit, _) = restarted(4, options);
    assert_eq!(kit.gateway.stats().devices, 4);
    kit.begin_attach("another");
    kit.begin_attach("device-3");
    kit.begin_attach("device-3");
    let now = kit.now;
    for id in ["device-4", "yet-another"] {
        let id = id.try_into().unwrap();
        let refused = kit
            .gateway
            .attach(id, DeviceAuth::ByAssociation, UNIX_NOW, now);
        assert_eq!(refused, Err(CommandError::TooManyDevices(2)));
    }
    let another = kit.gateway.device_key(&"another".try_into().unwrap());
    kit.gateway.detach(another.unwrap(), now).unwrap();
    kit.begin_attach("device-4");
}

#[test]
fn a_subscription_for_an_unclaimed_device_fails_and_is_made_once_it_is_attached() {
    let (mut kit, devices) = restarted(1, lingering(Duration::ZERO));
    let now = kit.now;
    kit.gateway.open(now).unwrap();
    kit.connect();
    let subscribed = kit
        .gateway
        .subscribe(devices[0], Subscription::Config, QoS::AtLeastOnce, now);
    let op = subscribed.unwrap();
    assert_eq!(kit.ended(op), Some(Err(Failure::NotAttached)));
    kit.attach("device-1");
    kit.expect_subscribe("/devices/device-1/config");
}

#[test]
fn a_close_does_not_wait_for_what_nobody_claims_and_keeps_it() {
    let (mut kit, _) = restarted(1, lingering(Duration::ZERO));
    let now = kit.now;
    kit.gateway.open(now).unwrap();
    kit.connect();
    kit.gateway.close(now);
    kit.sent();
    kit.gateway
        .handle_disconnected(iotcore_gateway::cause::TransportEnd::HungUp, now);
    assert!(kit.gateway.is_closed());
    assert_eq!(kit.save(), NOTHING);
    assert_eq!(kit.durable(), ["of device-1"]);
}

#[test]
fn what_nobody_claims_can_be_cancelled_and_the_device_stays_until_it_is_detached() {
    let (mut kit, devices) = restarted(1, lingering(Duration::ZERO));
    let op = kit.gateway.unsent().next().unwrap().op;
    kit.cancel(op);
    kit.wait(seconds(1));
    assert_eq!(kit.save(), ["remove 1", "commit 1"]);
    assert_eq!(state_of(&kit, devices[0]), Some(DeviceState::Unclaimed));
    let now = kit.now;
    kit.gateway.detach(devices[0], now).unwrap();
    assert_eq!(state_of(&kit, devices[0]), None);
}

#[test]
fn what_is_found_for_a_device_that_is_attached_already_is_its_own() {
    let (mut kit, _) = restarted(1, lingering(Duration::ZERO));
    let kept = kit.disk.durable[&1].clone();
    let (harness, device) = Harness::attached(lingering(Duration::ZERO));
    kit.harness = harness;
    kept.restore(1, &mut kit, UNIX_NOW);
    assert_eq!(state_of(&kit, device), Some(DeviceState::Attached));
    assert_eq!(kit.sent_texts(), ["of device-1"]);
}
