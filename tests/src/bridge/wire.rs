//! A connection's bytes in both directions.

mod pace;
mod withheld;

use core::num::NonZeroU32;
use std::collections::VecDeque;
use std::time::Instant;

use super::ConnectionId;
use super::codec::{Decoder, Malformed, Packet, Reply, Version};
use super::event::EventKind;
use super::world::World;
use pace::Pace;
use withheld::Withheld;

/// The number of bytes waiting for a client above which its connection ends.
pub(crate) const MAX_BACKLOG: usize = 64 * 1024 * 1024;

/// The number of bytes waiting for a client above which the bridge prefers not to read more from it.
const COMFORTABLE_BACKLOG: usize = 1024 * 1024;

/// A connection's bytes: received and not yet decoded, encoded and not yet written.
#[derive(Debug)]
pub(crate) struct Wire {
    pub(crate) id: ConnectionId,
    /// The device that connected, once CONNECT was accepted.
    pub(crate) client: Option<String>,
    decoder: Decoder,
    version: Version,
    transmit: Vec<u8>,
    written: usize,
    withheld: Withheld,
    /// Under a fault: bytes that a slow link has not carried yet.
    inbound: VecDeque<u8>,
    input_pace: Pace,
    output_pace: Pace,
}

/// The context of a packet's handler: its connection, and the shared state.
pub(crate) struct Context<'a> {
    pub(crate) wire: &'a mut Wire,
    pub(crate) world: &'a mut World,
    pub(crate) now: Instant,
}

impl Wire {
    pub(crate) fn new(id: ConnectionId) -> Self {
        Self {
            id,
            client: None,
            decoder: Decoder::new(),
            version: Version::V311,
            transmit: Vec::new(),
            written: 0,
            withheld: Withheld::default(),
            inbound: VecDeque::new(),
            input_pace: Pace::default(),
            output_pace: Pace::default(),
        }
    }

    /// Receives bytes, which a link with a rate, in bytes a second, carries first.
    pub(crate) fn receive(&mut self, bytes: &[u8], rate: Option<NonZeroU32>, now: Instant) {
        if rate.is_none() && self.inbound.is_empty() {
            self.decoder.feed(bytes);
            return;
        }
        self.inbound.extend(bytes);
        let waiting = self.inbound.len();
        let carried = match rate {
            None => waiting,
            Some(rate) => {
                let carried = self.input_pace.ready(waiting, rate, now);
                self.input_pace.spend(carried, rate, now);
                carried.max(waiting.saturating_sub(MAX_BACKLOG))
            }
        };
        let carried: Vec<u8> = self.inbound.drain(..carried).collect();
        self.decoder.feed(&carried);
    }

    /// Returns whether the link has not carried all that was received.
    pub(crate) fn has_inbound(&self) -> bool {
        !self.inbound.is_empty()
    }

    /// Returns the unwritten bytes that a link with a rate carries now.
    pub(crate) fn writable(&self, rate: Option<NonZeroU32>, now: Instant) -> &[u8] {
        let bytes = self.unwritten();
        match rate {
            None => bytes,
            Some(rate) => &bytes[..self.output_pace.ready(bytes.len(), rate, now)],
        }
    }

    /// Returns when links with these rates have carried more.
    pub(crate) fn rate_deadline(
        &self,
        up: Option<NonZeroU32>,
        down: Option<NonZeroU32>,
        now: Instant,
    ) -> Option<Instant> {
        let up = up.and_then(|rate| self.input_pace.due(self.inbound.len(), rate, now));
        let down = down.and_then(|rate| self.output_pace.due(self.unwritten().len(), rate, now));
        up.into_iter().chain(down).min()
    }

    /// Returns the length of the next packet, once its header has arrived.
    pub(crate) fn next_len(&self) -> Option<usize> {
        self.decoder.next_len()
    }

    pub(crate) fn next_packet(&mut self) -> Result<Option<Packet>, Malformed> {
        self.decoder.next_packet()
    }

    /// Sets the protocol version of everything that follows.
    pub(crate) fn speak(&mut self, version: Version) {
        self.version = version;
        self.decoder.speak(version);
    }

    /// Sends a packet without applying faults.
    fn outgoing(&mut self, reply: &Reply) {
        reply.encode(self.version, &mut self.transmit);
    }

    /// Sends bytes that are not necessarily a packet.
    pub(crate) fn send_raw(&mut self, bytes: &[u8]) {
        self.transmit.extend_from_slice(bytes);
    }

    /// Returns the position of the next packet, for [`rewind`](Self::rewind); invalid once bytes were written.
    pub(crate) fn mark(&self) -> usize {
        self.transmit.len()
    }

    /// Discards what was queued after a [`mark`](Self::mark).
    pub(crate) fn rewind(&mut self, mark: usize) {
        self.transmit.truncate(mark);
    }

    pub(crate) fn unwritten(&self) -> &[u8] {
        self.transmit.get(self.written..).unwrap_or_default()
    }

    /// Removes a prefix of what [`unwritten`](Self::unwritten) returned.
    pub(crate) fn handle_transmitted(
        &mut self,
        length: usize,
        rate: Option<NonZeroU32>,
        now: Instant,
    ) {
        if let Some(rate) = rate {
            self.output_pace.spend(length, rate, now);
        }
        self.written += length.min(self.unwritten().len());
        if self.written * 2 >= self.transmit.len() {
            self.transmit.drain(..self.written);
            self.written = 0;
        }
    }

    pub(crate) fn is_comfortable(&self) -> bool {
        self.unwritten().len() <= COMFORTABLE_BACKLOG && self.inbound.is_empty()
    }
}

impl Context<'_> {
    /// Logs an event of this connection.
    pub(crate) fn log(&mut self, kind: EventKind) {
        let client = self.wire.client.clone();
        self.world.log(Some(self.wire.id), client, kind);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[expect(
        clippy::disallowed_methods,
        reason = "an instant has no other beginning"
    )]
    fn data_written_in_pieces_arrives_once_and_in_order() {
        let (mut wire, now) = (Wire::new(ConnectionId(1)), Instant::now());
        let mut expected = Vec::new();
        let mut written = Vec::new();
        for packet_id in 1..=200_u16 {
            let reply = Reply::Puback { packet_id };
            reply.encode(Version::V311, &mut expected);
            wire.outgoing(&reply);
            let length = wire.unwritten().len().min(usize::from(packet_id % 8));
            written.extend_from_slice(&wire.unwritten()[..length]);
            wire.handle_transmitted(length, None, now);
        }
        written.extend_from_slice(wire.unwritten());
        assert_eq!(written, expected);
        wire.handle_transmitted(usize::MAX, None, now);
        assert!(wire.unwritten().is_empty());
    }
}
