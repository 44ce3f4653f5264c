//! One direction of a transport: a kernel buffer, a line that carries so many bytes a second, and the way to the other
//! side.

use core::time::Duration;
use std::collections::VecDeque;
use std::time::Instant;

use crate::pipe::{Content, Pipe};

/// One direction. Without a rate, bytes leave the buffer at once, and the buffer is empty.
#[derive(Debug, Default)]
pub(super) struct Lane {
    /// What has not left the buffer, in order.
    waiting: VecDeque<Waiting>,
    buffered: usize,
    /// When the line has sent all that waits, and all that waited before on an older transport.
    free_at: Option<Instant>,
    /// What is on its way, or has arrived and was not read.
    pipe: Pipe,
}

/// A fragment in the buffer, or the end of the stream behind the last one.
#[derive(Debug)]
struct Waiting {
    /// When its last byte leaves the buffer.
    departs: Instant,
    /// From its departure to its arrival.
    latency: Duration,
    content: Content,
}

impl Lane {
    /// Creates a lane whose line sends the bytes of older transports until an instant.
    pub(super) fn behind(free_at: Option<Instant>) -> Self {
        Self {
            free_at,
            ..Self::default()
        }
    }

    /// Sends a fragment, which leaves the buffer once the line has carried it, beginning at `start` or later.
    pub(super) fn send(
        &mut self,
        fragment: &[u8],
        rate: Option<u32>,
        latency: Duration,
        start: Instant,
    ) {
        let content = Content::Bytes(fragment.to_vec());
        if rate.is_none() && self.waiting.is_empty() {
            self.pipe.push(start + latency, content);
            return;
        }
        let start = self.free_at.map_or(start, |free_at| free_at.max(start));
        let departs = start + rate.map_or(Duration::ZERO, |rate| carried(fragment.len(), rate));
        self.free_at = Some(departs);
        self.buffered += fragment.len();
        self.waiting.push_back(Waiting {
            departs,
            latency,
            content,
        });
    }

    /// Appends the end of the stream, or a break, after the bytes; only once.
    pub(super) fn end(&mut self, end: Content, latency: Duration, now: Instant) {
        match self.waiting.back() {
            None => self.pipe.end(now + latency, end),
            Some(last) if matches!(last.content, Content::Bytes(_)) => {
                let departs = last.departs;
                self.waiting.push_back(Waiting {
                    departs,
                    latency,
                    content: end,
                });
            }
            Some(_) => {}
        }
    }

    /// Moves what has left the buffer by now onto its way. Nothing leaves it towards a peer that has vanished.
    pub(super) fn advance(&mut self, now: Instant) {
        while self.next_departure().is_some_and(|departs| departs <= now)
            && let Some(front) = self.waiting.pop_front()
        {
            if let Content::Bytes(bytes) = &front.content {
                self.buffered -= bytes.len();
            }
            self.pipe.push(front.departs + front.latency, front.content);
        }
    }

    /// Returns how many bytes are in the buffer, as of the last [`advance`](Self::advance).
    pub(super) fn buffered(&self) -> usize {
        self.buffered
    }

    /// Returns how many bytes the other side has not read.
    pub(super) fn unread(&self) -> usize {
        self.buffered + self.pipe.len()
    }

    /// Returns when the next fragment leaves the buffer.
    pub(super) fn next_departure(&self) -> Option<Instant> {
        let front = self.waiting.front().filter(|_| !self.pipe.is_lost())?;
        Some(front.departs)
    }

    /// Returns when the line has sent everything, unless it never will.
    pub(super) fn free_at(&self) -> Option<Instant> {
        self.free_at.filter(|_| !self.pipe.is_lost())
    }

    /// Returns when the next fragment arrives or arrived.
    pub(super) fn next_arrival(&self) -> Option<Instant> {
        let departing = || {
            let departs = self.next_departure()?;
            Some(departs + self.waiting.front()?.latency)
        };
        self.pipe.next_arrival().or_else(departing)
    }

    /// Removes and returns what has arrived and was not read.
    pub(super) fn arrived(&mut self, now: Instant) -> Option<Content> {
        self.advance(now);
        self.pipe.pop(now)
    }

    /// Lets what was to leave the buffer from `before` on leave it from `after` on, at the same rate.
    pub(super) fn shift(&mut self, before: Instant, after: Instant) {
        let shifted = |at: Instant| after + at.saturating_duration_since(before);
        for fragment in &mut self.waiting {
            fragment.departs = shifted(fragment.departs);
        }
        self.free_at = self.free_at.map(shifted);
    }

    /// Discards everything.
    pub(super) fn clear(&mut self) {
        self.waiting.clear();
        self.buffered = 0;
        self.pipe.clear();
    }

    /// Makes nothing arrive any more.
    pub(super) fn lose(&mut self) {
        self.pipe.lose();
    }
}

/// Returns how long a line takes to carry bytes, rounded up to nanoseconds.
fn carried(bytes: usize, rate: u32) -> Duration {
    let nanos = (bytes as u128 * 1_000_000_000).div_ceil(u128::from(rate.max(1)));
    Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
}
