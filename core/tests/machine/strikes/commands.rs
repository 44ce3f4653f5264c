//! Commands on suspects, which wait for their trial.

use std::time::Duration;

use iotcore_gateway::{
    DeviceAuth, DeviceKey, Event, Failure, OpId, Options, Outcome, Publication,
    auth::UnixTime,
    cause::TransportEnd,
    message::{QoS, Subscription},
};

use super::{
    super::peer::seconds,
    HOUR, SUSPECTED,
    world::{
        Reaction, World, closes_at_attach, closes_at_commands, closes_at_poison, ignores_bad,
        ignores_commands,
    },
};

/// Returns a gateway with one suspected publication of a device that is attached.
fn with_suspect(topic: fn(DeviceKey) -> Publication) -> (World, DeviceKey, OpId) {
    let mut world = World::new(Options::default(), closes_at_poison);
    let (device, _) = world.attach("bad");
    let now = world.harness.now;
    let op = world.harness.gateway.publish(topic(device), now).unwrap();
    while world.ends.len() < 3 {
        world.pass(seconds(1));
    }
    while !world.is_up {
        world.pass(Duration::from_millis(1));
    }
    (world, device, op)
}

fn poison(device: DeviceKey) -> Publication {
    Publication::telemetry(device, "poison")
}

#[test]
fn a_suspected_state_ends_superseded_by_a_newer_one() {
    let (mut world, device, suspect) = with_suspect(|device| Publication::state(device, "poison"));
    let newer = Publication::state(device, "newer");
    let now = world.harness.now;
    let newer = world.harness.gateway.publish(newer, now).unwrap();
    world.serve();
    assert_eq!(world.ended(suspect), Some(Err(Failure::Superseded)));
    world.pass(seconds(11));
    assert_eq!(world.ended(newer), Some(Ok(Outcome::Acknowledged)));
    world.pass(HOUR);
    assert_eq!(world.ends.len(), 3);
}

#[test]
fn a_device_goes_on_after_its_suspect_was_sent_at_qos_0() {
    let (mut world, device, _) = with_suspect(|device| Publication::state(device, "poison"));
    let waiting = world.harness.publish(device, "waiting");
    let newer = Publication::state(device, "newer").qos(QoS::AtMostOnce);
    let now = world.harness.now;
    let newer = world.harness.gateway.publish(newer, now).unwrap();
    world.pass(seconds(11));
    assert_eq!(world.ended(newer), Some(Ok(Outcome::Transmitted)));
    assert_eq!(world.ended(waiting), Some(Ok(Outcome::Acknowledged)));
}

#[test]
fn a_state_that_is_replaced_again_and_again_is_given_up_all_the_same() {
    let (mut world, device, suspect) = with_suspect(|device| Publication::state(device, "poison"));
    let mut ops = vec![suspect];
    for _ in 0..20 {
        let newer = Publication::state(device, "poison");
        let now = world.harness.now;
        ops.push(world.harness.gateway.publish(newer, now).unwrap());
        world.pass(seconds(10));
    }
    let ends: Vec<_> = ops.into_iter().filter_map(|op| world.ended(op)).collect();
    assert!(ends.contains(&Err(SUSPECTED)), "{ends:?}");
}

#[test]
fn a_suspect_ends_with_the_detach_of_its_device() {
    let (mut world, device, suspect) = with_suspect(poison);
    let now = world.harness.now;
    let detach = world.harness.gateway.detach(device, now).unwrap();
    world.pass(seconds(10));
    let ended = world.ended(suspect).unwrap();
    assert!(
        matches!(ended, Err(Failure::Detached | SUSPECTED)),
        "{ended:?}"
    );
    world.pass(seconds(60));
    assert_eq!(world.ended(detach), Some(Ok(Outcome::Detached)));
}

#[test]
fn a_suspected_attach_ends_with_the_detach_of_its_device() {
    let mut world = World::new(Options::default(), closes_at_attach);
    let (device, attach) = world.attach("bad");
    while world.ends.len() < 3 {
        world.pass(seconds(1));
    }
    let now = world.harness.now;
    let detach = world.harness.gateway.detach(device, now).unwrap();
    world.serve();
    assert_eq!(world.ended(attach), Some(Err(Failure::Detached)));
    assert_eq!(world.ended(detach), Some(Ok(Outcome::Detached)));
    world.pass(HOUR);
    assert_eq!(world.ends.len(), 3);
}

