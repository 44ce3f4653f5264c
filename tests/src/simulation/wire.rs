//! One connection: two directions, and how far each side is with it.

use core::task::Waker;
use std::time::Instant;

use super::tls::Layer;
use crate::ConnectionId;
use crate::pipe::{Content, Pipe};

/// A connection that the gateway has made.
pub(super) struct Wire {
    /// The bridge's name for it: from the end of the TLS handshake to the end of the connection.
    pub(super) connection: Option<ConnectionId>,
    pub(super) layer: Layer,
    /// Written by the gateway, in fragments, and not on its way yet.
    pub(super) unflushed: Vec<Vec<u8>>,
    pub(super) to_bridge: Pipe,
    pub(super) to_gateway: Pipe,
    /// The gateway's task, if it waits to read.
    pub(super) reader: Option<Waker>,
    /// The gateway's task, if it waits to write.
    pub(super) writer: Option<Waker>,
    pub(super) bridge_end: BridgeEnd,
    pub(super) stream: StreamEnd,
    /// The test has the far end, and the bridge has not heard of it.
    pub(super) is_played: bool,
    /// The gateway's next write fails, and this arrives at that moment.
    pub(super) last_words: Option<Vec<u8>>,
}

/// How far the bridge is with a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum BridgeEnd {
    Open,
    /// It has written its last.
    Finished,
    /// It has nothing more to do with it.
    Gone,
}

/// How far the gateway is with a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum StreamEnd {
    Open,
    /// It has closed the half that it writes.
    Closed,
    /// Writing fails, for the connection was reset.
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

    /// How many bytes of the gateway's have not arrived.
    pub(super) fn written(&self) -> usize {
        let unflushed: usize = self.unflushed.iter().map(Vec::len).sum();
        self.to_bridge.len() + unflushed
    }

    /// Puts on its way what the gateway has written.
    pub(super) fn flush(&mut self, arrives: Instant) {
        for fragment in self.unflushed.drain(..) {
            self.to_bridge.push(arrives, Content::Bytes(fragment));
        }
    }

    /// Whether nobody has any more to do with it.
    pub(super) fn is_over(&self) -> bool {
        let is_gone = self.bridge_end == BridgeEnd::Gone && !self.is_played;
        self.stream == StreamEnd::Dropped && is_gone
    }

    /// Whether nothing arrives any more, on either side, and neither is told.
    pub(super) fn is_half_open(&self) -> bool {
        self.to_bridge.is_lost()
    }

    pub(super) fn go_half_open(&mut self) {
        self.to_bridge.lose();
        self.to_gateway.lose();
    }

    /// Loses what is on its way. The gateway gets `last` at once; the bridge has to be told elsewhere.
    pub(super) fn sever(&mut self, last: Content, now: Instant) {
        self.to_bridge.clear();
        self.to_gateway = Pipe::default();
        self.to_gateway.push(now, last);
        self.bridge_end = BridgeEnd::Gone;
        if self.stream != StreamEnd::Dropped {
            self.stream = StreamEnd::Broken;
        }
    }

    /// The first instant after `now` at which something arrives.
    pub(super) fn next_arrival(&self, now: Instant) -> Option<Instant> {
        let arrivals = [&self.to_bridge, &self.to_gateway].map(Pipe::next_arrival);
        let arrivals = arrivals.into_iter().flatten();
        arrivals.filter(|at| *at > now).min()
    }
}
