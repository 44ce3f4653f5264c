//! Strikes: packets at which the bridge closes the connection each time, and innocent ones beside them.

mod commands;
mod cut;
mod isolation;
mod qos_0;
mod world;

use std::time::Duration;

use iotcore_gateway::{
    Event, Failure, Options, Outcome,
    cause::{Certainty, DetachCause, TransportEnd},
    device::DeviceState,
    error_report::Retry,
    message::{QoS, Subscription},
};

use self::world::{
    Reaction, Verdict, World, closes_at_attach, closes_at_commands, closes_at_errors,
    closes_at_poison, payload_of,
};
use super::peer::{Harness, Sent, seconds};

const HOUR: Duration = Duration::from_secs(3600);

const SUSPECTED: Failure = Failure::Suspected { connections: 5 };

#[test]
fn a_publication_at_which_the_bridge_always_closes_fails_suspected_and_the_others_are_delivered() {
    let mut world = World::new(Options::default(), closes_at_poison);
    let (bad, _) = world.attach("bad");
    let (good, _) = world.attach("good");
    let before = world.harness.publish(bad, "before");
    let poison = world.harness.publish(bad, "poison");
    let after = world.harness.publish(bad, "after");
    let sent = world.publish_on(good, seconds(600));
    world.pass(HOUR);

    assert_eq!(world.ended(poison), Some(Err(SUSPECTED)));
    let unsent = world.events.iter().find_map(|event| match event {
        Event::Failed { op, unsent, .. } if *op == poison => unsent.clone(),
        _ => None,
    });
    assert_eq!(unsent.unwrap().payload, "poison");
    assert_eq!(world.ended(before), Some(Ok(Outcome::Acknowledged)));
    assert_eq!(world.ended(after), Some(Ok(Outcome::Acknowledged)));
    for payload in &sent {
        assert!(world.delivered.contains(payload), "{payload}");
    }
    assert_eq!(world.ends.len(), 5);
    for end in &world.ends[3..] {
        assert_eq!(end.len(), 1, "alone: {end:?}");
    }
    assert!(!world.is_takeover_told());
}

#[test]
fn a_suspect_goes_after_ten_seconds_of_quiet_when_nothing_else_is_sent() {
    let mut world = World::new(Options::default(), closes_at_poison);
    let own = world.harness.gateway.own_key();
    let poison = world.harness.publish(own, "poison");
    world.serve();
    while world.ends.len() < 3 {
        world.pass(seconds(1));
    }
    while !world.is_up {
        world.pass(Duration::from_millis(1));
    }
    world.pass(Duration::from_millis(9_998));
    assert_eq!(world.ends.len(), 3);
    world.pass(Duration::from_millis(2));
    assert_eq!(world.ends.len(), 4);
    world.pass(HOUR);
    assert_eq!(world.ended(poison), Some(Err(SUSPECTED)));
    assert_eq!(world.ends.len(), 5);
}

#[test]
fn others_are_held_back_for_a_trial_no_longer_than_it_takes() {
    let mut world = World::new(Options::default(), closes_at_poison);
    let own = world.harness.gateway.own_key();
    let (good, _) = world.attach("good");
    world.harness.publish(own, "poison");
    while world.ends.len() < 3 {
        world.pass(Duration::from_millis(1));
    }
    while !world.is_up {
        world.pass(Duration::from_millis(1));
    }
    let accepted = world.harness.now;
    let mut longest = seconds(0);
    while world.ends.len() < 4 {
        let op = world.harness.publish(good, "healthy");
        let published = world.harness.now;
        world.serve();
        while world.ended(op).is_none() && world.is_up {
            world.pass(Duration::from_millis(100));
        }
        longest = longest.max(world.harness.now - published);
        world.pass(seconds(1));
    }
    let trial = world.harness.now - accepted;
    assert!((seconds(39)..seconds(43)).contains(&trial), "{trial:?}");
    assert!((seconds(9)..seconds(12)).contains(&longest), "{longest:?}");
}

