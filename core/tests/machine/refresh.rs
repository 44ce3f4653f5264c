//! Token refresh: the gateway reconnects with a fresh token before the current one expires.

use std::{num::NonZeroU32, time::Duration};

use iotcore_gateway::{
    Event, Options, Outcome,
    auth::Token,
    cause::{DisconnectReason, TransportEnd},
};

use super::peer::{Harness, Sent, UNIX_NOW, seconds};

/// Returns a gateway that was accepted with a token valid for `life` seconds; its errors topic is granted.
fn accepted(options: Options, life: u64) -> Harness {
    let mut harness = Harness::dialing(options);
    let token = Token::new("short.lived.token", harness.now + seconds(life)).unwrap();
    harness
        .gateway
        .handle_connected(token, UNIX_NOW, harness.now);
    harness.sent();
    harness.connack(0);
    let id = harness.expect_subscribe("/devices/gw-1/errors");
    harness.suback(id, 0);
    harness.events();
    harness
}

#[test]
fn before_its_token_expires_the_gateway_drains_disconnects_and_reconnects_immediately() {
    let mut harness = accepted(Options::default(), 100);
    harness.wait(seconds(70));
    harness.receive(&[0xd0, 0]);
    let own = harness.gateway.own_key();
    let first = harness.publish(own, "in flight");
    harness.sent();
    harness.wait(seconds(10));
    let second = harness.publish(own, "after");
    assert_eq!(harness.sent(), [], "nothing new is sent");
    harness.puback(2);
    assert_eq!(harness.sent(), [Sent::Disconnect]);
    let events = harness.events();
    assert!(events.contains(&Event::Done {
        op: first,
        outcome: Outcome::Acknowledged
    }));
    assert!(events.iter().any(|event| matches!(event, Event::Disconnected(disconnected)
        if disconnected.reason == DisconnectReason::TokenRefresh && disconnected.retry_in == Some(Duration::ZERO))));
    assert!(!harness.gateway.wants_transport());
    harness
        .gateway
        .handle_disconnected(TransportEnd::HungUp, harness.now);
    assert!(harness.gateway.wants_transport(), "without backoff");
    harness.connect();
    let id = harness.expect_publish("/devices/gw-1/events");
    harness.puback(id);
    assert_eq!(harness.ended(second), Some(Ok(Outcome::Acknowledged)));
}

#[test]
fn a_token_refresh_waits_for_acknowledgements_only_until_its_deadline() {
    let mut harness = accepted(Options::default(), 25);
    harness.publish(harness.gateway.own_key(), "never acknowledged");
    harness.sent();
    harness.wait(seconds(25));
    assert_eq!(harness.sent(), [Sent::Disconnect]);
}

#[test]
fn a_token_is_refreshed_at_a_fifth_of_its_life_and_ten_seconds_to_five_minutes_before_its_end() {
    for (life, margin) in [
        (10, 5),
        (30, 10),
        (100, 20),
        (1_000, 200),
        (3_600, 300),
        (86_400, 300),
    ] {
        let mut options = Options::default();
        options.keep_alive = seconds(1_199);
        let mut harness = accepted(options, life);
        let end = harness.now + seconds(life);
        loop {
            harness.step();
            match harness.sent()[..] {
                [] => {}
                [Sent::PingReq] => harness.receive(&[0xd0, 0]),
                [Sent::Disconnect] => break,
                ref other => panic!("{other:?}"),
            }
        }
        let left = end - harness.now;
        let (margin, spread) = (seconds(margin), seconds(margin) / 10);
        assert!(
            left >= margin && left <= margin + spread,
            "{left:?} of {life} s are left"
        );
    }
}

#[test]
fn a_token_refresh_also_waits_for_device_operations() {
    let mut harness = accepted(Options::default(), 25);
    harness.begin_attach("device-1");
    let id = harness.expect_publish("/devices/device-1/attach");
    harness.wait(seconds(20));
    assert_eq!(harness.sent(), []);
    harness.puback(id);
    assert_eq!(harness.sent(), [Sent::Disconnect]);
}

#[test]
fn a_close_during_a_token_refresh_sends_the_publications_that_it_held_back() {
    let mut harness = accepted(Options::default(), 25);
    let own = harness.gateway.own_key();
    harness.publish(own, "never acknowledged");
    harness.sent();
    harness.wait(seconds(20));
    let held = harness.publish(own, "held back");
    assert_eq!(harness.sent(), []);
    harness.gateway.close(harness.now);
    let id = harness.expect_publish("/devices/gw-1/events");
    harness.puback(id);
    assert_eq!(harness.ended(held), Some(Ok(Outcome::Acknowledged)));
}

