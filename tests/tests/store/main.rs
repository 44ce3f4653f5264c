//! The segment log on a disk that loses what was not synced.
#![forbid(unsafe_code)]

#[cfg(feature = "simulation")]
mod lives;
mod model;
mod random;

use model::World;
