//! The network between the two sides.

use core::time::Duration;
use std::time::Instant;

use crate::ConnectionId;
use crate::pipe::{Content, Pipe, Side};

/// The behaviour of the network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    /// The time between the sending of a byte and its arrival.
    pub latency: Duration,
    /// Bytes arrive in fragments of at most this many, at least 1.
    pub fragment: usize,
    /// The maximum number of bytes in transit to the bridge; the gateway keeps the rest until there is room. At least
    /// 1.
    pub capacity: usize,
}

impl Default for Network {
    /// 20 ms, 1,400 bytes, and no limit on bytes in transit.
    fn default() -> Self {
        Self {
            latency: Duration::from_millis(20),
            fragment: 1_400,
            capacity: usize::MAX,
        }
    }
}

/// A transport: open, or closed by the gateway while its last bytes are still in transit.
#[derive(Debug)]
pub(super) struct Transport {
    pub(super) connection: ConnectionId,
    to_bridge: Pipe,
    to_gateway: Pipe,
    is_full: bool,
}

impl Transport {
    pub(super) fn new(connection: ConnectionId) -> Self {
        Self {
            connection,
            to_bridge: Pipe::default(),
            to_gateway: Pipe::default(),
            is_full: false,
        }
    }

    /// Records whether the transport took less than the gateway had to write; returns whether that is new.
    pub(super) fn is_newly_full(&mut self, is_full: bool) -> bool {
        !core::mem::replace(&mut self.is_full, is_full) && is_full
    }

    /// Sends as many bytes as there is room for, and returns how many.
    pub(super) fn send(
        &mut self,
        to: Side,
        bytes: &[u8],
        network: &Network,
        now: Instant,
    ) -> usize {
        let room = match to {
            Side::Gateway => bytes.len(),
            Side::Bridge => network.capacity.max(1).saturating_sub(self.to_bridge.len()),
        };
        let sent = &bytes[..bytes.len().min(room)];
        let arrives = now + network.latency;
        for fragment in sent.chunks(network.fragment.max(1)) {
            let content = Content::Bytes(fragment.to_vec());
            self.towards(to).push(arrives, content);
        }
        sent.len()
    }

    /// Records that the bridge has ended or broken off the stream: the gateway notices after it has read what is in
    /// transit.
    pub(super) fn end_by_bridge(&mut self, end: Content, network: &Network, now: Instant) {
        self.to_gateway.end(now + network.latency, end);
    }

    /// Removes and returns what has arrived at a side and was not read.
    pub(super) fn arrived(&mut self, at: Side, now: Instant) -> Option<Content> {
        self.towards(at).pop(now)
    }

    /// Returns when the next bytes arrive at a side.
    pub(super) fn next_arrival(&self, at: Side) -> Option<Instant> {
        let pipe = match at {
            Side::Gateway => &self.to_gateway,
            Side::Bridge => &self.to_bridge,
        };
        pipe.next_arrival()
    }

    /// Discards what is in transit to the gateway, which has closed its side.
    pub(super) fn close(mut self, network: &Network, now: Instant) -> Self {
        self.to_gateway.clear();
        self.to_bridge.end(now + network.latency, Content::End);
        self
    }

    /// Silently drops everything that is in transit or sent later.
    pub(super) fn go_half_open(&mut self) {
        self.to_bridge.lose();
        self.to_gateway.lose();
    }

    fn towards(&mut self, side: Side) -> &mut Pipe {
        match side {
            Side::Gateway => &mut self.to_gateway,
            Side::Bridge => &mut self.to_bridge,
        }
    }
}
