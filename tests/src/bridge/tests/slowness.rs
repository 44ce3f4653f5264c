//! Faults that make the bridge, or the link to it, slow.

use super::super::service::Service;
use super::packets::{PINGREQ, Received, publish, subscribe};
use super::*;

fn gateway() -> (Harness, ConnectionId) {
    let mut harness = Harness::new(AuthMethod::AssociationOnly);
    let connection = harness.gateway(&["dev1"]);
    harness.events();
    (harness, connection)
}

fn inject(harness: &mut Harness, line: &str) {
    harness
        .bridge
        .inject(line.parse().unwrap(), harness.now)
        .unwrap();
}

fn telemetry(packet_id: u16, length: usize) -> Vec<u8> {
    publish("/devices/dev1/events", 1, packet_id, &vec![b'x'; length])
}

#[test]
fn an_injected_service_is_replaced_by_the_one_before_when_it_is_cleared() {
    let (mut harness, gateway) = gateway();
    let usual = Service::one_queue().publish(seconds(1));
    harness.bridge.set_service(usual.clone(), harness.now);
    inject(&mut harness, "service publish=50s");
    inject(&mut harness, "service publish=100s");
    assert_eq!(harness.send(gateway, &telemetry(10, 1)), []);
    harness.pass(seconds(99));
    assert_eq!(harness.read(gateway), []);
    inject(&mut harness, "clear --client gateway");
    assert_eq!(harness.bridge.service().to_string(), "publish=100s");
    inject(&mut harness, "clear");
    assert_eq!(*harness.bridge.service(), usual);
    assert_eq!(harness.read(gateway), []);
    harness.pass(seconds(1));
    assert_eq!(harness.read(gateway), [Received::Puback(10)]);
}

#[test]
fn a_service_cannot_be_injected_for_one_client() {
    let (mut harness, _) = gateway();
    let mut fault: crate::Fault = "service ping=1s".parse().unwrap();
    fault.client = Some("gateway".to_owned());
    let error = harness.bridge.inject(fault, harness.now).unwrap_err();
    assert!(error.to_string().contains("\"gateway\""), "{error}");
    assert!(harness.bridge.service().is_default());
}

#[test]
fn a_stall_can_be_limited_to_a_client_and_ended() {
    let (mut harness, gateway) = gateway();
    let solo = harness.connect("solo");
    inject(&mut harness, "stall 5000 --client gateway");
    assert_eq!(harness.send(gateway, PINGREQ), []);
    assert_eq!(harness.send(solo, PINGREQ), [Received::Pingresp]);
    harness.pass(seconds(5));
    assert_eq!(harness.read(gateway), [Received::Pingresp]);
    inject(&mut harness, "stall 5000");
    assert_eq!(harness.send(gateway, PINGREQ), []);
    assert_eq!(harness.send(solo, PINGREQ), []);
    inject(&mut harness, "clear");
    assert_eq!(harness.read(gateway), [Received::Pingresp]);
    assert_eq!(harness.read(solo), [Received::Pingresp]);
}

#[test]
fn a_slow_link_to_the_bridge_carries_at_its_rate_and_asks_for_no_more() {
    let (mut harness, gateway) = gateway();
    inject(&mut harness, "rate up 1000");
    assert!(harness.bridge.wants_input(gateway));
    assert_eq!(harness.send(gateway, &telemetry(10, 10_000)), []);
    assert!(!harness.bridge.wants_input(gateway));
    harness.pass(Duration::from_millis(9_900));
    assert_eq!(harness.read(gateway), []);
    harness.pass(Duration::from_millis(100));
    assert_eq!(harness.read(gateway), [Received::Puback(10)]);
    assert!(harness.bridge.wants_input(gateway));
    harness.pass(seconds(10));
    let answers = harness.send(gateway, PINGREQ);
    assert_eq!(
        answers,
        [Received::Pingresp],
        "an idle link carries a little at once"
    );
}

#[test]
fn a_slow_link_to_the_client_carries_at_its_rate() {
    let (mut harness, gateway) = gateway();
    let config = subscribe(9, &[("/devices/dev1/config", 0)]);
    harness.send(gateway, &config);
    inject(&mut harness, "rate down 1000 --client gateway");
    harness
        .bridge
        .send_config("dev1", vec![b'x'; 10_000], harness.now)
        .unwrap();
    let mut pieces = Vec::new();
    let end = harness.now + seconds(9);
    while harness.now < end {
        let piece = harness.bridge.poll_transmit(gateway).len();
        harness
            .bridge
            .handle_transmitted(gateway, piece, harness.now);
        pieces.push(piece);
        let due = harness.bridge.poll_timeout().unwrap();
        harness.tick(due);
    }
    assert!(pieces.iter().all(|piece| *piece == 100), "{pieces:?}");
    assert!((90..=92).contains(&pieces.len()), "{}", pieces.len());
    let piece = harness.bridge.poll_transmit(gateway).len();
    assert_eq!(piece, 100);
    inject(&mut harness, "clear");
    assert!(
        harness.bridge.poll_transmit(gateway).len() > 800,
        "all that is left"
    );
}

#[test]
fn what_waits_for_a_slow_link_is_still_sent_after_the_end_of_the_connection() {
    let (mut harness, gateway) = gateway();
    inject(&mut harness, "rate down 10");
    let input = [&telemetry(10, 1)[..], PINGREQ, &[0xE0, 0]].concat();
    harness.bridge.handle_input(gateway, &input, harness.now);
    let (mut answers, mut ticks) = (Vec::new(), 0);
    loop {
        let byte = harness.bridge.poll_transmit(gateway).to_vec();
        harness
            .bridge
            .handle_transmitted(gateway, byte.len(), harness.now);
        assert!(byte.len() <= 1);
        answers.extend_from_slice(&byte);
        if !byte.is_empty() {
            continue;
        }
        if !harness.bridge.wants_transport(gateway) {
            break;
        }
        let due = harness.bridge.poll_timeout().unwrap();
        harness.tick(due);
        ticks += 1;
    }
    assert_eq!(ticks, 5, "6 bytes, the first at once");
    assert_eq!(
        packets::parse(&answers),
        [Received::Puback(10), Received::Pingresp]
    );
}

#[test]
fn packets_that_a_slow_link_held_back_go_on_when_it_is_cleared() {
    let (mut harness, gateway) = gateway();
    inject(&mut harness, "rate up 1");
    harness.send(gateway, &telemetry(10, 10_000));
    harness.pass(seconds(1));
    inject(&mut harness, "clear");
    assert_eq!(harness.read(gateway), [Received::Puback(10)]);
}
