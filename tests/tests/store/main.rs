//! The segment log on a disk that loses what was not synced.
#![forbid(unsafe_code)]

mod encoded;
mod exhaustive;
mod foreign;
mod full;
#[cfg(feature = "simulation")]
mod lives;
mod missing;
mod model;
mod random;
mod rules;
mod steady;
mod unread;
mod unread_starts;

use model::World;
