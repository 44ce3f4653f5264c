//! A gateway on ClearBlade IoT Core's MQTT bridge, on smol.
//!
//! # The model
//!
//! A gateway holds one MQTT connection to the bridge, for itself and for up to 1,000 devices. You declare which devices
//! are to be attached and which topics are to be subscribed to. The driver establishes that after every connect, and
//! keeps what you send until the bridge has acknowledged it. A [`Client`] attaches devices and closes; a [`Device`]
//! sends telemetry and state, and receives configs and commands; the [`Driver`] does the work in one future that you
//! spawn.
//!
//! # Quick start
//!
//! ```
//! use iotcore_gateway_smol::{Algorithm, Attach, ClientId, KeyTokens, Security, Setup, Tls, connect};
//!
//! # mod emulator { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/adapters/example_folder.rs")); }
//! fn main() -> anyhow::Result<()> {
//!     smol::block_on(async {
//! #         let emulator = emulator::start();
//! #         let connect = |setup: Setup<KeyTokens>| connect(setup.port(emulator.port()));
//!         let id = ClientId::new("my-project".parse()?, "us-central1".parse()?, "my-registry".parse()?, "my-gateway".parse()?);
//!         let tokens = KeyTokens::from_pem_file("example/gateway.pem", Algorithm::Es256)?; // mints a JWT for each connection
//!         let tls = Tls::from_pem_file("example/ca.pem")?; // the emulator's; for the real service, Tls::platform()
//!         let (client, driver) = connect(Setup::new("localhost", Security::Tls(tls), id, tokens))?;
//!         let mut status = client.status();
//!         let driver = smol::spawn(driver.run()); // all the work is done in this one future
//!         smol::spawn(async move {
//!             while let Some(change) = status.next().await {
//!                 eprintln!("{change}"); // what goes wrong, why, and when the next attempt begins
//!             }
//!         }).detach();
//!
//!         let boiler = client.attach(Attach::new("boiler-7".parse()?)).await?; // acknowledged, or the reason why not
//!         let reading = boiler.telemetry(r#"{"celsius":71}"#).await?; // accepted: kept until it is delivered
//!         reading.await?; // acknowledged
//!         if let Some(config) = boiler.messages().next().await {
//!             println!("config: {:?}", config.payload);
//!         }
//!         println!("left unsent: {:?}", client.close().await.unsent); // sends what is left, for at most 10 s
//!         driver.await;
//!         Ok(())
//!     })
//! }
//! ```
//!
//! Besides this crate it needs `anyhow` and `smol`, and a bridge. The emulator of
//! `iotcore-gateway-testkit` is one, and makes the keys:
//! `iotcore-bridge --example-registry example --tls-self-signed example --port 8883`. With a wrong host, the program ends at
//! once and says why.
//!
//! This crate defines [`SmolRuntime`] and [`connect`]; everything else is re-exported from [`iotcore_gateway`].
//! `connect` and the driver only need a thread that polls them: any executor, or `smol::block_on`. Timers
//! and sockets are those of `async-io`, which starts its own thread when it is first used. Each lookup of the host has a
//! thread of its own, which no program waits for at its end.
//!
//! # Failure
//!
//! A lost connection is not a failure: the driver reconnects with backoff and a fresh token, attaches and subscribes again,
//! and sends what was not acknowledged; [`Client::status`] reports the loss, its cause, and how certain the cause is. The
//! error of a future says what has failed: [`AcceptError`](error::AcceptError) returns a message that was not accepted,
//! [`DeliveryError`](error::DeliveryError) says why a message was given up, and [`AttachError`](error::AttachError) why the
//! wait for an attach has ended. Only the wait may have ended: [`Client::attach`] says what the gateway then goes on with.
//! [`Failure::retry`] says whether a retry may succeed. Futures may be dropped at any time: an operation that was accepted
//! continues; one that was not has changed nothing.
//!
//! [`guide`] has an example for each of these: a start without a network, a refused device, removal, messages that are
//! late, urgent or cancelled, shutdown and restart.
//!
//! # Shutdown
//!
//! [`Client::close`] sends what can still be sent, disconnects, and returns the unsent messages, to be sent by the next
//! process. Without a connection it takes up to [`Options::drain_timeout`], 10 s, if anything is unsent. Dropping every
//! [`Client`] and [`Device`] also closes the gateway. Dropping the driver ends every future with
//! [`DriverStopped`](error::DriverStopped).
//!
//! # Test your own code
//!
//! Take the [`Client`] and a [`Runtime`] as arguments: the same code then runs on the virtual clock and network of
//! `iotcore-gateway-testkit`, against an emulator of the bridge, where an hour takes milliseconds and a test
//! decides where connections break. It needs no runtime.
#![cfg_attr(docsrs, feature(doc_cfg))]
#![forbid(unsafe_code)]
#![warn(missing_docs)]

mod runtime;

pub use iotcore_gateway::{
    self, ClientId, DeviceId, Failure, OpId, Options, Stats, auth, cause, command_error, device,
    driver::{
        Attach, Client, Delivery, Device, Driver, Message, MessageKind, Messages, ReportedState,
        Runtime, Security, Setup, Status, StatusChanges, Telemetry, Tls, closed, error, guide,
        pending, proxy, tls, token_source,
    },
    error_report, id, message, options, quota,
};
#[cfg(feature = "jwt")]
pub use iotcore_gateway::{Algorithm, driver::KeyTokens};

pub use self::runtime::{SmolRuntime, SmolStream};
use self::{error::SetupError, token_source::TokenSource};

#[cfg(feature = "store")]
pub mod store {
    //! Stores, which keep accepted messages over the end of the process and a power cut, and what is in one:
    //! [`driver::store`](iotcore_gateway::driver::store) and [`iotcore_gateway::store`].

    pub use iotcore_gateway::{driver::store::*, store::*};
}

/// Creates a client and the driver to spawn: `smol::spawn(driver.run())`.
///
/// # Errors
///
/// Returns [`SetupError`] if the host or an option is invalid, with what it must be. [`Client::status`] reports whether
/// the bridge can be reached.
pub fn connect<T: TokenSource>(
    setup: Setup<T>,
) -> Result<(Client, Driver<SmolRuntime, T>), SetupError> {
    setup.start(SmolRuntime)
}

/// Compiles the code of the README.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
pub struct Readme;
