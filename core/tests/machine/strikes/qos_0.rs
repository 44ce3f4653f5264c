//! Publications at QoS 0, which nothing answers, and a bridge that closes the connection before the transport has taken all
//! of them.

use std::time::Duration;

use iotcore_gateway::{
    DeviceKey, Event, Failure, OpId, Options, Outcome, Publication,
    message::{Priority, QoS},
};

use super::{
    HOUR, SUSPECTED,
    cut::{closes_inside_poison, large, poison, publish},
    world::{Reaction, World, closes_at_attach, payload_of},
};
use crate::peer::{Sent, seconds};

#[test]
fn a_qos_0_publication_inside_of_which_the_bridge_closes_fails_suspected_and_the_others_are_delivered()
 {
    let mut world = World::new(Options::default(), closes_inside_poison);
    let (bad, _) = world.attach("bad");
    let (good, _) = world.attach("good");
    let guilty = publish(&mut world, bad, poison(), QoS::AtMostOnce);
    let after = publish(&mut world, bad, "after".into(), QoS::AtMostOnce);
    let sent = world.publish_on(good, seconds(300));
    world.pass(HOUR);

    assert_eq!(world.ended(guilty), Some(Err(SUSPECTED)));
    assert_eq!(world.ended(after), Some(Ok(Outcome::Transmitted)));
    for payload in &sent {
        assert!(world.delivered.contains(payload), "{payload}");
    }
    assert_eq!(world.ends.len(), 5);
}

#[test]
fn every_qos_0_publication_inside_of_which_the_bridge_closes_is_given_up_and_stops_no_other() {
    let mut world = World::new(Options::default(), closes_inside_poison);
    let (bad, _) = world.attach("bad");
    let (good, _) = world.attach("good");
    let guilty = [(); 5].map(|()| publish(&mut world, bad, poison(), QoS::AtMostOnce));
    let sent = world.publish_on(good, seconds(300));
    world.pass(HOUR);

    for op in guilty {
        let end = world.ended(op);
        assert!(
            matches!(end, Some(Err(Failure::Suspected { .. }))),
            "{end:?}"
        );
    }
    for payload in &sent {
        assert!(world.delivered.contains(payload), "{payload}");
    }
}

/// Closes behind what is poison, and behind the attach of `bad`.
fn closes_behind(packet: &Sent) -> Reaction {
    let is_poison = payload_of(packet).is_some_and(|payload| payload.starts_with(b"poison"));
    match is_poison || closes_at_attach(packet) == Reaction::Close {
        true => Reaction::CloseBehind,
        false => Reaction::Answer,
    }
}

/// Asserts that a large publication at QoS 0 is transmitted that waits behind what these commands ask for.
fn assert_innocent(ask: impl Fn(&mut World)) {
    let mut world = World::new(Options::default(), closes_behind);
    let own = world.harness.gateway.own_key();
    ask(&mut world);
    let innocent = publish(&mut world, own, large("innocent"), QoS::AtMostOnce);
    world.pass(HOUR);
    assert!(world.ends.len() >= 3, "{}", world.ends.len());
    assert_eq!(world.ended(innocent), Some(Ok(Outcome::Transmitted)));
}

#[test]
fn a_large_one_behind_poison_of_the_same_device_is_transmitted() {
    assert_innocent(|world| {
        let own = world.harness.gateway.own_key();
        world.harness.publish(own, "poison");
    });
}

#[test]
fn a_large_one_behind_urgent_poison_of_another_device_is_transmitted() {
    assert_innocent(|world| {
        let (device, _) = world.attach("other");
        let poison = Publication::telemetry(device, "poison").priority(Priority::Urgent);
        let now = world.harness.now;
        world.harness.gateway.publish(poison, now).unwrap();
    });
}

#[test]
fn a_large_one_behind_poison_of_four_devices_is_transmitted() {
    assert_innocent(|world| {
        let devices = ["aaa", "bbb", "ccc", "ddd"].map(|id| world.attach(id).0);
        for device in devices {
            world.harness.publish(device, "poison");
        }
    });
}

#[test]
fn a_large_one_behind_a_poisonous_attach_is_transmitted() {
    assert_innocent(|world| {
        world.harness.begin_attach("bad");
    });
}

#[test]
fn a_device_that_only_publishes_at_qos_0_goes_on_after_one_of_its_was_given_up() {
    let mut world = World::new(Options::default(), closes_inside_poison);
    let (bad, _) = world.attach("bad");
    let guilty = publish(&mut world, bad, poison(), QoS::AtMostOnce);
    world.pass(seconds(120));
    assert_eq!(world.ended(guilty), Some(Err(SUSPECTED)));
    // Half an hour at one message in a second.
    let mut sent = Vec::new();
    for second in 0..1_800 {
        sent.push(publish(
            &mut world,
            bad,
            second.to_string(),
            QoS::AtMostOnce,
        ));
        world.pass(seconds(1));
    }
    let is_transmitted = |op: &&OpId| world.ended(**op) == Some(Ok(Outcome::Transmitted));
    let transmitted = sent.iter().filter(is_transmitted).count();
    assert!(transmitted > 1_500, "{transmitted} within half an hour");
}

