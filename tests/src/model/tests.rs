//! Tests of the model itself: each rule is violated once, on purpose.

mod suspicion;
mod terms;

use core::time::Duration;
use std::time::Instant;

use bytes::Bytes;
use iotcore_gateway::{Event, Failure, Gateway, OpId, Options, Outcome, message::QoS};

use super::*;
use crate::Service;
use crate::bridge::errors::ErrorType;
use crate::bridge::event::{DetachCause, Event as BridgeEvent, EventKind, Payload};
use crate::link::Link;
use crate::packets;
use crate::script::{Rule, Setup, Terms};

/// A model, and a gateway that allocates operations.
struct World {
    model: Model,
    gateway: Gateway,
    now: Instant,
}

impl World {
    fn new() -> Self {
        let link = Link::new(Options::default());
        Self {
            model: Model::new(&Setup::default().draft()),
            now: link.now(),
            gateway: link.gateway,
        }
    }

    fn op(&mut self, kind: OperationKind) -> OpId {
        let device = self.gateway.own_key();
        let subscription = iotcore_gateway::message::Subscription::Config;
        let qos = [QoS::AtLeastOnce, QoS::AtMostOnce][self.model.pending().count() % 2];
        let op = self.gateway.subscribe(device, subscription, qos, self.now);
        let op = op.unwrap();
        self.model.ask(op, kind).unwrap();
        op
    }

    fn publish(&mut self, is_state: bool, qos: QoS) -> (u32, OpId) {
        let number = self.model.draft(1, is_state, qos, Terms::default());
        let op = self.op(OperationKind::Publish(number));
        self.model.accept(number, op, 10, None).unwrap();
        (number, op)
    }

    fn observe(&mut self, observation: Observation<'_>) -> Result<(), Rule> {
        let observed = self.model.observe(observation, &self.gateway, self.now);
        observed.map_err(|finding| finding.rule)
    }

    fn event(&mut self, event: Event) -> Result<(), Rule> {
        self.observe(Observation::Event(&event))
    }

    fn bridge(&mut self, kind: EventKind) -> Result<(), Rule> {
        self.observe(Observation::Bridge(&BridgeEvent {
            at: Duration::ZERO,
            connection: None,
            client: None,
            kind,
        }))
    }

    fn arrival(&mut self, number: u32, is_state: bool, qos: u8) -> Result<(), Rule> {
        let device = DEVICES[1].to_owned();
        let payload = Payload(Bytes::from(payload(number, 0)));
        let dup = false;
        self.bridge(match is_state {
            true => EventKind::State {
                device,
                qos,
                dup,
                payload,
            },
            false => EventKind::Telemetry {
                device,
                subfolder: None,
                qos,
                dup,
                payload,
            },
        })
    }

    fn acknowledged(&mut self, op: OpId) -> Result<(), Rule> {
        let outcome = Outcome::Acknowledged;
        self.event(Event::Done { op, outcome })
    }

    /// Records that the gateway writes these frames on an open connection.
    fn writes(&mut self, frames: &[&[u8]]) -> Result<(), Rule> {
        self.observe(Observation::Transmitted(&[0x10, 0]))?;
        self.observe(Observation::Received(&[0x20, 2, 0, 0]))?;
        for frame in frames {
            self.observe(Observation::Transmitted(frame))?;
        }
        Ok(())
    }
}

/// Encodes a PUBLISH at QoS 1.
fn publish(topic: &str, id: u16, dup: bool) -> Vec<u8> {
    packets::publish(topic, b"", Some(id), dup)
}

const OWN: &str = "/devices/gateway-1/events";

#[test]
fn an_operation_that_ends_twice_or_never_started_is_found() {
    let mut world = World::new();
    let op = world.op(OperationKind::Subscribe(0));
    let outcome = Outcome::Subscribed(QoS::AtLeastOnce);
    let done = Event::Done { op, outcome };
    assert_eq!(world.event(done.clone()), Ok(()));
    assert_eq!(world.event(done.clone()), Err(Rule::OneEnd));
    assert_eq!(World::new().event(done), Err(Rule::OneEnd));
}

