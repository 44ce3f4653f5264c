//! Attempts to connect: when each begins, and how many there are.

use std::{collections::BTreeSet, time::Duration};

use iotcore_gateway::{
    Options,
    auth::Token,
    cause::TransportEnd,
    message::{QoS, Subscription},
    options::Reconnect,
};

use super::peer::{Harness, Sent, UNIX_NOW, seconds};

/// Returns how long each gateway waits before its next attempt, after this many failures in a row. All have one seed,
/// and all fail at the same instants.
fn waits_of_a_fleet(gateways: usize, failures: u32) -> Vec<Duration> {
    let wait = |name: usize| {
        let mut harness = Harness::named(&format!("gateway-{name}"), Options::default());
        harness.gateway.open(harness.now).unwrap();
        let mut wait = Duration::ZERO;
        for _ in 0..failures {
            harness.wait(wait);
            let end = TransportEnd::DialFailed;
            harness.gateway.handle_disconnected(end, harness.now);
            wait = harness.disconnected().retry_in.unwrap();
        }
        wait
    };
    (0..gateways).map(wait).collect()
}

#[test]
fn the_attempts_of_a_fleet_do_not_coincide_at_the_longest_backoff_either() {
    for (failures, from, to) in [(1, 1_000, 2_000), (3, 4_000, 5_000), (6, 24_000, 32_000)] {
        let waits = waits_of_a_fleet(100, failures);
        let (from, to) = (Duration::from_millis(from), Duration::from_millis(to));
        let edge = (to - from) / 10;
        let (first, last) = (waits.iter().min().unwrap(), waits.iter().max().unwrap());
        assert!(
            *first >= from && *first < from + edge && *last > to - edge && *last <= to,
            "{failures} failures: from {first:?} to {last:?}"
        );
        let distinct: BTreeSet<_> = waits.iter().collect();
        assert!(distinct.len() >= 90, "{} of 100", distinct.len());
    }
    assert!(
        waits_of_a_fleet(100, 20)
            .iter()
            .all(|wait| *wait <= seconds(32))
    );
}

/// Returns when each connection was accepted, if every token lives this long and the bridge answers at once.
fn connections(options: Options, life: Duration, length: Duration) -> Vec<Duration> {
    connect_for(&mut Harness::dialing(options), life, length)
}

/// Does the same with this gateway.
fn connect_for(harness: &mut Harness, life: Duration, length: Duration) -> Vec<Duration> {
    let (start, end) = (harness.now, harness.now + length);
    let mut accepted = Vec::new();
    let mut is_up = false;
    while accepted.len() < 10_000 {
        let is_wanted = harness.gateway.wants_transport();
        if is_wanted && !is_up {
            let jwt = format!("short.lived.{}", accepted.len());
            let token = Token::new(jwt, harness.now + life).unwrap();
            harness
                .gateway
                .handle_connected(token, UNIX_NOW, harness.now);
            harness.sent();
            harness.connack(0);
            accepted.push(harness.now - start);
        } else if is_up && !is_wanted {
            harness
                .gateway
                .handle_disconnected(TransportEnd::HungUp, harness.now);
        }
        is_up = is_wanted;
        for packet in harness.sent() {
            match packet {
                Sent::Subscribe { id, .. } => harness.suback(id, 0),
                Sent::PingReq => harness.receive(&[0xd0, 0]),
                _ => {}
            }
        }
        harness.events();
        if is_up == harness.gateway.wants_transport() {
            match harness.gateway.poll_timeout() {
                Some(next) if next < end => harness.step(),
                _ => break,
            }
        }
    }
    accepted
}

/// Returns the time between one connection and the next.
fn gaps(accepted: &[Duration]) -> Vec<Duration> {
    let pairs = accepted.iter().zip(&accepted[1..]);
    pairs.map(|(one, next)| *next - *one).collect()
}

#[test]
fn tokens_that_live_for_an_instant_cause_no_more_connections_than_the_backoff_allows() {
    for life in [0, 1, 100, 1_000] {
        let life = Duration::from_millis(life) + Duration::from_nanos(1);
        for stable_after in [seconds(60), Duration::ZERO] {
            let mut options = Options::default();
            options.stable_after = stable_after;
            let accepted = connections(options, life, seconds(600));
            for (n, gap) in gaps(&accepted).into_iter().enumerate() {
                let least = match n {
                    _ if stable_after.is_zero() => 1,
                    0..5 => 1 << n,
                    _ => 24,
                };
                assert!(gap >= seconds(least), "{gap:?} after {n} connections");
            }
        }
    }
}

