//! Closing: what can be sent has its time, then every operation ends.

use std::time::Duration;

use iotcore_gateway::{
    Certainty, CommandError, DisconnectReason, Event, Failure, Options, Outcome, Publication,
    PublishError, PublishErrorKind, QoS, Reconnect, Subscription, Token, TransportEnd,
};

use super::peer::{Sent, Session, UNIX_NOW, failed, seconds};

#[test]
fn close_sends_what_it_can_then_disconnects() {
    let mut session = Session::open(Options::default());
    let own = session.gateway.own_key();
    let published = session.publish(own, "1");
    let close = session.gateway.close(session.now);
    assert_eq!(session.gateway.close(session.now), close);
    let refused = session
        .gateway
        .publish(Publication::state(own, "{}"), session.now);
    assert!(matches!(
        refused,
        Err(PublishError {
            kind: PublishErrorKind::Closed,
            ..
        })
    ));
    let id = session.expect_publish("/devices/gw-1/events");
    session.wait(seconds(5));
    session.puback(id);
    assert_eq!(session.sent(), [Sent::Disconnect]);
    assert!(!session.gateway.wants_transport());
    session
        .gateway
        .handle_disconnected(TransportEnd::HungUp, session.now);
    let events = session.events();
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
fn the_connection_of_a_closed_gateway_ends_for_that_reason_and_for_good() {
    let mut session = Session::open(Options::default());
    session.gateway.close(session.now);
    assert_eq!(session.sent(), [Sent::Disconnect]);
    let disconnected = session.disconnected();
    assert_eq!(disconnected.reason, DisconnectReason::Closed);
    assert_eq!(disconnected.certainty, Certainty::Confirmed);
    assert_eq!(disconnected.retry_in, None);
    assert_eq!(disconnected.suspects, []);
}

#[test]
fn closing_a_closed_gateway_is_the_same_operation_and_no_event() {
    let mut session = Session::dialing(Options::default());
    let close = session.gateway.close(session.now);
    assert!(session.gateway.is_closed());
    while session.gateway.poll_event().is_some() {
        assert_eq!(session.gateway.close(session.now), close);
    }
}

#[test]
fn nothing_follows_the_end_not_even_room() {
    let mut options = Options::default();
    options.reconnect = Reconnect::Attempts(0);
    options.device_queue.messages = 1;
    let mut session = Session::dialing(options);
    let own = session.gateway.own_key();
    session.publish(own, "1");
    let blocked = session
        .gateway
        .publish(Publication::telemetry(own, "2"), session.now);
    assert!(matches!(
        blocked,
        Err(PublishError {
            kind: PublishErrorKind::Blocked,
            ..
        })
    ));
    session
        .gateway
        .handle_disconnected(TransportEnd::DialFailed, session.now);
    assert!(session.gateway.is_closed());
    assert!(matches!(
        session.events().last(),
        Some(Event::Closed { .. })
    ));
}

#[test]
fn close_gives_up_after_its_deadline_and_names_what_was_left() {
    let mut session = Session::open(Options::default());
    let own = session.gateway.own_key();
    let published = session.publish(own, "1");
    session.sent();
    session.gateway.close(session.now);
    let unsent: Vec<_> = session.gateway.unsent().collect();
    assert_eq!(unsent[0].op, published);
    assert_eq!(unsent[0].payload, "1");
    session.wait(seconds(10));
    assert_eq!(session.sent(), [Sent::Disconnect]);
    session
        .gateway
        .handle_disconnected(TransportEnd::HungUp, session.now);
    let events = session.events();
    assert_eq!(failed(&events, published), Some(&Failure::Closed));
    assert_eq!(events.last(), Some(&Event::Closed { unsent }));
    assert_eq!(session.gateway.poll_timeout(), None);
}

#[test]
fn close_while_disconnected_waits_for_a_connection_only_if_something_is_left_to_send() {
    let mut session = Session::dialing(Options::default());
    session.gateway.close(session.now);
    assert_eq!(
        session.events().last(),
        Some(&Event::Closed { unsent: vec![] })
    );

    let mut session = Session::dialing(Options::default());
    let published = session.publish(session.gateway.own_key(), "1");
    session.gateway.close(session.now);
    assert!(session.gateway.wants_transport());
    session.connect();
    let id = session.expect_publish("/devices/gw-1/events");
    session.puback(id);
    assert_eq!(session.ended(published), Some(Ok(Outcome::Acknowledged)));
    assert_eq!(session.sent(), [Sent::Disconnect]);
}

#[test]
fn a_disconnect_that_cannot_be_handed_over_is_not_waited_for() {
    let mut session = Session::open(Options::default());
    session.gateway.close(session.now);
    assert!(session.gateway.wants_transport(), "DISCONNECT waits");
    session.wait(seconds(5));
    assert!(!session.gateway.wants_transport());
    assert!(session.gateway.poll_transmit().is_empty());
}

#[test]
fn a_peer_that_fails_after_disconnect_was_queued_keeps_nothing_open() {
    let fail: [fn(&mut Session); 2] = [
        |session| session.receive(&[0xf0]),
        |session| session.wait(seconds(1)),
    ];
    for fail in fail {
        let mut options = Options::default();
        options.keep_alive = seconds(1);
        options.connack_timeout = seconds(60);
        options.drain_timeout = Duration::from_millis(100);
        let mut session = Session::open(options);
        let published = session.publish(session.gateway.own_key(), "1");
        session.sent();
        session.gateway.close(session.now);
        session.wait(Duration::from_millis(100));
        assert!(session.gateway.wants_transport(), "DISCONNECT waits");
        fail(&mut session);
        assert_eq!(session.disconnected().retry_in, None);
        session
            .gateway
            .handle_disconnected(TransportEnd::PeerClosed, session.now);
        assert_eq!(session.ended(published), Some(Err(Failure::Closed)));
        assert!(session.gateway.is_closed());
    }
}

#[test]
fn a_close_whose_time_is_up_ends_though_the_connection_does_before_disconnect_is_written() {
    for ends_it in [
        |session: &mut Session| session.receive(&[0xff]),
        |session: &mut Session| session.lose_connection(),
    ] {
        let mut session = Session::open(Options::default());
        let published = session.publish(session.gateway.own_key(), "never acknowledged");
        session.sent();
        session.gateway.close(session.now);
        session.wait(seconds(10));
        assert_eq!(session.gateway.poll_transmit(), [0xe0, 0]);
        ends_it(&mut session);
        session
            .gateway
            .handle_disconnected(TransportEnd::PeerClosed, session.now);
        assert!(session.gateway.is_closed());
        assert_eq!(session.ended(published), Some(Err(Failure::Closed)));
    }
}

#[test]
fn nothing_is_told_after_closed_not_even_room() {
    let mut options = Options::default();
    options.device_queue.messages = 1;
    let mut session = Session::dialing(options);
    let own = session.gateway.own_key();
    session.publish(own, "fills the queue");
    let blocked = session
        .gateway
        .publish(Publication::telemetry(own, "no room"), session.now);
    assert!(matches!(
        blocked,
        Err(PublishError {
            kind: PublishErrorKind::Blocked,
            ..
        })
    ));
    session.gateway.close(session.now);
    session.wait(seconds(10));
    assert!(matches!(
        session.events().last(),
        Some(Event::Closed { .. })
    ));
}

#[test]
fn a_close_during_the_last_moments_of_a_refresh_ends_in_its_time() {
    let mut options = Options::default();
    options.drain_timeout = seconds(4);
    let mut session = Session::dialing(options);
    let token = Token::new("short.lived.token", session.now + seconds(25)).unwrap();
    session
        .gateway
        .handle_connected(token, UNIX_NOW, session.now);
    session.sent();
    session.connack(0);
    session.publish(session.gateway.own_key(), "never acknowledged");
    session.sent();
    while session.gateway.poll_transmit() != [0xe0, 0] {
        session.step();
    }
    session.gateway.close(session.now);
    session.wait(seconds(4));
    session.sent();
    session
        .gateway
        .handle_disconnected(TransportEnd::PeerClosed, session.now);
    assert!(session.gateway.is_closed());
}

#[test]
fn closing_a_gateway_that_gave_up_is_done_at_once() {
    let mut options = Options::default();
    options.reconnect = Reconnect::Attempts(0);
    let mut session = Session::dialing(options);
    session.lose_connection();
    assert!(session.gateway.is_closed());
    session.events();
    let op = session.gateway.close(session.now);
    assert_eq!(session.ended(op), Some(Ok(Outcome::Closed)));
    assert_eq!(session.gateway.close(session.now), op);
    assert_eq!(session.events(), []);
}

#[test]
fn the_time_of_a_close_goes_on_over_a_lost_connection() {
    let mut session = Session::open(Options::default());
    session.publish(session.gateway.own_key(), "never acknowledged");
    session.sent();
    session.gateway.close(session.now);
    let end = session.now + seconds(10);
    session.wait(seconds(3));
    session.reconnect();
    session.expect_publish("/devices/gw-1/events");
    session.wait(end - session.now - Duration::from_millis(1));
    assert_eq!(session.sent(), []);
    session.wait(Duration::from_millis(1));
    assert_eq!(session.sent(), [Sent::Disconnect]);
}

#[test]
fn a_close_whose_time_is_up_before_the_transport_is_down_ends_with_it() {
    let mut session = Session::open(Options::default());
    session.publish(session.gateway.own_key(), "never acknowledged");
    session.sent();
    session.gateway.close(session.now);
    session.receive(&[0xf0]);
    assert!(!session.gateway.wants_transport());
    session.wait(seconds(10));
    assert!(!session.gateway.is_closed(), "the transport is still up");
    session.lose_connection();
    assert!(session.gateway.is_closed());
}

#[test]
fn a_close_ends_an_attempt_that_is_not_answered_in_its_time() {
    let mut session = Session::dialing(Options::default());
    session.publish(session.gateway.own_key(), "never sent");
    session.transport_up();
    session.gateway.close(session.now);
    session.wait(seconds(10));
    let disconnected = session.disconnected();
    assert_eq!(disconnected.reason, DisconnectReason::Closed);
    assert_eq!(disconnected.retry_in, None);
    session.lose_connection();
    assert!(session.gateway.is_closed());
}

#[test]
fn a_close_waits_for_a_detach() {
    let (mut session, device) = Session::attached(Options::default());
    let detach = session.gateway.detach(device, session.now).unwrap();
    session.gateway.close(session.now);
    let id = session.expect_publish("/devices/device-1/detach");
    assert_eq!(session.sent(), []);
    session.puback(id);
    assert_eq!(session.ended(detach), Some(Ok(Outcome::Detached)));
    assert_eq!(session.sent(), [Sent::Disconnect]);
}

#[test]
fn a_closing_gateway_takes_no_more_commands() {
    let (mut session, device) = Session::attached(Options::default());
    let own = session.gateway.own_key();
    session.publish(own, "keeps it open");
    session.gateway.close(session.now);
    let (now, config, qos) = (session.now, Subscription::Config, QoS::AtLeastOnce);
    let (id, token) = ("device-2".try_into().unwrap(), session.token());
    let gateway = &mut session.gateway;
    let refused = CommandError::Closed;
    assert_eq!(gateway.open(now), Err(refused.clone()));
    assert_eq!(
        gateway.attach(id, None, UNIX_NOW, now),
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
    let mut session = Session::open(Options::default());
    let (device, attach) = session.begin_attach("device-1");
    let subscribe = session
        .gateway
        .subscribe(device, Subscription::Config, QoS::AtLeastOnce, session.now)
        .unwrap();
    let published = session.publish(device, "1");
    session.gateway.close(session.now);
    session.sent();
    session.wait(seconds(10));
    session.sent();
    session
        .gateway
        .handle_disconnected(TransportEnd::PeerClosed, session.now);
    let events = session.events();
    for op in [attach, subscribe, published] {
        assert_eq!(failed(&events, op), Some(&Failure::Closed), "{events:?}");
    }
}

#[test]
fn a_gateway_that_closes_with_its_last_attempt_waits_for_nothing_more() {
    let mut options = Options::default();
    options.reconnect = Reconnect::Attempts(0);
    let mut session = Session::open(options);
    session.publish(session.gateway.own_key(), "1");
    session.gateway.close(session.now);
    session.lose_connection();
    assert!(session.gateway.is_closed());
    assert_eq!(session.gateway.poll_timeout(), None);
}
