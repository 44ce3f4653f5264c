//! One connection: two directions, each a queue of segments on their way.

use core::task::{Context, Waker};
use std::collections::VecDeque;
use std::io;
use std::time::Instant;

use super::tls::Layer;
use crate::ConnectionId;

/// A connection that the gateway has made.
pub(super) struct Wire {
    /// The bridge's name for it: from the end of the TLS handshake to the end of the connection.
    pub(super) connection: Option<ConnectionId>,
    pub(super) layer: Layer,
    /// Written by the gateway, in fragments, and not on its way yet.
    pub(super) unflushed: Vec<Vec<u8>>,
    pub(super) to_bridge: Pipe,
    pub(super) to_gateway: Pipe,
    pub(super) bridge_end: BridgeEnd,
    /// Nothing arrives any more, on either side, and neither is told.
    pub(super) is_half_open: bool,
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

/// One direction of a connection.
#[derive(Default)]
pub(super) struct Pipe {
    segments: VecDeque<Segment>,
    bytes: usize,
    /// The gateway's task, which waits to read or to write here.
    waiting: Option<Waker>,
}

pub(super) struct Segment {
    arrives: Instant,
    pub(super) content: Content,
}

pub(super) enum Content {
    Bytes(Vec<u8>),
    /// The end of the stream.
    End,
    /// Reading fails with this from here on.
    Broken(io::ErrorKind),
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
            is_half_open: false,
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
            if !self.is_half_open {
                self.to_bridge.push(arrives, Content::Bytes(fragment));
            }
        }
    }

    /// Whether nobody has any more to do with it.
    pub(super) fn is_over(&self) -> bool {
        let is_gone = self.bridge_end == BridgeEnd::Gone && !self.is_played;
        self.stream == StreamEnd::Dropped && is_gone
    }

    /// Loses what is on its way. The gateway gets `last` at once; the bridge has to be told elsewhere.
    pub(super) fn sever(&mut self, last: Content, now: Instant) {
        self.to_bridge.clear();
        self.to_gateway.clear();
        self.to_gateway.push(now, last);
        self.bridge_end = BridgeEnd::Gone;
        if self.stream != StreamEnd::Dropped {
            self.stream = StreamEnd::Broken;
        }
    }

    /// The first instant after `now` at which something arrives.
    pub(super) fn next_arrival(&self, now: Instant) -> Option<Instant> {
        let fronts = [&self.to_bridge, &self.to_gateway].map(|pipe| pipe.segments.front());
        let arrivals = fronts.into_iter().flatten().map(|segment| segment.arrives);
        arrivals.filter(|at| *at > now).min()
    }
}

impl Pipe {
    /// How many bytes are on their way.
    pub(super) fn len(&self) -> usize {
        self.bytes
    }

    pub(super) fn push(&mut self, arrives: Instant, content: Content) {
        if let Content::Bytes(bytes) = &content {
            self.bytes += bytes.len();
        }
        self.segments.push_back(Segment { arrives, content });
    }

    pub(super) fn clear(&mut self) {
        self.segments.clear();
        self.bytes = 0;
    }

    /// What the oldest segment brings, if it has arrived.
    pub(super) fn arrived(&self, now: Instant) -> Option<&Content> {
        let front = self.segments.front()?;
        (front.arrives <= now).then_some(&front.content)
    }

    /// Whether everything was read, and the end of the stream is there.
    pub(super) fn is_at_end(&self, now: Instant) -> bool {
        matches!(self.arrived(now), Some(Content::End))
    }

    /// The oldest segment, if it has arrived and is not the end.
    pub(super) fn pop_bytes(&mut self, now: Instant) -> Option<Vec<u8>> {
        let Some(Content::Bytes(_)) = self.arrived(now) else {
            return None;
        };
        match self.pop(now) {
            Some(Content::Bytes(bytes)) => Some(bytes),
            _ => None,
        }
    }

    /// The oldest segment, if it has arrived.
    pub(super) fn pop(&mut self, now: Instant) -> Option<Content> {
        self.arrived(now)?;
        let content = self.segments.pop_front()?.content;
        if let Content::Bytes(bytes) = &content {
            self.bytes -= bytes.len();
        }
        Some(content)
    }

    /// Reads from the oldest segment, if it has arrived. The end of the stream stays where it is, broken or not.
    pub(super) fn read(&mut self, buffer: &mut [u8], now: Instant) -> Option<io::Result<usize>> {
        let front = self.segments.front_mut()?;
        if front.arrives > now {
            return None;
        }
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

    /// Has this task woken by [`take_waiting`](Self::take_waiting); gives the waker that it had before, to be dropped
    /// without the lock.
    pub(super) fn wait(&mut self, cx: &Context<'_>) -> Option<Waker> {
        self.waiting.replace(cx.waker().clone())
    }

    pub(super) fn take_waiting(&mut self) -> Option<Waker> {
        self.waiting.take()
    }
}
