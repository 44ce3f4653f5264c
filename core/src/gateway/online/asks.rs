//! Which device or subscription is asked for next: first ones first, those to be asked again in a share of the window.

use std::collections::VecDeque;

use super::PacketOwner;
use crate::mqtt::{Connection, Kind};

/// What is to be asked for with packets of one kind, in order.
#[derive(Debug)]
pub(crate) struct Asks<K> {
    /// Not yet asked for on this connection.
    first: VecDeque<K>,
    /// To be asked for again: its last packet was answered otherwise, or has left the window.
    again: VecDeque<K>,
    /// The same, but its last packet is still in the window: only a probe asks again.
    late: VecDeque<K>,
    /// How many are in all three.
    len: usize,
}

/// Whose turn it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Choice {
    place: Place,
    /// Whether the window does not allow it.
    pub(crate) is_probe: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    First(usize),
    Again,
    Late,
}

impl Choice {
    fn within_window(place: Place) -> Self {
        let is_probe = false;
        Self { place, is_probe }
    }

    fn probe(place: Place) -> Self {
        let is_probe = true;
        Self { place, is_probe }
    }
}

impl<K> Default for Asks<K> {
    fn default() -> Self {
        Self {
            first: VecDeque::new(),
            again: VecDeque::new(),
            late: VecDeque::new(),
            len: 0,
        }
    }
}

impl<K> From<VecDeque<K>> for Asks<K> {
    /// Asks for all of them for the first time, in this order.
    fn from(first: VecDeque<K>) -> Self {
        Self {
            len: first.len(),
            first,
            ..Self::default()
        }
    }
}

impl<K: Copy + PartialEq> Asks<K> {
    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.len == 0
    }

    pub(crate) fn has_first(&self) -> bool {
        !self.first.is_empty()
    }

    pub(crate) fn push_first(&mut self, key: K) {
        self.len += 1;
        self.first.push_back(key);
    }

    pub(crate) fn push_again(&mut self, key: K) {
        self.len += 1;
        self.again.push_back(key);
    }

    pub(crate) fn push_late(&mut self, key: K) {
        self.len += 1;
        self.late.push_back(key);
    }

    /// Returns whose turn it is within the window.
    pub(crate) fn next(&self, link: &Connection<PacketOwner>, kind: Kind) -> Option<Choice> {
        if !self.first.is_empty() && link.has_window(kind, !self.again.is_empty()) {
            return Some(Choice::within_window(Place::First(0)));
        }
        let may_again = !self.again.is_empty() && link.has_window_again(kind);
        may_again.then_some(Choice::within_window(Place::Again))
    }

    /// Returns whether something waits that the window does not allow, so that a probe may be sent for it.
    pub(crate) fn wants_probe(&self, link: &Connection<PacketOwner>, kind: Kind) -> bool {
        !self.is_empty() && self.next(link, kind).is_none()
    }

    /// Returns whose turn a probe is. A first one is chosen by `place`, which runs through all fractions of 2³²: the peer
    /// may ignore those at the front.
    pub(crate) fn probe(&self, place: u32) -> Option<Choice> {
        let first = (u64::from(place) * self.first.len() as u64) >> 32;
        let place = match (
            self.has_first(),
            self.again.is_empty(),
            self.late.is_empty(),
        ) {
            (true, ..) => Place::First(first as usize),
            (false, false, _) => Place::Again,
            (false, true, false) => Place::Late,
            (false, true, true) => return None,
        };
        Some(Choice::probe(place))
    }

    pub(crate) fn at(&self, choice: Choice) -> Option<K> {
        let key = match choice.place {
            Place::First(at) => self.first.get(at),
            Place::Again => self.again.front(),
            Place::Late => self.late.front(),
        };
        key.copied()
    }

    pub(crate) fn take(&mut self, choice: Choice) -> Option<K> {
        let taken = match choice.place {
            Place::First(at) => self.first.remove(at),
            Place::Again => self.again.pop_front(),
            Place::Late => self.late.pop_front(),
        };
        self.len -= usize::from(taken.is_some());
        taken
    }

    /// Records that the last packet of one has left the window: it may be asked for again.
    pub(crate) fn release(&mut self, key: K) {
        if let Some(at) = self.late.iter().position(|other| *other == key) {
            self.late.remove(at);
            self.again.push_back(key);
        }
    }

    pub(crate) fn remove(&mut self, key: K) {
        self.retain(|other| other != key);
    }

    pub(crate) fn retain(&mut self, keep: impl Fn(K) -> bool) {
        for queue in [&mut self.first, &mut self.again, &mut self.late] {
            queue.retain(|key| keep(*key));
        }
        self.len = self.first.len() + self.again.len() + self.late.len();
    }
}
