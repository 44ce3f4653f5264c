//! Closing, hanging up, and dropped drivers.

use std::{
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll, Wake, Waker},
    time::Duration,
};

use iotcore_gateway::{
    Options,
    driver::{
        Client, Device, Driver,
        closed::CloseCause,
        error::{AcceptError, AttachError, DeliveryError, OperationError},
    },
};

use iotcore_gateway_testkit::simulation::{GatewayEnd, SimRuntime};

use super::{Dials, Opened, Sent, Server, Tokens, World, id, open, poll_once, start};

#[test]
fn a_close_sends_what_waits_and_hangs_up_in_order() {
    let opened = open(Options::default());
    let delivery = opened
        .world
        .spawn(opened.client.gateway().try_telemetry("last").unwrap());
    let closing = opened.world.spawn({
        let client = opened.client.clone();
        async move { client.close().await }
    });
    let sent = opened.server.serve(&opened.world);
    assert!(
        matches!(sent[..], [Sent::Publish { .. }, Sent::Disconnect]),
        "{sent:?}"
    );
    assert_eq!(delivery.ended(), Ok(()));
    assert_eq!(opened.server.driver_end(), GatewayEnd::Closed);
    assert!(
        !closing.is_finished(),
        "the peer has not read to the end yet"
    );
    opened.server.close(&opened.world);
    assert_eq!(opened.server.driver_end(), GatewayEnd::Gone);
    let closed = closing.ended();
    assert_eq!(closed.cause, CloseCause::Requested);
    assert!(closed.unsent.is_empty());
    assert_eq!(opened.driver.ended(), closed);
}

#[test]
fn a_hang_up_waits_two_seconds_for_the_peer() {
    let opened = open(Options::default());
    let closing = opened
        .world
        .spawn(async move { opened.client.close().await });
    // Data that still arrives is read and discarded.
    opened
        .server
        .publish(&opened.world, "/devices/gw-1/config", "late", 1);
    assert_eq!(opened.server.peer.unread(), 0);
    opened.server.received();
    opened.world.pass(Duration::from_millis(1_999));
    assert!(!closing.is_finished());
    assert_eq!(opened.server.driver_end(), GatewayEnd::Closed);
    opened.world.pass(Duration::from_millis(1));
    assert_eq!(opened.server.driver_end(), GatewayEnd::Reset);
    assert_eq!(closing.ended().cause, CloseCause::Requested);
}

#[test]
fn a_close_returns_each_unsent_message() {
    let opened = open(Options::default());
    let gateway = opened.client.gateway();
    let deliveries = ["1", "2"].map(|payload| {
        let delivery = gateway.try_telemetry(payload).unwrap();
        opened.world.spawn(delivery)
    });
    opened.server.close(&opened.world);
    opened.world.dials(Dials::Hang);
    opened.world.pass(Duration::from_secs(5));
    let client = opened.client.clone();
    let closed = opened.world.spawn(async move { client.close().await });
    opened.world.pass(Duration::from_secs(11));
    let unsent = closed.ended().unsent;
    assert_eq!(
        Vec::from_iter(unsent.iter().map(|unsent| &unsent.payload[..])),
        [b"1", b"2"]
    );
    assert!(unsent.iter().all(|unsent| unsent.device == id("gw-1")));
    for delivery in deliveries {
        assert!(matches!(
            delivery.ended(),
            Err(DeliveryError::Failed { .. })
        ));
    }
    let late = poll_once(gateway.telemetry("late")).unwrap();
    assert!(matches!(late, Err(AcceptError::Refused(_))));
}

#[test]
fn a_close_ends_although_the_driver_was_never_polled() {
    let world = World::new();
    let (client, driver) = start(&world, Options::default());
    let closing = world.spawn(async move { client.close().await });
    world.run_until_idle();
    assert_eq!(closing.ended().cause, CloseCause::Requested);
    assert_eq!(world.spawn(driver.run()).ended().unsent, []);

    let (client, driver) = start(&world, Options::default());
    let delivery = client.gateway().try_telemetry("kept").unwrap();
    let attaching = world.spawn(client.attach(id("device-1")));
    let closing = world.spawn(async move { client.close().await });
    let delivery = world.spawn(delivery);
    world.pass(Options::default().drain_timeout);
    let closed = closing.ended();
    assert_eq!(closed.cause, CloseCause::Requested);
    assert_eq!(closed.unsent.len(), 1);
    assert!(matches!(
        delivery.ended(),
        Err(DeliveryError::Failed { .. })
    ));
    assert!(matches!(
        attaching.ended(),
        Err(AttachError::Attach(OperationError::Failed(_), _))
    ));
    // It has nothing left to do.
    assert_eq!(world.spawn(driver.run()).ended(), closed);
}

