//! Closing: sends what it can until its deadline, then every operation ends.

use std::time::Duration;

use iotcore_gateway::{
    DeviceAuth, Event, Failure, Options, Outcome, Publication,
    auth::Token,
    cause::{Certainty, DisconnectReason, TransportEnd},
    command_error::{CommandError, PublishError, PublishErrorKind},
    message::{QoS, Subscription},
    options::Reconnect,
};

use super::peer::{Harness, Sent, UNIX_NOW, failed, seconds};

#[test]
fn close_sends_what_it_can_then_disconnects() {
    let mut harness = Harness::open(Options::default());
    let own = harness.gateway.own_key();
    let published = harness.publish(own, "1");
    let close = harness.gateway.close(harness.now);
    assert_eq!(harness.gateway.close(harness.now), close);
    let refused = harness
        .gateway
        .publish(Publication::state(own, "{}"), harness.now);
    assert!(matches!(
        refused,
        Err(PublishError {
            kind: PublishErrorKind::Closed,
            ..
        })
    ));
    let id = harness.expect_publish("/devices/gw-1/events");
    harness.wait(seconds(5));
    harness.puback(id);
    assert_eq!(harness.sent(), [Sent::Disconnect]);
    assert!(!harness.gateway.wants_transport());
    harness
        .gateway
        .handle_disconnected(TransportEnd::HungUp, harness.now);
    let events = harness.events();
    assert_eq!(
        events.first(),
        Some(&Event::Done {
            op: published,
            outcome: Outcome::Acknowledged
        })
    );
    assert_eq!(
        events[events.len() - 2..],
        [
            Event::Done {
                op: close,
                outcome: Outcome::Closed
            },
            Event::Closed { unsent: vec![] },
        ]
    );
}

#[test]
fn the_connection_of_a_closed_gateway_ends_with_reason_closed_and_is_not_retried() {
    let mut harness = Harness::open(Options::default());
    harness.gateway.close(harness.now);
    assert_eq!(harness.sent(), [Sent::Disconnect]);
    let disconnected = harness.disconnected();
    assert_eq!(disconnected.reason, DisconnectReason::Closed);
    assert_eq!(disconnected.certainty, Certainty::Confirmed);
    assert_eq!(disconnected.retry_in, None);
    assert_eq!(disconnected.suspects, []);
}

#[test]
fn closing_a_closed_gateway_returns_the_same_operation_and_no_event() {
    let mut harness = Harness::dialing(Options::default());
    let close = harness.gateway.close(harness.now);
    assert!(harness.gateway.is_closed());
    while harness.gateway.poll_event().is_some() {
        assert_eq!(harness.gateway.close(harness.now), close);
    }
}

#[test]
fn no_event_follows_closed_when_giving_up_frees_room() {
    let mut options = Options::default();
    options.reconnect = Reconnect::Attempts(0);
    options.device_queue.messages = 1;
    let mut harness = Harness::dialing(options);
    let own = harness.gateway.own_key();
    harness.publish(own, "1");
    let blocked = harness
        .gateway
        .publish(Publication::telemetry(own, "2"), harness.now);
    assert!(matches!(
        blocked,
        Err(PublishError {
            kind: PublishErrorKind::Blocked,
            ..
        })
    ));
    harness
        .gateway
        .handle_disconnected(TransportEnd::DialFailed, harness.now);
    assert!(harness.gateway.is_closed());
    assert!(matches!(
        harness.events().last(),
        Some(Event::Closed { .. })
    ));
}

#[test]
fn close_gives_up_after_its_deadline_and_reports_unsent_publications() {
    let mut harness = Harness::open(Options::default());
    let own = harness.gateway.own_key();
    let published = harness.publish(own, "1");
    harness.sent();
    harness.gateway.close(harness.now);
    let unsent: Vec<_> = harness.gateway.unsent().collect();
    assert_eq!(unsent[0].op, published);
    assert_eq!(unsent[0].payload, "1");
    harness.wait(seconds(10));
    assert_eq!(harness.sent(), [Sent::Disconnect]);
    harness
        .gateway
        .handle_disconnected(TransportEnd::HungUp, harness.now);
    let events = harness.events();
    assert_eq!(failed(&events, published), Some(&Failure::Closed));
    assert_eq!(events.last(), Some(&Event::Closed { unsent }));
    assert_eq!(harness.gateway.poll_timeout(), None);
}

