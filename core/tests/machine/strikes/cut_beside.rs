//! Innocent publications beside what the bridge closes the connection at, when the transport takes little at a time.

use std::time::Duration;

use iotcore_gateway::{
    DeviceKey, Event, Failure, Options, Outcome, Priority, Publication, QoS, TransportEnd,
};

use super::{
    HOUR,
    world::{Reaction, World, payload_of},
};
use crate::peer::{Sent, seconds};

fn large(name: &str) -> String {
    format!("{name} {}", "x".repeat(40_000))
}

/// The bridge closes at "poison", which was handed over whole; the transport had half of what is large behind it.
/// Once nothing is poison on this connection any more, all of the large one is taken.
struct Link {
    world: World,
}

impl Link {
    /// Serves: hands over packets in turn; after a poison, the next large one is cut, and the peer closes.
    fn serve(&mut self) {
        let world = &mut self.world;
        loop {
            if world.harness.gateway.wants_transport() && !world.is_up {
                world.is_up = true;
                world.harness.transport_up();
            }
            let mut sent = Vec::new();
            let mut poisoned = false;
            loop {
                let bytes = world.harness.gateway.poll_transmit().to_vec();
                if bytes.is_empty() {
                    break;
                }
                let len = super::world::packet_len(&bytes);
                let packet = crate::peer::parse(&bytes[..len]).remove(0);
                let is_poison = match &packet {
                    Sent::Publish { topic, .. } if topic == "/devices/poison/attach" => true,
                    packet => payload_of(packet).is_some_and(|it| it.starts_with(b"poison")),
                };
                let is_cut = poisoned && len > 30_000;
                let now = world.harness.now;
                world
                    .harness
                    .gateway
                    .handle_transmitted(if is_cut { len / 2 } else { len }, now);
                poisoned |= is_poison;
                sent.push(packet);
                if is_cut {
                    break;
                }
            }
            if sent.is_empty() {
                break;
            }
            if poisoned {
                world.harness.wait(Duration::from_millis(10));
                world.end(TransportEnd::PeerClosed);
                world.ends.push(sent);
            } else {
                for packet in &sent {
                    world.answer(packet, Reaction::Answer);
                }
            }
        }
        let events = world.harness.events();
        world.events.extend(events);
    }

    fn pass(&mut self, duration: Duration) {
        let end = self.world.harness.now + duration;
        self.serve();
        while self
            .world
            .harness
            .gateway
            .poll_timeout()
            .is_some_and(|at| at <= end)
        {
            self.world.harness.step();
            self.serve();
        }
        let left = end - self.world.harness.now;
        self.world.harness.wait(left);
        self.serve();
    }
}

/// Returns how a large QoS 0 publication of `good` or the gateway itself ends beside poison.
fn end_of_an_innocent(
    poison_by: &[&str],
    is_urgent: bool,
    is_poison_an_attach: bool,
) -> Option<Result<Outcome, Failure>> {
    let world = World::new(Options::default(), |_| Reaction::Answer);
    let mut link = Link { world };
    let own = link.world.harness.gateway.own_key();
    let mut devices = std::collections::BTreeMap::new();
    for id in poison_by.iter().filter(|id| !id.is_empty()) {
        devices.insert(*id, link.world.attach(id).0);
    }
    link.world.harness.wait(seconds(1));
    let now = link.world.harness.now;
    if is_poison_an_attach {
        link.world.harness.begin_attach("poison");
    }
    let gateway = &mut link.world.harness.gateway;
    for id in poison_by {
        let device = devices.get(id).copied().unwrap_or(own);
        let mut poison = Publication::telemetry(device, "poison");
        if is_urgent {
            poison = poison.priority(Priority::Urgent);
        }
        gateway.publish(poison, now).unwrap();
    }
    let innocent = Publication::telemetry(own, large("innocent")).qos(QoS::AtMostOnce);
    let innocent = gateway.publish(innocent, now).unwrap();
    link.pass(HOUR);
    link.world.ended(innocent)
}

#[test]
fn a_large_qos_0_publication_behind_a_poisonous_one_of_the_same_device_is_transmitted() {
    let end = end_of_an_innocent(&[""], false, false);
    assert_eq!(end, Some(Ok(Outcome::Transmitted)));
}

#[test]
fn a_large_qos_0_publication_behind_an_urgent_poisonous_one_of_another_device_is_transmitted() {
    let end = end_of_an_innocent(&["bad"], true, false);
    assert_eq!(end, Some(Ok(Outcome::Transmitted)));
}

#[test]
fn a_large_qos_0_publication_behind_poison_of_four_devices_is_transmitted() {
    let end = end_of_an_innocent(&["aaa", "bbb", "ccc", "ddd"], false, false);
    assert_eq!(end, Some(Ok(Outcome::Transmitted)));
}

#[test]
fn a_large_qos_0_publication_behind_a_poisonous_attach_is_transmitted() {
    let end = end_of_an_innocent(&[], false, true);
    assert_eq!(end, Some(Ok(Outcome::Transmitted)));
}

fn closes_inside_poison(packet: &Sent) -> Reaction {
    match payload_of(packet) {
        Some(payload) if payload.starts_with(b"poison") => {
            Reaction::EndInside(Duration::from_millis(10), TransportEnd::PeerClosed)
        }
        _ => Reaction::Answer,
    }
}

