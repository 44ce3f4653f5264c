//! The segment log on a disk that loses what was not synced.
#![forbid(unsafe_code)]
#![expect(clippy::print_stdout, reason = "a run of many seeds tells what it had")]

mod exhaustive;
mod model;
mod random;
mod rules;

use model::World;
