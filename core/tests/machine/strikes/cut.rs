//! A bridge that closes the connection at a packet of which the transport has taken a part.

use std::time::Duration;

use iotcore_gateway::{
    DeviceKey, Failure, OpId, Options, Outcome, Publication, cause::TransportEnd, message::QoS,
};

use super::{
    HOUR, SUSPECTED,
    world::{Reaction, Verdict, World, closes_at_attach, payload_of},
};
use crate::peer::{Sent, seconds};

pub(super) fn ends_inside_poison(packet: &Sent, after_ms: u64, end: TransportEnd) -> Reaction {
    match payload_of(packet) {
        Some(payload) if payload.starts_with(b"poison") => {
            Reaction::EndInside(Duration::from_millis(after_ms), end)
        }
        _ => Reaction::Answer,
    }
}

pub(super) fn closes_inside_poison(packet: &Sent) -> Reaction {
    ends_inside_poison(packet, 10, TransportEnd::PeerClosed)
}

fn closes_inside_attach(packet: &Sent) -> Reaction {
    match closes_at_attach(packet) {
        Reaction::Close => Reaction::EndInside(Duration::ZERO, TransportEnd::PeerClosed),
        other => other,
    }
}

pub(super) fn publish(world: &mut World, device: DeviceKey, payload: String, qos: QoS) -> OpId {
    let publication = Publication::telemetry(device, payload).qos(qos);
    let now = world.harness.now;
    world.harness.gateway.publish(publication, now).unwrap()
}

/// Returns a payload at which the bridge closes that [`closes_inside_poison`].
pub(super) fn poison() -> String {
    "poison ".repeat(3_000)
}

/// Returns a payload that most sockets take in parts.
pub(super) fn large(name: &str) -> String {
    format!("{name} {}", "x".repeat(40_000))
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

/// The service closes connections several times in a row when it is rolled out.
fn end_of_a_large_one_during_a_roll_out(qos: QoS) -> Option<Result<Outcome, Failure>> {
    let mut world = World::new(Options::default(), |_| Reaction::Answer);
    let own = world.harness.gateway.own_key();
    let op = publish(&mut world, own, large("innocent"), qos);
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
