//! A testkit for gateways on ClearBlade IoT Core's MQTT bridge.
//!
//! [`bridge`] emulates the cloud's side: registry, tokens, attached devices, error reports, config,
//! commands and limits. It is a pure state machine, to be run in virtual time by tests. With the
//! feature `serve` (on by default) [`serve`](mod@serve) runs it on TCP and TLS for clients in any
//! language, as the program `bridge` or inside another program.
//!
//! It is made for a developer's machine and listens on loopback unless told otherwise. It is no
//! production server: nothing outlives the process, clients are trusted not to be hostile in number,
//! and where the service's behaviour is not known it does what [`bridge::settings`] says.
//!
//! The registry file's format is described in [`bridge::registry::file`].

pub mod bridge;
#[cfg(feature = "serve")]
pub mod demo;
#[cfg(feature = "serve")]
pub mod keys;
pub mod link;
#[cfg(feature = "serve")]
pub mod serve;

pub use bridge::close::CloseReason;
pub use bridge::event::{Event, EventKind};
pub use bridge::operator::OperatorError;
pub use bridge::registry::{AuthMethod, Registry, RegistryError};
pub use bridge::settings::Settings;
pub use bridge::{Bridge, ConnectionId};

/// Compiles the code of the README.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
pub struct Readme;
