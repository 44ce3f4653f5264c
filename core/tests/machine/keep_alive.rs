//! Keep alive: a peer that sends or reads nothing is detected.

use std::time::Duration;

use iotcore_gateway::{
    Options, Publication,
    cause::{Certainty, DisconnectReason},
    message::QoS,
};

use super::peer::{Harness, Sent, seconds};

#[test]
fn an_idle_connection_sends_pingreq_within_the_keep_alive() {
    let mut harness = Harness::open(Options::default());
    for _ in 0..5 {
        harness.wait(seconds(60));
        assert_eq!(harness.sent(), [Sent::PingReq]);
        harness.receive(&[0xd0, 0]);
    }
    assert!(harness.gateway.is_open());
}

#[test]
fn a_busy_connection_needs_no_ping() {
    let mut harness = Harness::open(Options::default());
    let own = harness.gateway.own_key();
    for _ in 0..10 {
        harness.wait(seconds(20));
        harness.publish(own, "1");
        let id = harness.expect_publish("/devices/gw-1/events");
        harness.puback(id);
    }
    assert_eq!(harness.sent(), []);
}

#[test]
fn a_ping_is_due_when_either_side_has_been_inactive() {
    let mut harness = Harness::open(Options::default());
    let own = harness.gateway.own_key();
    harness.wait(seconds(10));
    harness.publish(own, "1");
    let id = harness.expect_publish("/devices/gw-1/events");
    harness.wait(seconds(2));
    harness.puback(id);
    harness.wait(seconds(53) - Duration::from_millis(1));
    assert_eq!(harness.sent(), []);
    harness.wait(Duration::from_millis(1));
    assert_eq!(harness.sent(), [Sent::PingReq], "55 s after the PUBLISH");
}

#[test]
fn a_ping_without_an_answer_ends_the_connection() {
    let mut harness = Harness::open(Options::default());
    harness.wait(seconds(55));
    assert_eq!(harness.sent(), [Sent::PingReq]);
    harness.time_out(seconds(20));
    let disconnected = harness.disconnected();
    assert_eq!(
        disconnected.reason,
        DisconnectReason::PingRespTimedOut(seconds(20))
    );
    assert_eq!(disconnected.certainty, Certainty::Inferred);
}

#[test]
fn a_peer_that_reads_everything_and_sends_nothing_is_pinged() {
    let mut options = Options::default();
    options.ack_timeout = seconds(300);
    let mut harness = Harness::open(options);
    let own = harness.gateway.own_key();
    for n in 0..5 {
        harness.publish(own, &n.to_string());
        assert!(!harness.sent().contains(&Sent::PingReq));
        harness.wait(seconds(10));
    }
    harness.wait(seconds(5));
    assert_eq!(harness.sent(), [Sent::PingReq]);
    harness.publish(own, "5");
    harness.sent();
    harness.time_out(seconds(20));
    assert!(matches!(
        harness.disconnect_reason(),
        DisconnectReason::PingRespTimedOut(_)
    ));
}

#[test]
fn a_peer_that_takes_queued_bytes_slowly_and_sends_nothing_is_pinged() {
    let mut harness = Harness::open(Options::default());
    harness.publish(harness.gateway.own_key(), &"x".repeat(1_000));
    for _ in 0..5 {
        harness.wait(seconds(10));
        harness.gateway.handle_transmitted(1, harness.now);
    }
    harness.wait(seconds(5) - Duration::from_millis(1));
    let queued = harness.gateway.poll_transmit().to_vec();
    assert_eq!(queued.last(), Some(&b'x'));
    harness.wait(Duration::from_millis(1));
    assert_eq!(
        harness.gateway.poll_transmit(),
        [&queued[..], &[0xc0, 0]].concat(),
        "PINGREQ, 55 s after the last byte of the peer"
    );
    harness.gateway.handle_transmitted(usize::MAX, harness.now);
    harness.time_out(seconds(20));
    assert!(matches!(
        harness.disconnect_reason(),
        DisconnectReason::PingRespTimedOut(_)
    ));
}

#[test]
fn a_ping_after_a_long_stop_is_given_time_to_be_written() {
    let mut harness = Harness::open(Options::default());
    harness.now += seconds(700); // longer than ten keep alives: the process was stopped
    for _ in 0..2 {
        harness.gateway.handle_timeout(harness.now);
        let next = harness.gateway.poll_timeout();
        assert!(next.is_none_or(|next| next > harness.now), "{next:?}");
        assert!(harness.gateway.is_open());
    }
    assert_eq!(harness.sent(), [Sent::PingReq]);
}