#[test]
fn an_operation_with_an_impossible_outcome_is_found() {
    let mut world = World::new();
    let op = world.op(OperationKind::Open);
    let outcome = Outcome::Detached;
    assert_eq!(world.event(Event::Done { op, outcome }), Err(Rule::OneEnd));
    for failure in [
        Failure::Closed,
        Failure::GaveUp,
        Failure::Dropped,
        Failure::Detached,
        Failure::DeviceRefused,
        Failure::Superseded,
        Failure::TimedOut(Duration::ZERO),
    ] {
        let mut world = World::new();
        let (_, op) = world.publish(false, QoS::AtLeastOnce);
        let failed = Event::Failed {
            op,
            device: world.gateway.own_key(),
            failure,
            unsent: None,
        };
        assert_eq!(world.event(failed), Err(Rule::Delivery));
    }
}

#[test]
fn an_operation_that_never_ends_is_found() {
    let mut world = World::new();
    world.op(OperationKind::Open);
    let unsent = Vec::new();
    world.event(Event::Closed { unsent }).unwrap();
    assert!(world.model.check_end().is_err());
}

#[test]
fn an_acknowledgement_without_an_arrival_is_found() {
    let mut world = World::new();
    let (number, op) = world.publish(false, QoS::AtLeastOnce);
    assert_eq!(world.acknowledged(op), Err(Rule::Delivery));
    let mut world = World::new();
    let (again, op) = world.publish(false, QoS::AtLeastOnce);
    assert_eq!(again, number);
    world.arrival(number, false, 1).unwrap();
    assert_eq!(world.acknowledged(op), Ok(()));
}

#[test]
fn arrivals_out_of_order_duplicated_at_qos_0_or_never_published_are_found() {
    let mut world = World::new();
    assert_eq!(world.arrival(0, false, 1), Err(Rule::Delivery));
    for is_state in [false, true] {
        let mut world = World::new();
        let (first, _) = world.publish(is_state, QoS::AtLeastOnce);
        let (second, _) = world.publish(is_state, QoS::AtLeastOnce);
        assert_eq!(world.arrival(second, is_state, 1), Ok(()));
        assert_eq!(world.arrival(first, is_state, 1), Err(Rule::Delivery));
    }
    let mut world = World::new();
    let (once, _) = world.publish(false, QoS::AtMostOnce);
    assert_eq!(world.arrival(once, false, 0), Ok(()));
    assert_eq!(world.arrival(once, false, 0), Err(Rule::Delivery));
    let (other, _) = world.publish(false, QoS::AtLeastOnce);
    assert_eq!(
        world.arrival(other, true, 1),
        Err(Rule::Delivery),
        "a state"
    );
}

#[test]
fn a_delivery_that_was_never_sent_or_acknowledged_before_it_was_read_is_found() {
    let mut world = World::new();
    let acknowledged = EventKind::CommandAcknowledged {
        device: DEVICES[1].to_owned(),
        subfolder: Some("n1".to_owned()),
    };
    world.bridge(acknowledged).unwrap();
    assert!(world.model.check_deliveries().is_err());
}

#[test]
fn an_attachment_that_the_bridge_does_not_know_is_found() {
    let mut world = World::new();
    let device = world.gateway.own_key();
    world.model.know(device, 1);
    assert_eq!(
        world.event(Event::Attached { device }),
        Err(Rule::Attachment)
    );
    let not_found = EventKind::ErrorReport {
        error_type: ErrorType::GatewayDeviceNotFound,
        device: DEVICES[1].to_owned(),
        description: String::new(),
        delivered: true,
    };
    assert_eq!(world.bridge(not_found), Err(Rule::Attachment));
}

#[test]
fn a_state_that_is_too_fast_is_found() {
    let mut world = World::new();
    let detached = || EventKind::Detached {
        device: DEVICES[1].to_owned(),
        cause: DetachCause::StateTooFast,
    };
    assert_eq!(world.bridge(detached()), Err(Rule::Delivery));
    world.model.end_calm();
    assert_eq!(
        world.bridge(detached()),
        Ok(()),
        "the network may be to blame"
    );
}

