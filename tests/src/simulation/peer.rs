//! The far end of a connection, controlled by the test.

use core::fmt;
use std::io;

use super::SimRuntime;
use super::wire::{BridgeEnd, StreamEnd, Wire};
use super::world::World;
use crate::pipe::Content;

/// The far end of one connection, which the test controls instead of the bridge, byte by byte and without TLS: see
/// [`SimRuntime::accept`]. Once it is dropped, it sends nothing more.
pub struct Peer {
    pub(super) runtime: SimRuntime,
    pub(super) wire: u64,
}

/// The state of the gateway's end of a connection, as far as its peer can know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GatewayEnd {
    /// More bytes may arrive.
    Open,
    /// The gateway has closed its write half, and may still read.
    Closed,
    /// The gateway has read to the end and dropped the connection.
    Gone,
    /// The gateway dropped the connection before it had read to the end.
    Reset,
}

impl Peer {
    fn with<T>(&self, act: impl FnOnce(&mut World, &mut Wire) -> T) -> T {
        self.runtime.with_wire(self.wire, act)
    }

    /// Returns what has arrived since the last call. Until then, it occupies the [`buffer`](super::Network::buffer).
    #[must_use]
    pub fn receive(&self) -> Vec<u8> {
        self.with(|world, wire| {
            let mut received = Vec::new();
            while let Some(Content::Bytes(bytes)) = wire.to_bridge.arrived(world.now) {
                received.extend(bytes);
                wire.to_bridge.pop(world.now);
            }
            received
        })
    }

    /// Returns the state of the gateway's end, once all earlier bytes were [received](Self::receive).
    #[must_use]
    pub fn gateway_end(&self) -> GatewayEnd {
        self.with(|world, wire| match wire.to_bridge.arrived(world.now) {
            Some(Content::Bytes(_)) => GatewayEnd::Open,
            Some(Content::Broken(_)) => GatewayEnd::Reset,
            _ if wire.stream == StreamEnd::Dropped => GatewayEnd::Gone,
            Some(Content::End) => GatewayEnd::Closed,
            None => GatewayEnd::Open,
        })
    }

    /// Sends bytes, regardless of how much is in transit already.
    pub fn send(&self, bytes: &[u8]) {
        self.runtime.with_world(|world| {
            world.send(self.wire, bytes);
            world.transfer_and_wake();
        });
    }

    /// Returns how many bytes the gateway has not read yet.
    #[must_use]
    pub fn unread(&self) -> usize {
        self.with(|_, wire| wire.to_gateway.len())
    }

    /// Closes its write half, after all that it sent.
    pub fn close(&self) {
        self.runtime.with_world(|world| {
            world.end_stream(self.wire);
            world.transfer_and_wake();
        });
    }

    /// Makes the gateway's reading fail, after all that was sent.
    pub fn break_off(&self, kind: io::ErrorKind) {
        self.with(|world, wire| {
            wire.to_gateway.end(world.arrival(), Content::Broken(kind));
        });
    }

    /// Makes the gateway's next write fail, and these bytes arrive at that moment: simulates a peer that sends a reason
    /// and closes, which the gateway notices only when it writes.
    pub fn fail_next_write(&self, last_words: &[u8]) {
        self.with(|_, wire| wire.last_words = Some(last_words.to_vec()));
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        self.with(|_, wire| {
            wire.bridge_end = BridgeEnd::Gone;
            wire.is_played = false;
        });
    }
}

impl fmt::Debug for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Peer").field(&self.wire).finish()
    }
}
