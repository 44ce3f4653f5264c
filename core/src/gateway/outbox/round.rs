//! Round-robin over the devices that can send.

use std::collections::VecDeque;

use super::queue::Queue;
use crate::command::Slot;

/// The devices that can send, each once, in order.
#[derive(Debug)]
pub(super) struct Round {
    devices: VecDeque<Slot>,
    /// Maximum number of publications of one device in flight.
    window: usize,
}

impl Round {
    pub(super) fn new(window: usize) -> Self {
        Self {
            devices: VecDeque::new(),
            window,
        }
    }

    /// Returns whether this queue can send now.
    pub(super) fn suit(&self, queue: &Queue) -> bool {
        queue.is_open && queue.in_flight < self.window && queue.has_waiting()
    }

    /// Appends the device with this queue to the round, unless it is in it already or cannot send.
    #[inline]
    pub(super) fn offer(&mut self, device: Slot, queue: &mut Queue) {
        if !queue.has_turn && self.suit(queue) {
            queue.has_turn = true;
            self.devices.push_back(device);
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.devices.is_empty()
    }

    /// Returns the device whose turn it is.
    pub(super) fn next(&self) -> Option<Slot> {
        self.devices.front().copied()
    }

    /// Ends the turn of the device at the front, which has this queue.
    pub(super) fn take(&mut self, queue: &mut Queue) {
        self.devices.pop_front();
        queue.has_turn = false;
    }

    /// Removes a device from the round, because it is no longer attached or was removed.
    pub(super) fn remove(&mut self, device: Slot, queue: &mut Queue) {
        if queue.has_turn {
            queue.has_turn = false;
            self.devices.retain(|&other| other != device);
        }
    }
}
