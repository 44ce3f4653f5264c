//! Whole lives of a gateway with a store: sessions that are ended by a power cut, `kill -9` or in order, one after the
//! other, on one [`LossyDisk`](crate::disk::LossyDisk), with all else that can go wrong.
//!
//! [`play`] draws a sequence of lives from a seed: the gateway, its [`SegmentLog`](iotcore_gateway::store::SegmentLog) and
//! the bridge, with commands of the user, faults of the network, of the bridge and of the disk, and a model that knows what
//! must be in the store after each of them. In the calm at the end everything that was stored is delivered, and the store is
//! empty and small. [`small_scope`] does not draw: with two devices and three publications it ends the life at every
//! operation of the disk, in every way.
//!
//! ```
//! let counts = iotcore_gateway_testkit::lives::play(7)?;
//! assert!(counts.of("lives") > 0);
//! # Ok::<(), iotcore_gateway_testkit::lives::Broken>(())
//! ```

mod calm;
mod counts;
mod life;
mod message;
mod model;
mod setup;
mod small;
mod step;
mod world;

use core::fmt;

pub use self::{
    counts::Counts,
    small::{SCENARIOS, small_scope},
};
use self::{model::Model, world::World};
use crate::link::{BOUND, GATEWAY, UNBOUND};

/// The devices of all lives, the gateway first; the last is not bound to it.
const DEVICES: [&str; 5] = [GATEWAY, BOUND[0], BOUND[1], BOUND[2], UNBOUND];

/// A guarantee that does not hold: a bug of the gateway, of the log, or of the testkit.
#[derive(Clone, Debug)]
pub struct Broken {
    /// The seed, or the number of the scenario of [`small_scope`].
    pub seed: u64,
    /// What has happened.
    pub what: String,
    /// What had happened before, one line each.
    pub history: Vec<String>,
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for line in &self.history {
            writeln!(f, "{line}")?;
        }
        write!(f, "seed {}: {}", self.seed, self.what)
    }
}

impl core::error::Error for Broken {}

/// Plays the lives of a seed.
///
/// # Errors
/// A guarantee does not hold.
pub fn play(seed: u64) -> Result<Counts, Broken> {
    let mut world = World::new(seed);
    world.live_on();
    world.calm_down();
    world.finish(seed)
}
