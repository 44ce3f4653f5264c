//! A peer that is silent, or takes nothing, is found out within the keep alive.

use std::time::Duration;

use iotcore_gateway::{Certainty, DisconnectReason, Options};

use super::peer::{Sent, Session, seconds};

#[test]
fn a_quiet_connection_is_kept_alive_within_the_keep_alive() {
    let mut session = Session::open(Options::default());
    for _ in 0..5 {
        session.wait(seconds(60));
        assert_eq!(session.sent(), [Sent::PingReq]);
        session.receive(&[0xd0, 0]);
    }
    assert!(session.gateway.is_open());
}

#[test]
fn a_busy_connection_needs_no_ping() {
    let mut session = Session::open(Options::default());
    let own = session.gateway.own_key();
    for _ in 0..10 {
        session.wait(seconds(20));
        session.publish(own, "1");
        let id = session.expect_publish("/devices/gw-1/events");
        session.puback(id);
    }
    assert_eq!(session.sent(), []);
}

#[test]
fn a_ping_is_due_a_while_after_either_side_has_fallen_silent() {
    let mut session = Session::open(Options::default());
    let own = session.gateway.own_key();
    session.wait(seconds(10));
    session.publish(own, "1");
    let id = session.expect_publish("/devices/gw-1/events");
    session.wait(seconds(2));
    session.puback(id);
    session.wait(seconds(53) - Duration::from_millis(1));
    assert_eq!(session.sent(), []);
    session.wait(Duration::from_millis(1));
    assert_eq!(session.sent(), [Sent::PingReq], "55 s after the PUBLISH");
}

#[test]
fn a_ping_without_an_answer_ends_the_connection() {
    let mut session = Session::open(Options::default());
    session.wait(seconds(55));
    assert_eq!(session.sent(), [Sent::PingReq]);
    session.wait(seconds(20));
    let disconnected = session.disconnected();
    assert_eq!(
        disconnected.reason,
        DisconnectReason::PingRespTimedOut(seconds(20))
    );
    assert_eq!(disconnected.certainty, Certainty::Inferred);
}

#[test]
fn a_peer_that_takes_everything_and_says_nothing_is_asked_for_a_sign_of_life() {
    let mut options = Options::default();
    options.ack_timeout = seconds(300);
    let mut session = Session::open(options);
    let own = session.gateway.own_key();
    for n in 0..5 {
        session.publish(own, &n.to_string());
        assert!(!session.sent().contains(&Sent::PingReq));
        session.wait(seconds(10));
    }
    session.wait(seconds(5));
    assert_eq!(session.sent(), [Sent::PingReq]);
    session.publish(own, "5");
    session.sent();
    session.wait(seconds(20));
    assert!(matches!(
        session.disconnect_reason(),
        DisconnectReason::PingRespTimedOut(_)
    ));
}

#[test]
fn bytes_that_make_no_progress_for_one_keep_alive_end_the_connection() {
    let mut session = Session::open(Options::default());
    session.publish(session.gateway.own_key(), &"x".repeat(1_000));
    session.wait(seconds(50));
    session.gateway.handle_transmitted(1, session.now);
    session.wait(seconds(59));
    assert!(session.gateway.is_open(), "one byte is progress");
    session.wait(seconds(1));
    assert_eq!(
        session.disconnect_reason(),
        DisconnectReason::WriteStalled(seconds(60))
    );
}

#[test]
fn to_hand_nothing_over_is_no_progress() {
    let mut session = Session::open(Options::default());
    session.publish(session.gateway.own_key(), "1");
    session.wait(seconds(30));
    session.gateway.handle_transmitted(0, session.now);
    session.wait(seconds(30));
    assert_eq!(
        session.disconnect_reason(),
        DisconnectReason::WriteStalled(seconds(60))
    );
}

#[test]
fn a_short_keep_alive_is_kept_with_a_quarter_to_spare() {
    let mut options = Options::default();
    options.keep_alive = seconds(4);
    let mut session = Session::open(options);
    session.wait(Duration::from_millis(2_999));
    assert_eq!(session.sent(), []);
    session.wait(Duration::from_millis(1));
    assert_eq!(session.sent(), [Sent::PingReq]);
}
