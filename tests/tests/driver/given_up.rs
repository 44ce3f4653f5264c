//! Messages that are cancelled, and the figures of those that are not.

use std::time::Duration;

use iotcore_gateway::{
    CommandError, DeviceState, Failure, Options,
    driver::{DeliveryError, OperationError, Telemetry},
};

use super::{World, id, open, poll_once, start};

#[test]
fn a_message_that_waits_is_cancelled_and_handed_back_with_its_tag() {
    let world = World::new();
    let (client, driver) = start(&world, Options::default());
    let gateway = client.gateway();
    let reading = Telemetry::new("21.5").tag("reading 17".parse().unwrap());
    let delivery = gateway.try_telemetry(reading.clone()).unwrap();
    let kept = gateway.try_telemetry("22.5").unwrap();
    let op = delivery.op();
    assert_eq!(delivery.cancel(), Ok(()));
    let not_cancellable = OperationError::Refused(CommandError::NotCancellable(op));
    assert_eq!(delivery.cancel(), Err(not_cancellable.clone()));
    assert_eq!(client.cancel(op), Err(not_cancellable));
    assert_eq!(client.unsent().len(), 1);

    let driver = world.spawn(driver.run());
    let Err(DeliveryError::Failed { failure, unsent }) = world.spawn(delivery).ended() else {
        panic!("it was cancelled");
    };
    assert_eq!(failure, Failure::Cancelled);
    assert_eq!(Telemetry::try_from(*unsent), Ok(reading));
    world.cancel(driver);
    assert_eq!(client.cancel(kept.op()), Err(OperationError::DriverStopped));
    assert_eq!(kept.cancel(), Err(OperationError::DriverStopped));
}

#[test]
fn a_message_in_flight_is_cancelled_by_its_operation_while_its_delivery_is_awaited() {
    let opened = open(Options::default());
    let delivery = opened.client.gateway().try_telemetry("21.5").unwrap();
    let op = delivery.op();
    let delivery = opened.world.spawn(delivery);
    let [(_, packet_id)] = opened.server.received_payloads()[..] else {
        panic!("expected one PUBLISH");
    };
    assert_eq!(opened.client.cancel(op), Ok(()));
    opened.world.run_until_idle();
    let Err(DeliveryError::Failed { failure, unsent }) = delivery.ended() else {
        panic!("it was cancelled");
    };
    assert_eq!((failure, unsent.op), (Failure::Cancelled, op));
    opened.server.puback(&opened.world, packet_id);
    assert_eq!(opened.client.stats().unsolicited, 0);
    assert_eq!(opened.client.stats().published, 0);
}

#[test]
fn the_worst_latency_is_that_since_the_counters_were_last_read() {
    let opened = open(Options::default());
    let gateway = opened.client.gateway();
    let acknowledge_after = |time| {
        let delivery = gateway.try_telemetry("21.5").unwrap();
        opened.world.run_until_idle();
        opened.world.pass(time);
        opened.server.serve(&opened.world);
        assert_eq!(poll_once(delivery), Some(Ok(())));
    };
    let [short, long] = [Duration::from_millis(100), Duration::from_secs(3)];
    assert_eq!(opened.client.stats().worst_latency, None);
    acknowledge_after(long);
    acknowledge_after(short);
    let stats = opened.client.stats();
    assert_eq!(stats.worst_latency, Some(long));
    assert!(stats.latency.is_some_and(|latency| latency < long));
    acknowledge_after(short);
    assert_eq!(opened.client.stats().worst_latency, Some(short));
    assert_eq!(opened.client.stats().worst_latency, None);
}

#[test]
fn a_look_at_the_devices_shows_what_waits_what_is_in_flight_and_the_last_failure() {
    let mut options = Options::default();
    options.device_window = 1;
    let mut opened = open(options);
    let device = opened.attach(id("device-1"));
    let late = Telemetry::new("22").expires_after(Duration::from_secs(1));
    let deliveries = [
        device.try_telemetry("1").unwrap(),
        device.try_telemetry(late).unwrap(),
        device.try_telemetry("333").unwrap(),
    ];
    opened.world.run_until_idle();
    let look = || {
        let [own, of_device] = opened.client.devices().try_into().unwrap();
        assert_eq!(own.id, *opened.client.gateway().id());
        assert_eq!((own.queued, own.last_failure), (0, None));
        of_device
    };
    let info = look();
    assert_eq!((&info.id, info.state), (device.id(), DeviceState::Attached));
    assert_eq!((info.queued, info.queued_bytes, info.in_flight), (3, 6, 1));
    assert_eq!(info.last_failure, None);

    opened.world.pass(Duration::from_secs(2));
    let info = look();
    assert_eq!((info.queued, info.queued_bytes, info.in_flight), (2, 4, 1));
    assert_eq!(info.last_failure.unwrap().failure, Failure::Expired);
    drop(deliveries);
}
