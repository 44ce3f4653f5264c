//! Queues that free their memory.

use std::collections::VecDeque;

/// The number of values for which a queue always keeps its memory.
const ALWAYS_KEPT: usize = 128;

/// With less of its memory in use than one part in so many, a queue frees half of it or more.
const SPARSE: usize = 8;

/// A queue whose memory follows its use: it frees most of it while it gets shorter. A repeated use of no more values than
/// are always kept never allocates again.
#[derive(Debug)]
pub(crate) struct Fifo<T> {
    values: VecDeque<T>,
}

impl<T> Fifo<T> {
    pub(crate) fn new() -> Self {
        Self {
            values: VecDeque::new(),
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
        if self.values.capacity() / SPARSE > self.values.len().max(ALWAYS_KEPT / SPARSE) {
            self.shrink();
        }
        self.values.pop_front()
    }

    #[inline(never)]
    fn shrink(&mut self) {
        let kept = SPARSE / 2 * self.values.len();
        self.values.shrink_to(kept.max(ALWAYS_KEPT));
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
        assert_eq!(fifo.pop_front(), None);
        assert!(fifo.values.capacity() <= ALWAYS_KEPT);
    }

    #[test]
    fn a_use_that_never_empties_it_does_not_keep_the_memory_of_an_exceptional_one() {
        let mut fifo = Fifo::new();
        (0..100_000).for_each(|value| fifo.push_back(value));
        for expected in 0..100_000 {
            assert_eq!(fifo.pop_front(), Some(expected));
            let most = ALWAYS_KEPT.max(SPARSE * (fifo.len() + 1)) + SPARSE;
            assert!(fifo.values.capacity() <= most, "{}", fifo.values.capacity());
        }
    }

    #[test]
    fn a_repeated_use_keeps_its_memory() {
        let mut fifo = Fifo::new();
        pass(&mut fifo, ALWAYS_KEPT as u64);
        let capacity = fifo.values.capacity();
        for count in [100, 128, 30] {
            pass(&mut fifo, count);
            assert_eq!(fifo.values.capacity(), capacity);
        }
    }
}