#[test]
fn a_token_refresh_waits_until_its_token_expires_at_the_latest_and_sends_again_meanwhile() {
    let mut options = Options::default();
    options.drain_timeout = seconds(3_600);
    options.ack_timeout = seconds(7);
    options.max_ack_timeout = seconds(7);
    options.keep_alive = seconds(1_199);
    let mut harness = accepted(options, 600);
    let end = harness.now + seconds(600);
    let own = harness.gateway.own_key();
    harness.wait(seconds(461));
    harness.publish(own, "never acknowledged");
    let id = harness.expect_publish("/devices/gw-1/events");
    let mut sent_again = 0;
    let mut is_refreshing = false;
    while harness.now < end {
        harness.step();
        if harness.now >= end - seconds(120) && !is_refreshing {
            is_refreshing = true;
            harness.publish(own, "held back");
        }
        match &harness.sent()[..] {
            [] => {}
            [Sent::Disconnect] => break,
            [
                Sent::Publish {
                    id: Some(again),
                    dup: true,
                    ..
                },
            ] if *again == id => sent_again += usize::from(is_refreshing),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(harness.now, end);
    assert_eq!(sent_again, 17, "every 7 s of 120 s");
    assert_eq!(harness.disconnect_reason(), DisconnectReason::TokenRefresh);
}

#[test]
fn a_short_drain_timeout_ends_a_token_refresh_before_its_token_expires() {
    let mut options = Options::default();
    options.keep_alive = seconds(1_199);
    let mut harness = accepted(options, 600);
    let end = harness.now + seconds(600);
    harness.wait(seconds(461));
    harness.publish(harness.gateway.own_key(), "never acknowledged");
    harness.sent();
    while harness.sent() != [Sent::Disconnect] {
        harness.step();
    }
    let left = end - harness.now;
    assert!(left >= seconds(110) && left <= seconds(122), "{left:?}");
}

#[test]
fn a_token_refresh_leaves_the_attaches_that_were_not_sent_to_the_next_connection() {
    for per_second in [None, NonZeroU32::new(1_000)] {
        let mut options = Options::default();
        options.attach_window = 1;
        options.quota.messages_per_second = per_second;
        let mut harness = accepted(options, 25);
        harness.wait(seconds(13));
        harness.begin_attach("device-1");
        let id = harness.expect_publish("/devices/device-1/attach");
        harness.begin_attach("device-2");
        assert_eq!(harness.sent(), [], "the window is full");
        harness.wait(seconds(2));
        harness.begin_attach("device-3");
        assert_eq!(harness.sent(), [], "nothing new is sent");
        harness.puback(id);
        assert_eq!(harness.sent(), [Sent::Disconnect]);
    }
}

/// Accepts the next connection, with this token, once the gateway wants it.
fn accept(harness: &mut Harness, token: &Token) {
    while !harness.gateway.wants_transport() {
        harness.step();
    }
    let (token, now) = (token.clone(), harness.now);
    harness.gateway.handle_connected(token, UNIX_NOW, now);
    harness.sent();
    harness.connack(0);
    let id = harness.expect_subscribe("/devices/gw-1/errors");
    harness.suback(id, 0);
}

/// Lets time pass until the gateway disconnects.
fn hang_up(harness: &mut Harness) {
    loop {
        harness.step();
        match harness.sent()[..] {
            [] => {}
            [Sent::PingReq] => harness.receive(&[0xd0, 0]),
            [Sent::Disconnect] => break,
            ref other => panic!("{other:?}"),
        }
    }
    harness
        .gateway
        .handle_disconnected(TransportEnd::HungUp, harness.now);
}

fn told(harness: &mut Harness) -> bool {
    harness.events().contains(&Event::TokenUnchanged)
}

#[test]
fn a_token_that_comes_again_is_told_once_and_not_refreshed_before_it_expires() {
    let mut options = Options::default();
    options.keep_alive = seconds(1_199);
    let mut harness = Harness::dialing(options);
    let end = harness.now + seconds(3_600);
    let token = Token::new("one.and.only", end).unwrap();
    accept(&mut harness, &token);
    assert!(!told(&mut harness), "the first time");
    hang_up(&mut harness);
    assert!(end - harness.now >= seconds(300));

    accept(&mut harness, &token);
    assert!(told(&mut harness));
    harness.lose_connection();
    accept(&mut harness, &token);
    assert!(!told(&mut harness), "it was told already");
    hang_up(&mut harness);
    assert_eq!(harness.now, end, "it is used until it expires");

    let next = Token::new("another.one", end + seconds(3_600)).unwrap();
    accept(&mut harness, &next);
    assert!(!told(&mut harness));
    hang_up(&mut harness);
    assert!(end + seconds(3_300) >= harness.now, "it is refreshed");
    accept(&mut harness, &next);
    assert!(told(&mut harness), "once for each token");
}

#[test]
fn a_source_that_hands_out_one_token_until_it_expires_causes_no_storm_of_connections() {
    let mut options = Options::default();
    options.keep_alive = seconds(1_199);
    let mut harness = Harness::dialing(options);
    let end = harness.now + seconds(3_600);
    let token = Token::new("one.and.only", end).unwrap();
    let mut late = 0;
    while harness.now < end {
        accept(&mut harness, &token);
        late += usize::from(end - harness.now <= seconds(600));
        hang_up(&mut harness);
    }
    assert_eq!(late, 1, "connections in the last ten minutes");
}
