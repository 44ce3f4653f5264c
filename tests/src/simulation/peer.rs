//! The far end of a connection, played by the test.

use core::fmt;
use std::io;

use super::SimRuntime;
use super::wire::{BridgeEnd, StreamEnd, Wire};
use super::world::World;
use crate::pipe::Content;

/// The far end of one connection, which the test plays instead of the bridge, byte by byte and without TLS: see
/// [`SimRuntime::accept`]. Once it is dropped, nothing more comes from it.
pub struct Peer {
    pub(super) runtime: SimRuntime,
    pub(super) wire: u64,
}

/// How far the gateway is with a connection, as far as its peer has heard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GatewayEnd {
    /// More may come.
    Open,
    /// The gateway has closed its half, and may still read.
    Closed,
    /// The gateway has read to the end, and let go.
    Gone,
    /// The gateway let go before it had read to the end.
    Reset,
}

impl Peer {
    fn with<T>(&self, act: impl FnOnce(&mut World, &mut Wire) -> T) -> T {
        self.runtime.with_wire(self.wire, act)
    }

    /// What has arrived since the last call. Until it is taken, it takes up the [`buffer`](super::Network::buffer).
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

    /// How far the gateway is, once all that came before was [received](Self::receive).
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

    /// Says something, however much is on its way already.
    pub fn send(&self, bytes: &[u8]) {
        self.runtime.with_world(|world| {
            world.send(self.wire, bytes);
            world.settle();
        });
    }

    /// How many bytes the gateway has not read yet.
    #[must_use]
    pub fn unread(&self) -> usize {
        self.with(|_, wire| wire.to_gateway.len())
    }

    /// Closes its half, behind all that it said.
    pub fn close(&self) {
        self.runtime.with_world(|world| {
            world.end_stream(self.wire);
            world.settle();
        });
    }

    /// Has the gateway's reading fail, behind all that was said.
    pub fn break_off(&self, kind: io::ErrorKind) {
        self.with(|world, wire| {
            wire.to_gateway.end(world.arrival(), Content::Broken(kind));
        });
    }

    /// Has the gateway's next write fail, and these bytes arrive at that moment: as of a peer that says why, closes, and
    /// is not heard before.
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
