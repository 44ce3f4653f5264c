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
//! ```no_run
//! use iotcore_gateway_smol::{Algorithm, ClientId, KeyTokens, Security, Setup, Tls, connect};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # smol::block_on(async {
//! let id = ClientId::new("plant".parse()?, "us-central1".parse()?, "sensors".parse()?, "gateway-1".parse()?);
//! let tokens = KeyTokens::from_pem_file("gateway-1.pem", Algorithm::Es256)?;
//! let security = Security::Tls(Tls::platform()?);
//! let setup = Setup::new("us-central1-mqtt.clearblade.com", security, id, tokens);
//! let (client, driver) = connect(setup)?;
//! let driver = smol::spawn(driver.run());
//!
//! let boiler = client.attach("boiler-7".parse::<iotcore_gateway_smol::DeviceId>()?).await?;
//! let delivery = boiler.telemetry(r#"{"celsius":71}"#).await?; // accepted: kept until it is acknowledged
//! delivery.await?; // acknowledged by the bridge
//! let mut messages = boiler.messages();
//! if let Some(message) = messages.next().await {
//!     println!("{:?}: {:?}", message.kind, message.payload);
//! }
//! println!("left unsent: {:?}", client.close().await.unsent);
//! driver.await;
//! # Ok(())
//! # })
//! # }
//! ```
//!
//! This crate defines [`SmolRuntime`] and [`connect`]; everything else is re-exported from [`iotcore_gateway`].
//! `connect` and the driver only need a thread that polls them: any executor, or `smol::block_on`. Timers
//! and sockets are those of `async-io`, which starts its own thread when it is first used. Each lookup of the host has a
//! thread of its own, which no program waits for at its end.
//!
//! # Failure
//!
//! A lost connection is not a failure: the driver reconnects with backoff and a fresh token, and sends accepted
//! messages again; [`Client::status`] reports the loss, its cause, and how certain the cause is. A future returns an
//! error only if its operation has failed permanently: [`AcceptError`](error::AcceptError) returns a message that was
//! not accepted, [`DeliveryError`](error::DeliveryError) says why a message was not acknowledged,
//! [`AttachError`](error::AttachError) why a device is not attached. [`Failure::retry`] says whether a retry may
//! succeed. Futures may be dropped at any time: an operation that was accepted continues; one that was not has changed
//! nothing.
//!
//! A message can [expire](Telemetry::expires_after), be [urgent](Telemetry::priority), and be [cancelled](Delivery::cancel);
//! its [tag](Telemetry::tag) comes back if it fails. [`Status::Undelivered`] counts those that fail and are not awaited.
//! [`Client::devices`] and [`Client::stats`] show what waits, for which device, and how soon the bridge answers.
//!
//! # Shutdown
//!
//! [`Client::close`] sends what can still be sent within [`Options::drain_timeout`], disconnects, and returns the
//! unsent messages, to be sent by the next process. Dropping every [`Client`] and [`Device`] also closes the gateway.
//! Dropping the driver ends every future with [`DriverStopped`](error::DriverStopped).
//!
//! # Test your own code
//!
//! Take the [`Client`] and a [`Runtime`] as arguments: the same code then runs on the virtual clock and network of
//! `iotcore-gateway-testkit`, against an emulator of the bridge, where an hour takes milliseconds and a test
//! decides where connections break. It needs no runtime.
#![forbid(unsafe_code)]
#![warn(missing_docs)]

mod runtime;

pub use iotcore_gateway::{
    self, ClientId, DeviceId, Failure, OpId, Options, Stats, auth, cause, command_error, device,
    driver::{
        Attach, Client, Delivery, Device, Driver, Message, MessageKind, Messages, ReportedState,
        Runtime, Security, Setup, Status, StatusChanges, Telemetry, Tls, closed, error, pending,
        proxy, tls, token_source,
    },
    error_report, id, message, options, quota,
};
#[cfg(feature = "jwt")]
pub use iotcore_gateway::{Algorithm, driver::KeyTokens};

pub use self::runtime::{SmolRuntime, SmolStream};
use self::{error::SetupError, token_source::TokenSource};

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
