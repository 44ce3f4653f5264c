//! Fragments in, whole packets out.

use bytes::BytesMut;

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
    frame_limit: usize,
    /// Bytes that must be there before looking again tells anything new.
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
        if self.buffer.len() < self.needed {
            self.rest();
            return Ok(None);
        }
        self.read().inspect_err(|&violation| {
            self.violation = Some(violation);
            self.buffer = BytesMut::new();
        })
    }

    /// Bytes that wait for the rest of their packet.
    pub(crate) fn waiting(&self) -> usize {
        self.buffer.len()
    }

    fn read(&mut self) -> Result<Option<Packet>, Violation> {
        match codec::frame(&self.buffer, self.frame_limit)? {
            Frame::Needs(needed) => {
                self.needed = needed;
                Ok(None)
            }
            Frame::Whole(header) => {
                self.needed = 1;
                codec::decode(&mut self.buffer, header).map(Some)
            }
        }
    }

    fn rest(&mut self) {
        if self.buffer.is_empty() {
            buffer::give_back(&mut self.buffer, self.peak);
            self.peak = 0;
        }
    }
}