#[test]
fn an_expired_token_is_renewed_before_a_suspected_attach() {
    let mut world = World::new(Options::default(), closes_at_attach);
    let token = |world: &World, lasts| {
        let expires_at = world.harness.now + lasts;
        iotcore_gateway::auth::Token::new("a.b.c", expires_at).unwrap()
    };
    let unix_now = UnixTime::from_secs(1_795_374_000);
    let (id, first) = ("bad".try_into().unwrap(), token(&world, seconds(8)));
    let now = world.harness.now;
    let attaching = world
        .harness
        .gateway
        .attach(id, DeviceAuth::Token(first), unix_now, now);
    let (device, attach) = attaching.unwrap();
    while world.ends.len() < 3 {
        world.pass(seconds(1));
    }
    let needed = Event::TokenNeeded { device };
    while !world.events.contains(&needed) {
        world.pass(seconds(1));
    }
    assert_eq!(world.ends.len(), 3);
    let second = token(&world, HOUR);
    let now = world.harness.now;
    let gateway = &mut world.harness.gateway;
    gateway.authorize(device, second, unix_now, now).unwrap();
    world.pass(HOUR / 2);
    assert_eq!(world.ended(attach), Some(Err(SUSPECTED)));
    assert_eq!(world.ends.len(), 5);
}

#[test]
fn a_suspected_subscription_ends_unsubscribed() {
    let mut world = World::new(Options::default(), closes_at_commands);
    let own = world.harness.gateway.own_key();
    let subscribe = world.subscribe(own, Subscription::Commands);
    while world.ends.len() < 3 {
        world.pass(seconds(1));
    }
    let (commands, now) = (Subscription::Commands, world.harness.now);
    let gateway = &mut world.harness.gateway;
    let unsubscribe = gateway.unsubscribe(own, commands, now).unwrap();
    world.serve();
    assert_eq!(world.ended(subscribe), Some(Err(Failure::Superseded)));
    assert_eq!(world.ended(unsubscribe), Some(Ok(Outcome::Unsubscribed)));
    world.pass(HOUR);
    assert_eq!(world.ends.len(), 3);
}

#[test]
fn a_close_ends_suspects_with_their_payload() {
    let (mut world, _, suspect) = with_suspect(poison);
    let now = world.harness.now;
    let close = world.harness.gateway.close(now);
    world.pass(seconds(20));
    world.end(TransportEnd::HungUp);
    world.serve();
    assert_eq!(world.ended(suspect), Some(Err(Failure::Closed)));
    assert_eq!(world.ended(close), Some(Ok(Outcome::Closed)));
    let unsent = world.events.iter().find_map(|event| match event {
        Event::Closed { unsent } => Some(unsent.len()),
        _ => None,
    });
    assert_eq!(unsent, Some(1));
}

#[test]
fn a_close_does_not_wait_for_a_suspect() {
    let (mut world, _, suspect) = with_suspect(poison);
    let now = world.harness.now;
    world.harness.gateway.close(now);
    world.pass(seconds(1));
    assert!(!world.harness.gateway.is_open());
    world.end(TransportEnd::HungUp);
    world.serve();
    assert_eq!(world.ended(suspect), Some(Err(Failure::Closed)));
}

#[test]
fn a_suspected_subscription_that_is_ended_and_wanted_again_is_asked_for_on_the_same_connection() {
    let mut world = World::new(Options::default(), ignores_commands);
    let own = world.harness.gateway.own_key();
    world.subscribe(own, Subscription::Commands);
    world.hang_up_three_times();
    let (commands, now) = (Subscription::Commands, world.harness.now);
    let gateway = &mut world.harness.gateway;
    gateway.unsubscribe(own, commands, now).unwrap();
    world.verdict = |_| Reaction::Answer;
    world.end(TransportEnd::Broken);
    world.wait_for_connection();
    world.pass(seconds(60));
    let op = world.subscribe(own, Subscription::Commands);
    world.pass(seconds(60));
    let granted = Outcome::Subscribed(QoS::AtLeastOnce);
    assert_eq!(world.ended(op), Some(Ok(granted)));
}

#[test]
fn a_detach_during_the_trial_of_another_device_delivers_its_queue() {
    for pause in (0..60).step_by(3) {
        let mut options = Options::default();
        options.drain_timeout = seconds(11); // a trial takes ten
        let mut world = World::new(options, ignores_bad);
        world.attach("bad");
        let (good, _) = world.attach("good");
        world.hang_up_three_times();
        world.publish_on(good, seconds(pause));
        let op = world.harness.publish(good, "last words");
        let now = world.harness.now;
        let detach = world.harness.gateway.detach(good, now).unwrap();
        world.pass(seconds(30));
        let acknowledged = Some(Ok(Outcome::Acknowledged));
        assert_eq!(world.ended(op), acknowledged, "after {pause} s");
        assert_eq!(world.ended(detach), Some(Ok(Outcome::Detached)));
    }
}
