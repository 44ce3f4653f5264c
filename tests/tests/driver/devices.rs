//! Attaching, detaching, and devices with tokens of their own.

use std::{sync::atomic::Ordering, time::Duration};

use iotcore_gateway::{
    CommandError, DeviceState, Failure, Options, PublishError, PublishErrorKind, QoS, Subscription,
    Token,
    driver::{
        AcceptError, Attach, AttachError, BoxError, DeliveryError, OperationError, Runtime, Status,
        StatusChanges, TokenRequest, TokenSource,
    },
};

use iotcore_gateway_testkit::packets;

use super::{Dials, Opened, Sent, Server, Tokens, World, id, open, poll_once, read, setup_with};

fn topics(sent: &[Sent]) -> Vec<&str> {
    let topics = sent.iter().filter_map(|packet| match packet {
        Sent::Publish { topic, .. } => Some(topic.as_str()),
        Sent::Subscribe { filter, .. } | Sent::Unsubscribe { filter, .. } => Some(filter.as_str()),
        _ => None,
    });
    topics.collect()
}

#[test]
fn an_attach_ends_once_its_subscriptions_are_granted() {
    let mut opened = open(Options::default());
    let Opened {
        world,
        client,
        server,
        ..
    } = &mut opened;
    let attaching = world.spawn(client.attach(id("device-1")));
    let [
        Sent::Publish {
            topic,
            payload,
            id: Some(packet_id),
            ..
        },
    ] = &server.received()[..]
    else {
        panic!("an attach was due");
    };
    assert_eq!(
        (topic.as_str(), &payload[..]),
        ("/devices/device-1/attach", &b"{}"[..])
    );
    server.puback(world, *packet_id);
    assert!(!attaching.is_finished());
    let sent = server.serve(world);
    assert_eq!(
        topics(&sent),
        ["/devices/device-1/config", "/devices/device-1/commands/#"]
    );
    let device = attaching.ended().unwrap();
    assert_eq!(device.status(), Some(DeviceState::Attached));
    let again = world.spawn(client.attach(id("device-1"))).ended().unwrap();
    assert_eq!(again.id(), device.id());
    assert!(server.received().is_empty());
    assert!(
        matches!(&opened.changes()[..], [Status::Attached { device }] if *device == id("device-1"))
    );
}

#[test]
fn subscriptions_that_are_not_wanted_are_not_made() {
    let opened = open(Options::default());
    let attach = Attach::new(id("device-1"))
        .config(None)
        .commands(QoS::AtMostOnce);
    let attaching = opened.world.spawn(opened.client.attach(attach));
    let sent = opened.server.serve(&opened.world);
    assert_eq!(
        topics(&sent),
        ["/devices/device-1/attach", "/devices/device-1/commands/#"]
    );
    let device = attaching.ended().unwrap();
    let subscribing = opened.world.spawn(async move {
        device
            .subscribe(Subscription::Config, QoS::AtLeastOnce)
            .await?;
        device.unsubscribe(Subscription::Commands).await
    });
    let sent = opened.server.serve(&opened.world);
    assert_eq!(
        topics(&sent),
        ["/devices/device-1/config", "/devices/device-1/commands/#"]
    );
    assert_eq!(subscribing.ended(), Ok(()));
}

#[test]
fn a_refused_attach_gives_the_report_and_the_device() {
    let mut opened = open(Options::default());
    let Opened {
        world,
        client,
        server,
        ..
    } = &mut opened;
    let attaching = world.spawn(client.attach(id("device-1")));
    let Sent::Publish {
        id: Some(packet_id),
        ..
    } = server.received()[0]
    else {
        panic!("an attach was due");
    };
    let report = format!(
        r#"{{"error_type":"GATEWAY_ATTACHMENT_ERROR","device_id":"device-1","description":"not bound",
            "mqtt_message_info":{{"message_type":"PUBLISH","topic":"/devices/device-1/attach","packet_id":{packet_id}}}}}"#
    );
    let report = packets::publish("/devices/gw-1/errors", report.as_bytes(), None, false);
    server.send(world, &report);
    let error = attaching.ended().unwrap_err();
    assert!(
        matches!(error.failure(), Some(Failure::Reported(_))),
        "{error:?}"
    );
    let device = error.into_device().unwrap();
    assert_eq!(device.status(), Some(DeviceState::Refused));
    let refused = poll_once(device.telemetry("lost")).unwrap().unwrap_err();
    assert!(matches!(
        refused,
        AcceptError::Refused(PublishError {
            kind: PublishErrorKind::DeviceRefused,
            ..
        })
    ));
}

