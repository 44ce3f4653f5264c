//! Queues that give their memory back.

use std::collections::VecDeque;

/// The number of values for which a queue always keeps its memory.
const ALWAYS_KEPT: usize = 128;

/// A queue whose memory follows its use: once it was emptied, it keeps at most four times what has passed since it was
/// emptied before. So a repeated use never allocates again, and the memory of an exceptional one is freed by the next.
#[derive(Debug)]
pub(crate) struct Fifo<T> {
    values: VecDeque<T>,
    /// How many have passed since it was emptied.
    passed: usize,
}

impl<T> Fifo<T> {
    pub(crate) fn new() -> Self {
        Self {
            values: VecDeque::new(),
            passed: 0,
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.values.len()
    }

    #[inline]
    pub(crate) fn push_back(&mut self, value: T) {
        self.values.push_back(value);
    }

    #[inline]
    pub(crate) fn pop_front(&mut self) -> Option<T> {
        let value = self.values.pop_front();
        match value.is_some() {
            true => self.passed += 1,
            false => self.settle(),
        }
        value
    }

    /// Returns all values, oldest first.
    #[inline]
    pub(crate) fn values(&self) -> &VecDeque<T> {
        &self.values
    }

    /// Returns the same, to be changed in place.
    pub(crate) fn values_mut(&mut self) -> &mut VecDeque<T> {
        &mut self.values
    }

    /// Frees memory that was not used lately, if it was just emptied. Taking a value when there is none does it too.
    #[inline(never)]
    pub(crate) fn settle(&mut self) {
        let passed = core::mem::take(&mut self.passed);
        let kept = ALWAYS_KEPT.max(4 * passed);
        if passed > 0 && self.values.capacity() > kept {
            self.values.shrink_to(kept);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pass(fifo: &mut Fifo<u64>, count: u64) {
        (0..count).for_each(|value| fifo.push_back(value));
        assert!((0..count).all(|value| fifo.pop_front() == Some(value)));
        assert_eq!(fifo.pop_front(), None);
    }

    #[test]
    fn an_exceptional_use_does_not_keep_its_memory() {
        let mut fifo = Fifo::new();
        pass(&mut fifo, 100_000);
        pass(&mut fifo, 1);
        assert!(fifo.values.capacity() <= ALWAYS_KEPT);
    }

    #[test]
    fn a_repeated_use_keeps_its_memory() {
        let mut fifo = Fifo::new();
        pass(&mut fifo, 1_000);
        let capacity = fifo.values.capacity();
        for count in [400, 1_000, 300] {
            pass(&mut fifo, count);
            assert_eq!(fifo.pop_front(), None, "nothing has passed");
            assert_eq!(fifo.values.capacity(), capacity);
        }
    }
}
