//! Dialing, refusals, and tokens.

use std::{error::Error, future::pending, io, sync::atomic::Ordering, time::Duration};

use iotcore_gateway::{
    Options,
    auth::Token,
    cause::{DisconnectReason, TransportEnd},
    driver::{
        Security, Setup, Status,
        closed::CloseCause,
        error::{SetupError, TokenFailure, TransportError},
        tls::HostError,
        token_source::{BoxError, TokenRequest, TokenSource},
    },
    options::Reconnect,
};

use super::{Dials, Sent, Server, Tokens, World, client_id, open, read, setup_with, start};

fn password(server: &Server) -> String {
    match &server.received()[..] {
        [Sent::Connect { password, .. }] => password.clone(),
        other => panic!("not a CONNECT: {other:?}"),
    }
}

/// Returns the error of the disconnection, which must be the only change.
#[track_caller]
fn only_error(changes: &[Status]) -> &TransportError {
    match changes {
        [
            Status::Disconnected {
                error: Some(error), ..
            },
        ] => error,
        _ => panic!("{changes:?}"),
    }
}

#[test]
fn a_refused_connection_is_tried_again_with_a_new_token() {
    let world = World::new();
    let (client, driver) = start(&world, Options::default());
    let mut status = client.status();
    let _driver = world.spawn(driver.run());

    let server = Server::accept(&world);
    assert_eq!(password(&server), "token-1");
    server.send(&world, &[0x20, 2, 0, 5]);
    server.close(&world);
    let changes = read(&world, &mut status);
    let [Status::Disconnected { ended, error: None }] = &changes[..] else {
        panic!("{changes:?}");
    };
    assert!(
        matches!(&ended.reason, DisconnectReason::Refused(refusal) if refusal.return_code == 5)
    );
    let wait = ended.retry_in.unwrap();
    assert!(wait >= Duration::from_secs(1), "{wait:?}");

    world.pass(wait - Duration::from_millis(1));
    assert!(Server::dialed(&world).is_none());
    world.pass(Duration::from_millis(1));
    let server = Server::accept(&world);
    assert_eq!(password(&server), "token-2");
    assert!(!client.is_connected());
    server.send(&world, &[0x20, 2, 0, 0]);
    assert!(client.is_connected());
}

#[test]
fn connected_ends_with_the_first_accepted_connection() {
    let world = World::new();
    let (client, driver) = start(&world, Options::default());
    let connected = world.spawn({
        let client = client.clone();
        async move { client.connected().await }
    });
    let _driver = world.spawn(driver.run());
    assert!(!connected.is_finished());
    let _server = Server::open(&world);
    assert_eq!(connected.ended(), Ok(()));
    let again = world.spawn(async move { client.connected().await });
    assert_eq!(again.ended(), Ok(()));
}

#[test]
fn a_failed_dial_names_the_host_and_the_error_of_the_runtime() {
    let world = World::new();
    world.dials(Dials::Fail);
    let mut options = Options::default();
    options.reconnect = Reconnect::Attempts(1);
    let (client, driver) = start(&world, options);
    let mut status = client.status();
    let driver = world.spawn(driver.run());
    world.pass(Duration::from_secs(3));
    assert_eq!(driver.ended().cause, CloseCause::GaveUp);
    let changes = read(&world, &mut status);
    assert_eq!(changes.len(), 2);
    for change in changes {
        let Status::Disconnected {
            ended,
            error: Some(error),
        } = change
        else {
            panic!("{change:?}");
        };
        let end = TransportEnd::DialFailed;
        assert_eq!(ended.reason, DisconnectReason::Transport(end));
        let shown = error.to_string();
        assert!(
            shown.starts_with("cannot connect to localhost port 8883: "),
            "{shown}"
        );
        assert!(error.source().is_some());
    }
    assert!(super::poll_once(status.next()).unwrap().is_none());
}