#[test]
fn close_while_disconnected_waits_for_a_connection_only_if_there_is_something_to_send() {
    let mut harness = Harness::dialing(Options::default());
    harness.gateway.close(harness.now);
    assert_eq!(
        harness.events().last(),
        Some(&Event::Closed { unsent: vec![] })
    );

    let mut harness = Harness::dialing(Options::default());
    let published = harness.publish(harness.gateway.own_key(), "1");
    harness.gateway.close(harness.now);
    assert!(harness.gateway.wants_transport());
    harness.connect();
    let id = harness.expect_publish("/devices/gw-1/events");
    harness.puback(id);
    assert_eq!(harness.ended(published), Some(Ok(Outcome::Acknowledged)));
    assert_eq!(harness.sent(), [Sent::Disconnect]);
}

#[test]
fn close_does_not_wait_for_a_disconnect_that_cannot_be_written() {
    let mut harness = Harness::open(Options::default());
    harness.gateway.close(harness.now);
    assert!(harness.gateway.wants_transport(), "DISCONNECT is queued");
    harness.wait(seconds(5));
    assert!(!harness.gateway.wants_transport());
    assert!(harness.gateway.poll_transmit().is_empty());
}

#[test]
fn a_peer_failure_after_disconnect_was_queued_does_not_prevent_the_close() {
    let fail: [fn(&mut Harness); 2] = [
        |harness| harness.receive(&[0xf0]),
        |harness| harness.wait(seconds(1)),
    ];
    for fail in fail {
        let mut options = Options::default();
        options.keep_alive = seconds(1);
        options.connack_timeout = seconds(60);
        options.drain_timeout = Duration::from_millis(100);
        let mut harness = Harness::open(options);
        let published = harness.publish(harness.gateway.own_key(), "1");
        harness.sent();
        harness.gateway.close(harness.now);
        harness.wait(Duration::from_millis(100));
        assert!(harness.gateway.wants_transport(), "DISCONNECT is queued");
        fail(&mut harness);
        assert_eq!(harness.disconnected().retry_in, None);
        harness
            .gateway
            .handle_disconnected(TransportEnd::PeerClosed, harness.now);
        assert_eq!(harness.ended(published), Some(Err(Failure::Closed)));
        assert!(harness.gateway.is_closed());
    }
}

#[test]
fn a_timed_out_close_ends_even_if_the_connection_ends_before_disconnect_is_written() {
    for ends_it in [
        |harness: &mut Harness| harness.receive(&[0xff]),
        |harness: &mut Harness| harness.lose_connection(),
    ] {
        let mut harness = Harness::open(Options::default());
        let published = harness.publish(harness.gateway.own_key(), "never acknowledged");
        harness.sent();
        harness.gateway.close(harness.now);
        harness.wait(seconds(10));
        assert_eq!(harness.gateway.poll_transmit(), [0xe0, 0]);
        ends_it(&mut harness);
        harness
            .gateway
            .handle_disconnected(TransportEnd::PeerClosed, harness.now);
        assert!(harness.gateway.is_closed());
        assert_eq!(harness.ended(published), Some(Err(Failure::Closed)));
    }
}

#[test]
fn no_event_follows_closed_when_a_close_frees_room() {
    let mut options = Options::default();
    options.device_queue.messages = 1;
    let mut harness = Harness::dialing(options);
    let own = harness.gateway.own_key();
    harness.publish(own, "fills the queue");
    let blocked = harness
        .gateway
        .publish(Publication::telemetry(own, "no room"), harness.now);
    assert!(matches!(
        blocked,
        Err(PublishError {
            kind: PublishErrorKind::Blocked,
            ..
        })
    ));
    harness.gateway.close(harness.now);
    harness.wait(seconds(10));
    assert!(matches!(
        harness.events().last(),
        Some(Event::Closed { .. })
    ));
}

#[test]
fn a_close_at_the_end_of_a_token_refresh_ends_by_its_own_deadline() {
    let mut options = Options::default();
    options.drain_timeout = seconds(4);
    let mut harness = Harness::dialing(options);
    let token = Token::new("short.lived.token", harness.now + seconds(25)).unwrap();
    harness
        .gateway
        .handle_connected(token, UNIX_NOW, harness.now);
    harness.sent();
    harness.connack(0);
    harness.publish(harness.gateway.own_key(), "never acknowledged");
    harness.sent();
    while harness.gateway.poll_transmit() != [0xe0, 0] {
        harness.step();
    }
    harness.gateway.close(harness.now);
    harness.wait(seconds(4));
    harness.sent();
    harness
        .gateway
        .handle_disconnected(TransportEnd::PeerClosed, harness.now);
    assert!(harness.gateway.is_closed());
}

#[test]
fn closing_a_gateway_that_gave_up_completes_immediately() {
    let mut options = Options::default();
    options.reconnect = Reconnect::Attempts(0);
    let mut harness = Harness::dialing(options);
    harness.lose_connection();
    assert!(harness.gateway.is_closed());
    harness.events();
    let op = harness.gateway.close(harness.now);
    assert_eq!(harness.ended(op), Some(Ok(Outcome::Closed)));
    assert_eq!(harness.gateway.close(harness.now), op);
    assert_eq!(harness.events(), []);
}