#[test]
fn an_attach_at_which_the_bridge_always_closes_fails_suspected_and_the_others_go_on() {
    let mut world = World::new(Options::default(), closes_at_attach);
    let (good, _) = world.attach("good");
    let (bad, attach) = world.attach("bad");
    let waiting = world.harness.publish(bad, "waiting");
    let sent = world.publish_on(good, seconds(300));
    world.pass(HOUR);

    assert_eq!(world.ended(attach), Some(Err(SUSPECTED)));
    assert_eq!(world.ended(waiting), Some(Err(SUSPECTED)));
    let state = world.harness.gateway.device_state(bad);
    assert_eq!(state, Some(DeviceState::Refused));
    for payload in &sent {
        assert!(world.delivered.contains(payload), "{payload}");
    }
    assert_eq!(world.ends.len(), 5);
    assert!(!world.is_takeover_told());

    // Until the user asks again.
    world.verdict = |_| Reaction::Answer;
    let (_, attach) = world.attach("bad");
    assert_eq!(world.ended(attach), Some(Ok(Outcome::Attached)));
}

#[test]
fn a_device_whose_attach_closes_a_later_connection_is_told_detached() {
    let mut world = World::new(Options::default(), |_| Reaction::Answer);
    let (bad, _) = world.attach("bad");
    world.verdict = closes_at_attach;
    world.end(TransportEnd::Broken);
    world.pass(HOUR);
    let cause = DetachCause::Suspected { connections: 5 };
    let lost = Event::Detached { device: bad, cause };
    assert!(world.events.contains(&lost), "{:?}", world.events);
}

#[test]
fn a_subscribe_at_which_the_bridge_always_closes_fails_suspected_and_the_others_go_on() {
    let mut world = World::new(Options::default(), closes_at_commands);
    let (good, _) = world.attach("good");
    let (bad, _) = world.attach("bad");
    let config = world.subscribe(bad, Subscription::Config);
    let commands = world.subscribe(bad, Subscription::Commands);
    let sent = world.publish_on(good, seconds(300));
    world.pass(HOUR);
    assert_eq!(world.ended(commands), Some(Err(SUSPECTED)));
    let granted = Outcome::Subscribed(QoS::AtLeastOnce);
    assert_eq!(world.ended(config), Some(Ok(granted)));
    for payload in &sent {
        assert!(world.delivered.contains(payload), "{payload}");
    }
    assert_eq!(world.ends.len(), 5);
    assert!(!world.is_takeover_told());

    // Not after a reconnect either, until the user asks again.
    world.end(TransportEnd::Broken);
    world.pass(HOUR);
    assert_eq!(world.ends.len(), 5);
    world.verdict = |_| Reaction::Answer;
    let commands = world.subscribe(bad, Subscription::Commands);
    world.serve();
    assert_eq!(world.ended(commands), Some(Ok(granted)));
}

#[test]
fn the_errors_topic_at_which_the_bridge_always_closes_is_told_unavailable() {
    let mut world = World::new(Options::default(), closes_at_errors);
    let own = world.harness.gateway.own_key();
    let op = world.harness.publish(own, "1");
    world.pass(HOUR);
    let failure = SUSPECTED;
    let told = Event::ErrorsTopicUnavailable { failure };
    let told = world.events.iter().filter(|event| **event == told);
    assert_eq!(told.count(), 1);
    assert_eq!(world.ended(op), Some(Ok(Outcome::Acknowledged)));
    assert_eq!(world.ends.len(), 5);
}

#[test]
fn a_link_that_breaks_at_every_large_message_fails_nothing() {
    let mut world = World::new(Options::default(), |packet| match packet {
        Sent::Publish { payload, .. } if payload.len() > 10_000 => Reaction::Break,
        _ => Reaction::Answer,
    });
    let own = world.harness.gateway.own_key();
    let large = world.harness.publish(own, &"x".repeat(20_000));
    world.pass(24 * HOUR);
    assert!(world.ends.len() > 100);
    assert_eq!(world.ended(large), None);
    world.verdict = |_| Reaction::Answer;
    world.pass(HOUR);
    assert_eq!(world.ended(large), Some(Ok(Outcome::Acknowledged)));
}

#[test]
fn what_is_in_flight_at_hang_ups_that_something_else_caused_is_delivered() {
    let mut world = World::new(Options::default(), |packet| match payload_of(packet) {
        Some(b"poison") => Reaction::Close,
        Some(payload) if payload.starts_with(b"innocent") => Reaction::Ignore,
        _ => Reaction::Answer,
    });
    let own = world.harness.gateway.own_key();
    let poison = world.harness.publish(own, "poison");
    let innocents = ["innocent 1", "innocent 2"];
    let innocent = innocents.map(|payload| world.harness.publish(own, payload));
    while world.ends.len() < 3 {
        world.pass(seconds(1));
    }
    world.verdict = closes_at_poison;
    world.pass(HOUR);
    for op in innocent {
        assert_eq!(world.ended(op), Some(Ok(Outcome::Acknowledged)));
    }
    assert_eq!(world.delivered, innocents);
    assert_eq!(world.ended(poison), Some(Err(SUSPECTED)));
}

