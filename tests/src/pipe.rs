//! One direction of a connection on a virtual network: bytes in transit, and faults that apply to them.

use core::fmt;
use std::collections::VecDeque;
use std::io;
use std::time::Instant;

/// One side of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// The gateway.
    Gateway,
    /// The bridge.
    Bridge,
}

/// One direction: a queue of segments.
#[derive(Debug, Default)]
pub(crate) struct Pipe {
    segments: VecDeque<Segment>,
    bytes: usize,
    is_lost: bool,
}

#[derive(Debug)]
struct Segment {
    arrives: Instant,
    content: Content,
}

/// A segment's content. `Debug` shows no bytes because they may contain a token.
pub(crate) enum Content {
    Bytes(Vec<u8>),
    /// The end of the stream.
    End,
    /// Reading fails with this error from here on.
    Broken(io::ErrorKind),
}

impl fmt::Debug for Content {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bytes(bytes) => f.debug_tuple("Bytes").field(&bytes.len()).finish(),
            Self::End => f.write_str("End"),
            Self::Broken(kind) => f.debug_tuple("Broken").field(kind).finish(),
        }
    }
}

impl Pipe {
    /// Returns how many bytes are in transit, or have arrived and were not read.
    pub(crate) fn len(&self) -> usize {
        self.bytes
    }

    pub(crate) fn push(&mut self, arrives: Instant, content: Content) {
        if let Content::Bytes(bytes) = &content {
            self.bytes += bytes.len();
        }
        self.segments.push_back(Segment { arrives, content });
    }

    /// Appends the end of the stream, or a break, after the bytes in transit; only once.
    pub(crate) fn end(&mut self, arrives: Instant, end: Content) {
        let last = self.segments.back().map(|segment| &segment.content);
        if matches!(last, None | Some(Content::Bytes(_))) {
            self.push(arrives, end);
        }
    }

    /// Discards what is in transit.
    pub(crate) fn clear(&mut self) {
        self.segments.clear();
        self.bytes = 0;
    }

    /// Makes everything in transit never arrive.
    pub(crate) fn lose(&mut self) {
        self.is_lost = true;
    }

    pub(crate) fn is_lost(&self) -> bool {
        self.is_lost
    }

    /// Returns when the oldest segment arrives or arrived.
    pub(crate) fn next_arrival(&self) -> Option<Instant> {
        let front = self.segments.front().filter(|_| !self.is_lost)?;
        Some(front.arrives)
    }

    /// Returns the content of the oldest segment, if it has arrived.
    pub(crate) fn arrived(&self, now: Instant) -> Option<&Content> {
        let front = self.segments.front()?;
        (!self.is_lost && front.arrives <= now).then_some(&front.content)
    }

    /// Removes the oldest segment, if it has arrived.
    pub(crate) fn pop(&mut self, now: Instant) -> Option<Content> {
        self.arrived(now)?;
        let content = self.segments.pop_front()?.content;
        if let Content::Bytes(bytes) = &content {
            self.bytes -= bytes.len();
        }
        Some(content)
    }

    /// Reads from the oldest segment, if it has arrived. The end of the stream, regular or broken, stays in the queue.
    #[cfg(feature = "simulation")]
    pub(crate) fn read(&mut self, buffer: &mut [u8], now: Instant) -> Option<io::Result<usize>> {
        let has_arrived = |segment: &&mut Segment| !self.is_lost && segment.arrives <= now;
        let front = self.segments.front_mut().filter(has_arrived)?;
        match &mut front.content {
            Content::End => Some(Ok(0)),
            Content::Broken(kind) => Some(Err((*kind).into())),
            Content::Bytes(bytes) => {
                let length = bytes.len().min(buffer.len());
                buffer[..length].copy_from_slice(&bytes[..length]);
                bytes.drain(..length);
                self.bytes -= length;
                if bytes.is_empty() {
                    self.segments.pop_front();
                }
                Some(Ok(length))
            }
        }
    }
}

/// Pending damage to the bytes that arrive at one side.
#[derive(Debug, Default)]
pub(crate) struct Damage {
    /// The side at which, and after how many more bytes, the connection is cut.
    pub(crate) cut: Option<(Side, usize)>,
    /// The side at which, after how many more bytes, and which bit of the next byte is flipped.
    pub(crate) flip: Option<(Side, usize, u8)>,
}

impl Damage {
    /// Returns how many more bytes arrive at a side before the cut.
    pub(crate) fn reach(&self, at: Side) -> usize {
        match self.cut {
            Some((side, left)) if side == at => left,
            _ => usize::MAX,
        }
    }

    /// Counts bytes that arrive at a side, at most its [`reach`](Self::reach), and flips the bit if its position is
    /// reached; returns whether it did.
    pub(crate) fn strike(&mut self, at: Side, bytes: &mut [u8]) -> bool {
        if let Some((_, left)) = self.cut.as_mut().filter(|(side, _)| *side == at) {
            *left -= bytes.len();
        }
        let Some((_, left, bit)) = self.flip.as_mut().filter(|(side, ..)| *side == at) else {
            return false;
        };
        match bytes.get_mut(*left) {
            Some(byte) => {
                *byte ^= 1 << (*bit % 8);
                self.flip = None;
                true
            }
            None => {
                *left -= bytes.len();
                false
            }
        }
    }

    /// Returns whether the connection is to be cut now.
    pub(crate) fn is_cut_due(&self) -> bool {
        matches!(self.cut, Some((_, 0)))
    }
}
