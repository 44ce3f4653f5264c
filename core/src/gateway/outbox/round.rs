//! Round-robin over the devices that can send.

use std::collections::VecDeque;

use super::{entries::Entries, queue::Queue};
use crate::{command::Slot, mqtt::QoS};

/// The devices that can send, each once, in the order in which they joined. Those whose next publication is at QoS 0 are
/// apart, because it needs no place in a window.
#[derive(Debug)]
pub(super) struct Round {
    windowed: VecDeque<(u64, Slot)>,
    free: VecDeque<(u64, Slot)>,
    /// The number of the next to join.
    next: u64,
    /// Maximum number of publications of one device in flight.
    window: usize,
}

impl Round {
    pub(super) fn new(window: usize) -> Self {
        Self {
            windowed: VecDeque::new(),
            free: VecDeque::new(),
            next: 0,
            window,
        }
    }

    /// Returns whether this queue can send now.
    #[inline]
    pub(super) fn suit(&self, queue: &Queue, entries: &Entries) -> bool {
        queue.is_open
            && queue.has_waiting()
            && (queue.in_flight < self.window || is_free(queue, entries))
    }

    /// Appends the device with this queue to the round, unless it is in it already or cannot send.
    #[inline(always)]
    pub(super) fn offer(&mut self, device: Slot, queue: &mut Queue, entries: &Entries) {
        if queue.has_turn || !self.suit(queue, entries) {
            return;
        }
        queue.has_turn = true;
        let turn = (self.next, device);
        self.next += 1;
        match is_free(queue, entries) {
            true => self.free.push_back(turn),
            false => self.windowed.push_back(turn),
        }
    }

    #[inline]
    pub(super) fn has_free(&self) -> bool {
        !self.free.is_empty()
    }

    #[inline]
    pub(super) fn has_windowed(&self) -> bool {
        !self.windowed.is_empty()
    }

    /// Returns the device whose turn it is; only one whose next publication is at QoS 0 unless the `window` has room.
    #[inline]
    pub(super) fn next(&self, window: bool) -> Option<Slot> {
        if self.free.is_empty() {
            let next = self.windowed.front().filter(|_| window);
            return next.map(|&(_, device)| device);
        }
        let windowed = self.windowed.front().filter(|_| window);
        let next = match (windowed, self.free.front()) {
            (Some(windowed), Some(free)) => Some(windowed.min(free)),
            (Some(one), None) | (None, Some(one)) => Some(one),
            (None, None) => None,
        };
        next.map(|&(_, device)| device)
    }

    /// Ends the turn of the device that is next, which has this queue.
    #[inline]
    pub(super) fn take(&mut self, device: Slot, queue: &mut Queue) {
        queue.has_turn = false;
        if self.free.is_empty() || !pop(&mut self.free, device) {
            pop(&mut self.windowed, device);
        }
    }

    /// Moves the device that is next at QoS 0 to those that need the window, because its next publication has changed.
    pub(super) fn move_to_windowed(&mut self, device: Slot) {
        if pop(&mut self.free, device) {
            self.windowed.push_back((self.next, device));
            self.next += 1;
        }
    }

    /// Removes a device from the round, because it is no longer attached or was removed.
    pub(super) fn remove(&mut self, device: Slot, queue: &mut Queue) {
        if queue.has_turn {
            queue.has_turn = false;
            self.windowed.retain(|(_, other)| *other != device);
            self.free.retain(|(_, other)| *other != device);
        }
    }
}

/// Removes a device from the front, if it is there.
#[inline]
fn pop(devices: &mut VecDeque<(u64, Slot)>, device: Slot) -> bool {
    let is_there = devices.front().is_some_and(|&(_, front)| front == device);
    if is_there {
        devices.pop_front();
    }
    is_there
}

/// Returns whether the next publication of a queue is at QoS 0: it needs no place in a window.
#[inline]
fn is_free(queue: &Queue, entries: &Entries) -> bool {
    if queue.waiting_once == 0 {
        return false;
    }
    let next = queue.state.or(queue.waiting.head());
    next.is_some_and(|key| entries.at(key).qos == QoS::AtMostOnce)
}
