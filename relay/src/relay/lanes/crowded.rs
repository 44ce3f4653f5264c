//! Devices that wait for room that all devices share.

use std::collections::{BTreeMap, BTreeSet};

use iotcore_gateway_tokio::DeviceId;

/// Where a device stands in the queue: those whose next message is urgent come first, then those who have waited longest.
type Rank = (bool, u64);

/// A queue of devices. One that is offered room and finds too little for a message keeps its rank, and those behind it are
/// not looked at until more becomes free; one that finds some goes to the end.
#[derive(Default)]
pub(super) struct Crowded {
    queue: BTreeSet<(Rank, DeviceId)>,
    ranks: BTreeMap<DeviceId, Rank>,
    /// The number of the last device.
    last: u64,
    /// Whether room has become free since one found too little.
    may_have_room: bool,
    /// The device that room is being offered to.
    offered: Option<(Rank, DeviceId)>,
}

impl Crowded {
    /// Adds a device that found no room for a message.
    pub(super) fn add(&mut self, device: &DeviceId, is_urgent: bool) {
        let offered = self.offered.take_if(|(_, offered)| offered == device);
        self.may_have_room &= offered.is_none();
        let held = offered.map(|(rank, _)| rank);
        let held = held.or_else(|| self.ranks.get(device).copied());
        let rank = match held {
            Some(rank @ (is_ordinary, _)) if is_ordinary != is_urgent => rank,
            _ => {
                self.last += 1;
                (!is_urgent, self.last)
            }
        };
        if let Some(old) = self.ranks.insert(device.clone(), rank) {
            self.queue.remove(&(old, device.clone()));
        }
        self.queue.insert((rank, device.clone()));
    }

    /// Records that room has become free.
    pub(super) fn offer_room(&mut self) {
        self.may_have_room = true;
    }

    /// Records that the device that room is being offered to has found some, or has been looked at.
    pub(super) fn end_offer(&mut self) {
        self.offered = None;
    }

    /// Takes the next device that may find room, which is offered to it.
    pub(super) fn next(&mut self) -> Option<DeviceId> {
        if !self.may_have_room {
            return None;
        }
        self.offered = self.queue.pop_first();
        let (_, device) = self.offered.as_ref()?;
        self.ranks.remove(device);
        Some(device.clone())
    }
}
