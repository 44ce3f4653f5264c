//! Round-robin over the devices that can send.

use std::collections::VecDeque;

use super::{
    entries::Entries,
    queue::{Queue, Standing},
};
use crate::{command::Slot, mqtt::QoS};

/// The turn of a device, which is in the round or was just taken.
#[derive(Clone, Copy, Debug)]
pub(super) struct Turn {
    number: u64,
    pub(super) device: Slot,
    /// Whether it is among those that need no place in a window.
    is_free: bool,
}

/// The devices that can send, each once, in the order in which they joined. Those whose next publication is at QoS 0 are
/// apart, because it needs no place in a window.
#[derive(Debug)]
pub(super) struct Round {
    windowed: VecDeque<Turn>,
    free: VecDeque<Turn>,
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

    /// Returns whether this queue has as many in flight as one device may have.
    #[inline]
    pub(super) fn is_full(&self, queue: &Queue) -> bool {
        queue.in_flight >= self.window
    }

    /// Returns whether this queue can send now.
    #[inline]
    pub(super) fn suit(&self, queue: &Queue, entries: &Entries) -> bool {
        queue.is_open && queue.has_waiting() && (!self.is_full(queue) || is_free(queue, entries))
    }

    /// Appends the device with this queue to the round, unless it is in it already or cannot send.
    #[inline(always)]
    pub(super) fn offer(&mut self, device: Slot, queue: &mut Queue, entries: &Entries) {
        match queue.turn {
            Standing::Absent if self.suit(queue, entries) => {
                self.append(device, queue, is_free(queue, entries));
            }
            Standing::Windowed if is_free(queue, entries) => self.move_to_free(device, queue),
            _ => {}
        }
    }

    /// Moves a device that waits for the window to those that need none, because it can send at QoS 0 by now.
    #[inline(never)]
    fn move_to_free(&mut self, device: Slot, queue: &mut Queue) {
        let at = self.windowed.iter().position(|turn| turn.device == device);
        if let Some(turn) = at.and_then(|at| self.windowed.remove(at)) {
            let later = self
                .free
                .partition_point(|other| other.number < turn.number);
            let turn = Turn {
                is_free: true,
                ..turn
            };
            self.free.insert(later, turn);
            queue.turn = Standing::Free;
        }
    }

    /// Appends a device that is not in the round.
    #[inline(always)]
    pub(super) fn append(&mut self, device: Slot, queue: &mut Queue, is_free: bool) {
        queue.turn = Standing::of(is_free);
        let turn = Turn {
            number: self.next,
            device,
            is_free,
        };
        self.next += 1;
        self.turns_mut(is_free).push_back(turn);
    }

    /// Puts a device back to where it was taken from.
    #[inline(never)]
    pub(super) fn put_back(&mut self, turn: Turn, queue: &mut Queue) {
        queue.turn = Standing::of(turn.is_free);
        self.turns_mut(turn.is_free).push_front(turn);
    }

    fn turns_mut(&mut self, is_free: bool) -> &mut VecDeque<Turn> {
        match is_free {
            true => &mut self.free,
            false => &mut self.windowed,
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

    /// Takes the device whose turn it is; only one whose next publication is at QoS 0 unless the `window` has room. The
    /// caller clears the mark of its queue.
    #[inline]
    pub(super) fn take(&mut self, window: bool) -> Option<Turn> {
        if !self.free.is_empty() {
            return self.take_either(window);
        }
        match window {
            true => self.windowed.pop_front(),
            false => None,
        }
    }

    /// Does the same while devices can send at QoS 0. Never inlined, because most publications are at QoS 1.
    #[inline(never)]
    fn take_either(&mut self, window: bool) -> Option<Turn> {
        let free = self.free.front()?;
        let windowed = self.windowed.front().filter(|_| window);
        match windowed.is_some_and(|windowed| windowed.number < free.number) {
            true => self.windowed.pop_front(),
            false => self.free.pop_front(),
        }
    }

    /// Removes a device from the round, because it is no longer attached or was removed.
    pub(super) fn remove(&mut self, device: Slot, queue: &mut Queue) {
        if queue.turn != Standing::Absent {
            queue.turn = Standing::Absent;
            for turns in [&mut self.windowed, &mut self.free] {
                turns.retain(|turn| turn.device != device);
            }
        }
    }
}

/// Returns whether the state or the first telemetry of a queue is at QoS 0: it needs no place in a window.
#[inline]
fn is_free(queue: &Queue, entries: &Entries) -> bool {
    if queue.waiting_once == 0 {
        return false;
    }
    let next = [queue.state, queue.waiting.head()].into_iter().flatten();
    next.map(|key| entries.at(key).qos)
        .any(|qos| qos == QoS::AtMostOnce)
}
