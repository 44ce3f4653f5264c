//! Faults that affect a whole connection.

use std::time::Instant;

use super::super::codec::Packet;
use super::super::event::EventKind;
use super::super::faults::{CutMoment, FaultKind, PacketKind, RefuseBy};
use super::super::topic::{Data, PublishKind, PublishTopic, SubscriptionKind};
use super::super::wire::Context;
use super::super::world::World;
use super::{BridgeConnection, CloseReason, Handled, Phase, connect};

impl BridgeConnection {
    /// Refuses the transport if a fault requires it.
    pub(crate) fn handle_accepted(&mut self, world: &mut World) {
        let Some((fault, by)) = world.faults.refuse_transport() else {
            return;
        };
        let packet = "the transport".to_owned();
        let struck = EventKind::FaultStruck { fault, packet };
        world.log(Some(self.wire.id), None, struck);
        match by {
            RefuseBy::Reset => self.reset(world),
            RefuseBy::Silence => self.phase = Phase::Silent,
            RefuseBy::Close | RefuseBy::Connack(_) => self.end(CloseReason::Fault, world),
        }
    }

    /// Returns how a fault refuses a CONNECT, if one does.
    pub(super) fn strike_refusal(&self, packet: &Packet, world: &mut World) -> Option<RefuseBy> {
        match PacketKind::Connect.fits(packet) {
            true => self.strike(packet, world, FaultKind::refusal),
            false => None,
        }
    }

    /// Returns the moment at which a fault cuts the connection because of a packet, if one does.
    pub(super) fn strike_cut(&self, packet: &Packet, world: &mut World) -> Option<CutMoment> {
        self.strike(packet, world, |kind| match kind {
            FaultKind::Cut { moment, packet: at } if at.fits(packet) => Some(*moment),
            FaultKind::Poison {
                packet: at,
                device,
                prefix,
            } if at.fits(packet) && is_about(packet, device, prefix) => Some(CutMoment::Before),
            _ => None,
        })
    }

    /// Returns whether the next packet is larger than a fault lets it be.
    pub(super) fn strike_limit(&self, world: &mut World) -> bool {
        let Some(len) = self.wire.next_len() else {
            return false;
        };
        let is_over = |kind: &FaultKind| match kind {
            FaultKind::Limit { bytes } => {
                let fits = u32::try_from(len).is_ok_and(|len| len <= bytes.get());
                (!fits).then_some(())
            }
            _ => None,
        };
        let client = self.wire.client.as_deref();
        let Some((fault, ())) = world.faults.strike(client, is_over) else {
            return false;
        };
        let packet = format!("a packet of {len} bytes");
        let struck = EventKind::FaultStruck { fault, packet };
        world.log(Some(self.wire.id), self.wire.client.clone(), struck);
        true
    }

    /// Refuses a CONNECT.
    pub(super) fn refuse(
        &mut self,
        packet: Packet,
        by: RefuseBy,
        world: &mut World,
        now: Instant,
    ) -> Handled {
        match by {
            RefuseBy::Close => return Err(CloseReason::Fault),
            RefuseBy::Reset => self.reset(world),
            RefuseBy::Silence => self.phase = Phase::Silent,
            RefuseBy::Connack(code) => {
                let wire = &mut self.wire;
                let mut cx = Context { wire, world, now };
                return Err(connect::refuse_by_fault(packet, code, &mut cx));
            }
        }
        Ok(())
    }

    fn strike<T>(
        &self,
        packet: &Packet,
        world: &mut World,
        pick: impl Fn(&FaultKind) -> Option<T>,
    ) -> Option<T> {
        let client = match packet {
            Packet::Connect(connect) if self.wire.client.is_none() => {
                let prefix = world.registry.client_id("");
                connect.client_id.strip_prefix(&prefix)
            }
            _ => self.wire.client.as_deref(),
        };
        let (fault, picked) = world.faults.strike(client, pick)?;
        let packet = packet.name().to_owned();
        let struck = EventKind::FaultStruck { fault, packet };
        world.log(Some(self.wire.id), self.wire.client.clone(), struck);
        Some(picked)
    }

    /// Resets the connection before anything was sent on it.
    fn reset(&mut self, world: &mut World) {
        self.end(CloseReason::Fault, world);
        self.phase = Phase::Over { by_reset: true };
    }
}

impl PacketKind {
    fn fits(self, packet: &Packet) -> bool {
        match self {
            Self::Connect => matches!(
                packet,
                Packet::Connect(_) | Packet::UnsupportedConnect { .. }
            ),
            Self::Publish => matches!(packet, Packet::Publish(_)),
            Self::Attach => publishes(packet, |kind| matches!(kind, PublishKind::Attach)),
            Self::Detach => publishes(packet, |kind| matches!(kind, PublishKind::Detach)),
            Self::Telemetry => publishes(packet, |kind| {
                matches!(kind, PublishKind::Data(Data::Events { .. }))
            }),
            Self::State => publishes(packet, |kind| {
                matches!(kind, PublishKind::Data(Data::State))
            }),
            Self::Subscribe => matches!(packet, Packet::Subscribe { .. }),
            Self::Unsubscribe => matches!(packet, Packet::Unsubscribe { .. }),
            Self::Pingreq => matches!(packet, Packet::Pingreq),
            Self::Puback => matches!(packet, Packet::Puback { .. }),
            Self::Disconnect => matches!(packet, Packet::Disconnect),
        }
    }
}

fn publishes(packet: &Packet, wanted: impl FnOnce(PublishKind<'_>) -> bool) -> bool {
    match packet {
        Packet::Publish(publish) => {
            PublishTopic::parse(&publish.topic).is_ok_and(|topic| wanted(topic.kind))
        }
        _ => false,
    }
}

/// Returns whether a device is in a packet's topic or in one of its topic filters, and the payload of a PUBLISH begins
/// with these bytes.
fn is_about(packet: &Packet, device: &str, prefix: &[u8]) -> bool {
    let is_in = |filter: &str| SubscriptionKind::parse(filter).is_some_and(|(of, _)| of == device);
    match packet {
        Packet::Publish(publish) => {
            let topic = PublishTopic::parse(&publish.topic);
            topic.is_ok_and(|topic| topic.device == device) && publish.payload.starts_with(prefix)
        }
        Packet::Subscribe { filters, .. } => filters.iter().any(|(filter, _)| is_in(filter)),
        Packet::Unsubscribe { filters, .. } => filters.iter().any(|filter| is_in(filter)),
        _ => false,
    }
}
