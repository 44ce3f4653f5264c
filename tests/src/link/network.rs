//! The bytes on their way between the two sides, and what can happen to them there.

use core::fmt;
use core::time::Duration;
use std::collections::VecDeque;
use std::time::Instant;

use crate::ConnectionId;

/// How the network behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    /// From the sending of a byte to its arrival.
    pub latency: Duration,
    /// Bytes come in fragments of at most this many, at least 1.
    pub fragment: usize,
    /// How many bytes may be on their way to the bridge; the gateway keeps the rest until there is room. At least 1.
    pub capacity: usize,
}

impl Default for Network {
    /// 20 ms, 1,400 bytes, and room for all.
    fn default() -> Self {
        Self {
            latency: Duration::from_millis(20),
            fragment: 1_400,
            capacity: usize::MAX,
        }
    }
}

/// One side of the link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// The gateway.
    Gateway,
    /// The bridge.
    Bridge,
}

/// A transport: up, or closed by the gateway while its last bytes are still on their way.
#[derive(Debug)]
pub(super) struct Transport {
    pub(super) connection: ConnectionId,
    to_bridge: VecDeque<Segment>,
    to_gateway: VecDeque<Segment>,
    /// Bytes on their way to the bridge.
    under_way: usize,
    /// Nothing arrives any more, and neither side is told.
    is_half_open: bool,
    is_full: bool,
}

/// Bytes on their way.
#[derive(Debug)]
struct Segment {
    arrives: Instant,
    content: Content,
}

/// What arrives. `Debug` shows no bytes, for they may be a token.
pub(super) enum Content {
    Bytes(Vec<u8>),
    EndOfStream,
}

impl fmt::Debug for Content {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bytes(bytes) => f.debug_tuple("Bytes").field(&bytes.len()).finish(),
            Self::EndOfStream => f.write_str("EndOfStream"),
        }
    }
}

impl Transport {
    pub(super) fn new(connection: ConnectionId) -> Self {
        Self {
            connection,
            to_bridge: VecDeque::new(),
            to_gateway: VecDeque::new(),
            under_way: 0,
            is_half_open: false,
            is_full: false,
        }
    }

    /// Notes whether it took all of what the gateway had to write; gives whether it did until now.
    pub(super) fn is_newly_full(&mut self, is_full: bool) -> bool {
        !core::mem::replace(&mut self.is_full, is_full) && is_full
    }

    /// Puts as much on its way as there is room for, and gives how much that is.
    pub(super) fn send(
        &mut self,
        to: Side,
        bytes: &[u8],
        network: &Network,
        now: Instant,
    ) -> usize {
        let room = match to {
            Side::Gateway => bytes.len(),
            Side::Bridge => network.capacity.max(1).saturating_sub(self.under_way),
        };
        let sent = &bytes[..bytes.len().min(room)];
        let arrives = now + network.latency;
        for fragment in sent.chunks(network.fragment.max(1)) {
            let content = Content::Bytes(fragment.to_vec());
            self.towards(to).push_back(Segment { arrives, content });
        }
        if to == Side::Bridge {
            self.under_way += sent.len();
        }
        sent.len()
    }

    /// Puts the end of the stream behind what is on its way.
    pub(super) fn end(&mut self, to: Side, network: &Network, now: Instant) {
        let is_ended = self
            .towards(to)
            .back()
            .is_some_and(|last| matches!(last.content, Content::EndOfStream));
        if !is_ended {
            self.towards(to).push_back(Segment {
                arrives: now + network.latency,
                content: Content::EndOfStream,
            });
        }
    }

    /// What has arrived at a side and was not taken.
    pub(super) fn arrived(&mut self, at: Side, now: Instant) -> Option<Content> {
        if self.next_arrival(at)? > now {
            return None;
        }
        let content = self.towards(at).pop_front()?.content;
        if let (Side::Bridge, Content::Bytes(bytes)) = (at, &content) {
            self.under_way -= bytes.len();
        }
        Some(content)
    }

    /// When the next bytes arrive at a side.
    pub(super) fn next_arrival(&self, at: Side) -> Option<Instant> {
        let queue = match at {
            Side::Gateway => &self.to_gateway,
            Side::Bridge => &self.to_bridge,
        };
        let next = queue.front()?;
        (!self.is_half_open).then_some(next.arrives)
    }

    /// Forgets what is on its way to the gateway, which has closed its side.
    pub(super) fn close(mut self, network: &Network, now: Instant) -> Self {
        self.to_gateway.clear();
        self.end(Side::Bridge, network, now);
        self
    }

    /// Lets everything vanish that is or comes on its way, without a word.
    pub(super) fn go_half_open(&mut self) {
        self.is_half_open = true;
    }

    fn towards(&mut self, side: Side) -> &mut VecDeque<Segment> {
        match side {
            Side::Gateway => &mut self.to_gateway,
            Side::Bridge => &mut self.to_bridge,
        }
    }
}

/// What is to happen to the bytes that arrive at one side.
#[derive(Debug, Default)]
pub(super) struct Damage {
    /// Where and after how many more bytes the transport is cut.
    pub(super) cut: Option<(Side, usize)>,
    /// Where and after how many more bytes which bit of the next one is flipped.
    pub(super) flip: Option<(Side, usize, u8)>,
}

impl Damage {
    /// Takes from bytes that arrive at a side what comes after a cut, and flips the bit whose turn it is; gives whether
    /// it did.
    pub(super) fn strike(&mut self, at: Side, bytes: &mut Vec<u8>) -> bool {
        if let Some((_, left)) = self.cut.as_mut().filter(|(side, _)| *side == at) {
            bytes.truncate(*left);
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

    /// Whether the transport is cut now.
    pub(super) fn is_cut_due(&self) -> bool {
        matches!(self.cut, Some((_, 0)))
    }
}
