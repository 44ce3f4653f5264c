//! A bridge that closes the connection at a packet of which the transport has taken a part.

use std::time::Duration;

use iotcore_gateway::{DeviceKey, Failure, OpId, Options, Outcome, Publication, QoS, TransportEnd};

use super::{
    HOUR, SUSPECTED,
    world::{Reaction, Verdict, World, closes_at_attach, payload_of},
};
use crate::peer::{Sent, seconds};

fn ends_inside_poison(packet: &Sent, after_ms: u64, end: TransportEnd) -> Reaction {
    match payload_of(packet) {
        Some(payload) if payload.starts_with(b"poison") => {
            Reaction::EndInside(Duration::from_millis(after_ms), end)
        }
        _ => Reaction::Answer,
    }
}

fn closes_inside_poison(packet: &Sent) -> Reaction {
    ends_inside_poison(packet, 10, TransportEnd::PeerClosed)
}

fn closes_inside_attach(packet: &Sent) -> Reaction {
    match closes_at_attach(packet) {
        Reaction::Close => Reaction::EndInside(Duration::ZERO, TransportEnd::PeerClosed),
        other => other,
    }
}

fn publish(world: &mut World, device: DeviceKey, payload: String, qos: QoS) -> OpId {
    let publication = Publication::telemetry(device, payload).qos(qos);
    let now = world.harness.now;
    world.harness.gateway.publish(publication, now).unwrap()
}

fn poison() -> String {
    "poison ".repeat(3_000)
}

#[test]
fn a_publication_inside_of_which_the_bridge_closes_fails_suspected_and_the_others_are_delivered() {
    let mut world = World::new(Options::default(), closes_inside_poison);
    let (bad, _) = world.attach("bad");
    let (good, _) = world.attach("good");
    let guilty = publish(&mut world, bad, poison(), QoS::AtLeastOnce);
    let after = world.harness.publish(bad, "after");
    let sent = world.publish_on(good, seconds(600));
    world.pass(HOUR);

    assert_eq!(world.ended(guilty), Some(Err(SUSPECTED)));
    assert_eq!(world.ended(after), Some(Ok(Outcome::Acknowledged)));
    for payload in &sent {
        assert!(world.delivered.contains(payload), "{payload}");
    }
    assert_eq!(world.ends.len(), 5);
    assert!(!world.is_takeover_told());
}

#[test]
fn an_attach_inside_of_which_the_bridge_closes_fails_suspected() {
    let mut world = World::new(Options::default(), closes_inside_attach);
    let (_, attach) = world.attach("bad");
    world.pass(HOUR);
    assert_eq!(world.ended(attach), Some(Err(SUSPECTED)));
    assert_eq!(world.ends.len(), 5);
}

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

/// Returns how a packet ends inside of which ten connections end, so long after the transport has taken a part.
fn end_of_a_packet_cut_ten_times(verdict: Verdict) -> Option<Result<Outcome, Failure>> {
    let mut world = World::new(Options::default(), verdict);
    let own = world.harness.gateway.own_key();
    let op = publish(&mut world, own, poison(), QoS::AtLeastOnce);
    while world.ends.len() < 10 && world.ended(op).is_none() {
        world.pass(seconds(1));
    }
    world.verdict = |_| Reaction::Answer;
    world.pass(HOUR);
    world.ended(op)
}

#[test]
fn a_close_inside_a_packet_is_a_strike_for_ten_seconds() {
    let end = end_of_a_packet_cut_ten_times(|packet| {
        ends_inside_poison(packet, 10_000, TransportEnd::PeerClosed)
    });
    assert_eq!(end, Some(Err(SUSPECTED)));
    let end = end_of_a_packet_cut_ten_times(|packet| {
        ends_inside_poison(packet, 10_001, TransportEnd::PeerClosed)
    });
    assert_eq!(end, Some(Ok(Outcome::Acknowledged)));
}

#[test]
fn a_link_that_breaks_inside_a_packet_is_no_strike() {
    let end =
        end_of_a_packet_cut_ten_times(|packet| ends_inside_poison(packet, 0, TransportEnd::Broken));
    assert_eq!(end, Some(Ok(Outcome::Acknowledged)));
}