#[test]
fn a_device_that_only_publishes_at_qos_0_goes_on_after_one_of_its_was_given_up() {
    let mut world = World::new(Options::default(), closes_inside_poison);
    let (bad, _) = world.attach("bad");
    let now = world.harness.now;
    let poison = Publication::telemetry(bad, "poison ".repeat(3_000)).qos(QoS::AtMostOnce);
    let poison = world.harness.gateway.publish(poison, now).unwrap();
    world.pass(seconds(120));
    assert_eq!(
        world.ended(poison),
        Some(Err(Failure::Suspected { connections: 5 }))
    );
    // Half an hour at one message in a second.
    let mut sent = Vec::new();
    for second in 0..1_800 {
        let now = world.harness.now;
        let next = Publication::telemetry(bad, format!("{second}")).qos(QoS::AtMostOnce);
        if let Ok(op) = world.harness.gateway.publish(next, now) {
            sent.push(op);
        }
        world.pass(seconds(1));
    }
    let ended = sent
        .iter()
        .filter(|op| world.ended(**op) == Some(Ok(Outcome::Transmitted)))
        .count();
    assert!(
        ended > 1_500,
        "{ended} of {} accepted were transmitted within half an hour",
        sent.len()
    );
}

#[test]
fn a_qos_0_device_of_which_one_was_given_up_delays_others_once() {
    let mut world = World::new(Options::default(), closes_inside_poison);
    let (bad, _) = world.attach("bad");
    let (good, _) = world.attach("good");
    let now = world.harness.now;
    let poison = Publication::telemetry(bad, "poison ".repeat(3_000)).qos(QoS::AtMostOnce);
    world.harness.gateway.publish(poison, now).unwrap();
    world.pass(seconds(120));
    let (mut worst, mut late) = (0, 0);
    for second in 0..1_800 {
        let now = world.harness.now;
        let next = Publication::telemetry(bad, format!("bad {second}")).qos(QoS::AtMostOnce);
        let _ = world.harness.gateway.publish(next, now);
        let op = world.harness.publish(good, &format!("good {second}"));
        let mut waited = 0;
        world.serve();
        while world.ended(op).is_none() {
            world.pass(seconds(1));
            waited += 1;
        }
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
        let now = world.harness.now;
        let poison = Publication::telemetry(device, "poison ".repeat(3_000)).qos(QoS::AtMostOnce);
        world.harness.gateway.publish(poison, now).unwrap();
    }
    world.pass(HOUR);
    assert!(!world.is_takeover_told(), "{} ends", world.ends.len());
}

#[test]
fn a_hang_up_inside_of_a_qos_0_publication_names_it() {
    let mut world = World::new(Options::default(), closes_inside_poison);
    let own = world.harness.gateway.own_key();
    let now = world.harness.now;
    let poison = Publication::telemetry(own, "poison ".repeat(3_000)).qos(QoS::AtMostOnce);
    let poison = world.harness.gateway.publish(poison, now).unwrap();
    world.pass(seconds(1));
    let ended = world.events.iter().find_map(|event| match event {
        Event::Disconnected(ended) => Some(ended.clone()),
        _ => None,
    });
    assert_eq!(ended.unwrap().suspects, [poison]);
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
    let state = |qos| move |bad| Publication::state(bad, "poison ".repeat(3_000)).qos(qos);
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
        let telemetry = Publication::telemetry(bad, "poison ".repeat(3_000));
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
    let mut poison = Vec::new();
    for number in 0..devices {
        let (device, _) = world.attach(&format!("bad-{number}"));
        let now = world.harness.now;
        let publication = Publication::telemetry(device, "poison ".repeat(3_000));
        let publication = publication.qos(qos);
        poison.push(world.harness.gateway.publish(publication, now).unwrap());
    }
    let began = world.harness.now;
    let (mut worst, mut all_ended) = (0, None);
    for second in 0..3_600 {
        let op = world.harness.publish(good, &format!("good {second}"));
        let mut waited = 0;
        world.serve();
        while world.ended(op).is_none() {
            world.pass(seconds(1));
            waited += 1;
        }
        worst = worst.max(waited);
        world.pass(seconds(1));
        if all_ended.is_none() && poison.iter().all(|op| world.ended(*op).is_some()) {
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
        assert!(at_qos_0 <= at_qos_1, "{at_qos_0:?} and {at_qos_1:?}");
    }
}

/// The service closes connections several times in a row when it is rolled out.
fn end_of_a_large_one_during_a_roll_out(qos: QoS) -> Option<Result<Outcome, Failure>> {
    let mut world = World::new(Options::default(), |_| Reaction::Answer);
    let own = world.harness.gateway.own_key();
    let now = world.harness.now;
    let publication = Publication::telemetry(own, large("innocent")).qos(qos);
    let op = world.harness.gateway.publish(publication, now).unwrap();
    world.verdict = |packet| match payload_of(packet) {
        Some(payload) if payload.len() > 1_000 => {
            Reaction::EndInside(Duration::from_secs(3), TransportEnd::PeerClosed)
        }
        _ => Reaction::Answer,
    };
    while world.ends.len() < 3 {
        world.pass(seconds(1));
    }
    world.verdict = |_| Reaction::Answer;
    world.pass(HOUR);
    world.ended(op)
}

#[test]
fn a_large_publication_outlives_three_closes_during_a_roll_out_at_any_qos() {
    let at_qos_1 = end_of_a_large_one_during_a_roll_out(QoS::AtLeastOnce);
    assert_eq!(at_qos_1, Some(Ok(Outcome::Acknowledged)));
    let at_qos_0 = end_of_a_large_one_during_a_roll_out(QoS::AtMostOnce);
    assert_eq!(at_qos_0, Some(Ok(Outcome::Transmitted)));
}
