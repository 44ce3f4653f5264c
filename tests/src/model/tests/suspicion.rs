//! Suspects, and tokens that are asked for.

use iotcore_gateway::{
    auth::{Token, UnixTime},
    cause::TransportEnd,
};

use super::*;

/// Opens a new connection.
fn connect(world: &mut World) {
    let connection = Link::new(Options::default()).bridge.accept(world.now);
    world.observe(Observation::Dialed(connection)).unwrap();
    let connect = [0x10, 0];
    world.observe(Observation::Transmitted(&connect)).unwrap();
    world
        .observe(Observation::Received(&packets::connack(0)))
        .unwrap();
}

/// Writes a PUBLISH of a publication on a new connection, on which the peer then hangs up, or answers.
fn send(world: &mut World, number: u32, is_answered: bool) {
    connect(world);
    let payload = payload(number, 0);
    let topic = "/devices/gateway-1/events";
    let publish = packets::publish(topic, payload.as_bytes(), Some(7), false);
    world.observe(Observation::Transmitted(&publish)).unwrap();
    if is_answered {
        world
            .observe(Observation::Received(&packets::puback(7)))
            .unwrap();
    }
    let end = TransportEnd::PeerClosed;
    world.observe(Observation::Disconnected(end)).unwrap();
}

#[test]
fn a_suspect_that_cost_fewer_connections_than_it_takes_is_found() {
    let suspected = |hang_ups: &[bool], connections| {
        let mut world = World::new();
        let (number, op) = world.publish(false, QoS::AtLeastOnce);
        for is_answered in hang_ups {
            send(&mut world, number, *is_answered);
        }
        world.event(Event::Failed {
            op,
            device: world.gateway.own_key(),
            failure: Failure::Suspected { connections },
            unsent: None,
        })
    };
    assert_eq!(suspected(&[false; 5], 5), Ok(()));
    assert_eq!(suspected(&[false; 4], 4), Err(Rule::Delivery));
    assert_eq!(suspected(&[false; 5], 6), Err(Rule::Delivery));
    let answered = [false, false, true, false, false, false];
    assert_eq!(suspected(&answered, 5), Err(Rule::Delivery));
}

#[test]
fn a_token_that_is_needed_although_the_last_is_good_is_found() {
    let needed = |prepare: fn(&mut World)| {
        let mut world = World::new();
        let device = world.gateway.own_key();
        world.model.know(device, 1);
        let date = UnixTime::from_secs(1_000_000);
        world
            .model
            .set_date(Duration::from_secs(date.as_secs()), world.now);
        let lifetime = Duration::from_secs(60);
        let token = Token::new("eyJ.eyJ.c2ln", world.now + lifetime).unwrap();
        let token = token.with_lifetime(date, date.saturating_add(lifetime));
        let now = world.now;
        world.model.give(1, Some(token), lifetime, now);
        prepare(&mut world);
        world.event(Event::TokenNeeded { device })
    };
    assert_eq!(needed(|_| ()), Err(Rule::Progress));
    assert_eq!(needed(|world| world.now += Duration::from_secs(60)), Ok(()));
    assert_eq!(needed(|world| world.model.report(1)), Ok(()));
    assert_eq!(
        needed(|world| world.model.need_no_token(1)),
        Err(Rule::Progress)
    );
    fn learn(world: &mut World, seconds: u64) {
        let now = world.now;
        world.model.set_date(Duration::from_secs(seconds), now);
        world.model.learn_date(now);
    }
    assert_eq!(needed(|world| learn(world, 1_000_059)), Err(Rule::Progress));
    assert_eq!(needed(|world| learn(world, 1_000_060)), Ok(()));
    assert_eq!(needed(|world| learn(world, 999_399)), Ok(()));
    assert_eq!(needed(|world| learn(world, 999_400)), Err(Rule::Progress));
}

#[test]
fn hang_ups_inside_a_publication_count_at_any_qos() {
    let suspected = |qos, written: usize, connections: u32| {
        let mut world = World::new();
        let (number, op) = world.publish(false, qos);
        let id = (qos == QoS::AtLeastOnce).then_some(7);
        let topic = "/devices/gateway-1/events";
        let packet = packets::publish(topic, payload(number, 0).as_bytes(), id, false);
        for _ in 0..connections {
            connect(&mut world);
            let part = &packet[..written.min(packet.len() - 1)];
            world.observe(Observation::Transmitted(part)).unwrap();
            let end = TransportEnd::PeerClosed;
            world.observe(Observation::Disconnected(end)).unwrap();
        }
        world.event(Event::Failed {
            op,
            device: world.gateway.own_key(),
            failure: Failure::Suspected { connections },
            unsent: None,
        })
    };
    for written in [1, 20, usize::MAX] {
        assert_eq!(suspected(QoS::AtLeastOnce, written, 5), Ok(()));
        assert_eq!(suspected(QoS::AtLeastOnce, written, 4), Err(Rule::Delivery));
        assert_eq!(suspected(QoS::AtMostOnce, written, 5), Ok(()));
        assert_eq!(suspected(QoS::AtMostOnce, written, 4), Err(Rule::Delivery));
    }
    assert_eq!(suspected(QoS::AtLeastOnce, 0, 5), Err(Rule::Delivery));
}
