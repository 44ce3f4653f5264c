//! A connection's bytes in both directions.

mod withheld;

use std::time::Instant;

use super::ConnectionId;
use super::codec::{Decoder, Malformed, Packet, Reply, Version};
use super::event::EventKind;
use super::world::World;
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
        }
    }

    pub(crate) fn receive(&mut self, bytes: &[u8]) {
        self.decoder.feed(bytes);
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
    pub(crate) fn handle_transmitted(&mut self, length: usize) {
        self.written += length.min(self.unwritten().len());
        if self.written * 2 >= self.transmit.len() {
            self.transmit.drain(..self.written);
            self.written = 0;
        }
    }

    pub(crate) fn is_comfortable(&self) -> bool {
        self.unwritten().len() <= COMFORTABLE_BACKLOG
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
    fn data_written_in_pieces_arrives_once_and_in_order() {
        let mut wire = Wire::new(ConnectionId(1));
        let mut expected = Vec::new();
        let mut written = Vec::new();
        for packet_id in 1..=200_u16 {
            let reply = Reply::Puback { packet_id };
            reply.encode(Version::V311, &mut expected);
            wire.outgoing(&reply);
            let length = wire.unwritten().len().min(usize::from(packet_id % 8));
            written.extend_from_slice(&wire.unwritten()[..length]);
            wire.handle_transmitted(length);
        }
        written.extend_from_slice(wire.unwritten());
        assert_eq!(written, expected);
        wire.handle_transmitted(usize::MAX);
        assert!(wire.unwritten().is_empty());
    }
}
