//! A peer that hangs up says nothing: what is suspected, and how surely.

use std::time::Duration;

use iotcore_gateway::{Certainty, DisconnectReason, Options, QoS, Subscription, TransportEnd};

use super::peer::{Session, seconds};

#[test]
fn connections_that_end_soon_after_they_were_accepted_are_a_probable_takeover() {
    let mut session = Session::open(Options::default());
    for round in 1..=4 {
        session.wait(seconds(1));
        session.lose_connection();
        assert_eq!(
            session.disconnected().takeover_suspected,
            round >= 3,
            "round {round}"
        );
        session.redial();
    }
    session.wait(seconds(20));
    session.lose_connection();
    assert!(!session.disconnected().takeover_suspected);
}

#[test]
fn only_a_peer_that_hangs_up_within_ten_seconds_is_a_probable_takeover() {
    let violate: fn(&mut Session) = |session| session.receive(&[0xf0]);
    let hang_up: fn(&mut Session) = Session::lose_connection;
    for (lasts, end, is_suspected) in [
        (Duration::from_millis(9_999), hang_up, true),
        (seconds(10), hang_up, false),
        (seconds(1), violate, false),
    ] {
        let mut session = Session::open(Options::default());
        for round in 1..=3 {
            session.wait(lasts);
            end(&mut session);
            let suspected = session.disconnected().takeover_suspected;
            assert_eq!(suspected, is_suspected && round == 3, "{lasts:?}");
            session.lose_connection();
            session.redial();
        }
    }
}

#[test]
fn a_hang_up_of_our_own_suspects_nobody() {
    let mut session = Session::open(Options::default());
    let own = session.gateway.own_key();
    for round in 1..=4 {
        session.publish(own, "1");
        session.sent();
        let hung_up = TransportEnd::HungUp;
        session.gateway.handle_disconnected(hung_up, session.now);
        let ended = session.disconnected();
        assert_eq!(ended.reason, DisconnectReason::Transport(hung_up));
        assert_eq!(ended.certainty, Certainty::Confirmed);
        assert_eq!(ended.suspects, [], "round {round}");
        assert!(!ended.takeover_suspected, "round {round}");
        session.redial();
        session.sent();
    }
}

#[test]
fn a_hang_up_names_the_operations_sent_just_before_it() {
    let mut session = Session::open(Options::default());
    let own = session.gateway.own_key();
    let ops: Vec<_> = (0..10)
        .map(|n| session.publish(own, &n.to_string()))
        .collect();
    session.sent();
    session.lose_connection();
    let disconnected = session.disconnected();
    let newest: Vec<_> = ops.into_iter().rev().take(8).collect();
    assert_eq!(disconnected.suspects, newest);
    assert_eq!(disconnected.certainty, Certainty::Suspected);
}

#[test]
fn a_hang_up_names_what_was_asked_for_devices_too_and_what_was_sent_again() {
    let mut options = Options::default();
    options.ack_timeout = seconds(5);
    let mut session = Session::open(options);
    let own = session.gateway.own_key();
    let leaving = session.attach("device-0");
    let published = session.publish(own, "sent again");
    session.sent();
    session.wait(seconds(1));
    let detached = session.gateway.detach(leaving, session.now).unwrap();
    session.wait(seconds(1));
    let (_, attached) = session.begin_attach("device-1");
    session.wait(seconds(1));
    let (commands, qos) = (Subscription::Commands, QoS::AtLeastOnce);
    let subscribing = session.gateway.subscribe(own, commands, qos, session.now);
    let subscribed = subscribing.unwrap();
    session.wait(Duration::from_millis(2_500));
    session.lose_connection();
    let suspects = session.disconnected().suspects;
    assert_eq!(suspects, [published, subscribed, attached, detached]);
}
