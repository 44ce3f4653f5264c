//! Suspected causes when the peer closes the connection, and their certainty.

use std::time::Duration;

use iotcore_gateway::{
    Failure, Options, Publication,
    cause::{Certainty, DisconnectReason, TransportEnd},
    message::{QoS, Subscription},
};

use super::peer::{Harness, failed, seconds};

#[test]
fn repeated_connections_that_end_soon_are_a_suspected_takeover() {
    let mut harness = Harness::open(Options::default());
    for round in 1..=7 {
        harness.wait(seconds(1));
        harness.lose_connection();
        assert_eq!(
            harness.disconnected().takeover_suspected,
            round >= 6,
            "round {round}"
        );
        harness.redial();
    }
    harness.wait(seconds(20));
    harness.lose_connection();
    assert!(!harness.disconnected().takeover_suspected);
}

#[test]
fn planned_cuts_and_failed_dials_are_no_takeover() {
    let mut harness = Harness::open(Options::default());
    for _ in 1..=3 {
        harness.wait(seconds(1));
        harness.lose_connection();
        assert!(!harness.disconnected().takeover_suspected);
        harness.redial();
    }
    harness.lose_connection();
    for _ in 1..=9 {
        harness.wait_for_dial();
        let failed = TransportEnd::DialFailed;
        harness.gateway.handle_disconnected(failed, harness.now);
        assert!(!harness.disconnected().takeover_suspected);
    }
}

#[test]
fn a_failed_dial_does_not_repeat_that_a_takeover_is_suspected_nor_end_the_row() {
    let mut harness = Harness::open(Options::default());
    for _ in 1..=5 {
        harness.reconnect();
    }
    harness.events();
    harness.lose_connection();
    assert!(harness.disconnected().takeover_suspected);
    harness.wait_for_dial();
    let failed = TransportEnd::DialFailed;
    harness.gateway.handle_disconnected(failed, harness.now);
    assert!(!harness.disconnected().takeover_suspected);
    harness.reconnect();
    harness.lose_connection();
    assert!(harness.disconnected().takeover_suspected);
}

#[test]
fn a_hang_up_that_an_operation_may_have_caused_is_no_sign_of_a_takeover() {
    let mut harness = Harness::open(Options::default());
    let own = harness.gateway.own_key();
    for round in 1..=9 {
        let suspected = harness.publish(own, "1");
        harness.sent();
        harness.lose_connection();
        let ended = harness.disconnected();
        // After three, the next ones wait for the trial of the first.
        assert_eq!(
            ended.suspects.contains(&suspected),
            round <= 3,
            "round {round}"
        );
        assert!(!ended.takeover_suspected, "round {round}");
        harness.redial();
    }
}

#[test]
fn only_a_peer_that_closes_within_ten_seconds_is_a_suspected_takeover() {
    let violate: fn(&mut Harness) = |harness| harness.receive(&[0xf0]);
    let hang_up: fn(&mut Harness) = Harness::lose_connection;
    for (lasts, end, is_suspected) in [
        (Duration::from_millis(9_999), hang_up, true),
        (seconds(10), hang_up, false),
        (seconds(1), violate, false),
        (seconds(1), Harness::break_connection, false),
    ] {
        let mut harness = Harness::open(Options::default());
        for round in 1..=6 {
            harness.wait(lasts);
            end(&mut harness);
            let suspected = harness.disconnected().takeover_suspected;
            assert_eq!(suspected, is_suspected && round == 6, "{lasts:?}");
            harness.lose_connection();
            harness.redial();
        }
    }
}

#[test]
fn only_what_was_handed_over_is_suspected() {
    let mut harness = Harness::open(Options::default());
    let own = harness.gateway.own_key();
    let sent = harness.publish(own, "sent");
    harness.sent();
    let in_part = harness.publish(own, "sent in part");
    harness.gateway.handle_transmitted(20, harness.now);
    harness.publish(own, "not sent");
    harness.lose_connection();
    assert_eq!(harness.disconnected().suspects, [in_part, sent]);
}

#[test]
fn a_suspect_whose_deadline_has_passed_in_flight_ends_without_a_trial_or_a_connection() {
    let mut harness = Harness::open(Options::default());
    let own = harness.gateway.own_key();
    let deadline = harness.now + seconds(600);
    let publication = Publication::telemetry(own, "late").expires_after(seconds(600));
    let op = harness.gateway.publish(publication, harness.now).unwrap();
    harness.sent();
    harness.reconnect();
    harness.sent();
    harness.lose_connection();
    harness.wait_for_dial();
    harness.wait(deadline - harness.now - seconds(2));
    harness.connect();
    assert_eq!(harness.sent_texts(), ["late"]);
    harness.wait(seconds(5));
    harness.events();
    harness.lose_connection();
    harness.wait(Duration::ZERO);

    assert_eq!(failed(&harness.events(), op), Some(&Failure::Expired));
    assert_eq!(harness.gateway.unsent().count(), 0);
}

#[test]
fn our_own_disconnect_has_no_suspects() {
    let mut harness = Harness::open(Options::default());
    let own = harness.gateway.own_key();
    for round in 1..=4 {
        harness.publish(own, "1");
        harness.sent();
        let hung_up = TransportEnd::HungUp;
        harness.gateway.handle_disconnected(hung_up, harness.now);
        let ended = harness.disconnected();
        assert_eq!(ended.reason, DisconnectReason::Transport(hung_up));
        assert_eq!(ended.certainty, Certainty::Confirmed);
        assert_eq!(ended.suspects, [], "round {round}");
        assert!(!ended.takeover_suspected, "round {round}");
        harness.redial();
        harness.sent();
    }
}

#[test]
fn a_peer_close_lists_the_operations_sent_just_before_it() {
    let mut harness = Harness::open(Options::default());
    let own = harness.gateway.own_key();
    let ops: Vec<_> = (0..10)
        .map(|n| harness.publish(own, &n.to_string()))
        .collect();
    harness.sent();
    harness.lose_connection();
    let disconnected = harness.disconnected();
    let newest: Vec<_> = ops.into_iter().rev().take(8).collect();
    assert_eq!(disconnected.suspects, newest);
    assert_eq!(disconnected.certainty, Certainty::Suspected);
}

#[test]
fn a_peer_close_also_lists_device_operations_and_resent_publications() {
    let mut options = Options::default();
    options.ack_timeout = seconds(5);
    let mut harness = Harness::open(options);
    let own = harness.gateway.own_key();
    let leaving = harness.attach("device-0");
    let published = harness.publish(own, "sent again");
    harness.sent();
    harness.wait(seconds(1));
    let detached = harness.gateway.detach(leaving, harness.now).unwrap();
    harness.wait(seconds(1));
    let (_, attached) = harness.begin_attach("device-1");
    harness.wait(seconds(1));
    let (commands, qos) = (Subscription::Commands, QoS::AtLeastOnce);
    let subscribing = harness.gateway.subscribe(own, commands, qos, harness.now);
    let subscribed = subscribing.unwrap();
    harness.sent();
    harness.wait(Duration::from_millis(2_500));
    harness.sent();
    harness.lose_connection();
    let suspects = harness.disconnected().suspects;
    assert_eq!(suspects, [published, subscribed, attached, detached]);
}
