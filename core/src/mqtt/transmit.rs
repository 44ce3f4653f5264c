//! The transmit buffer, and how much of the stream was already handed over.

use core::fmt;

use bytes::{Buf, BytesMut};

use super::buffer;

/// The outgoing byte stream of one connection.
///
/// Positions count bytes from its start: what ends at [`queued_end`](Self::queued_end) when it is queued has been
/// handed over to the transport once [`written_end`](Self::written_end) has reached that position. Memory is reused: a
/// buffer is kept if it is less than four times the recent peak, or up to 64 KiB. `Debug` shows the number of queued
/// bytes but not their contents, because they include tokens.
#[derive(Default)]
pub(crate) struct Transmit {
    buffer: BytesMut,
    written_end: u64,
    /// The most bytes that waited since the buffer was last empty.
    peak: usize,
}

impl Transmit {
    /// Returns the queued bytes, oldest first.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.buffer
    }

    /// Returns the number of queued bytes.
    pub(crate) fn len(&self) -> usize {
        self.buffer.len()
    }

    /// Returns whether nothing is queued.
    pub(crate) fn is_empty(&self) -> bool {
        self.buffer.is_empty()
    }

    /// Returns the position after the last queued byte.
    pub(crate) fn queued_end(&self) -> u64 {
        self.written_end + self.buffer.len() as u64
    }

    /// Returns the position up to which bytes were handed over to the transport.
    pub(crate) fn written_end(&self) -> u64 {
        self.written_end
    }

    /// Returns the buffer to append packets to. Append only.
    pub(crate) fn buffer(&mut self) -> &mut BytesMut {
        &mut self.buffer
    }

    /// Removes the first `len` bytes, which were handed over to the transport; at most all of them.
    pub(crate) fn advance(&mut self, len: usize) {
        let waiting = self.buffer.len();
        let len = len.min(waiting);
        self.peak = self.peak.max(waiting);
        self.buffer.advance(len);
        self.written_end += len as u64;
        if self.buffer.is_empty() {
            buffer::give_back(&mut self.buffer, self.peak);
            self.peak = 0;
        }
    }
}

impl fmt::Debug for Transmit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Transmit")
            .field("buffer", &format_args!("[{} bytes]", self.len()))
            .field("written_end", &self.written_end)
            .field("peak", &self.peak)
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn queued(bytes: &[u8]) -> Transmit {
        let mut transmit = Transmit::default();
        transmit.buffer().extend_from_slice(bytes);
        transmit
    }

    #[test]
    fn unwritten_bytes_stay_and_keep_their_order() {
        let mut transmit = queued(b"abcdef");
        transmit.advance(2);
        assert_eq!(transmit.bytes(), b"cdef");
        transmit.buffer().extend_from_slice(b"gh");
        transmit.advance(0);
        assert_eq!(transmit.bytes(), b"cdefgh");
        assert_eq!(transmit.len(), 6);
        transmit.advance(6);
        assert!(transmit.is_empty());
    }

    #[test]
    fn positions_count_the_whole_stream() {
        let mut transmit = queued(b"abc");
        assert_eq!((transmit.written_end(), transmit.queued_end()), (0, 3));
        let end = transmit.queued_end();
        transmit.buffer().extend_from_slice(b"de");
        transmit.advance(2);
        assert!(transmit.written_end() < end);
        transmit.advance(1);
        assert!(transmit.written_end() >= end);
        assert_eq!((transmit.written_end(), transmit.queued_end()), (3, 5));
    }

    #[test]
    fn no_more_is_written_than_waits() {
        let mut transmit = queued(b"abc");
        transmit.advance(usize::MAX);
        assert!(transmit.is_empty());
        assert_eq!((transmit.written_end(), transmit.queued_end()), (3, 3));
    }

    #[test]
    fn debug_tells_how_many_bytes_wait_and_none_of_them() {
        let shown = format!("{:?}", queued(b"secret"));
        assert!(shown.contains("[6 bytes]"), "{shown}");
        assert!(!shown.contains("secret"), "{shown}");
    }

    #[test]
    fn one_large_packet_does_not_keep_its_memory() {
        let mut transmit = queued(&vec![7; 1 << 20]);
        transmit.advance(1 << 20);
        transmit.buffer().extend_from_slice(b"small");
        transmit.advance(5);
        assert_eq!(transmit.buffer().capacity(), 0);
    }

    #[test]
    fn a_repeated_use_keeps_its_memory() {
        let mut transmit = Transmit::default();
        for _ in 0..10 {
            for _ in 0..300 {
                transmit.buffer().extend_from_slice(&[7; 1000]);
                transmit.advance(400);
            }
            transmit.advance(transmit.len());
            assert!(transmit.buffer().try_reclaim(180_000));
        }
    }
}