#[test]
fn only_a_close_within_ten_seconds_of_the_hand_over_is_a_strike() {
    for (millis, is_suspect) in [(10_000, true), (10_001, false)] {
        let mut world = World::new(Options::default(), |packet| match payload_of(packet) {
            Some(_) => Reaction::Ignore,
            None => Reaction::Answer,
        });
        let own = world.harness.gateway.own_key();
        world.harness.publish(own, "1");
        world.serve();
        for _ in 0..3 {
            world.pass(Duration::from_millis(millis));
            world.end(TransportEnd::PeerClosed);
            while !world.is_up {
                world.pass(Duration::from_millis(1));
            }
        }
        // What is no suspect was sent at once.
        let in_flight = world.harness.gateway.stats().in_flight;
        assert_eq!(in_flight == 0, is_suspect, "{millis} ms");
    }
}

#[test]
fn a_close_long_after_the_hand_over_is_no_strike_although_reading_was_paused_meanwhile() {
    for is_read in [false, true] {
        let mut options = Options::default();
        options.max_events = 1;
        let mut harness = Harness::open(options);
        let innocent = harness.publish(harness.gateway.own_key(), "innocent");
        for _ in 0..3 {
            harness.sent();
            harness.lose_connection();
            harness.events();
            harness.redial();
        }
        for round in 0..5 {
            while !harness.sent_texts().contains(&"innocent".to_owned()) {
                harness.events();
                harness.wait(seconds(1));
            }
            pause_for_an_hour(&mut harness);
            if is_read {
                harness.events();
                harness.wait(seconds(1));
            }
            harness.lose_connection();
            assert_eq!(harness.ended(innocent), None, "round {round}");
            harness.redial();
        }
    }
}

/// Takes no events for an hour: the answer to what was sent before may lie unread.
fn pause_for_an_hour(harness: &mut Harness) {
    harness.wait(seconds(1));
    harness.deliver("/devices/x/events", "", None);
    assert!(!harness.gateway.wants_input());
    for _ in 0..360 {
        harness.wait(seconds(10));
        harness.sent();
    }
}

#[test]
fn an_answer_clears_the_strikes() {
    let mut world = World::new(Options::default(), closes_at_attach);
    let (bad, attach) = world.attach("bad");
    while world.ends.len() < 2 {
        world.pass(seconds(1));
    }
    world.verdict = |_| Reaction::Answer;
    world.pass(seconds(60));
    assert_eq!(world.ended(attach), Some(Ok(Outcome::Attached)));
    world.verdict = closes_at_attach;
    world.end(TransportEnd::Broken);
    let told = |world: &World| {
        let mut events = world.events.iter();
        events.any(|event| matches!(event, Event::Detached { device, .. } if *device == bad))
    };
    while !told(&world) {
        world.pass(seconds(1));
    }
    assert_eq!(world.ends.len(), 2 + 5);
}

#[test]
fn a_suspect_that_is_not_answered_is_alone_for_ten_seconds_and_keeps_no_other_from_its_trial() {
    let ignores: Verdict = |packet| match payload_of(packet) {
        Some(b"ignored") => Reaction::Ignore,
        _ => Reaction::Answer,
    };
    let mut world = World::new(Options::default(), |packet| match payload_of(packet) {
        Some(b"ignored" | b"innocent") => Reaction::Ignore,
        Some(b"poison") => Reaction::Close,
        _ => Reaction::Answer,
    });
    let own = world.harness.gateway.own_key();
    let ignored = world.harness.publish(own, "ignored");
    let innocent = world.harness.publish(own, "innocent");
    let poison = world.harness.publish(own, "poison");
    while world.ends.len() < 3 {
        world.pass(seconds(1));
    }
    world.verdict = ignores;
    let (good, _) = world.attach("good");
    let sent = world.publish_on(good, seconds(300));
    assert_eq!(world.ended(ignored), None);
    assert_eq!(world.ended(innocent), Some(Ok(Outcome::Acknowledged)));
    assert_eq!(world.ended(poison), Some(Ok(Outcome::Acknowledged)));
    for payload in &sent[..240] {
        assert!(world.delivered.contains(payload), "{payload}");
    }
}

#[test]
fn a_suspected_failure_is_final_and_never_certain() {
    assert_eq!(SUSPECTED.certainty(), Certainty::Suspected);
    assert_eq!(SUSPECTED.retry(), Retry::Never);
}
