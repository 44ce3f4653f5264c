//! Devices with their own tokens.

use std::{sync::atomic::Ordering, time::Duration};

use iotcore_gateway::{
    Options,
    auth::Token,
    device::DeviceState,
    driver::{
        Attach, Runtime, Status, StatusChanges,
        error::{AttachError, OperationError, TokenFailure},
        token_source::{BoxError, TokenRequest, TokenSource},
    },
};

use super::{Dials, Sent, Server, Tokens, World, id, open, read, setup_with, topics};

#[test]
fn a_device_whose_token_has_expired_gets_a_new_one_from_the_source() {
    let mut opened = open(Options::default());
    let attaching = opened.world.spawn(opened.client.attach(id("token-1")));
    let sent = opened.server.serve(&opened.world);
    let Sent::Publish { payload, .. } = &sent[0] else {
        panic!("{sent:?}");
    };
    assert_eq!(payload, br#"{"authorization":"token-2"}"#);
    let _device = attaching.ended().unwrap();

    // The token is valid for an hour; the gateway's own is refreshed before it expires, the device's only when it is
    // needed.
    opened.server.close(&opened.world);
    opened.world.dials(Dials::Fail);
    opened.world.pass(Duration::from_secs(3_700));
    opened.world.dials(Dials::Succeed);
    let server = Server::accept_again(&opened.world);
    let sent = server.serve(&opened.world);
    let Sent::Publish { topic, payload, .. } = &sent[1] else {
        panic!("{sent:?}");
    };
    assert_eq!(topic, "/devices/token-1/attach");
    assert!(payload.starts_with(br#"{"authorization":"token-"#));
    assert_ne!(payload, br#"{"authorization":"token-2"}"#);
    assert!(
        !opened
            .changes()
            .iter()
            .any(|change| matches!(change, Status::TokenNeeded { .. }))
    );
}

#[test]
fn a_device_without_a_token_in_the_source_asks_the_user() {
    let mut opened = open(Options::default());
    let now = opened.world.net.now();
    let short = Token::new("short-lived", now + Duration::from_secs(60)).unwrap();
    let device = opened.attach(Attach::new(id("device-1")).token(short));
    opened.world.pass(Duration::from_secs(59));
    opened.server.serve(&opened.world);
    opened.server.close(&opened.world);
    opened.world.pass(Duration::from_secs(5));
    let server = Server::open(&opened.world);
    assert_eq!(device.status(), Some(DeviceState::TokenNeeded));
    let asked = |change: &Status| matches!(change, Status::TokenNeeded { device } if *device == id("device-1"));
    assert_eq!(
        opened
            .changes()
            .iter()
            .filter(|change| asked(change))
            .count(),
        1
    );
    let token = Token::new("longer-lived", now + Duration::from_secs(3_600)).unwrap();
    let authorizing = opened.world.spawn({
        let device = device.clone();
        async move { device.authorize(token).await }
    });
    server.serve(&opened.world);
    assert_eq!(authorizing.ended(), Ok(()));
    assert_eq!(device.status(), Some(DeviceState::Attached));
}

#[test]
fn a_token_that_is_needed_at_a_deadline_is_requested_at_once() {
    let opened = open(Options::default());
    let now = opened.world.net.now();
    let short = Token::new("short-lived", now + Duration::from_secs(10)).unwrap();
    let attach = Attach::new(id("token-1")).token(short);
    let attaching = opened.world.spawn(opened.client.attach(attach));
    opened.world.pass(Duration::from_secs(29));
    let first = opened.server.received();
    assert_eq!(topics(&first), ["/devices/token-1/attach"]);
    // The attach times out after 30 s, and is retried up to 2 s later, when its token has expired.
    opened.world.pass(Duration::from_secs(4));
    let second = opened.server.received();
    assert_eq!(topics(&second), ["/devices/token-1/attach"]);
    assert!(matches!(
        attaching.ended(),
        Err(AttachError::Attach(OperationError::Failed(_), _))
    ));
}

/// A token source for the gateway; its devices' tokens have expired when they are used.
struct Stale(Tokens);

impl TokenSource for Stale {
    async fn gateway(&self, request: TokenRequest<'_>) -> Result<Token, BoxError> {
        self.0.gateway(request).await
    }

    async fn device(&self, request: TokenRequest<'_>) -> Option<Result<Token, BoxError>> {
        Some(Ok(Token::new("stale", request.now).unwrap()))
    }
}

/// Starts a gateway with a device whose token expires before its attach is retried, which is after 30 to 32 seconds.
fn expiring<T: TokenSource>(tokens: T) -> (World, StatusChanges, Server, impl Sized) {
    let world = World::new();
    let mut options = Options::default();
    options.keep_alive = Duration::from_secs(1_000);
    let (client, driver) = setup_with(options, tokens)
        .start(world.net.clone())
        .unwrap();
    let status = client.status();
    let driver = world.spawn(driver.run());
    let server = Server::open(&world);
    let expiry = world.net.now() + Duration::from_secs(10);
    let token = Token::new("short-lived", expiry).unwrap();
    let attach = Attach::new(id("token-1")).token(token);
    let attaching = world.spawn(client.attach(attach));
    server.received();
    (world, status, server, (client, driver, attaching))
}

#[test]
fn a_token_source_that_fails_for_a_device_is_retried_with_backoff() {
    let tokens = Tokens::default();
    let (world, mut status, server, _running) = expiring(tokens.clone());
    let failing = || tokens.failing.load(Ordering::Relaxed);
    tokens.failing.store(8, Ordering::Relaxed);
    world.pass(Duration::from_secs(30));
    while failing() == 8 {
        world.pass(Duration::from_millis(1));
    }
    let waits = [(1, 2), (2, 3), (4, 5), (8, 9), (16, 17), (24, 32), (24, 32)];
    for (left, (least, most)) in (0..7).rev().zip(waits) {
        world.pass(Duration::from_secs(least) - Duration::from_millis(1));
        assert_eq!(failing(), left + 1, "before {least} s");
        let mut late = Duration::ZERO;
        while failing() > left {
            world.pass(Duration::from_millis(1));
            late += Duration::from_millis(1);
        }
        assert!(late <= Duration::from_secs(most - least) + Duration::from_millis(1));
    }
    assert!(server.received().is_empty());
    world.pass(Duration::from_secs(32));
    assert_eq!(topics(&server.received()), ["/devices/token-1/attach"]);
    let failed = |change: &Status| matches!(change, Status::TokenFailed { device, .. } if *device == id("token-1"));
    let changes = read(&world, &mut status);
    assert_eq!(changes.iter().filter(|change| failed(change)).count(), 8);
}

#[test]
fn a_token_that_has_already_expired_is_a_failure() {
    let (world, mut status, server, _running) = expiring(Stale(Tokens::default()));
    world.pass(Duration::from_secs(33));
    assert!(server.received().is_empty());
    let changes = read(&world, &mut status);
    assert!(
        matches!(&changes[..], [Status::Connected, Status::TokenFailed { device, error }, ..]
            if *device == id("token-1") && matches!(**error, TokenFailure::Expired(_))),
        "{changes:?}"
    );
}
