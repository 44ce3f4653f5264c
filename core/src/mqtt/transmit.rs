//! The transmit buffer, and how much of the stream was already handed over.

use core::fmt;

use bytes::{Buf, BytesMut};

use super::{buffer, codec};

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
    /// The position after the last packet of which a byte was handed over to the transport.
    packet_end: u64,
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

    /// Returns the position after the packet of which a part was handed over to the transport, and not all.
    pub(crate) fn cut(&self) -> Option<u64> {
        (self.packet_end > self.written_end).then_some(self.packet_end)
    }

    /// Returns the buffer to append packets to: whole ones. Append only.
    pub(crate) fn buffer(&mut self) -> &mut BytesMut {
        &mut self.buffer
    }

    /// Removes the first `len` bytes, which were handed over to the transport; at most all of them.
    pub(crate) fn advance(&mut self, len: usize) {
        let waiting = self.buffer.len();
        let len = len.min(waiting);
        self.peak = self.peak.max(waiting);
        if len < waiting {
            self.find_cut(len);
        }
        self.buffer.advance(len);
        self.written_end += len as u64;
        if self.buffer.is_empty() {
            self.packet_end = self.written_end;
            buffer::give_back(&mut self.buffer, self.peak);
            self.peak = 0;
        }
    }

    /// Moves `packet_end` behind the packet that the first `len` bytes end in. Never inlined: a transport usually takes all.
    #[inline(never)]
    fn find_cut(&mut self, len: usize) {
        let end = self.written_end + len as u64;
        while self.packet_end < end {
            let at = (self.packet_end - self.written_end) as usize;
            let packet = self.buffer.get(at..).unwrap_or_default();
            self.packet_end += codec::packet_len(packet) as u64;
        }
    }
}

impl fmt::Debug for Transmit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Transmit")
            .field("buffer", &format_args!("[{} bytes]", self.len()))
            .field("written_end", &self.written_end)
            .field("packet_end", &self.packet_end)
            .field("peak", &self.peak)
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns a PUBLISH of so many bytes: more than 130, so that its length takes two.
    fn packet(len: usize) -> Vec<u8> {
        let rest = len - 3;
        let mut packet = vec![0x30, rest as u8 | 0x80, (rest >> 7) as u8];
        packet.extend((3..len).map(|at| at as u8));
        packet
    }

    fn queued(bytes: &[u8]) -> Transmit {
        let mut transmit = Transmit::default();
        transmit.buffer().extend_from_slice(bytes);
        transmit
    }

    #[test]
    fn unwritten_bytes_stay_and_keep_their_order() {
        let (first, second) = (packet(200), packet(300));
        let mut transmit = queued(&first);
        transmit.advance(2);
        assert_eq!(transmit.bytes(), &first[2..]);
        transmit.buffer().extend_from_slice(&second);
        transmit.advance(0);
        assert_eq!(transmit.bytes(), [&first[2..], &second].concat());
        assert_eq!(transmit.len(), 498);
        transmit.advance(498);
        assert!(transmit.is_empty());
    }

    #[test]
    fn positions_count_the_whole_stream() {
        let mut transmit = queued(&packet(200));
        assert_eq!((transmit.written_end(), transmit.queued_end()), (0, 200));
        transmit.buffer().extend_from_slice(&packet(300));
        transmit.advance(199);
        assert_eq!((transmit.written_end(), transmit.queued_end()), (199, 500));
        transmit.advance(1);
        assert_eq!((transmit.written_end(), transmit.queued_end()), (200, 500));
    }

    #[test]
    fn no_more_is_written_than_waits() {
        let mut transmit = queued(&packet(200));
        transmit.advance(usize::MAX);
        assert!(transmit.is_empty());
        assert_eq!((transmit.written_end(), transmit.queued_end()), (200, 200));
    }

    #[test]
    fn the_packet_that_the_last_byte_belongs_to_is_known_until_all_of_it_is_written() {
        let packets = [200, 300, 16_000, 150].map(packet).concat();
        for step in [1, 7, 199, 200, 201, 499, 500, 501, 15_999] {
            let mut transmit = queued(&packets);
            while !transmit.is_empty() {
                transmit.advance(step);
                let written = transmit.written_end();
                let end = [200, 500, 16_500, 16_650]
                    .into_iter()
                    .find(|&end| end >= written);
                assert_eq!(
                    transmit.cut(),
                    end.filter(|&end| end > written),
                    "{written}"
                );
            }
            transmit.buffer().extend_from_slice(&packet(131));
            assert_eq!(transmit.cut(), None);
            transmit.advance(130);
            assert_eq!(transmit.cut(), Some(16_781));
        }
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
                transmit.buffer().extend_from_slice(&packet(1000));
                transmit.advance(400);
            }
            transmit.advance(transmit.len());
            assert!(transmit.buffer().try_reclaim(180_000));
        }
    }
}
