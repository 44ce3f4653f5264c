//! Connections that are cut around a packet.

use super::packets::{
    DISCONNECT, PINGREQ, Received, acknowledgement, connect, publish, subscribe, unsubscribe,
};
use super::*;
use crate::bridge::faults::{CutMoment, PacketKind};

const CONFIG: &str = "/devices/gateway/config";

/// The state of a connection before a packet, that packet, and the bridge's answer.
struct Scene {
    harness: Harness,
    connection: ConnectionId,
    packet: Vec<u8>,
    answer: Vec<Received>,
}

impl Scene {
    fn before(kind: PacketKind) -> Self {
        let mut harness = Harness::new(AuthMethod::AssociationOnly);
        let connection = match kind {
            PacketKind::Connect => harness.bridge.accept(harness.now),
            _ => harness.gateway(&["dev1"]),
        };
        let on = |topic: &str| publish(topic, 1, 7, b"x");
        let acknowledged = vec![Received::Puback(7)];
        let (packet, answer) = match kind {
            PacketKind::Connect => {
                let packet = connect("gateway", &harness.token(), 0);
                (packet, vec![Received::Connack(0)])
            }
            PacketKind::Publish | PacketKind::Telemetry => {
                (on("/devices/dev1/events"), acknowledged)
            }
            PacketKind::Attach => (on("/devices/dev2/attach"), acknowledged),
            PacketKind::Detach => (on("/devices/dev1/detach"), acknowledged),
            PacketKind::State => (on("/devices/dev1/state"), acknowledged),
            PacketKind::Subscribe => {
                let config = Received::acknowledged(CONFIG, 1, false, "");
                let answer = vec![Received::Suback(5, vec![1]), config];
                (subscribe(5, &[(CONFIG, 1)]), answer)
            }
            PacketKind::Unsubscribe => (unsubscribe(6, &[CONFIG]), vec![Received::Unsuback(6)]),
            PacketKind::Pingreq => (PINGREQ.to_vec(), vec![Received::Pingresp]),
            PacketKind::Puback => {
                harness.send(connection, &subscribe(5, &[(CONFIG, 1)]));
                (acknowledgement(0x40, 1), vec![])
            }
            PacketKind::Disconnect => (DISCONNECT.to_vec(), vec![]),
        };
        harness.events();
        Self {
            harness,
            connection,
            packet,
            answer,
        }
    }

    /// Returns whether an event shows that the packet took effect.
    fn had_effect(kind: PacketKind, events: &[EventKind]) -> bool {
        events.iter().any(|event| match kind {
            PacketKind::Connect => matches!(event, EventKind::Connected { .. }),
            PacketKind::Publish | PacketKind::Telemetry => {
                matches!(event, EventKind::Telemetry { .. })
            }
            PacketKind::Attach => matches!(event, EventKind::Attached { .. }),
            PacketKind::Detach => matches!(event, EventKind::Detached { .. }),
            PacketKind::State => matches!(event, EventKind::State { .. }),
            PacketKind::Subscribe => matches!(event, EventKind::Subscribed { .. }),
            PacketKind::Unsubscribe => matches!(event, EventKind::Unsubscribed { .. }),
            PacketKind::Pingreq => matches!(event, EventKind::Ping),
            PacketKind::Puback => matches!(event, EventKind::ConfigAcknowledged { .. }),
            PacketKind::Disconnect => matches!(
                event,
                EventKind::Closed {
                    reason: CloseReason::Disconnect,
                    ..
                }
            ),
        })
    }
}

#[test]
fn a_connection_is_cut_around_every_kind_of_packet() {
    for kind in PacketKind::ALL.iter().copied() {
        for moment in CutMoment::ALL.iter().copied() {
            let Scene {
                mut harness,
                connection,
                packet,
                answer,
            } = Scene::before(kind);
            let fault = format!("cut {} {}", moment.word(), kind.word());
            harness.fault(&fault);
            let answered = harness.send(connection, &[&packet, PINGREQ].concat());
            let expected = if moment == CutMoment::After {
                answer
            } else {
                vec![]
            };
            assert_eq!(answered, expected, "{fault}");
            assert!(!harness.is_up(connection), "{fault}");
            assert!(!harness.bridge.wants_reset(connection), "{fault}");
            assert_eq!(harness.bridge.connected().count(), 0, "{fault}");
            assert!(harness.bridge.faults().is_empty(), "{fault}");
            let events = harness.events();
            let has_struck = |event: &EventKind| matches!(event, EventKind::FaultStruck { .. });
            assert_eq!(events.iter().filter(|event| has_struck(event)).count(), 1);
            let effect = Scene::had_effect(kind, &events);
            assert_eq!(effect, moment != CutMoment::Before, "{fault}");
            harness.connect("gateway");
        }
    }
}

#[test]
fn a_cut_waits_for_its_kind_of_packet() {
    let kinds = PacketKind::ALL.iter().copied();
    for (kind, other) in kinds
        .clone()
        .flat_map(|kind| kinds.clone().map(move |other| (kind, other)))
    {
        let Scene {
            mut harness,
            connection,
            packet,
            ..
        } = Scene::before(other);
        harness.fault(&format!("cut before {}", kind.word()));
        harness.send(connection, &packet);
        let is_publish = matches!(
            other,
            PacketKind::Attach | PacketKind::Detach | PacketKind::Telemetry | PacketKind::State
        );
        let fits = kind == other
            || kind == PacketKind::Publish && is_publish
            || kind == PacketKind::Telemetry && other == PacketKind::Publish;
        assert_eq!(
            harness.bridge.faults().is_empty(),
            fits,
            "{kind:?} {other:?}"
        );
    }
}

#[test]
fn a_cut_of_one_client_waits_for_that_client() {
    for (kind, solo, gateway) in [
        (PacketKind::Pingreq, true, false),
        (PacketKind::Connect, true, false),
    ] {
        let mut harness = Harness::new(AuthMethod::AssociationOnly);
        harness.fault(&format!("cut before {} --client gateway", kind.word()));
        for (client, lives) in [("solo", solo), ("gateway", gateway)] {
            let connection = harness.bridge.accept(harness.now);
            let hello = connect(client, &harness.token(), 0);
            harness.send(connection, &[&hello, PINGREQ].concat());
            assert_eq!(harness.is_up(connection), lives, "{kind:?} {client}");
        }
    }
}

#[test]
fn answers_before_a_cut_are_still_sent() {
    let mut harness = Harness::new(AuthMethod::AssociationOnly);
    let connection = harness.connect("gateway");
    harness.fault("cut instead publish");
    let two = [PINGREQ, &publish("/devices/gateway/events", 1, 3, b"")].concat();
    assert_eq!(harness.send(connection, &two), [Received::Pingresp]);
    assert_eq!(harness.close_reason(), CloseReason::Fault);
}