#[test]
fn a_refresh_waits_for_the_backoff_only_as_far_as_its_connection_was_shorter() {
    let gaps_of = |life, length| gaps(&connections(Options::default(), seconds(life), length));
    for (n, gap) in gaps_of(5, seconds(600)).into_iter().enumerate() {
        let (least, most) = match n {
            0 => (2.2, 2.5),
            1 => (2.2, 3.0),
            2 => (4.0, 5.0),
            3 => (8.0, 9.0),
            4 => (16.0, 17.0),
            _ => (24.0, 32.0),
        };
        let gap = gap.as_secs_f64();
        assert!(
            (least..=most).contains(&gap),
            "{gap} after {n} connections of 2.5 s"
        );
    }
    for (life, margin) in [(60, 12), (3_600, 300)] {
        let lasts = seconds(life - margin);
        let gaps = gaps_of(life, lasts * 20);
        assert!(gaps.len() >= 19);
        for gap in gaps {
            let earliest = lasts - seconds(margin) / 10;
            assert!(
                gap >= earliest && gap <= lasts,
                "a token of {life} s is refreshed after {gap:?}, with backoff"
            );
        }
    }
}

#[test]
fn a_refresh_is_no_failure_that_makes_a_gateway_give_up() {
    let mut options = Options::default();
    options.reconnect = Reconnect::Attempts(0);
    for life in [1, 60, 3_600] {
        let accepted = connections(options.clone(), seconds(life), seconds(10 * life + 100));
        assert!(accepted.len() >= 6, "{} connections", accepted.len());
    }
}

#[test]
fn only_the_refresh_of_a_connection_that_did_not_last_is_an_attempt() {
    for (life, length, least) in [(60, 100, 1), (5, 6, 4)] {
        let mut harness = Harness::dialing(Options::default());
        let accepted = connect_for(&mut harness, seconds(life), seconds(length));
        assert_eq!(accepted.len(), 3);
        harness.lose_connection();
        let wait = harness.disconnected().retry_in.unwrap();
        assert!(
            wait >= seconds(least) && wait <= seconds(least + 1),
            "{wait:?}"
        );
    }
}

/// A gateway whose events reached their bound while it was dialing.
fn full_while_dialing() -> Harness {
    let mut options = Options::default();
    options.max_events = 2;
    let mut harness = Harness::dialing(options);
    assert!(harness.gateway.wants_transport());
    let own = harness.gateway.own_key();
    for _ in 0..2 {
        let (config, qos) = (Subscription::Config, QoS::AtLeastOnce);
        let now = harness.now;
        harness.gateway.subscribe(own, config, qos, now).unwrap();
        harness.gateway.unsubscribe(own, config, now).unwrap();
    }
    assert!(harness.gateway.stats().events >= 2);
    assert!(!harness.gateway.wants_input());
    harness
}

#[test]
fn a_transport_that_comes_up_while_the_events_are_full_connects_at_once_and_is_not_read() {
    let mut harness = full_while_dialing();
    assert!(harness.gateway.wants_transport(), "it may be coming up");
    harness.transport_up();
    assert!(matches!(harness.sent()[..], [Sent::Connect { .. }]));
    assert!(harness.gateway.wants_transport());
    assert!(!harness.gateway.wants_input());
    harness.wait(seconds(3_600));
    assert_eq!(harness.sent(), [], "what is not read is not silent");
    assert!(!harness.gateway.wants_input());
    assert!(!harness.events().is_empty());
    assert!(harness.gateway.wants_input());
    harness.connack(0);
    assert!(harness.gateway.is_open());
}

#[test]
fn a_dial_that_fails_while_the_events_are_full_is_an_attempt_and_no_other_begins() {
    let mut harness = full_while_dialing();
    let events = harness.gateway.stats().events;
    for _ in 0..3 {
        let end = TransportEnd::DialFailed;
        harness.gateway.handle_disconnected(end, harness.now);
        assert!(!harness.gateway.wants_transport());
        harness.wait(seconds(60));
        assert!(!harness.gateway.wants_transport(), "there is no room");
        harness.transport_up();
        assert_eq!(harness.sent(), []);
    }
    assert_eq!(harness.gateway.stats().events, events + 1);
    let wait = harness.disconnected().retry_in.unwrap();
    assert!(wait >= seconds(1) && wait <= seconds(2));
    assert!(harness.gateway.wants_transport());
    harness.transport_up();
    assert!(matches!(harness.sent()[..], [Sent::Connect { .. }]));
}
