//! Rings of devices, linked by their slots.

use crate::command::Slot;

/// The slot beyond either end of a ring.
const NONE: Slot = Slot(u32::MAX);

/// A device gets its link when it is attached, before it can send.
const LINKED: &str = "a device has its link before it is in a ring";

/// How many links are allocated at a time.
const MORE: usize = 64;

/// Devices, each once, in order.
///
/// The head's `previous` link is meaningless, so that removing the head need not touch the next device.
#[derive(Debug)]
pub(super) struct Ring {
    head: Slot,
    tail: Slot,
}

/// The links of all rings, by slot: each device is in at most one of them. Every operation is O(1), and none allocates
/// but [`add`](Self::add).
#[derive(Debug, Default)]
pub(super) struct Links(Vec<Link>);

#[derive(Clone, Copy, Debug)]
struct Link {
    previous: Slot,
    next: Slot,
    /// Of the turn: the later it was given, the larger.
    number: u64,
}

impl Ring {
    pub(super) const EMPTY: Self = Self {
        head: NONE,
        tail: NONE,
    };

    #[inline]
    pub(super) fn head(&self) -> Option<Slot> {
        (self.head != NONE).then_some(self.head)
    }

    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        self.head == NONE
    }
}

impl Links {
    /// Adds the link of a device, if it has none yet.
    pub(super) fn add(&mut self, device: Slot) {
        let len = device.index() + 1;
        if self.0.len() < len {
            // There are at most a thousand: occasional moves cost less than keeping twice their size.
            self.0.reserve_exact(MORE.max(len - self.0.len()));
            let (previous, next, number) = (NONE, NONE, 0);
            let link = Link {
                previous,
                next,
                number,
            };
            self.0.resize(len, link);
        }
    }

    /// Returns the number of a device's last turn.
    pub(super) fn number(&self, device: Slot) -> u64 {
        self.0.get(device.index()).expect(LINKED).number
    }

    #[inline(always)]
    pub(super) fn push_back(&mut self, ring: &mut Ring, device: Slot, number: u64) {
        *self.at_mut(device) = Link {
            previous: ring.tail,
            next: NONE,
            number,
        };
        match ring.tail {
            NONE => ring.head = device,
            tail => self.at_mut(tail).next = device,
        }
        ring.tail = device;
    }

    /// Puts a device at the head, with the number of its last turn.
    pub(super) fn push_front(&mut self, ring: &mut Ring, device: Slot) {
        let link = self.at_mut(device);
        (link.previous, link.next) = (NONE, ring.head);
        match ring.head {
            NONE => ring.tail = device,
            head => self.at_mut(head).previous = device,
        }
        ring.head = device;
    }

    /// Puts a device before the first one with a later turn, with the number of its last turn: in O(1) unless earlier
    /// ones are at the head.
    pub(super) fn insert(&mut self, ring: &mut Ring, device: Slot) {
        let number = self.number(device);
        let (mut previous, mut next) = (NONE, ring.head);
        while next != NONE && self.number(next) < number {
            previous = next;
            next = self.at_mut(next).next;
        }
        *self.at_mut(device) = Link {
            previous,
            next,
            number,
        };
        match previous {
            NONE => ring.head = device,
            previous => self.at_mut(previous).next = device,
        }
        match next {
            NONE => ring.tail = device,
            next => self.at_mut(next).previous = device,
        }
    }

    #[inline(always)]
    pub(super) fn pop(&mut self, ring: &mut Ring) -> Option<Slot> {
        let device = ring.head()?;
        ring.head = self.at_mut(device).next;
        if ring.head == NONE {
            ring.tail = NONE;
        }
        Some(device)
    }

    pub(super) fn remove(&mut self, ring: &mut Ring, device: Slot) {
        let Link { previous, next, .. } = *self.at_mut(device);
        if device == ring.head {
            ring.head = next;
            if next == NONE {
                ring.tail = NONE;
            }
            return;
        }
        self.at_mut(previous).next = next;
        match next {
            NONE => ring.tail = previous,
            next => self.at_mut(next).previous = previous,
        }
    }

    #[inline]
    fn at_mut(&mut self, device: Slot) -> &mut Link {
        self.0.get_mut(device.index()).expect(LINKED)
    }
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*};

    use super::*;

    fn assert_is(ring: &Ring, links: &Links, expected: &[Slot]) {
        let next = |slot: &Slot| Some(links.0[slot.index()].next).filter(|next| *next != NONE);
        let forwards = core::iter::successors(ring.head(), next);
        assert!(forwards.eq(expected.iter().copied()), "{expected:?}");
        for pair in expected.windows(2) {
            assert_eq!(links.0[pair[1].index()].previous, pair[0]);
        }
        assert_eq!(ring.tail, expected.last().copied().unwrap_or(NONE));
        assert_eq!(ring.is_empty(), expected.is_empty());
    }

    proptest! {
        #[test]
        fn two_rings_hold_what_was_added_in_order_whatever_comes_and_goes(
            steps in vec((0..8_u32, any::<bool>(), any::<bool>()), 0..80)
        ) {
            let mut links = Links::default();
            let (mut rings, mut expected) = ([Ring::EMPTY, Ring::EMPTY], [vec![], vec![]]);
            for (number, (slot, is_second, is_put_back)) in (1..).zip(steps) {
                let (slot, at) = (Slot(slot), usize::from(is_second));
                links.add(slot);
                let was_in = (0..2).find(|&at| expected[at].contains(&slot));
                if let Some(was_in) = was_in {
                    match rings[was_in].head() {
                        Some(head) if head == slot => _ = links.pop(&mut rings[was_in]),
                        _ => links.remove(&mut rings[was_in], slot),
                    }
                    expected[was_in].retain(|other| *other != slot);
                }
                if is_put_back && was_in.is_some() {
                    links.insert(&mut rings[at], slot);
                    expected[at].push(slot);
                    expected[at].sort_by_key(|slot| links.number(*slot));
                } else if was_in.is_none() {
                    links.push_back(&mut rings[at], slot, number);
                    expected[at].push(slot);
                }
                for at in 0..2 {
                    assert_is(&rings[at], &links, &expected[at]);
                }
            }
        }
    }
}
