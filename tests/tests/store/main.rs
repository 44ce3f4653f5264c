//! The segment log on a disk that loses what was not synced.
#![forbid(unsafe_code)]

mod encoded;
mod exhaustive;
#[cfg(feature = "simulation")]
mod lives;
mod model;
mod random;
mod rules;

use model::World;