#[test]
fn any_byte_shows_that_the_peer_is_alive_but_a_packet_takes_ten_keep_alives_at_most() {
    let mut harness = Harness::open(Options::default());
    let opened = harness.now;
    harness.receive(&[0x30, 0xff, 0x7f]);
    for _ in 0..39 {
        harness.wait(seconds(15));
        harness.receive(&[0]);
        harness.sent();
    }
    harness.wait(seconds(15) - Duration::from_millis(1));
    assert_eq!(harness.events(), []);
    harness.wait(Duration::from_millis(1));
    assert_eq!(harness.now - opened, seconds(600));
    let disconnected = harness.disconnected();
    assert_eq!(
        disconnected.reason,
        DisconnectReason::PacketTimedOut(seconds(600))
    );
    assert_eq!(disconnected.certainty, Certainty::Inferred);
}

#[test]
fn a_write_without_progress_for_one_keep_alive_ends_the_connection() {
    let mut harness = Harness::open(Options::default());
    harness.publish(harness.gateway.own_key(), &"x".repeat(1_000));
    harness.wait(seconds(50));
    harness.gateway.handle_transmitted(1, harness.now);
    harness.wait(seconds(59));
    assert!(harness.gateway.is_open(), "one byte is progress");
    harness.wait(seconds(1));
    assert_eq!(
        harness.disconnect_reason(),
        DisconnectReason::WriteStalled(seconds(60))
    );
}

#[test]
fn handing_over_zero_bytes_is_not_progress() {
    let mut harness = Harness::open(Options::default());
    harness.publish(harness.gateway.own_key(), "1");
    harness.wait(seconds(30));
    harness.gateway.handle_transmitted(0, harness.now);
    harness.wait(seconds(30));
    assert_eq!(
        harness.disconnect_reason(),
        DisconnectReason::WriteStalled(seconds(60))
    );
}

#[test]
fn a_short_keep_alive_has_a_margin_of_a_quarter() {
    let mut options = Options::default();
    options.keep_alive = seconds(4);
    let mut harness = Harness::open(options);
    harness.wait(Duration::from_millis(2_999));
    assert_eq!(harness.sent(), []);
    harness.wait(Duration::from_millis(1));
    assert_eq!(harness.sent(), [Sent::PingReq]);
}

#[test]
fn a_packet_counts_from_its_first_byte_however_long_the_gateway_has_run() {
    let mut harness = Harness::dialing(Options::default());
    harness.wait(seconds(3_600));
    harness.transport_up();
    harness.sent();
    harness.receive(&[0x20, 2]);
    assert!(harness.gateway.poll_timeout().unwrap() > harness.now);
    harness.gateway.handle_timeout(harness.now);
    harness.receive(&[0, 0]);
    assert!(harness.gateway.is_open());
}

#[test]
fn a_transport_that_takes_nothing_is_no_stall_while_answers_arrive() {
    let (mut harness, device) = Harness::attached(Options::default());
    for _ in 0..10 {
        harness.publish(device, "1");
    }
    let ids = harness.sent_ids();
    harness.publish(device, "2");
    for id in ids {
        harness.wait(seconds(29));
        harness.puback(id);
    }
    harness.wait(seconds(60) - Duration::from_millis(1));
    assert!(harness.gateway.is_open());
    harness.wait(Duration::from_millis(1));
    assert_eq!(
        harness.disconnect_reason(),
        DisconnectReason::WriteStalled(seconds(60))
    );
}

#[test]
fn a_peer_that_says_nothing_while_bytes_are_taken_slowly_is_noticed_after_ten_keep_alives() {
    let (mut harness, device) = Harness::attached(Options::default());
    let heard = harness.now;
    let large = Publication::telemetry(device, vec![0; 1_000]).qos(QoS::AtMostOnce);
    harness.gateway.publish(large, harness.now).unwrap();
    for _ in 0..11 {
        harness.wait(seconds(50));
        harness.gateway.handle_transmitted(1, harness.now);
    }
    assert!(harness.gateway.is_open());
    harness.wait(seconds(50));
    assert_eq!(harness.now - heard, seconds(600));
    assert_eq!(
        harness.disconnect_reason(),
        DisconnectReason::PacketTimedOut(seconds(600))
    );
}
