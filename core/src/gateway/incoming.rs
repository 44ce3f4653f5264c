//! Dispatch of the peer's packets.

use super::{
    online::{Online, PacketOwner},
    session::Session,
};
use crate::{clock::Moment, event::Outcome, mqtt::Incoming};

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
            Incoming::PubAck(PacketOwner::Publication(key)) => {
                self.complete_publication(online, key, Outcome::Acknowledged);
            }
            Incoming::PubAck(PacketOwner::Attach(device)) => self.on_attached(online, device, now),
            Incoming::PubAck(PacketOwner::Detach(device)) => self.on_detached(online, device),
            Incoming::SubAck(PacketOwner::Subscription(key), code) => {
                self.on_suback(online, key, code, now);
            }
            Incoming::SubAck(PacketOwner::Errors, code) => self.on_errors_suback(online, code),
            Incoming::UnsubAck(PacketOwner::Subscription(key)) => {
                self.on_subscription_answer(online, key);
            }
            // The identifier table checks that each acknowledgement matches the kind of its packet.
            Incoming::ConnAck(_)
            | Incoming::PubAck(_)
            | Incoming::SubAck(..)
            | Incoming::UnsubAck(_) => {}
        }
    }
}