#[test]
fn packets_that_break_the_rules_of_the_wire_are_found() {
    let device = "/devices/sensor-1/events";
    for (frames, found) in [
        (vec![publish(OWN, 1, false), publish(OWN, 2, false)], Ok(())),
        (vec![publish(OWN, 1, false), publish(OWN, 1, true)], Ok(())),
        (
            vec![publish(OWN, 1, false), publish(OWN, 1, false)],
            Err(Rule::PacketIds),
        ),
        (vec![publish(OWN, 1, true)], Err(Rule::PacketIds)),
        (vec![publish(OWN, 0, false)], Err(Rule::PacketIds)),
        (vec![publish(device, 1, false)], Err(Rule::Attachment)),
        (vec![vec![0xE0, 0], vec![0xC0, 0]], Err(Rule::Wire)),
        (vec![vec![0xE0, 0], vec![0xC0]], Err(Rule::Wire)),
        (vec![vec![0x40, 2, 0, 7]], Err(Rule::Wire)),
        (vec![vec![0x10, 0]], Err(Rule::Wire)),
    ] {
        let frames: Vec<_> = frames.iter().map(|frame| &frame[..]).collect();
        assert_eq!(World::new().writes(&frames), found, "{frames:02x?}");
    }
}

#[test]
fn a_device_may_publish_after_the_puback_of_its_attach() {
    let mut world = World::new();
    let attach = publish("/devices/sensor-1/attach", 1, false);
    world.writes(&[&attach]).unwrap();
    world
        .observe(Observation::Received(&[0x40, 2, 0, 1]))
        .unwrap();
    let data = publish("/devices/sensor-1/events", 2, false);
    assert_eq!(world.observe(Observation::Transmitted(&data)), Ok(()));
}

#[test]
fn more_events_than_the_options_allow_are_found() {
    let mut world = World::new();
    let unrequested = Event::Unrequested {
        topic: String::new(),
        payload: Bytes::new(),
    };
    let limit = Options::default().max_events + memory::EVENTS_PER_PACKET;
    for _ in 0..limit {
        world.event(unrequested.clone()).unwrap();
    }
    assert_eq!(world.event(unrequested), Err(Rule::Memory));
}

#[test]
fn anything_after_the_last_event_is_found() {
    let mut world = World::new();
    let unsent = Vec::new();
    world.event(Event::Closed { unsent }).unwrap();
    assert_eq!(world.event(Event::Connected), Err(Rule::OneEnd));
}

#[test]
fn a_timeout_that_is_told_although_the_bridge_answers_in_time_is_found() {
    let failed = |world: &mut World| {
        let op = world.op(OperationKind::Subscribe(0));
        world.event(Event::Failed {
            op,
            device: world.gateway.own_key(),
            failure: Failure::TimedOut(Duration::from_secs(30)),
            unsent: None,
        })
    };
    let mut world = World::new();
    assert_eq!(failed(&mut world), Ok(()));
    world = World::new();
    world.model.expect_answers_in_time();
    assert_eq!(failed(&mut world), Err(Rule::Liveness));
}

#[test]
fn only_a_bridge_with_one_queue_and_one_worker_must_keep_the_order() {
    let late = |service: Service| {
        let mut world = World::new();
        world.model.slow_down(&service);
        let [first, second] = [false; 2].map(|is_state| world.publish(is_state, QoS::AtMostOnce).0);
        let qos = |number| world.model.publications.at(number).qos as u8;
        let [first, second] = [first, second].map(|number| (number, qos(number)));
        world.arrival(second.0, false, second.1)?;
        world.arrival(first.0, false, first.1)
    };
    let slow = Service::one_queue().publish(Duration::from_secs(1));
    assert_eq!(late(slow.clone()), Err(Rule::Delivery));
    assert_eq!(late(slow.workers(2)), Ok(()));
}
