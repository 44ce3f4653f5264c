//! Messages that are cancelled or expire, and what tells of them.

use std::time::Duration;

use iotcore_gateway::{
    Failure, Options,
    command_error::CommandError,
    device::DeviceState,
    driver::{
        Status, Telemetry,
        error::{DeliveryError, OperationError},
    },
};

use super::{Dials, Opened, Server, World, id, open, poll_once, start};

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
fn a_message_that_expires_in_an_outage_is_handed_back_and_not_sent() {
    let opened = open(Options::default());
    let gateway = opened.client.gateway();
    opened.world.dials(Dials::Fail);
    opened.server.close(&opened.world);
    let reading = Telemetry::new("21.5").expires_after(Duration::from_secs(60));
    let reading = reading.tag("reading 17".parse().unwrap());
    let delivery = opened.world.spawn(gateway.try_telemetry(reading).unwrap());
    let kept = opened.world.spawn(gateway.try_telemetry("22.5").unwrap());
    opened.world.pass(Duration::from_secs(59));
    assert!(!delivery.is_finished());
    opened.world.pass(Duration::from_secs(2));
    let Err(DeliveryError::Failed { failure, unsent }) = delivery.ended() else {
        panic!("it has expired");
    };
    assert_eq!(failure, Failure::Expired);
    assert_eq!(unsent.payload, "21.5");
    assert_eq!(unsent.tag.unwrap().as_str(), "reading 17");
    opened.world.dials(Dials::Succeed);
    let server = Server::accept_again(&opened.world);
    server.serve(&opened.world);
    assert_eq!(kept.ended(), Ok(()));
    assert_eq!(opened.client.stats().published, 1);
}

#[test]
fn the_time_to_expire_begins_when_a_message_that_waited_for_room_is_accepted() {
    let mut options = Options::default();
    options.device_queue.messages = 1;
    let opened = open(options);
    let gateway = opened.client.gateway();
    let first = opened.world.spawn(gateway.try_telemetry("1").unwrap());
    let limit = Duration::from_secs(1);
    let accepting = gateway.telemetry(Telemetry::new("2").expires_after(limit));
    let second = opened.world.spawn(accepting);
    opened.world.pass(2 * limit);
    assert!(!second.is_finished());
    opened.server.serve(&opened.world);
    assert_eq!(first.ended(), Ok(()));
    let second = opened.world.spawn(second.ended().unwrap());
    assert_eq!(second.ended(), Ok(()));
}

/// Loses the connection, and lets `per_device` readings of each of `devices` devices expire, each at another time.
fn expire_in_an_outage(opened: &mut Opened, devices: usize, per_device: usize) {
    let devices = Vec::from_iter((0..devices).map(|n| {
        let device = opened.client.attach(id(&format!("device-{n}")));
        opened.world.spawn(device)
    }));
    opened.server.serve(&opened.world);
    let devices = Vec::from_iter(devices.into_iter().map(|device| device.ended().unwrap()));
    opened.world.dials(Dials::Fail);
    opened.server.close(&opened.world);
    opened.changes();
    for n in 0..per_device {
        for (at, device) in devices.iter().enumerate() {
            let time = Duration::from_millis((100 * n + at) as u64);
            let reading = Telemetry::new("21.5")
                .expires_after(time)
                .tag(format!("reading {n}").try_into().unwrap());
            drop(device.try_telemetry(reading).unwrap());
        }
    }
    opened
        .world
        .pass(Duration::from_millis(100 * per_device as u64));
}

#[test]
fn ten_thousand_readings_that_expire_unawaited_are_one_change_with_a_count_for_each_device() {
    let mut opened = open(Options::default());
    expire_in_an_outage(&mut opened, 20, 500);
    let changes = opened.changes();
    let undelivered = changes.iter().filter_map(|change| match change {
        Status::Undelivered {
            device,
            failure: Failure::Expired,
            messages: 500,
            tag: Some(tag),
            ..
        } => Some((device.to_string(), tag.to_string())),
        Status::Undelivered { .. } => panic!("{change}"),
        _ => None,
    });
    let each = (0..20).map(|n| (format!("device-{n}"), "reading 499".to_owned()));
    assert!(undelivered.eq(each), "{changes:?}");
    assert!(
        changes
            .iter()
            .any(|change| matches!(change, Status::Disconnected { .. })),
        "the attempts of the outage are told too"
    );
}

#[test]
fn what_was_read_is_not_counted_again_and_each_reason_is_counted_on_its_own() {
    let opened = &mut open(Options::default());
    opened.world.dials(Dials::Fail);
    opened.server.close(&opened.world);
    opened.changes();
    let gateway = opened.client.gateway();
    let mut give_up = |expiring: usize, cancelled: usize| {
        for _ in 0..expiring {
            let reading = Telemetry::new("21.5").expires_after(Duration::from_millis(1));
            drop(gateway.try_telemetry(reading).unwrap());
        }
        let mut last = None;
        for _ in 0..cancelled {
            let op = gateway.try_telemetry("21.5").unwrap().op();
            opened.client.cancel(op).unwrap();
            last = Some(op);
        }
        opened.world.pass(Duration::from_millis(1));
        let changes = opened.changes().into_iter();
        let mut counts = Vec::from_iter(changes.filter_map(|change| match change {
            Status::Undelivered {
                failure,
                messages,
                op,
                ..
            } => {
                assert!(failure != Failure::Cancelled || Some(op) == last);
                Some((failure, messages))
            }
            _ => None,
        }));
        counts.sort_by_key(|(_, messages)| *messages);
        counts
    };
    let (expired, cancelled) = (Failure::Expired, Failure::Cancelled);
    let counts = [(expired.clone(), 2), (cancelled, 3)];
    assert_eq!(give_up(2, 3), counts);
    assert_eq!(give_up(1, 0), [(expired, 1)]);
}

#[test]
fn an_unread_count_goes_on_while_changes_before_it_are_read_or_missed() {
    let opened = &mut open(Options::default());
    opened.changes();
    let chatter = |opened: &Opened, times| {
        let Opened { world, server, .. } = opened;
        (0..times).for_each(|_| server.publish(world, "/devices/nobody/config", "x", 1));
    };
    let cancel = |opened: &Opened, times| {
        for _ in 0..times {
            let delivery = opened.client.gateway().try_telemetry("21.5").unwrap();
            delivery.cancel().unwrap();
        }
        opened.world.run_until_idle();
    };
    let undelivered = |change: &Status| match change {
        Status::Undelivered { messages, .. } => Some(*messages),
        _ => None,
    };
    chatter(opened, 2);
    cancel(opened, 1);
    assert!(poll_once(opened.status.next()).is_some());
    cancel(opened, 1);
    // The oldest of the others is missed, no count is.
    chatter(opened, 1_024 - 1);
    cancel(opened, 1);
    let changes = opened.changes();
    assert!(matches!(changes[0], Status::Missed(1)), "{}", changes[0]);
    assert_eq!(changes.len(), 1 + 1_024);
    assert_eq!(changes.iter().find_map(undelivered), Some(3));

    // A count that is missed is not continued.
    cancel(opened, 1);
    chatter(opened, 1_024);
    cancel(opened, 2);
    let changes = opened.changes();
    assert!(matches!(changes[0], Status::Missed(2)), "{}", changes[0]);
    assert_eq!(changes.iter().find_map(undelivered), Some(2));
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
    assert_eq!(opened.client.peek_stats().worst_latency, Some(short));
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
