//! Connections whose bytes take their time.

use core::num::NonZeroU32;
use std::time::Instant;

use super::super::faults::Direction;
use super::super::world::World;
use super::BridgeConnection;

impl BridgeConnection {
    /// Passes on what a slow link has carried until now.
    pub(crate) fn carry(&mut self, world: &mut World, now: Instant) {
        if self.wire.has_inbound() {
            self.handle_input(&[], world, now);
        }
    }

    /// Returns the unwritten bytes that can be written now.
    pub(crate) fn writable(&self, world: &World) -> &[u8] {
        self.wire
            .writable(self.rate(Direction::Down, world), world.now())
    }

    /// Returns whether bytes are left that cannot be written yet.
    pub(crate) fn is_held_up(&self, world: &World) -> bool {
        !self.is_reset() && self.writable(world).is_empty() && !self.unwritten().is_empty()
    }

    pub(crate) fn handle_transmitted(&mut self, length: usize, world: &World) {
        let rate = self.rate(Direction::Down, world);
        self.wire.handle_transmitted(length, rate, world.now());
    }

    /// Returns when a slow link has carried more.
    pub(crate) fn rate_deadline(&self, world: &World) -> Option<Instant> {
        let up = self.rate(Direction::Up, world);
        let down = self.rate(Direction::Down, world);
        self.wire.rate_deadline(up, down, world.now())
    }

    pub(super) fn rate(&self, direction: Direction, world: &World) -> Option<NonZeroU32> {
        world.faults.rate(self.client_name(), direction)
    }
}
