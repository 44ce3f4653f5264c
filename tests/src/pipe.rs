//! One direction of a connection on a virtual network: bytes on their way, and what can happen to them there.

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

/// What arrives. `Debug` shows no bytes, for they may be a token.
pub(crate) enum Content {
    Bytes(Vec<u8>),
    /// The end of the stream.
    End,
    /// Reading fails with this from here on.
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
    /// How many bytes are on their way, or arrived and not taken.
    pub(crate) fn len(&self) -> usize {
        self.bytes
    }

    pub(crate) fn push(&mut self, arrives: Instant, content: Content) {
        if let Content::Bytes(bytes) = &content {
            self.bytes += bytes.len();
        }
        self.segments.push_back(Segment { arrives, content });
    }

    /// Puts the end of the stream, or a break, behind what is on its way, once.
    pub(crate) fn end(&mut self, arrives: Instant, end: Content) {
        let last = self.segments.back().map(|segment| &segment.content);
        if matches!(last, None | Some(Content::Bytes(_))) {
            self.push(arrives, end);
        }
    }

    /// Forgets what is on its way.
    pub(crate) fn clear(&mut self) {
        self.segments.clear();
        self.bytes = 0;
    }

    /// Lets nothing arrive any more: it is on its way for ever.
    pub(crate) fn lose(&mut self) {
        self.is_lost = true;
    }

    #[cfg(feature = "simulation")]
    pub(crate) fn is_lost(&self) -> bool {
        self.is_lost
    }

    /// When the oldest segment arrives, or has arrived.
    pub(crate) fn next_arrival(&self) -> Option<Instant> {
        let front = self.segments.front().filter(|_| !self.is_lost)?;
        Some(front.arrives)
    }

    /// What the oldest segment brings, if it has arrived.
    pub(crate) fn arrived(&self, now: Instant) -> Option<&Content> {
        let front = self.segments.front()?;
        (!self.is_lost && front.arrives <= now).then_some(&front.content)
    }

    /// The oldest segment, if it has arrived.
    pub(crate) fn pop(&mut self, now: Instant) -> Option<Content> {
        self.arrived(now)?;
        let content = self.segments.pop_front()?.content;
        if let Content::Bytes(bytes) = &content {
            self.bytes -= bytes.len();
        }
        Some(content)
    }

    /// Reads from the oldest segment, if it has arrived. The end of the stream stays where it is, broken or not.
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

/// What is to happen to the bytes that arrive at one side.
#[derive(Debug, Default)]
pub(crate) struct Damage {
    /// Where and after how many more bytes the connection is cut.
    pub(crate) cut: Option<(Side, usize)>,
    /// Where and after how many more bytes which bit of the next one is flipped.
    pub(crate) flip: Option<(Side, usize, u8)>,
}

impl Damage {
    /// How many more bytes arrive at a side before the cut.
    pub(crate) fn reach(&self, at: Side) -> usize {
        match self.cut {
            Some((side, left)) if side == at => left,
            _ => usize::MAX,
        }
    }

    /// Counts bytes that arrive at a side, no more than its [`reach`](Self::reach), and flips the bit whose turn it is;
    /// gives whether it did.
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

    /// Whether the connection is cut now.
    pub(crate) fn is_cut_due(&self) -> bool {
        matches!(self.cut, Some((_, 0)))
    }
}
