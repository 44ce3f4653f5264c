//! Dispatch of the peer's packets, and which packets of ours still matter.

use super::{
    devices::Life,
    online::{Online, PacketOwner},
    session::Session,
};
use crate::{
    clock::Moment,
    event::Outcome,
    mqtt::{Incoming, PacketId},
};

impl Session {
    /// Handles a packet from the peer, except CONNACK, which the lifecycle handles.
    #[inline]
    pub(super) fn on_incoming(
        &mut self,
        online: &mut Online,
        incoming: Incoming<PacketOwner>,
        now: Moment,
    ) {
        match incoming {
            Incoming::Publish => self.on_publish(online, now),
            Incoming::PubAck(packet_id, owner) => {
                self.on_acknowledged(online, packet_id, owner, now);
            }
            Incoming::SubAck(packet_id, owner, code) if self.owns(packet_id, owner) => {
                if let PacketOwner::Subscription(request) = owner {
                    self.on_suback(online, request.key(), packet_id, code, now);
                }
            }
            Incoming::UnsubAck(packet_id, owner) if self.owns(packet_id, owner) => {
                if let PacketOwner::Subscription(request) = owner {
                    self.on_unsuback(online, request.key());
                }
            }
            Incoming::ConnAck(_) | Incoming::SubAck(..) | Incoming::UnsubAck(..) => {}
        }
    }

    /// Handles a PUBACK.
    #[inline(always)]
    pub(super) fn on_acknowledged(
        &mut self,
        online: &mut Online,
        packet_id: PacketId,
        owner: PacketOwner,
        now: Moment,
    ) {
        match owner {
            PacketOwner::Publication(key) => {
                self.complete_publication(online, key, Outcome::Acknowledged);
            }
            _ => self.on_control_acknowledged(online, packet_id, owner, now),
        }
    }

    #[inline(never)]
    fn on_control_acknowledged(
        &mut self,
        online: &mut Online,
        packet_id: PacketId,
        owner: PacketOwner,
        now: Moment,
    ) {
        if !self.owns(packet_id, owner) {
            online.superseded.retain(|(_, other)| *other != packet_id);
            let flight = &mut online.flight;
            self.outbox.forget_ended(flight, packet_id);
            return;
        }
        match owner {
            PacketOwner::Attach(device) => self.on_attached(online, device, packet_id, now),
            PacketOwner::Detach(device) => self.on_detached(online, device),
            // The identifier table checks that each acknowledgement matches the kind of its packet.
            PacketOwner::Publication(_) | PacketOwner::Subscription(_) | PacketOwner::Nobody => {}
        }
    }

    /// Returns whether the answer to a packet still matters to its owner: no report, detach or newer request came in
    /// between, and the connection has not answered it otherwise.
    pub(super) fn owns(&self, packet_id: PacketId, owner: PacketOwner) -> bool {
        let device = match owner {
            PacketOwner::Publication(_) => return true,
            PacketOwner::Nobody => return false,
            PacketOwner::Attach(slot) | PacketOwner::Detach(slot) => self.devices.get(slot),
            PacketOwner::Subscription(request) => self.devices.get(request.key().device),
        };
        device.is_some_and(|device| match owner {
            PacketOwner::Publication(_) | PacketOwner::Nobody => false,
            PacketOwner::Attach(_) => {
                let asked = device.asked;
                asked.is_some_and(|asked| asked.packet_id == packet_id)
            }
            PacketOwner::Detach(_) => {
                matches!(device.life, Life::Detaching(detach) if detach == packet_id)
            }
            PacketOwner::Subscription(request) => {
                self.devices.subscription(request.key()).is_asked(request)
            }
        })
    }
}