#[test]
fn a_driver_that_is_polled_while_a_close_waits_sends_what_waits() {
    let world = World::new();
    let (client, driver) = start(&world, Options::default());
    let delivery = world.spawn(client.gateway().try_telemetry("last").unwrap());
    let closing = world.spawn(async move { client.close().await });
    world.pass(Duration::from_secs(1));
    let driver = world.spawn(driver.run());
    let server = Server::accept_again(&world);
    server.serve(&world);
    server.close(&world);
    assert_eq!(delivery.ended(), Ok(()));
    assert_eq!(closing.ended().unsent, []);
    assert_eq!(driver.ended().cause, CloseCause::Requested);
}

#[test]
fn an_attach_keeps_the_gateway_open_without_a_client() {
    let world = World::new();
    let (client, driver) = start(&world, Options::default());
    let driver = world.spawn(driver.run());
    let attaching = client.attach(id("device-1"));
    drop(client);
    let attaching = world.spawn(attaching);
    let server = Server::accept_again(&world);
    server.serve(&world);
    let device = attaching.ended().unwrap();
    assert!(device.status().is_some());
    drop(device);
    server.serve(&world);
    server.close(&world);
    assert_eq!(driver.ended().cause, CloseCause::Requested);
}

#[test]
fn a_dropped_driver_ends_every_pending_future() {
    let mut options = Options::default();
    options.device_queue.messages = 1;
    let mut opened = open(options);
    let device = opened.attach(id("device-1"));
    let Opened {
        world,
        client,
        mut status,
        driver,
        ..
    } = opened;
    let delivery = world.spawn(device.try_telemetry("1").unwrap());
    let accepting = world.spawn(device.telemetry("2"));
    let attaching = world.spawn(client.attach(id("device-2")));
    let mut messages = device.messages();
    let reading = world.spawn(async move { messages.next().await });
    let watching = world.spawn(async move { while status.next().await.is_some() {} });
    let closing = world.spawn({
        let client = client.clone();
        async move { client.close().await }
    });
    assert!(!delivery.is_finished() && !attaching.is_finished() && !closing.is_finished());
    assert!(!reading.is_finished() && !watching.is_finished());

    world.cancel(driver);
    assert_eq!(delivery.ended(), Err(DeliveryError::DriverStopped));
    assert_eq!(accepting.ended().unwrap_err().into_payload(), "2");
    let error = attaching.ended().unwrap_err();
    assert!(matches!(
        error,
        AttachError::Attach(OperationError::DriverStopped, Some(_))
    ));
    assert!(reading.ended().is_none());
    watching.ended();
    let closed = closing.ended();
    assert_eq!(closed.cause, CloseCause::DriverStopped);
    assert_eq!(closed.unsent[0].payload, "1");

    let error = poll_once(device.telemetry("3")).unwrap().unwrap_err();
    assert!(matches!(error, AcceptError::DriverStopped(_)));
    assert_eq!(
        poll_once(device.detach()),
        Some(Err(OperationError::DriverStopped))
    );
    assert_eq!(
        poll_once(client.connected()),
        Some(Err(OperationError::DriverStopped))
    );
    assert_eq!(poll_once(client.close()), Some(closed));
}

#[test]
fn a_driver_that_never_ran_stops_its_handles_too() {
    let world = World::new();
    let (client, driver) = start(&world, Options::default());
    let delivery = client.gateway().try_telemetry("1").unwrap();
    drop(driver);
    assert_eq!(poll_once(delivery), Some(Err(DeliveryError::DriverStopped)));
}

#[test]
fn dropping_every_handle_closes_after_sending_what_was_accepted() {
    let mut opened = open(Options::default());
    let device = opened.attach(id("device-1"));
    let _delivery = device.try_telemetry("last").unwrap();
    drop(opened.client);
    opened.world.run_until_idle();
    assert!(!opened.driver.is_finished());
    drop(device);
    let sent = opened.server.serve(&opened.world);
    assert!(
        matches!(sent[..], [Sent::Publish { .. }, Sent::Disconnect]),
        "{sent:?}"
    );
    opened.server.close(&opened.world);
    let closed = opened.driver.ended();
    assert_eq!(closed.cause, CloseCause::Requested);
    assert!(closed.unsent.is_empty());
}

/// A task that owns handles, and is itself owned by the wakers that it registers.
struct Orphan {
    _device: Device,
    wakes: AtomicUsize,
}

impl Wake for Orphan {
    fn wake(self: Arc<Self>) {
        self.wakes.fetch_add(1, Ordering::Relaxed);
    }
}

