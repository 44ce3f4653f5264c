//! Attaches that wait for the first connection, and what ends their wait.

use std::{error::Error, time::Duration};

use iotcore_gateway::{
    Failure, Options,
    cause::{DisconnectReason, TransportEnd},
    driver::{
        Attach, Device,
        error::{AttachError, NotConnected, OperationError},
    },
    options::Reconnect,
};

use super::{Dials, Sent, Server, Task, World, id, open, start};

const SECOND: Duration = Duration::from_secs(1);

type Attached = Task<Result<Device, AttachError>>;

/// A world in which nothing can be connected to.
fn unreachable() -> World {
    let world = World::new();
    world.dials(Dials::Fail);
    world
}

/// Accepts the next connection, and answers all that is asked for on it.
fn serve(world: &World) -> Server {
    let server = Server::accept_again(world);
    server.serve(world);
    server
}

/// Lets a minute pass in which nothing can be connected to; then the bridge is there.
#[track_caller]
fn is_attached_after_a_minute(world: &World, attached: Attached) {
    world.pass(60 * SECOND);
    assert!(!attached.is_finished());
    world.dials(Dials::Succeed);
    let _server = serve(world);
    attached.ended().unwrap();
}

/// A device that only sends, so that its attach is all that has to be answered.
fn sender(name: &str) -> Attach {
    Attach::new(id(name)).config(None).commands(None)
}

#[track_caller]
fn not_connected(attached: Attached) -> (NotConnected, Device) {
    match attached.ended() {
        Err(AttachError::NotConnected(error, Some(device))) => (error, device),
        other => panic!("{other:?}"),
    }
}

#[test]
fn an_attach_says_why_the_first_attempt_failed_as_soon_as_it_has() {
    let world = unreachable();
    let (client, driver) = start(&world, Options::default());
    let attached = world.spawn(client.attach(id("device-1")));
    assert!(!attached.is_finished());
    let _driver = world.spawn(driver.run());
    let Err(error) = attached.ended() else {
        panic!("attached without a bridge");
    };
    let shown = error.to_string();
    assert!(
        shown.starts_with("device-1 is not attached, because the gateway is not connected: "),
        "{shown}"
    );
    assert!(
        shown.contains("cannot connect to localhost port 8883: "),
        "{shown}"
    );
    assert!(shown.contains("; connecting again in "), "{shown}");
    assert!(error.source().is_none(), "a chain of sources repeats it");
}

#[test]
fn an_attach_after_the_failed_attempt_says_so_at_once_and_the_next_one_waits_for_the_next_attempt()
{
    let world = unreachable();
    let (client, driver) = start(&world, Options::default());
    let _driver = world.spawn(driver.run());
    let (error, _) = not_connected(world.spawn(client.attach(id("device-1"))));
    let end = TransportEnd::DialFailed;
    assert_eq!(error.ended.reason, DisconnectReason::Transport(end));
    let again = world.spawn(client.attach(id("device-1")));
    let wait = error.ended.retry_in.unwrap();
    world.pass(wait - Duration::from_millis(1));
    assert!(!again.is_finished());
    world.pass(Duration::from_millis(1));
    not_connected(again);
}

#[test]
fn all_attaches_that_wait_are_told_of_a_failed_attempt() {
    let world = unreachable();
    let (client, driver) = start(&world, Options::default());
    let attaches = ["device-1", "device-2"].map(|name| world.spawn(client.attach(id(name))));
    let _driver = world.spawn(driver.run());
    for attached in attaches {
        not_connected(attached);
    }
}

#[test]
fn the_device_is_attached_all_the_same_once_there_is_a_connection() {
    let world = unreachable();
    let (client, driver) = start(&world, Options::default());
    let _driver = world.spawn(driver.run());
    let (_, device) = not_connected(world.spawn(client.attach(sender("device-1"))));
    let delivery = {
        let device = device.clone();
        world.spawn(async move { device.telemetry("kept").await.unwrap().await })
    };
    world.dials(Dials::Succeed);
    let _server = serve(&world);
    delivery.ended().unwrap();
}

#[test]
fn an_attach_is_accepted_at_once_and_its_device_takes_messages_without_a_connection() {
    let world = unreachable();
    let (client, driver) = start(&world, Options::default());
    let _driver = world.spawn(driver.run());
    let mut attaching = client.attach(id("device-1"));
    let device = super::poll_once(attaching.accepted()).unwrap().unwrap();
    let _delivery = device.try_telemetry("kept").unwrap();
    let again = super::poll_once(attaching.accepted()).unwrap().unwrap();
    assert_eq!(again.id(), device.id());
    not_connected(world.spawn(attaching));
}

#[test]
fn an_attach_that_is_not_accepted_says_why() {
    let world = World::new();
    let (client, driver) = start(&world, Options::default());
    drop(driver);
    let mut attaching = client.attach(id("device-1"));
    let error = super::poll_once(attaching.accepted()).unwrap().unwrap_err();
    let stopped = AttachError::Attach(OperationError::DriverStopped, None);
    assert_eq!(error.to_string(), stopped.to_string());
}