#[test]
fn the_deadline_of_a_close_keeps_running_across_a_lost_connection() {
    let mut harness = Harness::open(Options::default());
    harness.publish(harness.gateway.own_key(), "never acknowledged");
    harness.sent();
    harness.gateway.close(harness.now);
    let end = harness.now + seconds(10);
    harness.wait(seconds(3));
    harness.reconnect();
    harness.expect_publish("/devices/gw-1/events");
    harness.wait(end - harness.now - Duration::from_millis(1));
    assert_eq!(harness.sent(), []);
    harness.wait(Duration::from_millis(1));
    assert_eq!(harness.sent(), [Sent::Disconnect]);
}

#[test]
fn a_close_that_times_out_while_the_transport_is_up_ends_when_the_transport_does() {
    let mut harness = Harness::open(Options::default());
    harness.publish(harness.gateway.own_key(), "never acknowledged");
    harness.sent();
    harness.gateway.close(harness.now);
    harness.receive(&[0xf0]);
    assert!(!harness.gateway.wants_transport());
    harness.wait(seconds(10));
    assert!(!harness.gateway.is_closed(), "the transport is still up");
    harness.lose_connection();
    assert!(harness.gateway.is_closed());
}

#[test]
fn a_close_ends_a_connection_attempt_that_is_not_answered_before_its_deadline() {
    let mut harness = Harness::dialing(Options::default());
    harness.publish(harness.gateway.own_key(), "never sent");
    harness.transport_up();
    harness.gateway.close(harness.now);
    harness.wait(seconds(10));
    let disconnected = harness.disconnected();
    assert_eq!(disconnected.reason, DisconnectReason::Closed);
    assert_eq!(disconnected.retry_in, None);
    harness.lose_connection();
    assert!(harness.gateway.is_closed());
}

#[test]
fn a_close_waits_for_a_detach() {
    let (mut harness, device) = Harness::attached(Options::default());
    let detach = harness.gateway.detach(device, harness.now).unwrap();
    harness.gateway.close(harness.now);
    let id = harness.expect_publish("/devices/device-1/detach");
    assert_eq!(harness.sent(), []);
    harness.puback(id);
    assert_eq!(harness.ended(detach), Some(Ok(Outcome::Detached)));
    assert_eq!(harness.sent(), [Sent::Disconnect]);
}

#[test]
fn a_closing_gateway_refuses_commands() {
    let (mut harness, device) = Harness::attached(Options::default());
    let own = harness.gateway.own_key();
    harness.publish(own, "keeps it open");
    harness.gateway.close(harness.now);
    let (now, config, qos) = (harness.now, Subscription::Config, QoS::AtLeastOnce);
    let (id, token) = ("device-2".try_into().unwrap(), harness.token());
    let gateway = &mut harness.gateway;
    let refused = CommandError::Closed;
    assert_eq!(gateway.open(now), Err(refused.clone()));
    assert_eq!(
        gateway.attach(id, DeviceAuth::ByAssociation, UNIX_NOW, now),
        Err(refused.clone())
    );
    assert_eq!(gateway.detach(device, now), Err(refused.clone()));
    assert_eq!(
        gateway.authorize(device, token, UNIX_NOW, now),
        Err(refused.clone())
    );
    let subscribing = gateway.subscribe(own, config, qos, now);
    assert_eq!(subscribing, Err(refused.clone()));
    assert_eq!(gateway.unsubscribe(own, config, now), Err(refused));
}

#[test]
fn every_operation_ends_when_the_gateway_closes() {
    let mut harness = Harness::open(Options::default());
    let (device, attach) = harness.begin_attach("device-1");
    let subscribe = harness
        .gateway
        .subscribe(device, Subscription::Config, QoS::AtLeastOnce, harness.now)
        .unwrap();
    let published = harness.publish(device, "1");
    harness.gateway.close(harness.now);
    harness.sent();
    harness.wait(seconds(10));
    harness.sent();
    harness
        .gateway
        .handle_disconnected(TransportEnd::PeerClosed, harness.now);
    let events = harness.events();
    for op in [attach, subscribe, published] {
        assert_eq!(failed(&events, op), Some(&Failure::Closed), "{events:?}");
    }
}

#[test]
fn a_gateway_that_may_not_reconnect_closes_when_its_attempt_fails() {
    let mut options = Options::default();
    options.reconnect = Reconnect::Attempts(0);
    let mut harness = Harness::open(options);
    harness.publish(harness.gateway.own_key(), "1");
    harness.gateway.close(harness.now);
    harness.lose_connection();
    assert!(harness.gateway.is_closed());
    assert_eq!(harness.gateway.poll_timeout(), None);
}