fn poll_with<F: Future + Unpin>(future: &mut F, waker: &Waker) -> Poll<F::Output> {
    Pin::new(future).poll(&mut Context::from_waker(waker))
}

#[test]
fn a_task_and_its_handles_may_be_dropped_with_its_last_waker() {
    let mut opened = open(Options::default());
    let device = opened.attach(id("device-1"));
    let wakes = AtomicUsize::new(0);
    let orphan = Orphan {
        _device: opened.attach(id("device-2")),
        wakes,
    };
    let waker = Waker::from(Arc::new(orphan));
    let mut delivery = device.try_telemetry("1").unwrap();
    assert!(poll_with(&mut delivery, &waker).is_pending());
    drop(waker);
    assert!(poll_with(&mut delivery, Waker::noop()).is_pending());
    opened.server.serve(&opened.world);
    assert!(poll_with(&mut delivery, Waker::noop()).is_ready());
}

#[test]
fn a_task_and_its_handles_may_be_dropped_by_its_wake() {
    let mut opened = open(Options::default());
    let orphan = Orphan {
        _device: opened.attach(id("device-1")),
        wakes: AtomicUsize::new(0),
    };
    let mut delivery = opened.client.gateway().try_telemetry("1").unwrap();
    let waker = Waker::from(Arc::new(orphan));
    assert!(poll_with(&mut delivery, &waker).is_pending());
    drop(waker);
    opened.server.serve(&opened.world);
    assert!(poll_with(&mut delivery, Waker::noop()).is_ready());
}

#[test]
fn a_dropped_future_leaves_no_waker_behind() {
    let mut options = Options::default();
    options.device_queue.messages = 1;
    let opened = open(options);
    let gateway = opened.client.gateway();
    let task = Arc::new(Orphan {
        _device: opened.client.gateway(),
        wakes: AtomicUsize::new(0),
    });
    let waker = Waker::from(Arc::clone(&task));
    let mut delivery = gateway.try_telemetry("1").unwrap();
    let mut accepting = gateway.telemetry("2");
    assert!(poll_with(&mut delivery, &waker).is_pending());
    assert!(poll_with(&mut accepting, &waker).is_pending());
    assert_eq!(Arc::strong_count(&task), 4);
    drop(delivery);
    drop(accepting);
    assert_eq!(Arc::strong_count(&task), 2);
    let mut closing = Box::pin(opened.client.close());
    assert!(poll_with(&mut closing, &waker).is_pending());
    assert_eq!(Arc::strong_count(&task), 3);
    drop(closing);
    assert_eq!(Arc::strong_count(&task), 2);
}

#[test]
fn a_future_that_moves_to_another_task_wakes_that_one() {
    let opened = open(Options::default());
    let task = || {
        Arc::new(Orphan {
            _device: opened.client.gateway(),
            wakes: AtomicUsize::new(0),
        })
    };
    let (first, second) = (task(), task());
    let mut delivery = opened.client.gateway().try_telemetry("1").unwrap();
    let _ = poll_with(&mut delivery, &Arc::clone(&first).into());
    let _ = poll_with(&mut delivery, &Arc::clone(&second).into());
    opened.server.serve(&opened.world);
    assert_eq!(first.wakes.load(Ordering::Relaxed), 0);
    assert_eq!(second.wakes.load(Ordering::Relaxed), 1);
    assert_eq!(poll_with(&mut delivery, Waker::noop()), Poll::Ready(Ok(())));
}

#[test]
fn a_stream_that_ends_in_the_middle_of_a_refusal_still_reports_the_refusal() {
    let world = World::new();
    let (client, driver) = start(&world, Options::default());
    let mut status = client.status();
    let _driver = world.spawn(driver.run());
    let server = Server::accept(&world);
    server.peer.send(&[0x20, 2, 0, 4]);
    server.peer.close();
    let changes = super::read(&world, &mut status);
    assert!(
        format!("{changes:?}").contains("return_code: 4"),
        "{changes:?}"
    );
}

#[test]
fn futures_and_handles_can_move_between_threads() {
    fn is_send<T: Send>(_: &T) {}
    fn is_sync<T: Sync>() {}
    fn check(client: &Client, device: &Device, driver: Driver<SimRuntime, Tokens>) {
        is_send(&client.attach(id("device-1")));
        is_send(&client.close());
        is_send(&client.connected());
        is_send(&client.status());
        is_send(&device.telemetry(""));
        is_send(&device.detach());
        is_send(&device.messages());
        is_send(&driver.run());
    }
    is_sync::<Client>();
    is_sync::<Device>();
    let world = World::new();
    let (client, driver) = start(&world, Options::default());
    check(&client, &client.gateway(), driver);
}
