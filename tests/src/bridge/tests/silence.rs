//! Connections that end by timeout.

use super::packets::{PINGREQ, Received, connect, token};
use super::*;

fn harness() -> Harness {
    Harness::new(AuthMethod::AssociationOnly)
}

/// Connects a client with a token valid for a full day.
fn connected(harness: &mut Harness, keep_alive: u16) -> ConnectionId {
    let token = token(START, START + 86_400, "my-project", ES256_PRIVATE);
    let connection = harness.bridge.accept(harness.now);
    let answer = harness.send(connection, &connect("solo", &token, keep_alive));
    assert_eq!(answer, [Received::Connack(0)]);
    connection
}

#[test]
fn a_transport_without_connect_ends_after_20_seconds() {
    let mut harness = harness();
    let connection = harness.bridge.accept(harness.now);
    harness.pass(seconds(19));
    assert!(harness.is_up(connection));
    harness.pass(seconds(1));
    assert!(!harness.is_up(connection));
    assert_eq!(harness.close_reason(), CloseReason::ConnectTimeout);
}

#[test]
fn silence_ends_after_one_and_a_half_keep_alives() {
    let mut harness = harness();
    let connection = connected(&mut harness, 61);
    harness.pass(Duration::from_millis(91_499));
    assert_eq!(harness.send(connection, PINGREQ), [Received::Pingresp]);
    harness.pass(Duration::from_millis(91_499));
    assert!(harness.is_up(connection));
    harness.pass(Duration::from_millis(1));
    assert!(!harness.is_up(connection));
    assert_eq!(
        harness.close_reason(),
        CloseReason::KeepAlive { seconds: 61 }
    );
}

#[test]
fn silence_of_20_minutes_ends_whatever_the_keep_alive() {
    for keep_alive in [0, 1800] {
        let mut harness = harness();
        let connection = connected(&mut harness, keep_alive);
        harness.pass(seconds(1199));
        assert_eq!(harness.send(connection, PINGREQ), [Received::Pingresp]);
        harness.pass(seconds(1199));
        assert!(harness.is_up(connection));
        harness.pass(seconds(1));
        assert!(!harness.is_up(connection));
        assert_eq!(harness.close_reason(), CloseReason::Idle);
    }
}

#[test]
fn an_expired_token_ends_the_connection_ten_minutes_later() {
    let mut harness = harness();
    let token = token(START, START + 300, "my-project", ES256_PRIVATE);
    let connection = harness.bridge.accept(harness.now);
    harness.send(connection, &connect("solo", &token, 0));
    harness.pass(seconds(899));
    assert!(harness.is_up(connection));
    harness.pass(seconds(1));
    assert!(!harness.is_up(connection));
    assert_eq!(harness.close_reason(), CloseReason::TokenExpired);
}

#[test]
fn a_client_that_does_not_read_is_cut_off_before_memory_runs_out() {
    let mut harness = harness();
    let connection = connected(&mut harness, 0);
    harness.send(connection, &subscribe(1, &[("/devices/solo/config", 0)]));
    let config = vec![b'x'; super::super::quotas::MAX_STATE];
    let mut sent = 0;
    while harness.is_up(connection) {
        let waiting = harness.bridge.poll_transmit(connection).len();
        assert_eq!(
            harness.bridge.wants_input(connection),
            waiting <= 1024 * 1024
        );
        harness
            .bridge
            .send_config("solo", config.clone(), harness.now)
            .unwrap();
        sent += 1;
        assert!(sent < 2000, "the bridge collects without end");
    }
    assert!(matches!(
        harness.close_reason(),
        CloseReason::NotReading { .. }
    ));
}

#[test]
fn a_client_that_acknowledges_nothing_is_cut_off_before_identifiers_run_out() {
    let mut harness = harness();
    let connection = connected(&mut harness, 0);
    harness.send(connection, &subscribe(1, &[("/devices/solo/config", 1)]));
    for _ in 0..9_999 {
        harness.bridge.send_config("solo", "", harness.now).unwrap();
    }
    assert!(harness.is_up(connection));
    harness.bridge.send_config("solo", "", harness.now).unwrap();
    assert_eq!(
        harness.close_reason(),
        CloseReason::NotAcknowledging { count: 10_000 }
    );
}

#[test]
fn a_clock_that_skips_finds_the_clients_silent_and_the_date_later() {
    let mut harness = harness();
    let connection = connected(&mut harness, 60);
    harness.bridge.skip(seconds(80));
    assert_eq!(
        harness.unix(),
        START,
        "unless it is told that time has passed"
    );
    harness.bridge.handle_timeout(harness.now);
    assert_eq!(harness.unix(), START + 80);
    assert_eq!(
        harness.bridge.poll_timeout(),
        Some(harness.now + seconds(10))
    );
    assert_eq!(harness.send(connection, PINGREQ), [Received::Pingresp]);
    harness.fault("stall 5000");
    harness.bridge.skip(seconds(3));
    let slowness = harness.bridge.slowness(harness.now);
    let lines: Vec<String> = slowness.iter().map(ToString::to_string).collect();
    assert_eq!(lines, ["stall 2000"]);
    harness.fault("clear");
    assert_eq!(harness.unix(), START + 83);
    harness.bridge.skip(seconds(87));
    harness.bridge.handle_timeout(harness.now);
    let reason = CloseReason::KeepAlive { seconds: 60 };
    assert_eq!(harness.close_reason(), reason);
}
