//! Frees the memory of publications that have ended.

use super::{
    Flight, Outbox,
    entry::{EntryKey, Place},
};
use crate::mqtt::PacketId;

#[cfg(test)]
mod tests;

impl Outbox {
    /// Frees the memory of the publications that have ended, if few are left. Their keys change: `rename` is called
    /// with the packet identifier and the new key of each that is in flight at QoS 1.
    pub(crate) fn pack(
        &mut self,
        mut flight: Option<&mut Flight>,
        mut rename: impl FnMut(PacketId, EntryKey),
    ) {
        if !self.entries.are_sparse(self.load.messages) {
            return;
        }
        let mut packing = self.entries.pack(self.load.messages);
        while let Some((old, new)) = self.entries.move_next(&mut packing) {
            self.rename(flight.as_deref_mut(), old, new);
            #[cfg(feature = "store")]
            self.rename_record(old, new);
            if let Some(packet_id) = self.entry(new).packet_id() {
                rename(packet_id, new);
            }
        }
        self.entries.packed(packing);
        #[cfg(feature = "store")]
        self.shrink_records();
    }

    /// Replaces the key of a publication wherever the outbox has it.
    fn rename(&mut self, flight: Option<&mut Flight>, old: EntryKey, new: EntryKey) {
        let entry = self.entries.at(new);
        if self.index.is_kept() {
            self.index.add(entry.op, new);
        }
        self.extras.rename(entry.op, new);
        match (entry.place, flight) {
            (Place::Waiting | Place::Suspected, _) => {
                let queue = self.queues.at_mut(entry.device);
                queue.rename(&mut self.entries, old, new);
            }
            (Place::HandingOver { .. }, Some(flight)) => {
                flight.handing_over.rename(&mut self.entries, old, new);
            }
            (Place::HandingOver { .. } | Place::InFlight { .. }, _) => {}
        }
    }
}
