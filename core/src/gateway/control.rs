//! The two control messages of a gateway: attach and detach, both at QoS 1.

use bytes::Bytes;

use super::{
    devices::Awaiting,
    online::{Online, PacketOwner},
    session::Session,
};
use crate::{
    clock::Moment,
    command::Slot,
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
    /// Queues an attach or a detach, if there is room for its packet.
    pub(super) fn queue_control(
        &mut self,
        online: &mut Online,
        slot: Slot,
        control: Control,
        now: Moment,
    ) -> Option<Awaiting> {
        if !self.has_room_for_control(online, slot) {
            return None;
        }
        let device = self.devices.at(slot);
        let (channel, owner, timeout, payload) = match control {
            Control::Attach => (
                Channel::Attach,
                PacketOwner::Attach(slot),
                self.options.attach_timeout,
                attach_payload(device.token.as_ref()),
            ),
            Control::Detach => (
                Channel::Detach,
                PacketOwner::Detach(slot),
                self.options.ack_timeout,
                Bytes::from_static(b"{}"),
            ),
        };
        topic::make_topic(&mut self.topic, &device.id, channel);
        let packet_id = online.link.publish(&self.topic, &payload, owner);
        Some(online.await_answer(packet_id, timeout, now))
    }

    /// Returns whether there is room for the packet of an attach or a detach.
    pub(super) fn has_room_for_control(&self, online: &Online, slot: Slot) -> bool {
        let device = self.devices.at(slot);
        let token = device.token.as_ref();
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
