//! A lossless reader of the status, which applies back-pressure to the gateway instead of missing a change.

use std::time::Duration;

use iotcore_gateway::{
    Options,
    cause::{DisconnectReason, TransportEnd},
    driver::{Status, StatusChanges, error::TransportError},
};

use super::{Opened, Server, open, poll_once, read};

/// The number of unread changes at which the reader applies back-pressure.
const HELD: usize = 1_024;

/// A gateway with a small event limit, and its lossless reader.
fn held() -> (Opened, StatusChanges) {
    let mut options = Options::default();
    options.max_events = 8;
    let opened = open(options);
    let status = opened.client.status().holding();
    (opened, status)
}

/// Sends packets from the peer, each of which is reported as a change of status.
fn chatter(opened: &mut Opened, times: usize) {
    for n in 0..times {
        let Opened { world, server, .. } = opened;
        server.publish(world, "/devices/nobody/config", &n.to_string(), 1);
    }
}

fn payloads(changes: &[Status]) -> Vec<String> {
    let payloads = changes.iter().filter_map(|change| match change {
        Status::Unrequested { payload, .. } => Some(String::from_utf8(payload.to_vec()).unwrap()),
        _ => None,
    });
    payloads.collect()
}

#[test]
fn an_unread_lossless_reader_stops_reading_from_the_socket_and_misses_nothing() {
    let (mut opened, mut status) = held();
    chatter(&mut opened, 3_000);
    let waiting = opened.server.peer.unread();
    assert!(waiting > 1_000 * 30, "only {waiting} bytes wait");
    // The peer is not considered dead, and there is no busy loop.
    let before = opened.driver.polls();
    opened.world.pass(Duration::from_secs(600));
    assert!(opened.driver.polls() - before < 60);

    let changes = read(&opened.world, &mut status);
    let mut told = payloads(&changes);
    while opened.server.peer.unread() > 0 || told.len() < 3_000 {
        let more = payloads(&read(&opened.world, &mut status));
        assert!(!more.is_empty(), "after {}", told.len());
        told.extend(more);
    }
    assert!(told.into_iter().eq((0..3_000).map(|n| n.to_string())));
}

#[test]
fn an_unread_lossless_reader_delays_the_ends_of_operations() {
    let (mut opened, mut status) = held();
    chatter(&mut opened, HELD);
    let delivery = opened.client.gateway().try_telemetry("x").unwrap();
    let delivery = opened.world.spawn(delivery);
    opened.server.serve(&opened.world);
    assert!(!delivery.is_finished());
    read(&opened.world, &mut status);
    opened.world.run_until_idle();
    assert_eq!(delivery.ended(), Ok(()));
}

#[test]
fn the_gateway_continues_once_half_of_the_changes_are_read() {
    let (mut opened, mut status) = held();
    chatter(&mut opened, HELD);
    let delivery = opened.client.gateway().try_telemetry("x").unwrap();
    let delivery = opened.world.spawn(delivery);
    opened.server.serve(&opened.world);
    let turns = opened.driver.polls();
    for _ in 1..HELD / 2 {
        assert!(poll_once(status.next()).is_some());
    }
    opened.world.run_until_idle();
    assert_eq!(
        opened.driver.polls(),
        turns,
        "the driver is not polled for each change that is read"
    );
    assert!(!delivery.is_finished());
    assert!(poll_once(status.next()).is_some());
    opened.world.run_until_idle();
    assert_eq!(delivery.ended(), Ok(()));
}

#[test]
fn no_connection_is_made_before_the_end_of_the_previous_one_is_read() {
    let (mut opened, mut status) = held();
    chatter(&mut opened, HELD);
    opened.server.close(&opened.world);
    opened.world.pass(Duration::from_secs(120));
    assert!(Server::dialed(&opened.world).is_none());
    let mut changes = read(&opened.world, &mut status);
    changes.extend(read(&opened.world, &mut status));
    let Some(Status::Disconnected { ended, error }) = changes.last() else {
        panic!("{:?}", changes.last());
    };
    let closed = DisconnectReason::Transport(TransportEnd::PeerClosed);
    assert_eq!(ended.reason, closed);
    assert!(matches!(error.as_deref(), Some(TransportError::PeerClosed)));
    Server::accept_again(&opened.world);
}

#[test]
fn a_dropped_lossless_reader_delays_nothing() {
    let (mut opened, status) = held();
    chatter(&mut opened, HELD + 100);
    let client = opened.client.clone();
    let closing = opened.world.spawn(async move { client.close().await });
    opened.world.pass(Duration::from_secs(60));
    assert!(!closing.is_finished());
    drop(status);
    opened.world.pass(Duration::from_secs(60));
    assert!(closing.ended().unsent.is_empty());
}
