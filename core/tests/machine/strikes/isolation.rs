//! What a healthy device delivers beside one that the bridge closes connections for, or does not answer.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use iotcore_gateway::{DeviceKey, Event, Failure, Options, Publication, message::Subscription};

use super::{
    super::peer::{Sent, seconds},
    HOUR,
    world::{Reaction, Verdict, World, ignores_bad, ignores_commands},
};

/// What became of the messages of a device that publishes one a second.
#[derive(Clone, Copy, Debug, Default)]
struct Healthy {
    published: u64,
    /// How many were delivered within a second.
    at_once: u64,
    /// How many were delivered within a minute.
    in_time: u64,
    /// The longest that one took.
    worst: Duration,
}

impl Healthy {
    /// Asserts that nearly all was delivered, and nothing waited much longer than for one trial.
    fn assert_isolated(self) {
        assert!(self.in_time * 10 >= self.published * 9, "{self:?}");
        assert!(self.worst <= seconds(45), "{self:?}");
    }
}

/// Publishes on the healthy device for so long. Calls `trouble` before each message.
fn publish_beside(
    world: &mut World,
    healthy: DeviceKey,
    duration: Duration,
    mut trouble: impl FnMut(&mut World, u64),
) -> Healthy {
    let mut run = Healthy::default();
    let mut waiting: BTreeMap<String, Instant> = BTreeMap::new();
    for second in 0..duration.as_secs() {
        trouble(world, second);
        let now = world.harness.now;
        let payload = format!("healthy {second}");
        let publication = Publication::telemetry(healthy, payload.clone());
        run.published += 1;
        if world.harness.gateway.publish(publication, now).is_ok() {
            waiting.insert(payload, now);
        }
        let seen = world.delivered.len();
        world.pass(seconds(1));
        for payload in &world.delivered[seen..] {
            if let Some(since) = waiting.remove(payload) {
                let took = world.harness.now - since;
                run.at_once += u64::from(took <= seconds(1));
                run.in_time += u64::from(took <= seconds(60));
                run.worst = run.worst.max(took);
            }
        }
    }
    let oldest = waiting.values().map(|since| world.harness.now - *since);
    run.worst = run.worst.max(oldest.max().unwrap_or_default());
    run
}

/// Returns how many operations were given up as suspected.
fn given_up(world: &World) -> usize {
    let is_given_up = |event: &&Event| {
        matches!(
            event,
            Event::Failed {
                failure: Failure::Suspected { .. },
                ..
            }
        )
    };
    world.events.iter().filter(is_given_up).count()
}

fn is_of_bad(packet: &Sent) -> bool {
    matches!(packet, Sent::Publish { topic, .. } if topic.starts_with("/devices/bad"))
}

fn is_attach(packet: &Sent) -> bool {
    matches!(packet, Sent::Publish { topic, .. } if topic.ends_with("/attach"))
}

fn closes_at_bad(packet: &Sent) -> Reaction {
    match is_of_bad(packet) && !is_attach(packet) {
        true => Reaction::Close,
        false => Reaction::Answer,
    }
}

fn closes_in_turn_at_bad(packet: &Sent) -> Reaction {
    match closes_at_bad(packet) {
        Reaction::Close => Reaction::CloseInTurn,
        reaction => reaction,
    }
}

fn closes_in_turn_at_bad_attaches(packet: &Sent) -> Reaction {
    match is_of_bad(packet) && is_attach(packet) {
        true => Reaction::CloseInTurn,
        false => Reaction::Answer,
    }
}

/// Publishes poison every so many seconds beside a healthy device.
fn assert_isolated_from_poison(poison: fn(DeviceKey, String) -> Publication) {
    for verdict in [closes_at_bad as Verdict, closes_in_turn_at_bad] {
        for interval in [10, 60, 300] {
            let mut world = World::new(Options::default(), verdict);
            let (bad, _) = world.attach("bad");
            let (good, _) = world.attach("good");
            let run = publish_beside(&mut world, good, HOUR, |world, second| {
                if second % interval == 0 {
                    let now = world.harness.now;
                    let poison = poison(bad, format!("poison {second}"));
                    // Its queue may be full.
                    let _ = world.harness.gateway.publish(poison, now);
                }
            });
            run.assert_isolated();
            assert!(given_up(&world) > 1, "every {interval} s");
            assert!(world.ends.len() < 30, "{}", world.ends.len());
            assert!(!world.is_takeover_told());
        }
    }
}

#[test]
fn a_device_whose_every_message_is_poison_stops_no_other() {
    assert_isolated_from_poison(Publication::telemetry);
}

#[test]
fn a_device_whose_every_state_is_poison_stops_no_other() {
    assert_isolated_from_poison(Publication::state);
}

#[test]
fn a_queue_full_of_poison_stops_no_other() {
    for verdict in [closes_at_bad as Verdict, closes_in_turn_at_bad] {
        let mut world = World::new(Options::default(), verdict);
        let (bad, _) = world.attach("bad");
        let (good, _) = world.attach("good");
        for number in 0..300 {
            world.harness.publish(bad, &format!("poison {number}"));
        }
        let run = publish_beside(&mut world, good, HOUR, |_, _| {});
        run.assert_isolated();
        assert!(given_up(&world) > 1);
        assert!(world.ends.len() < 30, "{}", world.ends.len());
    }
}

#[test]
fn twenty_poisonous_attaches_cost_two_connections_each_and_stop_no_other_device() {
    let mut world = World::new(Options::default(), closes_in_turn_at_bad_attaches);
    let (good, _) = world.attach("good");
    for number in 0..20 {
        world.attach(&format!("bad-{number}"));
    }
    let run = publish_beside(&mut world, good, HOUR, |_, _| {});
    run.assert_isolated();
    assert_eq!(given_up(&world), 20);
    assert!(world.ends.len() <= 5 + 2 * 20, "{}", world.ends.len());
}

#[test]
fn a_suspected_attach_that_is_never_answered_delays_no_other_device_for_long() {
    let mut world = World::new(Options::default(), ignores_bad);
    world.attach("bad");
    let (good, _) = world.attach("good");
    world.hang_up_three_times();
    assert_hardly_delayed(&mut world, good);
}

#[test]
fn a_suspected_subscription_that_is_never_answered_delays_no_publication_for_long() {
    let mut world = World::new(Options::default(), ignores_commands);
    let (good, _) = world.attach("good");
    world.subscribe(good, Subscription::Commands);
    world.hang_up_three_times();
    assert_hardly_delayed(&mut world, good);
}

/// Asserts that a device waits for one trial, and not again and again.
fn assert_hardly_delayed(world: &mut World, device: DeviceKey) {
    let run = publish_beside(world, device, HOUR, |_, _| {});
    run.assert_isolated();
    assert!(run.at_once * 20 >= run.published * 19, "{run:?}");
}
