//! The segment log on a disk that loses what was not synced.
#![forbid(unsafe_code)]
#![expect(clippy::print_stdout, reason = "a run of many seeds tells what it had")]

mod exhaustive;
#[cfg(feature = "simulation")]
mod lives;
mod model;
mod random;
mod rules;

use model::World;
