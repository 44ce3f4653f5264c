//! How many tokens are fetched for devices at once: by the driver and by the futures of the attaches together.

use core::{
    pin::Pin,
    task::{Context, Poll, Waker},
};
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

/// The number of device tokens that are fetched at once.
pub(crate) const MAX_FETCHES: usize = 16;

/// The slots of fetches. Those that wait are woken in the order in which they have asked, each only once, so that a future
/// that is kept and not polled holds up no other.
pub(crate) struct TokenSlots(Mutex<Slots>);

struct Slots {
    free: usize,
    /// Those that wait, by their numbers.
    waiting: BTreeMap<u64, Waker>,
    next: u64,
}

impl TokenSlots {
    pub(crate) fn new() -> Self {
        Self(Mutex::new(Slots {
            free: MAX_FETCHES,
            waiting: BTreeMap::new(),
            next: 0,
        }))
    }

    /// Waits for a slot.
    pub(crate) fn take(self: &Arc<Self>) -> Taking {
        Taking {
            slots: Arc::clone(self),
            number: self.change(|slots| {
                slots.next += 1;
                slots.next
            }),
        }
    }

    /// Changes the slots, then wakes the next one that waits, if there is one for it.
    fn change<A>(&self, change: impl FnOnce(&mut Slots) -> A) -> A {
        let mut slots = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let answer = change(&mut slots);
        let next = match slots.free {
            0 => None,
            _ => slots.waiting.pop_first(),
        };
        drop(slots);
        if let Some((_, waker)) = next {
            waker.wake();
        }
        answer
    }
}

/// A future of a slot.
pub(crate) struct Taking {
    slots: Arc<TokenSlots>,
    number: u64,
}

impl Future for Taking {
    type Output = TokenSlot;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<TokenSlot> {
        let number = self.number;
        let is_taken = self.slots.change(|slots| {
            let is_taken = slots.free > 0;
            if is_taken {
                slots.free -= 1;
                slots.waiting.remove(&number);
            } else {
                slots.waiting.insert(number, cx.waker().clone());
            }
            is_taken
        });
        match is_taken {
            true => Poll::Ready(TokenSlot(Arc::clone(&self.slots))),
            false => Poll::Pending,
        }
    }
}

impl Drop for Taking {
    fn drop(&mut self) {
        let number = self.number;
        self.slots.change(|slots| slots.waiting.remove(&number));
    }
}

/// One fetch; dropping it lets another one begin.
pub(crate) struct TokenSlot(Arc<TokenSlots>);

impl Drop for TokenSlot {
    fn drop(&mut self) {
        self.0.change(|slots| slots.free += 1);
    }
}
