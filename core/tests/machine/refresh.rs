//! A connection ends before its token does, and comes back with a fresh one.

use std::time::Duration;

use iotcore_gateway::{DisconnectReason, Event, Options, Outcome, Token, TransportEnd};

use super::peer::{Sent, Session, UNIX_NOW, seconds};

/// A gateway that was accepted with a token of so many seconds; its errors topic is granted.
fn accepted(options: Options, life: u64) -> Session {
    let mut session = Session::dialing(options);
    let token = Token::new("short.lived.token", session.now + seconds(life)).unwrap();
    session
        .gateway
        .handle_connected(token, UNIX_NOW, session.now);
    session.sent();
    session.connack(0);
    let id = session.expect_subscribe("/devices/gw-1/errors");
    session.suback(id, 0);
    session.events();
    session
}

#[test]
fn before_its_token_expires_the_gateway_drains_leaves_and_comes_back_at_once() {
    let mut session = accepted(Options::default(), 100);
    session.wait(seconds(70));
    session.receive(&[0xd0, 0]);
    let own = session.gateway.own_key();
    let first = session.publish(own, "in flight");
    session.sent();
    session.wait(seconds(10));
    let second = session.publish(own, "after");
    assert_eq!(session.sent(), [], "nothing new is sent");
    session.puback(2);
    assert_eq!(session.sent(), [Sent::Disconnect]);
    let events = session.events();
    assert!(events.contains(&Event::Done {
        op: first,
        outcome: Outcome::Acknowledged
    }));
    assert!(events.iter().any(|event| matches!(event, Event::Disconnected(disconnected)
        if disconnected.reason == DisconnectReason::TokenRefresh && disconnected.retry_in == Some(Duration::ZERO))));
    assert!(!session.gateway.wants_transport());
    session
        .gateway
        .handle_disconnected(TransportEnd::HungUp, session.now);
    assert!(session.gateway.wants_transport(), "without backoff");
    session.connect();
    let id = session.expect_publish("/devices/gw-1/events");
    session.puback(id);
    assert_eq!(session.ended(second), Some(Ok(Outcome::Acknowledged)));
}

#[test]
fn a_refresh_does_not_wait_for_ever_for_an_acknowledgement() {
    let mut session = accepted(Options::default(), 25);
    session.publish(session.gateway.own_key(), "never acknowledged");
    session.sent();
    session.wait(seconds(30));
    assert_eq!(session.sent(), [Sent::Disconnect]);
}

#[test]
fn a_token_is_refreshed_at_a_fifth_of_its_life_and_at_most_five_minutes_before_its_end() {
    for (life, margin) in [(100, 20), (1_000, 200), (3_600, 300), (86_400, 300)] {
        let mut options = Options::default();
        options.keep_alive = seconds(1_199);
        let mut session = accepted(options, life);
        let end = session.now + seconds(life);
        loop {
            session.step();
            match session.sent()[..] {
                [] => {}
                [Sent::PingReq] => session.receive(&[0xd0, 0]),
                [Sent::Disconnect] => break,
                ref other => panic!("{other:?}"),
            }
        }
        let left = end - session.now;
        assert!(
            left >= seconds(margin) && left <= seconds(margin + margin / 10),
            "{left:?} of {life} s are left"
        );
    }
}

#[test]
fn a_refresh_waits_for_what_was_asked_for_devices_too() {
    let mut session = accepted(Options::default(), 25);
    session.begin_attach("device-1");
    let id = session.expect_publish("/devices/device-1/attach");
    session.wait(seconds(20));
    assert_eq!(session.sent(), []);
    session.puback(id);
    assert_eq!(session.sent(), [Sent::Disconnect]);
}

#[test]
fn a_close_during_a_refresh_sends_what_the_refresh_held_back() {
    let mut session = accepted(Options::default(), 25);
    let own = session.gateway.own_key();
    session.publish(own, "never acknowledged");
    session.sent();
    session.wait(seconds(20));
    let held = session.publish(own, "held back");
    assert_eq!(session.sent(), []);
    session.gateway.close(session.now);
    let id = session.expect_publish("/devices/gw-1/events");
    session.puback(id);
    assert_eq!(session.ended(held), Some(Ok(Outcome::Acknowledged)));
}
