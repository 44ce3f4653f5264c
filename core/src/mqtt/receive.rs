//! Fragments in, whole packets out.

use bytes::{Buf, BytesMut};

use super::buffer;
use super::codec::{self, Frame, Packet, Violation};

#[cfg(test)]
mod tests;

/// The bytes that have arrived and are not yet a whole packet.
///
/// Any split of the input gives the same packets and the same violation. Holds what has arrived
/// and, through amortised growth, less than four times that: what a header claims reserves
/// nothing. Emptied by [`next`](Self::next) after each [`push`](Self::push), it holds at most one
/// packet of the limit and one fragment.
#[derive(Debug)]
pub(crate) struct Receive {
    buffer: BytesMut,
    /// The prefix of the buffer that was given out as packets.
    read: usize,
    frame_limit: usize,
    /// Bytes that must wait before looking again tells anything new.
    needed: usize,
    /// The most bytes that waited since the buffer was last empty.
    peak: usize,
    violation: Option<Violation>,
}

impl Receive {
    /// An empty buffer for packets of at most `frame_limit` bytes, header included.
    pub(crate) fn new(frame_limit: usize) -> Self {
        Self {
            buffer: BytesMut::new(),
            read: 0,
            frame_limit,
            needed: 1,
            peak: 0,
            violation: None,
        }
    }

    /// Takes all of a fragment. After a violation it is dropped.
    pub(crate) fn push(&mut self, fragment: &[u8]) {
        if self.violation.is_none() {
            self.buffer.extend_from_slice(fragment);
            self.peak = self.peak.max(self.buffer.len());
        }
    }

    /// The next whole packet, `None` until more has arrived.
    ///
    /// A violation is final: it comes after the packets before it, and then for ever.
    pub(crate) fn next(&mut self) -> Result<Option<Packet>, Violation> {
        if let Some(violation) = self.violation {
            return Err(violation);
        }
        if self.buffer.len() - self.read < self.needed {
            self.rest();
            return Ok(None);
        }
        self.read_packet().inspect_err(|&violation| {
            self.violation = Some(violation);
            self.buffer = BytesMut::new();
            self.read = 0;
        })
    }

    /// Bytes that wait for the rest of their packet.
    pub(crate) fn waiting(&self) -> usize {
        self.buffer.len() - self.read
    }

    #[inline]
    fn read_packet(&mut self) -> Result<Option<Packet>, Violation> {
        let waiting = self.buffer.get(self.read..).unwrap_or_default();
        let header = match codec::frame(waiting, self.frame_limit)? {
            Frame::Needs(needed) => {
                self.needed = needed;
                return Ok(None);
            }
            Frame::Whole(header) => header,
        };
        self.needed = 1;
        if header.is_publish() {
            self.forget_read();
            return codec::decode_publish(&mut self.buffer, header).map(Some);
        }
        self.read += header.len();
        codec::decode(waiting, header).map(Some)
    }

    /// Moves on to what has not been read. Once for many packets: it costs more than reading an acknowledgement.
    fn forget_read(&mut self) {
        self.buffer.advance(self.read);
        self.read = 0;
    }

    fn rest(&mut self) {
        self.forget_read();
        if self.buffer.is_empty() {
            buffer::give_back(&mut self.buffer, self.peak);
            self.peak = 0;
        }
    }
}