#[test]
fn a_refused_connection_ends_the_wait_too() {
    let world = World::new();
    let (client, driver) = start(&world, Options::default());
    let _driver = world.spawn(driver.run());
    let attached = world.spawn(client.attach(id("device-1")));
    let server = Server::accept(&world);
    server.send(&world, &[0x20, 2, 0, 5]);
    server.close(&world);
    let (error, _) = not_connected(attached);
    assert!(matches!(error.ended.reason, DisconnectReason::Refused(_)));
}

#[test]
fn an_attach_that_keeps_waiting_outlasts_failed_attempts() {
    let world = unreachable();
    let (client, driver) = start(&world, Options::default());
    let _driver = world.spawn(driver.run());
    let attached = world.spawn(client.attach(sender("device-1").keep_waiting()));
    is_attached_after_a_minute(&world, attached);
}

#[test]
fn an_attach_after_a_first_answer_waits_through_outages() {
    let world = World::new();
    let (client, driver) = start(&world, Options::default());
    let _driver = world.spawn(driver.run());
    let _delivery = client.gateway().try_telemetry("x").unwrap();
    let server = serve(&world);
    server.close(&world);
    world.dials(Dials::Fail);
    let attached = world.spawn(client.attach(sender("device-1")));
    is_attached_after_a_minute(&world, attached);
}

#[test]
fn the_last_attempt_says_that_no_other_follows() {
    let world = unreachable();
    let mut options = Options::default();
    options.reconnect = Reconnect::Attempts(0);
    let (client, driver) = start(&world, options);
    let attached = world.spawn(client.attach(id("device-1")));
    let _driver = world.spawn(driver.run());
    let (error, _) = not_connected(attached);
    assert_eq!(error.ended.retry_in, None);
}

#[test]
fn a_bridge_that_accepts_and_drops_the_first_connection_has_not_connected() {
    let world = World::new();
    let (client, driver) = start(&world, Options::default());
    let _driver = world.spawn(driver.run());
    let attached = world.spawn(client.attach(id("device-1")));
    let server = Server::accept(&world);
    server.send(&world, &[0x20, 2, 0, 0]);
    assert!(client.is_connected());
    server.close(&world);
    let (error, _) = not_connected(attached);
    let end = TransportEnd::PeerClosed;
    assert_eq!(error.ended.reason, DisconnectReason::Transport(end));
}

#[test]
fn a_gateway_that_has_given_up_says_why_to_every_attach() {
    let world = unreachable();
    let mut options = Options::default();
    options.reconnect = Reconnect::Attempts(0);
    let (client, driver) = start(&world, options);
    let keeping = Attach::new(id("device-1")).keep_waiting();
    let keeping = world.spawn(client.attach(keeping));
    let _driver = world.spawn(driver.run());
    not_connected(keeping);
    let late = world.spawn(client.attach(id("device-2")));
    let Err(error @ AttachError::NotConnected(_, None)) = late.ended() else {
        panic!("attached by a gateway that has given up");
    };
    let shown = error.to_string();
    assert!(
        shown.starts_with("the device is not attached, because the gateway is not connected: "),
        "{shown}"
    );
}

#[test]
fn a_close_before_the_first_connection_is_no_failed_attempt() {
    let world = World::new();
    world.dials(Dials::Hang);
    let (client, driver) = start(&world, Options::default());
    let attached = world.spawn(client.attach(id("device-1")));
    let _driver = world.spawn(driver.run());
    let closed = world.spawn(async move { client.close().await });
    world.pass(30 * SECOND);
    closed.ended();
    let ended = attached.ended();
    assert!(
        matches!(
            ended,
            Err(AttachError::Attach(
                OperationError::Failed(Failure::Closed),
                _
            ))
        ),
        "{ended:?}"
    );
}

#[test]
fn a_close_on_a_connection_without_an_answer_is_no_failed_attempt() {
    let opened = open(Options::default());
    let attached = opened.world.spawn(opened.client.attach(sender("device-1")));
    let client = opened.client.clone();
    let closed = opened.world.spawn(async move { client.close().await });
    opened.world.pass(30 * SECOND);
    closed.ended();
    let ended = attached.ended();
    assert!(
        matches!(
            ended,
            Err(AttachError::Attach(
                OperationError::Failed(Failure::Closed),
                _
            ))
        ),
        "{ended:?}"
    );
}

#[test]
fn a_token_refresh_before_any_answer_is_no_failed_attempt() {
    let opened = open(Options::default());
    let is_refreshed = (0..3_600).any(|_| {
        opened.world.pass(SECOND);
        let sent = opened.server.serve(&opened.world);
        sent.contains(&Sent::Disconnect)
    });
    assert!(is_refreshed, "its token lives for an hour");
    opened.server.close(&opened.world);
    let attached = opened.world.spawn(opened.client.attach(sender("device-1")));
    let _server = serve(&opened.world);
    attached.ended().unwrap();
}