#[test]
fn a_dial_has_a_deadline() {
    let world = World::new();
    world.dials(Dials::Hang);
    let (client, driver) = start(&world, Options::default());
    let mut status = client.status();
    let _driver = world.spawn(driver.run());
    world.pass(Duration::from_millis(19_999));
    assert!(read(&world, &mut status).is_empty());
    world.pass(Duration::from_millis(1));
    let changes = read(&world, &mut status);
    let error = only_error(&changes);
    let TransportError::Dial { source, .. } = error else {
        panic!("{error:?}");
    };
    assert_eq!(source.to_string(), "127.0.0.1:8883: no answer within 20s");
}

#[test]
fn a_dial_is_abandoned_when_the_gateway_is_closed() {
    let world = World::new();
    world.dials(Dials::Hang);
    let (client, driver) = start(&world, Options::default());
    let driver = world.spawn(driver.run());
    let closed = world.spawn(async move { client.close().await });
    assert_eq!(closed.ended().cause, CloseCause::Requested);
    assert_eq!(driver.ended().cause, CloseCause::Requested);
}

#[test]
fn commands_are_accepted_while_the_driver_dials() {
    let world = World::new();
    world.dials(Dials::Hang);
    let (client, driver) = start(&world, Options::default());
    let _driver = world.spawn(driver.run());
    let gateway = client.gateway();
    let accepting = world.spawn(gateway.telemetry("early"));
    let delivery = world.spawn(accepting.ended().unwrap());
    assert!(!delivery.is_finished());
    world.dials(Dials::Succeed);
    world.pass(Duration::from_secs(20));
    let server = Server::accept_again(&world);
    server.serve(&world);
    assert_eq!(delivery.ended(), Ok(()));
}

#[test]
fn a_token_source_s_error_is_reported_and_the_source_is_asked_again() {
    let world = World::new();
    let tokens = Tokens::default();
    tokens.failing.store(1, Ordering::Relaxed);
    let (client, driver) = setup_with(Options::default(), tokens)
        .start(world.net.clone())
        .unwrap();
    let mut status = client.status();
    let _driver = world.spawn(driver.run());
    let changes = read(&world, &mut status);
    let [
        Status::Disconnected {
            ended,
            error: Some(error),
        },
    ] = &changes[..]
    else {
        panic!("{changes:?}");
    };
    let end = TransportEnd::TokenFailed;
    assert_eq!(ended.reason, DisconnectReason::Transport(end));
    assert_eq!(
        error.to_string(),
        "the token source failed: the key is unavailable"
    );
    world.pass(ended.retry_in.unwrap());
    Server::open(&world);
}

struct Silent;

impl TokenSource for Silent {
    async fn gateway(&self, _request: TokenRequest<'_>) -> Result<Token, BoxError> {
        pending().await
    }
}

#[test]
fn a_token_source_has_a_deadline() {
    let world = World::new();
    let limit = Duration::from_secs(3);
    let (client, driver) = setup_with(Options::default(), Silent)
        .dial_timeout(limit)
        .start(world.net.clone())
        .unwrap();
    let mut status = client.status();
    let _driver = world.spawn(driver.run());
    world.pass(limit);
    let changes = read(&world, &mut status);
    let error = only_error(&changes);
    assert!(
        matches!(error, TransportError::Token(TokenFailure::TimedOut(after)) if *after == limit),
        "{error:?}"
    );
}

#[test]
fn a_refusal_is_read_although_writing_failed() {
    let world = World::new();
    let (client, driver) = start(&world, Options::default());
    let mut status = client.status();
    let _driver = world.spawn(driver.run());
    let server = Server::accept(&world);
    let _delivery = client.gateway().try_telemetry("1").unwrap();
    server.send(&world, &[0x20, 2, 0, 0]);
    server.received();
    // Without a CONNACK, the failed write is the only reason to report.
    server.peer.fail_next_write(&[]);
    let _delivery = client.gateway().try_telemetry("2").unwrap();
    let changes = read(&world, &mut status);
    let [
        Status::Connected,
        Status::Disconnected {
            error: Some(error), ..
        },
    ] = &changes[..]
    else {
        panic!("{changes:?}");
    };
    assert!(matches!(**error, TransportError::PeerClosed), "{error:?}");

    world.net.shape(|network| network.is_stalled = true);
    world.pass(Duration::from_secs(3));
    let server = Server::accept(&world);
    server.peer.fail_next_write(&[0x20, 2, 0, 5]);
    world.net.shape(|network| network.is_stalled = false);
    let changes = read(&world, &mut status);
    let [Status::Disconnected { ended, .. }, ..] = &changes[..] else {
        panic!("{changes:?}");
    };
    assert!(
        matches!(ended.reason, DisconnectReason::Refused(_)),
        "{ended:?}"
    );
}