#[test]
fn a_refused_subscription_leaves_the_device_attached() {
    let mut opened = open(Options::default());
    let Opened {
        world,
        client,
        server,
        ..
    } = &mut opened;
    let attaching = world.spawn(client.attach(Attach::new(id("device-1")).config(None)));
    let Sent::Publish {
        id: Some(packet_id),
        ..
    } = server.received()[0]
    else {
        panic!("an attach was due");
    };
    server.puback(world, packet_id);
    let Sent::Subscribe { id: packet_id, .. } = server.received()[0] else {
        panic!("a SUBSCRIBE was due");
    };
    server.suback(world, packet_id, 0x80);
    let error = attaching.ended().unwrap_err();
    let AttachError::Subscribe(OperationError::Failed(failure), device) = error else {
        panic!("{error:?}");
    };
    assert_eq!(
        failure,
        Failure::SubscriptionRefused(Subscription::Commands)
    );
    assert_eq!(device.status(), Some(DeviceState::Attached));
}

#[test]
fn a_detached_device_takes_nothing_more_and_its_messages_end() {
    let mut opened = open(Options::default());
    let device = opened.attach(id("device-1"));
    let mut messages = device.messages();
    let reading = opened.world.spawn(async move { messages.next().await });
    let delivery = opened.world.spawn(device.try_telemetry("last").unwrap());
    let detaching = opened.world.spawn({
        let device = device.clone();
        async move { device.detach().await }
    });
    let sent = opened.server.serve(&opened.world);
    assert_eq!(
        topics(&sent),
        ["/devices/device-1/events", "/devices/device-1/detach"]
    );
    assert_eq!(delivery.ended(), Ok(()));
    assert_eq!(detaching.ended(), Ok(()));
    assert!(reading.ended().is_none());
    assert_eq!(device.status(), None);
    let error = poll_once(device.telemetry("late")).unwrap().unwrap_err();
    assert!(matches!(
        error,
        AcceptError::Refused(PublishError {
            kind: PublishErrorKind::UnknownDevice,
            ..
        })
    ));
    let error = poll_once(device.detach()).unwrap().unwrap_err();
    assert_eq!(error, OperationError::Refused(CommandError::UnknownDevice));
}

#[test]
fn what_a_detached_device_has_received_can_still_be_taken() {
    let mut opened = open(Options::default());
    let device = opened.attach(id("device-1"));
    let Opened { world, server, .. } = &mut opened;
    server.publish(world, "/devices/device-1/config", "last", 1);
    let detaching = world.spawn(device.detach());
    server.serve(world);
    assert_eq!(detaching.ended(), Ok(()));
    let mut messages = device.messages();
    let message = poll_once(messages.next()).unwrap().unwrap();
    assert_eq!(message.payload, "last");
    assert!(poll_once(messages.next()).unwrap().is_none());
}

#[test]
fn a_caller_that_waits_for_room_learns_that_its_device_is_gone() {
    let mut options = Options::default();
    options.device_queue.messages = 1;
    let mut opened = open(options);
    let device = opened.attach(id("device-1"));
    let first = opened.world.spawn(device.try_telemetry("1").unwrap());
    let second = opened.world.spawn(device.telemetry("2"));
    assert!(!second.is_finished());
    let detaching = opened.world.spawn(async move { device.detach().await });
    opened.server.close(&opened.world);
    let server = Server::accept_again(&opened.world);
    server.serve(&opened.world);
    assert!(matches!(
        first.ended(),
        Ok(())
            | Err(DeliveryError::Failed {
                failure: Failure::Detached,
                ..
            })
    ));
    let error = second.ended().unwrap_err();
    assert_eq!(error.into_payload(), "2");
    assert_eq!(detaching.ended(), Ok(()));
}

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

    // The token lives for an hour; the gateway's own is refreshed before, the device's only when it is needed.
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
fn a_command_is_accepted_when_it_is_called_and_named_by_its_operation() {
    let opened = open(Options::default());
    let gateway = opened.client.gateway();
    let subscribing = gateway.subscribe(Subscription::Config, QoS::AtLeastOnce);
    let op = subscribing.op();
    assert!(op.is_some());
    let again = gateway.subscribe(Subscription::Config, QoS::AtLeastOnce);
    assert_eq!(again.op(), op, "one that is pending is the same operation");
    let sent = opened.server.serve(&opened.world);
    assert_eq!(sent.len(), 1, "{sent:?}");
    assert_eq!(poll_once(subscribing), Some(Ok(())));
    assert_eq!(poll_once(again), Some(Ok(())));
}

