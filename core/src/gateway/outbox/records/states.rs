//! The states of devices: the record of one that was replaced stays until a newer one is durable or was acknowledged.

use crate::{
    command::{OpId, Slot},
    store::StoreSeq,
};

/// The record of a state that a newer one has replaced.
#[derive(Clone, Copy, Debug)]
pub(super) struct Replaced {
    op: OpId,
    pub(super) seq: StoreSeq,
    /// What it has reserved.
    pub(super) bytes: usize,
}

/// The states of one device.
#[derive(Debug, Default)]
struct OfDevice {
    /// The number of those that have not ended.
    unended: usize,
    /// The newest one that is durable or was delivered.
    settled: Option<OpId>,
    /// Oldest first.
    replaced: Vec<Replaced>,
}

/// The states of all devices, by slot. Of a device that has left, nothing remains that matters to the next one in its slot.
#[derive(Debug, Default)]
pub(super) struct States {
    devices: Vec<OfDevice>,
}

impl States {
    fn of(&mut self, device: Slot) -> Option<&mut OfDevice> {
        self.devices.get_mut(device.index())
    }

    /// Counts a state that was accepted.
    pub(super) fn add(&mut self, device: Slot) {
        if self.devices.len() <= device.index() {
            self.devices
                .resize_with(device.index() + 1, OfDevice::default);
        }
        if let Some(states) = self.of(device) {
            states.unended += 1;
        }
    }

    /// Records that a state is durable or was delivered; returns the records that need not stay because of that.
    pub(super) fn settle(&mut self, device: Slot, op: OpId) -> Vec<Replaced> {
        let Some(states) = self.of(device) else {
            return Vec::new();
        };
        states.settled = states.settled.max(Some(op));
        let older = states.replaced.partition_point(|replaced| replaced.op < op);
        states.replaced.drain(..older).collect()
    }

    /// Keeps the record of a replaced state if it has to stay; returns whether it does.
    pub(super) fn replace(&mut self, device: Slot, op: OpId, seq: StoreSeq, bytes: usize) -> bool {
        let Some(states) = self.of(device) else {
            return false;
        };
        // It may be the settled one itself, which is no reason to remove it.
        let stays = states.settled <= Some(op);
        if stays {
            let older = states.replaced.partition_point(|replaced| replaced.op < op);
            states.replaced.insert(older, Replaced { op, seq, bytes });
        }
        stays
    }

    /// Counts a state that has ended; returns the records that need not stay because it was the last.
    pub(super) fn end(&mut self, device: Slot) -> Vec<Replaced> {
        let Some(states) = self.of(device) else {
            return Vec::new();
        };
        states.unended -= 1;
        match states.unended {
            0 => core::mem::take(&mut states.replaced),
            _ => Vec::new(),
        }
    }
}
