//! The two control messages of a gateway: attach and detach, both at QoS 1.

use bytes::Bytes;

use super::{
    online::{Online, PacketOwner},
    session::Session,
};
use crate::{
    clock::Moment,
    command::Slot,
    mqtt::{PacketId, Request},
    token::Token,
    topic::{self, Channel},
};

/// Size of an attach or detach packet without the device's id and its token.
const CONTROL_OVERHEAD: usize = 64;

#[derive(Clone, Copy, Debug)]
pub(super) enum Control {
    Attach,
    Detach,
}

impl Session {
    /// Queues an attach or a detach, for which there is room, with a new identifier, or `again` with its old one.
    pub(super) fn queue_control(
        &mut self,
        online: &mut Online,
        slot: Slot,
        control: Control,
        again: Option<PacketId>,
        now: Moment,
    ) -> PacketId {
        let device = self.devices.at(slot);
        let (channel, owner, request, payload) = match control {
            Control::Attach => (
                Channel::Attach,
                PacketOwner::Attach(slot),
                Request::Attach,
                attach_payload(device.auth.token()),
            ),
            Control::Detach => (
                Channel::Detach,
                PacketOwner::Detach(slot),
                Request::Detach,
                Bytes::from_static(b"{}"),
            ),
        };
        topic::make_topic(&mut self.topic, &device.id, channel);
        self.outbox.count_packet(now);
        match again {
            Some(packet_id) => {
                let link = &mut online.link;
                link.publish_again(&self.topic, &payload, packet_id);
                packet_id
            }
            None => online.link.publish(request, &self.topic, &payload, owner),
        }
    }

    /// Returns whether there is room for the packet of an attach or a detach.
    pub(super) fn has_room_for_control(&self, online: &Online, slot: Slot) -> bool {
        let device = self.devices.at(slot);
        let token = device.auth.token();
        let token = token.map_or(0, |token| token.expose().len());
        let size = device.id.as_str().len() + token + CONTROL_OVERHEAD;
        online.link.room_with_id() >= size
    }
}

/// `{}` or `{"authorization":"<token>"}`.
fn attach_payload(token: Option<&Token>) -> Bytes {
    match token {
        None => Bytes::from_static(b"{}"),
        Some(token) => {
            let payload = serde_json::json!({ "authorization": token.expose() });
            payload.to_string().into()
        }
    }
}