#[test]
fn received_bytes_are_handled_before_expired_deadlines() {
    let world = World::new();
    let (client, driver) = start(&world, Options::default());
    let _driver = world.spawn(driver.run());
    let server = Server::accept(&world);
    let deadline = Duration::from_secs(20);
    world.net.shape(|network| network.latency = deadline);
    server.peer.send(&[0x20, 2, 0, 0]);
    world.pass(deadline);
    assert!(client.is_connected());
}

#[test]
fn a_token_is_refreshed_before_it_expires_by_a_new_connection_at_once() {
    let mut opened = open(Options::default());
    let mut sent = Vec::new();
    for _ in 0..3_600 {
        opened.world.pass(Duration::from_secs(1));
        sent = opened.server.serve(&opened.world);
        if sent.contains(&Sent::Disconnect) {
            break;
        }
    }
    assert!(sent.contains(&Sent::Disconnect), "{:?}", opened.changes());
    assert!(matches!(
        opened.changes()[..],
        [Status::Disconnected { .. }]
    ));
    opened.server.close(&opened.world);
    let server = Server::accept(&opened.world);
    assert_eq!(password(&server), "token-2");
}

#[test]
fn a_close_by_the_peer_is_reported_and_the_peer_is_dialed_again() {
    let mut opened = open(Options::default());
    opened.server.close(&opened.world);
    let changes = opened.changes();
    let [
        Status::Disconnected {
            ended,
            error: Some(error),
        },
    ] = &changes[..]
    else {
        panic!("{changes:?}");
    };
    assert!(matches!(**error, TransportError::PeerClosed));
    opened.world.pass(ended.retry_in.unwrap());
    Server::open(&opened.world);
    assert!(matches!(opened.changes()[..], [Status::Connected]));
}

#[test]
fn a_stream_that_ends_without_close_notify_or_by_a_reset_counts_as_closed_by_the_peer() {
    for (kind, is_closed) in [
        (io::ErrorKind::UnexpectedEof, true),
        (io::ErrorKind::ConnectionReset, true),
        (io::ErrorKind::BrokenPipe, true),
        (io::ErrorKind::TimedOut, false),
    ] {
        let mut opened = open(Options::default());
        opened.server.break_off(&opened.world, kind);
        let changes = opened.changes();
        match only_error(&changes) {
            TransportError::PeerClosed => assert!(is_closed, "{kind}"),
            TransportError::Broken(error) => {
                assert!(!is_closed, "{kind}");
                assert_eq!(error.kind(), kind);
            }
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn gateways_without_a_seed_back_off_for_different_times() {
    let waits = || {
        let world = World::new();
        world.dials(Dials::Fail);
        let (client, driver) = on_host("localhost").start(world.net.clone()).unwrap();
        let mut status = client.status();
        let _driver = world.spawn(driver.run());
        world.pass(Duration::from_secs(600));
        let changes = read(&world, &mut status).into_iter();
        let waits = changes.map(|change| match change {
            Status::Disconnected { ended, .. } => ended.retry_in.unwrap(),
            other => panic!("{other:?}"),
        });
        Vec::from_iter(waits)
    };
    let (first, second) = (waits(), waits());
    assert!(first.len() > 15, "{first:?}");
    assert_ne!(first, second);
}

#[test]
fn plain_tcp_is_refused_before_dialing() {
    let world = World::new();
    let Err(error) = on_host("192.168.1.4").start(world.net.clone()) else {
        panic!("started without TLS");
    };
    assert_eq!(
        error,
        SetupError::Host(HostError::NotLoopback("192.168.1.4".into()))
    );
    assert!(on_host("127.0.0.1").start(world.net.clone()).is_ok());
}

fn on_host(host: &str) -> Setup<Tokens> {
    Setup::new(
        host,
        Security::PlainOnLoopback,
        client_id(),
        Tokens::default(),
    )
}
