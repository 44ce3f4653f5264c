//! Freeing the memory of a drained buffer.

use bytes::BytesMut;

/// A drained buffer of at most this many bytes is always kept.
const ALWAYS_KEPT: usize = 64 * 1024;

/// Frees the memory of an empty buffer if its capacity is more than four times `peak`, the most bytes that waited in it
/// since it was last empty.
///
/// A buffer grows only while more than half of it is in use, and then doubles, so it stays below four times its peak. A
/// repeated use therefore never allocates again, and the memory of an exceptional use is freed by the next one.
pub(super) fn give_back(buffer: &mut BytesMut, peak: usize) {
    debug_assert!(buffer.is_empty());
    let kept = ALWAYS_KEPT.max(4 * peak);
    if buffer.try_reclaim(kept + 1) {
        *buffer = BytesMut::new();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(capacity: usize, peak: usize) -> bool {
        let mut buffer = BytesMut::with_capacity(capacity);
        give_back(&mut buffer, peak);
        buffer.capacity() > 0
    }

    #[test]
    fn memory_is_kept_up_to_four_times_its_last_use() {
        assert!(kept(64 * 1024, 1));
        assert!(!kept(64 * 1024 + 1, 1));
        assert!(kept(400_000, 100_000));
        assert!(!kept(400_001, 100_000));
    }
}
