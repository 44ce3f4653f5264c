//! A testkit for gateways on ClearBlade IoT Core's MQTT bridge.
//!
//! [`bridge`] emulates the cloud's side: registry, tokens, attached devices, error reports, config, commands and
//! limits. It is a pure state machine that tests run in virtual time. With the feature `serve` (on by default)
//! [`serve`](mod@serve) runs it on TCP and TLS for clients in any language, inside another program. The feature `programs`
//! (on by default, too) provides the program `iotcore-bridge`, which does so with a registry file; a library that depends on
//! the testkit leaves it out with `default-features = false`.
//!
//! It is intended for a developer's machine and listens on loopback by default. It is not a production server: nothing
//! is persisted, it does not defend against large numbers of hostile clients, and where the service's behaviour is
//! unknown it follows [`bridge::settings`].
//!
//! The registry file's format is described in [`bridge::registry::file`].
//!
//! # Test your own gateway code in virtual time
//!
//! With the feature `simulation` (also on by default) [`simulation`] runs the async driver and the code that uses it on
//! a virtual clock and network, against the bridge: an hour takes milliseconds, a test decides where connections break,
//! and every run is identical. The module documentation contains a complete example. Code that uses the bare
//! [`Gateway`](iotcore_gateway::Gateway) is tested with [`link`]. An adapter for another async runtime is tested with
//! [`runtime_check`] and [`serve`](mod@serve), on real sockets.
//!
//! # Scripts and seeds
//!
//! The invariants of the machine are checked with [`script`]: sessions as plain data, which combine commands, cloud
//! operations, faults, bit flips and clock jumps, and are checked against the reference [`model`]. Any bytes are a
//! valid script, and so is any number ([`seeds`]); a script that violates a guarantee is shrunk and reported in one
//! line.
//!
//! ```text
//! cargo run --release -p iotcore-gateway-testkit --bin iotcore-simulate -- --seeds 10000
//! cargo run --release -p iotcore-gateway-testkit --bin iotcore-simulate -- --seed 7
//! ```
//!
//! # Faults
//!
//! Failures that occur in the field can be injected: refused connections, answers that are held back, late, doubled or
//! out of order, small segments, stray bytes, lost error reports, connections cut around a packet, a bridge that takes its
//! time or stalls, and slow links. A [`Fault`] is a value with a one-line text form: pass it to [`Bridge::inject`], or type
//! it after `fault` on the standard input of `iotcore-bridge`. All the lines are in [`bridge::faults::line`], and the words
//! of a slow bridge in [`bridge::service::text`]. Faults are deterministic: a fault applies to the next matching packet or
//! connection, and an event reports it.
//!
//! ```
//! use core::time::Duration;
//! use iotcore_gateway::{DeviceAuth, Options};
//! use iotcore_gateway_testkit::link::Link;
//!
//! let mut link = Link::new(Options::default());
//! let (now, unix_now) = (link.now(), link.unix_now());
//! link.bridge.inject("refuse 1 connack 3".parse()?, now)?;
//! link.bridge.inject("cut instead attach".parse()?, now)?;
//! link.gateway.open(now)?;
//! link.gateway.attach("sensor-1".try_into()?, DeviceAuth::ByAssociation, unix_now, now)?;
//! link.run(Duration::from_secs(60));
//! assert!(link.bridge.faults().is_empty());
//! assert!(link.bridge.attached("gateway-1").eq(["sensor-1"]));
//! # Ok::<(), Box<dyn core::error::Error>>(())
//! ```
#![cfg_attr(docsrs, feature(doc_cfg))]
#![forbid(unsafe_code)]

pub mod bridge;
pub mod disk;
#[cfg(feature = "fuzzing")]
#[doc(hidden)]
pub mod fuzzing;
#[cfg(feature = "serve")]
pub mod keys;
pub mod link;
#[cfg(feature = "simulation")]
pub mod lives;
pub mod model;
pub mod packets;
mod pipe;
pub mod progress;
pub mod random;
#[cfg(feature = "simulation")]
pub mod runtime_check;
pub mod script;
pub mod seeds;
#[cfg(feature = "serve")]
pub mod serve;
#[cfg(feature = "simulation")]
pub mod simulation;
#[cfg(feature = "simulation")]
pub mod store_check;

pub use bridge::close::CloseReason;
pub use bridge::event::{Event, EventKind};
pub use bridge::faults::Fault;
pub use bridge::operator::OperatorError;
pub use bridge::registry::{AuthMethod, Registry, RegistryError};
pub use bridge::service::Service;
pub use bridge::settings::Settings;
pub use bridge::{Bridge, ConnectionId};

/// Compiles the code of the book, with the adapters, if the feature is on that only this project's tests enable.
#[cfg(all(doctest, feature = "fuzzing"))]
pub mod book {
    #[doc = include_str!("../../docs/book/gateway.md")]
    pub struct Gateway;
    #[doc = include_str!("../../docs/book/adapter.md")]
    pub struct Adapter;
}
