//! One connection: two directions, and the state of each side.

use core::task::Waker;
use std::time::Instant;

use super::tls::Layer;
use crate::ConnectionId;
use crate::pipe::{Content, Pipe};

/// A connection that the gateway has made.
pub(super) struct Wire {
    /// The bridge's id for it, from the end of the TLS handshake to the end of the connection.
    pub(super) connection: Option<ConnectionId>,
    pub(super) layer: Layer,
    /// Fragments that the gateway has written and not flushed.
    pub(super) unflushed: Vec<Vec<u8>>,
    pub(super) to_bridge: Pipe,
    pub(super) to_gateway: Pipe,
    /// The waker of the gateway's task, if it waits to read.
    pub(super) reader: Option<Waker>,
    /// The waker of the gateway's task, if it waits to write.
    pub(super) writer: Option<Waker>,
    pub(super) bridge_end: BridgeEnd,
    pub(super) stream: StreamEnd,
    /// Whether the test controls the far end, unknown to the bridge.
    pub(super) is_played: bool,
    /// If set, the gateway's next write fails, and these bytes arrive at that moment.
    pub(super) last_words: Option<Vec<u8>>,
}

/// The state of the bridge's end of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum BridgeEnd {
    Open,
    /// It has sent its last bytes.
    Finished,
    /// It has released the connection.
    Gone,
}

/// The state of the gateway's end of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum StreamEnd {
    Open,
    /// It has closed its write half.
    Closed,
    /// Writing fails because the connection was reset.
    Broken,
    Dropped,
}

impl Wire {
    pub(super) fn new(layer: Layer) -> Self {
        Self {
            connection: None,
            layer,
            unflushed: Vec::new(),
            to_bridge: Pipe::default(),
            to_gateway: Pipe::default(),
            bridge_end: BridgeEnd::Open,
            reader: None,
            writer: None,
            stream: StreamEnd::Open,
            is_played: false,
            last_words: None,
        }
    }

    /// Returns how many bytes written by the gateway have not arrived.
    pub(super) fn written(&self) -> usize {
        let unflushed: usize = self.unflushed.iter().map(Vec::len).sum();
        self.to_bridge.len() + unflushed
    }

    /// Sends what the gateway has written.
    pub(super) fn flush(&mut self, arrives: Instant) {
        for fragment in self.unflushed.drain(..) {
            self.to_bridge.push(arrives, Content::Bytes(fragment));
        }
    }

    /// Returns whether both sides have released it.
    pub(super) fn is_over(&self) -> bool {
        let is_gone = self.bridge_end == BridgeEnd::Gone && !self.is_played;
        self.stream == StreamEnd::Dropped && is_gone
    }

    /// Returns whether nothing arrives any more, on either side, and neither is notified.
    pub(super) fn is_half_open(&self) -> bool {
        self.to_bridge.is_lost()
    }

    pub(super) fn go_half_open(&mut self) {
        self.to_bridge.lose();
        self.to_gateway.lose();
    }

    /// Drops what is in transit. The gateway gets `last` at once; the caller has to notify the bridge.
    pub(super) fn sever(&mut self, last: Content, now: Instant) {
        self.to_bridge.clear();
        self.to_gateway = Pipe::default();
        self.to_gateway.push(now, last);
        self.bridge_end = BridgeEnd::Gone;
        if self.stream != StreamEnd::Dropped {
            self.stream = StreamEnd::Broken;
        }
    }

    /// Returns the first instant after `now` at which something arrives.
    pub(super) fn next_arrival(&self, now: Instant) -> Option<Instant> {
        let arrivals = [&self.to_bridge, &self.to_gateway].map(Pipe::next_arrival);
        let arrivals = arrivals.into_iter().flatten();
        arrivals.filter(|at| *at > now).min()
    }
}