#[test]
fn a_token_that_a_deadline_asks_for_is_fetched_at_once() {
    let opened = open(Options::default());
    let now = opened.world.net.now();
    let short = Token::new("short-lived", now + Duration::from_secs(10)).unwrap();
    let attach = Attach::new(id("token-1")).token(short);
    let attaching = opened.world.spawn(opened.client.attach(attach));
    opened.world.pass(Duration::from_secs(29));
    let first = opened.server.received();
    assert_eq!(topics(&first), ["/devices/token-1/attach"]);
    // The attach is given up after 30 s, and tried again up to 2 s later: by then its token has expired.
    opened.world.pass(Duration::from_secs(4));
    let second = opened.server.received();
    assert_eq!(topics(&second), ["/devices/token-1/attach"]);
    assert!(matches!(
        attaching.ended(),
        Err(AttachError::Attach(OperationError::Failed(_), _))
    ));
}

/// Gives the gateway tokens, and its devices some that have expired by the time they are used.
struct Stale(Tokens);

impl TokenSource for Stale {
    async fn gateway(&self, request: TokenRequest<'_>) -> Result<Token, BoxError> {
        self.0.gateway(request).await
    }

    async fn device(&self, request: TokenRequest<'_>) -> Option<Result<Token, BoxError>> {
        Some(Ok(Token::new("stale", request.now).unwrap()))
    }
}

/// A gateway with a device whose token expires before its attach is tried again, which is after 30 to 32 seconds.
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
fn a_token_source_that_fails_for_a_device_is_asked_again_with_backoff() {
    let tokens = Tokens::default();
    let (world, mut status, server, _running) = expiring(tokens.clone());
    let failing = || tokens.failing.load(Ordering::Relaxed);
    tokens.failing.store(8, Ordering::Relaxed);
    world.pass(Duration::from_secs(30));
    while failing() == 8 {
        world.pass(Duration::from_millis(1));
    }
    for (left, wait) in (0..7).rev().zip([1, 2, 4, 8, 16, 32, 32]) {
        world.pass(Duration::from_secs(wait) - Duration::from_millis(1));
        assert_eq!(failing(), left + 1, "before {wait} s");
        world.pass(Duration::from_millis(1));
        assert_eq!(failing(), left, "after {wait} s");
    }
    assert!(server.received().is_empty());
    world.pass(Duration::from_secs(32));
    assert_eq!(topics(&server.received()), ["/devices/token-1/attach"]);
    let failed = |change: &Status| matches!(change, Status::TokenFailed { device, .. } if *device == id("token-1"));
    let changes = read(&world, &mut status);
    assert_eq!(changes.iter().filter(|change| failed(change)).count(), 8);
}

#[test]
fn a_token_that_has_expired_when_it_is_given_is_none() {
    let (world, mut status, server, _running) = expiring(Stale(Tokens::default()));
    world.pass(Duration::from_secs(33));
    assert!(server.received().is_empty());
    let changes = read(&world, &mut status);
    assert!(
        matches!(&changes[..], [Status::Connected, Status::TokenNeeded { device }] if *device == id("token-1")),
        "{changes:?}"
    );
}

#[test]
fn a_client_lists_its_devices_and_finds_one_by_its_id() {
    let mut opened = open(Options::default());
    let found = |opened: &Opened| -> Vec<String> {
        let devices = opened.client.devices().into_iter();
        devices.map(|device| device.id().to_string()).collect()
    };
    assert_eq!(found(&opened), [""; 0]);
    let first = opened.attach(id("device-1"));
    let second = opened.attach(id("device-2"));
    assert_eq!(found(&opened), ["device-1", "device-2"]);
    let again = opened.client.device(&id("device-2")).unwrap();
    assert_eq!(again.status(), Some(DeviceState::Attached));
    assert_eq!(
        opened.client.device(&id("gw-1")).unwrap().id(),
        opened.client.gateway().id()
    );
    drop(second);

    let detaching = opened.world.spawn(again.detach());
    opened.server.serve(&opened.world);
    assert_eq!(detaching.ended(), Ok(()));
    assert_eq!(found(&opened), ["device-1"]);
    assert!(opened.client.device(&id("device-2")).is_none());
    assert_eq!(first.status(), Some(DeviceState::Attached));
}
