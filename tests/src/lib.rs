//! A testkit for gateways on ClearBlade IoT Core's MQTT bridge.
//!
//! [`bridge`] emulates the cloud's side: registry, tokens, attached devices, error reports, config,
//! commands and limits. It is a pure state machine, to be run in virtual time by tests. With the
//! feature `serve` (on by default) [`serve`](mod@serve) runs it on TCP and TLS for clients in any
//! language, as the program `iotcore-bridge` or inside another program.
//!
//! It is made for a developer's machine and listens on loopback unless told otherwise. It is no
//! production server: nothing outlives the process, clients are trusted not to be hostile in number,
//! and where the service's behaviour is not known it does what [`bridge::settings`] says.
//!
//! The registry file's format is described in [`bridge::registry::file`].
//!
//! # Test your own gateway code in virtual time
//!
//! With the feature `simulation` (on by default, too) [`simulation`] runs the async driver and the
//! code that uses it on a virtual clock and network, against the bridge: an hour takes milliseconds,
//! connections break where a test wants them to, and each run is the same. Its page has the whole
//! example. Code that uses the bare [`Gateway`](iotcore_gateway::Gateway) is tested with [`link`].
//!
//! # Scripts and seeds
//!
//! What holds of the machine whatever happens is checked with [`script`]: sessions as plain data, from commands and the
//! cloud's operations to faults, flipped bits and clocks that jump, played against the reference [`model`]. Any bytes are
//! a script, and so is any number ([`seeds`]); a script that breaks a guarantee is made smaller and told in one line.
//!
//! ```text
//! cargo run --release -p iotcore-gateway-testkit --bin iotcore-simulate -- --seeds 10000
//! cargo run --release -p iotcore-gateway-testkit --bin iotcore-simulate -- --seed 7
//! ```
//!
//! # Faults
//!
//! What goes wrong in the field can be made to go wrong here: refused connections, answers that are
//! held back, late, doubled or out of order, small segments, stray bytes, lost error reports, and
//! connections cut around a packet. A [`Fault`] is a value and one line: given to
//! [`Bridge::inject`], or typed after `fault` on the standard input of `iotcore-bridge`. All the lines are
//! in [`bridge::faults::line`]. Nothing is left to chance: a fault strikes the next thing that fits
//! it, and an event says so.
//!
//! ```
//! use core::time::Duration;
//! use iotcore_gateway::Options;
//! use iotcore_gateway_testkit::link::Link;
//!
//! let mut link = Link::new(Options::default());
//! let (now, unix_now) = (link.now(), link.unix_now());
//! link.bridge.inject("refuse 1 connack 3".parse()?, now)?;
//! link.bridge.inject("cut instead attach".parse()?, now)?;
//! link.gateway.open(now)?;
//! link.gateway.attach("sensor-1".try_into()?, None, unix_now, now)?;
//! link.run(Duration::from_secs(60));
//! assert!(link.bridge.faults().is_empty());
//! assert!(link.bridge.attached("gateway-1").eq(["sensor-1"]));
//! # Ok::<(), Box<dyn core::error::Error>>(())
//! ```
#![forbid(unsafe_code)]

pub mod bridge;
#[cfg(feature = "fuzzing")]
#[doc(hidden)]
pub mod fuzzing;
#[cfg(feature = "serve")]
pub mod keys;
pub mod link;
pub mod model;
pub mod packets;
mod pipe;
pub mod script;
pub mod seeds;
#[cfg(feature = "serve")]
pub mod serve;
#[cfg(feature = "simulation")]
pub mod simulation;

pub use bridge::close::CloseReason;
pub use bridge::event::{Event, EventKind};
pub use bridge::faults::Fault;
pub use bridge::operator::OperatorError;
pub use bridge::registry::{AuthMethod, Registry, RegistryError};
pub use bridge::settings::Settings;
pub use bridge::{Bridge, ConnectionId};

/// Compiles the code of the README, with the adapters: where the feature is on that only this project's tests turn on.
#[cfg(all(doctest, feature = "fuzzing"))]
#[doc = include_str!("../../README.md")]
pub struct Readme;
