//! The minimal cost of the work: writes bytes and reads identifiers without any checks.

use std::{hint::black_box, mem};

use bytes::Bytes;
use iotcore_gateway_testkit::packets::extent;

use crate::{
    peer,
    subject::{Subject, WRITE_TARGET, Wire, Work},
};

/// A loop that writes the bytes and reads the identifiers. It keeps no state and checks nothing.
pub(crate) struct Floor {
    topics: Vec<String>,
    payload: Bytes,
    next: usize,
    id: u16,
    out: Vec<u8>,
    /// The incomplete message, in its own buffer.
    partial: Vec<u8>,
}

impl Floor {
    pub(crate) fn new(work: &Work) -> Self {
        Self {
            topics: work.topics(),
            payload: work.payload().into(),
            next: 0,
            id: 0,
            out: Vec::with_capacity(2 * WRITE_TARGET),
            partial: Vec::new(),
        }
    }

    fn hand_over(&mut self, wire: Wire<'_>) {
        wire(&self.out);
        self.out.clear();
    }
}

impl Subject for Floor {
    fn send(&mut self, count: usize, wire: Wire<'_>) {
        for _ in 0..count {
            let payload = black_box(self.payload.clone());
            self.id = self.id.checked_add(1).unwrap_or(1);
            let topic = self.topics[self.next].as_bytes();
            self.next = (self.next + 1) % self.topics.len();
            peer::put_publish(&mut self.out, topic, self.id, &payload);
            if self.out.len() >= WRITE_TARGET {
                self.hand_over(wire);
            }
        }
        self.hand_over(wire);
    }

    fn acknowledge(&mut self, pubacks: &[u8]) -> usize {
        let mut done = 0;
        for puback in pubacks.chunks_exact(4) {
            black_box(u16::from_be_bytes([puback[2], puback[3]]));
            done += 1;
        }
        done
    }

    fn receive(&mut self, publishes: &[u8], piece: usize, wire: Wire<'_>) -> usize {
        let mut received = 0;
        for mut rest in publishes.chunks(piece) {
            while !rest.is_empty() {
                received += usize::from(self.take_message(&mut rest));
            }
            self.hand_over(wire);
        }
        received
    }
}

impl Floor {
    /// Removes the next message, or the part of it that has arrived, from the front. Each byte is copied once: a
    /// complete message directly, an incomplete one as its pieces arrive.
    fn take_message(&mut self, rest: &mut &[u8]) -> bool {
        if self.partial.is_empty()
            && let Some((start, end)) = extent(rest)
            && end <= rest.len()
        {
            let (message, left) = rest.split_at(end);
            *rest = left;
            let payload = self.acknowledge_publish(&message[start..]);
            black_box(Bytes::copy_from_slice(&message[start + payload..]));
            return true;
        }
        let known = match self.partial.as_slice() {
            [] => *rest,
            begun => begun,
        };
        let wanted = extent(known).map_or(self.partial.len() + 1, |(_, end)| end);
        self.partial.reserve_exact(wanted - self.partial.len());
        let missing = (wanted - self.partial.len()).min(rest.len());
        let (taken, left) = rest.split_at(missing);
        self.partial.extend_from_slice(taken);
        *rest = left;
        match extent(&self.partial) {
            Some((start, end)) if end == self.partial.len() => {
                let message = Bytes::from(mem::take(&mut self.partial)).slice(start..);
                let payload = self.acknowledge_publish(&message);
                black_box(message.slice(payload..));
                true
            }
            _ => false,
        }
    }

    /// Writes the PUBACK of a PUBLISH without its fixed header, and returns the offset of its payload.
    fn acknowledge_publish(&mut self, body: &[u8]) -> usize {
        let id = 2 + usize::from(u16::from_be_bytes([body[0], body[1]]));
        self.out
            .extend_from_slice(&[0x40, 2, body[id], body[id + 1]]);
        id + 2
    }
}
