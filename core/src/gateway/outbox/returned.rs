//! What comes back when an attachment or a connection is lost.

use super::{Outbox, entry::Place};
use crate::{command::OpId, mqtt::PacketId};

/// What a lost attachment or connection gave back.
#[derive(Debug, Default)]
pub(crate) struct Returned {
    /// The identifiers of those that were in flight.
    pub(crate) packet_ids: Vec<PacketId>,
    /// States that a newer one had replaced meanwhile: they are not sent again.
    pub(crate) superseded: Vec<OpId>,
}

impl Outbox {
    /// Puts everything that was written and not acknowledged back at the head of its queue, in the order in which it
    /// was accepted: of one device, or of all when the connection was lost.
    pub(crate) fn put_back(&mut self, device: Option<u32>) -> Returned {
        let mut returned = Returned::default();
        for key in self.written(device).into_iter().rev() {
            returned.packet_ids.extend(self.entry(key).packet_id());
            self.unlink(key);
            let (device, is_state) = (self.entry(key).device, self.entry(key).is_state());
            let queue = self.queues.at_mut(device);
            if queue.has_newer(self.entries.at(key)) {
                returned.superseded.push(self.release(key).0);
                continue;
            }
            if is_state {
                queue.state = Some(key);
            } else {
                queue.waiting.insert(&mut self.entries, key);
            }
            self.entries.at_mut(key).place = Place::Waiting;
            self.turns.offer(device, queue);
        }
        returned
    }

    /// The keys of what was written and is not done, in the order of acceptance. On a connection that lives on, the
    /// bytes of what was written at QoS 0 still go out: sent again it would arrive twice.
    fn written(&self, device: Option<u32>) -> Vec<u32> {
        let handing_over = self.handing_over.iter(&self.entries);
        let handing_over = handing_over.filter(|_| device.is_none());
        let mut keys: Vec<_> = self
            .lanes
            .iter(&self.entries)
            .chain(handing_over)
            .filter(|&key| device.is_none_or(|device| self.entry(key).device == device))
            .collect();
        keys.sort_unstable_by_key(|&key| self.entry(key).op);
        keys
    }
}
