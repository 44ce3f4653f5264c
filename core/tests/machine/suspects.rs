//! Suspected causes when the peer closes the connection, and their certainty.

use std::time::Duration;

use iotcore_gateway::{Certainty, DisconnectReason, Options, QoS, Subscription, TransportEnd};

use super::peer::{Harness, seconds};

#[test]
fn repeated_connections_that_end_soon_are_a_suspected_takeover() {
    let mut harness = Harness::open(Options::default());
    for round in 1..=4 {
        harness.wait(seconds(1));
        harness.lose_connection();
        assert_eq!(
            harness.disconnected().takeover_suspected,
            round >= 3,
            "round {round}"
        );
        harness.redial();
    }
    harness.wait(seconds(20));
    harness.lose_connection();
    assert!(!harness.disconnected().takeover_suspected);
}

#[test]
fn only_a_peer_that_closes_within_ten_seconds_is_a_suspected_takeover() {
    let violate: fn(&mut Harness) = |harness| harness.receive(&[0xf0]);
    let hang_up: fn(&mut Harness) = Harness::lose_connection;
    for (lasts, end, is_suspected) in [
        (Duration::from_millis(9_999), hang_up, true),
        (seconds(10), hang_up, false),
        (seconds(1), violate, false),
    ] {
        let mut harness = Harness::open(Options::default());
        for round in 1..=3 {
            harness.wait(lasts);
            end(&mut harness);
            let suspected = harness.disconnected().takeover_suspected;
            assert_eq!(suspected, is_suspected && round == 3, "{lasts:?}");
            harness.lose_connection();
            harness.redial();
        }
    }
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
    harness.wait(Duration::from_millis(2_500));
    harness.lose_connection();
    let suspects = harness.disconnected().suspects;
    assert_eq!(suspects, [published, subscribed, attached, detached]);
}
