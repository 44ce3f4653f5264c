//! Those that precede others: with something urgent, or at QoS 0, which needs no place in a window.

use super::{Round, Shares, Turn};
use crate::{
    command::Slot,
    gateway::outbox::{
        entries::Entries,
        queue::{Queue, Standing},
        ring::Ring,
    },
    mqtt::QoS,
};

impl Turn {
    /// Returns whether it is for something urgent.
    #[inline]
    pub(in super::super) fn is_urgent(self) -> bool {
        matches!(self.standing, Standing::UrgentFree | Standing::Urgent)
    }

    /// Returns whether the turn of the device with this queue was for something urgent, which has gone or is held back.
    pub(in super::super) fn is_stale(self, queue: &Queue, entries: &Entries) -> bool {
        match self.standing {
            Standing::UrgentFree => queue.urgent(entries) != Some(QoS::AtMostOnce),
            Standing::Urgent => queue.urgent(entries).is_none(),
            Standing::Below | Standing::Above | Standing::Free | Standing::Absent => false,
        }
    }
}

impl Round {
    /// Returns whether this queue has as many in flight as the device may have with urgent ones.
    pub(super) fn is_full_of_urgent(&self, queue: &Queue) -> bool {
        let Shares {
            first,
            growth,
            share,
            ..
        } = self.shares;
        let grown = queue.grown.max(queue.most_grown);
        queue.in_flight >= first + (grown + share).min(growth)
    }

    /// Returns where a device with this queue waits that can send something urgent, or at QoS 0. Never inlined, as
    /// [`next_special`](Self::next_special).
    #[inline(never)]
    pub(super) fn special_standing(&self, queue: &Queue, entries: &Entries) -> Option<Standing> {
        match queue.urgent(entries) {
            Some(QoS::AtMostOnce) => Some(Standing::UrgentFree),
            Some(QoS::AtLeastOnce) if !self.is_full_of_urgent(queue) => Some(Standing::Urgent),
            _ => queue.is_free(entries).then_some(Standing::Free),
        }
    }

    /// Offers a device that has something urgent or at QoS 0; if it waits elsewhere, moves it to where it can send sooner.
    /// One that has less than before stays: this shows when its turn comes. What is urgent does not cost it its turn.
    #[inline(never)]
    pub(super) fn offer_special(&mut self, device: Slot, queue: &mut Queue, entries: &Entries) {
        if !self.suit(queue, entries) {
            return;
        }
        let standing = self.special_standing(queue, entries);
        let standing = standing.unwrap_or_else(|| self.windowed_standing(queue));
        let turn = Turn { device, standing };
        match (queue.turn, standing) {
            (old, new) if old == new => {}
            (Standing::Below | Standing::Above, Standing::Free) => {
                self.remove(device, queue);
                self.insert(turn, queue);
            }
            (Standing::Below | Standing::Free, Standing::Below | Standing::Above) => {}
            (_, Standing::Urgent | Standing::UrgentFree) => self.append_urgent(turn, queue),
            (Standing::Urgent | Standing::UrgentFree, _) if queue.keeps_turn => {
                self.remove(device, queue);
                self.insert(turn, queue);
            }
            _ => {
                self.remove(device, queue);
                self.append(device, queue, standing);
            }
        }
    }

    /// Moves a device to the end of those with something urgent.
    fn append_urgent(&mut self, turn: Turn, queue: &mut Queue) {
        self.interrupt(turn, queue);
        if let Some((ring, links)) = self.ring_mut(turn.standing) {
            let number = links.number(turn.device);
            links.push_back(ring, turn.device, number);
        }
    }

    /// Moves a device to the head of those with something urgent.
    pub(super) fn prepend_urgent(&mut self, turn: Turn, queue: &mut Queue) {
        self.interrupt(turn, queue);
        if let Some((ring, links)) = self.ring_mut(turn.standing) {
            links.push_front(ring, turn.device);
        }
    }

    /// Removes a device from where it is, and marks that it has something urgent. It keeps its turn among the others.
    fn interrupt(&mut self, turn: Turn, queue: &mut Queue) {
        let has_turn = !matches!(
            queue.turn,
            Standing::Absent | Standing::Urgent | Standing::UrgentFree
        );
        let keeps_turn = has_turn || queue.keeps_turn;
        self.remove(turn.device, queue);
        queue.keeps_turn = keeps_turn;
        queue.turn = turn.standing;
        self.needed = self.needed.min(self.room_for(turn.standing));
    }

    /// Puts a device, which was taken for something urgent, back to its turn among the others, if it has one.
    #[inline(never)]
    pub(in super::super) fn resume(&mut self, device: Slot, queue: &mut Queue) {
        if core::mem::take(&mut queue.keeps_turn) {
            let standing = self.windowed_standing(queue);
            self.insert(Turn { device, standing }, queue);
        }
    }

    /// Returns where the device waits whose turn is next, if it can send something urgent or at QoS 0. Never inlined,
    /// because most publications are neither.
    #[inline(never)]
    pub(super) fn next_special(&self, left: usize) -> Option<Standing> {
        if !self.urgent_free.is_empty() {
            return Some(Standing::UrgentFree);
        }
        if !self.urgent.is_empty() && left >= self.room_for(Standing::Urgent) {
            return Some(Standing::Urgent);
        }
        let is_free_next = !self.free.is_empty() && self.is_free_next(left);
        is_free_next.then_some(Standing::Free)
    }

    /// Returns whether the next turn of those without anything urgent is that of a device that can send at QoS 0.
    fn is_free_next(&self, left: usize) -> bool {
        let number = |ring: &Ring| ring.head().map(|device| self.links.number(device));
        let windowed = number(&self.below).or(number(&self.above));
        let windowed = windowed.filter(|_| left >= self.windowed_needed());
        windowed.is_none_or(|windowed| number(&self.free) < Some(windowed))
    }
}
