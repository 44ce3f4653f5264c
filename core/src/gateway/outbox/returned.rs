//! Putting publications back when an attachment or a connection is lost.

use super::{
    Flight, Outbox,
    entry::{EntryKey, Place},
};
use crate::mqtt::PacketId;

/// What was put back, as far as the caller has to act on it.
#[derive(Debug, Default)]
pub(crate) struct Returned {
    /// The packet identifiers of the publications that were in flight.
    pub(crate) packet_ids: Vec<PacketId>,
    /// States that a newer one had replaced meanwhile: they are in no queue, and wait to be released.
    pub(crate) superseded: Vec<EntryKey>,
}

impl Outbox {
    /// Puts what a device had in flight back at the head of its queue, in the order of acceptance. The connection stays
    /// up, so QoS 0 packets in the transmit buffer are still sent and are not put back: they would arrive twice.
    pub(crate) fn put_back(&mut self, flight: &mut Flight, in_flight: Vec<EntryKey>) -> Returned {
        self.put_back_keys(flight, in_flight)
    }

    /// Puts everything unacknowledged back at the head of its queue, in the order of acceptance, and suspects apart. Clears
    /// the rest of the connection's state.
    pub(crate) fn take_back(
        &mut self,
        mut flight: Flight,
        mut in_flight: Vec<EntryKey>,
    ) -> Returned {
        in_flight.extend(flight.handing_over.iter(&self.entries));
        let keys = in_flight;
        let returned = self.put_back_keys(&mut flight, keys);
        self.queues.forget_connection();
        returned
    }

    fn put_back_keys(&mut self, flight: &mut Flight, mut keys: Vec<EntryKey>) -> Returned {
        keys.sort_unstable_by_key(|&key| self.entry(key).op);
        let mut returned = Returned::default();
        for key in keys.into_iter().rev() {
            returned.packet_ids.extend(self.entry(key).packet_id());
            let device = self.entry(key).device;
            let queue = self.queues.at_mut(device);
            flight.unlink(queue, &mut self.entries, key);
            if queue.has_newer(self.entries.at(key)) {
                returned.superseded.push(key);
                continue;
            }
            self.expiry.watch(&self.entries, key);
            if self.entries.at(key).strikes.is_suspect() {
                queue.suspect(&mut self.entries, key);
                continue;
            }
            queue.put_back(&mut self.entries, key);
            self.entries.at_mut(key).place = Place::Waiting;
            flight.round.offer(device, queue, &self.entries);
        }
        returned
    }
}
