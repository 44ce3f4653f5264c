//! Whose turn it is to send: devices that can go round.

use std::collections::VecDeque;

use super::queue::Queue;

/// The devices that can send, each once, in the order of their turns.
#[derive(Debug)]
pub(super) struct Turns {
    devices: VecDeque<u32>,
    /// How many publications of one device may be in flight.
    window: usize,
}

impl Turns {
    pub(super) fn new(window: usize) -> Self {
        Self {
            devices: VecDeque::new(),
            window,
        }
    }

    /// Whether a turn is of use to this queue.
    pub(super) fn suit(&self, queue: &Queue) -> bool {
        queue.is_open && queue.in_flight < self.window && queue.has_waiting()
    }

    /// Gives the device with this queue a turn, the last one, unless it has one already or cannot send.
    #[inline]
    pub(super) fn offer(&mut self, device: u32, queue: &mut Queue) {
        if !queue.has_turn && self.suit(queue) {
            queue.has_turn = true;
            self.devices.push_back(device);
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.devices.is_empty()
    }

    /// Whose turn it is.
    pub(super) fn next(&self) -> Option<u32> {
        self.devices.front().copied()
    }

    /// The device whose turn it was, and its queue, have taken it.
    pub(super) fn take(&mut self, queue: &mut Queue) {
        self.devices.pop_front();
        queue.has_turn = false;
    }

    /// A device that goes has no turn any more.
    pub(super) fn forget(&mut self, device: u32) {
        self.devices.retain(|&other| other != device);
    }
}