#[test]
fn a_qos_0_device_of_which_one_was_given_up_delays_others_once() {
    let mut world = World::new(Options::default(), closes_inside_poison);
    let (bad, _) = world.attach("bad");
    let (good, _) = world.attach("good");
    publish(&mut world, bad, poison(), QoS::AtMostOnce);
    world.pass(seconds(120));
    let (mut worst, mut late) = (0, 0);
    for second in 0..1_800 {
        publish(&mut world, bad, format!("bad {second}"), QoS::AtMostOnce);
        let op = world.harness.publish(good, &format!("good {second}"));
        let waited = wait_for(&mut world, op);
        worst = worst.max(waited);
        late += u32::from(waited > 1);
        world.pass(seconds(1));
    }
    assert!(
        late <= 1 && worst <= 9,
        "worst {worst} s, {late} late of 1800"
    );
}

#[test]
fn qos_0_poison_of_several_devices_is_no_takeover() {
    let mut world = World::new(Options::default(), closes_inside_poison);
    for name in ["one", "two", "three", "four"] {
        let (device, _) = world.attach(name);
        publish(&mut world, device, poison(), QoS::AtMostOnce);
    }
    world.pass(HOUR);
    assert!(!world.is_takeover_told(), "{} ends", world.ends.len());
}

#[test]
fn a_hang_up_inside_of_a_qos_0_publication_names_it() {
    let mut world = World::new(Options::default(), closes_inside_poison);
    let own = world.harness.gateway.own_key();
    let guilty = publish(&mut world, own, poison(), QoS::AtMostOnce);
    world.pass(seconds(1));
    let ended = world.events.iter().find_map(|event| match event {
        Event::Disconnected(ended) => Some(ended.clone()),
        _ => None,
    });
    assert_eq!(ended.unwrap().suspects, [guilty]);
}

/// Serves until an operation has ended; returns how many seconds that takes.
fn wait_for(world: &mut World, op: OpId) -> u64 {
    world.serve();
    let mut waited = 0;
    while world.ended(op).is_none() {
        world.pass(seconds(1));
        waited += 1;
    }
    waited
}

/// Returns how many connections a device ends in ten minutes that publishes poison again and again, each of which ends soon.
fn ends_of_ending_poison(next: impl Fn(DeviceKey) -> Publication) -> usize {
    let mut world = World::new(Options::default(), closes_inside_poison);
    let (bad, _) = world.attach("bad");
    for _ in 0..600 {
        let now = world.harness.now;
        let _ = world.harness.gateway.publish(next(bad), now);
        world.pass(seconds(1));
    }
    world.ends.len()
}

#[test]
fn states_at_qos_0_that_replace_each_other_are_found_out_like_those_at_qos_1() {
    let state = |qos| move |bad| Publication::state(bad, poison()).qos(qos);
    let at_qos_1 = ends_of_ending_poison(state(QoS::AtLeastOnce));
    let at_qos_0 = ends_of_ending_poison(state(QoS::AtMostOnce));
    assert!(
        at_qos_0 <= at_qos_1,
        "{at_qos_0} and {at_qos_1} connections"
    );
}

#[test]
fn publications_at_qos_0_that_expire_soon_are_found_out() {
    let ends = ends_of_ending_poison(|bad| {
        let telemetry = Publication::telemetry(bad, poison());
        telemetry
            .qos(QoS::AtMostOnce)
            .expires_after(Duration::from_millis(500))
    });
    assert!(ends < 20, "{ends} connections in ten minutes");
}

/// Returns how many connections poison of so many devices ends, how many seconds a healthy one waited at worst, and until when
/// all were given up.
fn cost_of_poison(devices: usize, qos: QoS) -> (usize, u64, Option<Duration>) {
    let mut world = World::new(Options::default(), closes_inside_poison);
    let (good, _) = world.attach("good");
    let mut guilty = Vec::new();
    for number in 0..devices {
        let (device, _) = world.attach(&format!("bad-{number}"));
        guilty.push(publish(&mut world, device, poison(), qos));
    }
    let began = world.harness.now;
    let (mut worst, mut all_ended) = (0, None);
    for second in 0..3_600 {
        let op = world.harness.publish(good, &format!("good {second}"));
        let waited = wait_for(&mut world, op);
        worst = worst.max(waited);
        world.pass(seconds(1));
        if all_ended.is_none() && guilty.iter().all(|op| world.ended(*op).is_some()) {
            all_ended = Some(world.harness.now - began);
            break;
        }
    }
    (world.ends.len(), worst, all_ended)
}

#[test]
fn qos_0_poison_of_several_devices_costs_no_more_than_at_qos_1() {
    for devices in [1, 3, 10] {
        let at_qos_1 = cost_of_poison(devices, QoS::AtLeastOnce);
        let at_qos_0 = cost_of_poison(devices, QoS::AtMostOnce);
        let is_less = at_qos_0.0 <= at_qos_1.0 && at_qos_0.1 <= at_qos_1.1;
        let has_ended = at_qos_0.2.is_some() && at_qos_0.2 <= at_qos_1.2;
        assert!(is_less && has_ended, "{at_qos_0:?} and {at_qos_1:?}");
    }
}
