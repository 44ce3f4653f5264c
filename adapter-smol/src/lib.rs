//! A gateway on ClearBlade IoT Core's MQTT bridge, on smol.
//!
//! # The model
//!
//! A gateway holds one MQTT connection to the bridge, for itself and for up to 1,000 devices. You say what should be: these
//! devices attached, these topics subscribed. The driver makes it so after every connect, and keeps what you send until the
//! bridge has acknowledged it. A [`Client`] attaches devices and closes; a [`Device`] sends telemetry and state, and
//! receives configs and commands; the [`Driver`] does the work, in one future that you spawn.
//!
//! # Quick start
//!
//! ```no_run
//! use iotcore_gateway_smol::{Algorithm, ClientId, KeyTokens, Security, Setup, SigningKey, Tls, connect};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # smol::block_on(async {
//! let id = ClientId::new("plant".parse()?, "us-central1".parse()?, "sensors".parse()?, "gateway-1".parse()?);
//! let key = SigningKey::from_pem(&std::fs::read("gateway-1.pem")?, Algorithm::Es256)?;
//! let security = Security::Tls(Tls::platform()?);
//! let setup = Setup::new("us-central1-mqtt.clearblade.com", security, id, KeyTokens::new(key));
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
//! This crate is [`SmolRuntime`] and [`connect`]; everything else is [`iotcore_gateway`], whose items stand here too.
//! `connect` and the driver need no more than a thread that polls them: any executor will do, or `smol::block_on`. Timers
//! and sockets are those of `async-io`, which starts its own thread when it is first used; names are resolved on the
//! threads of `blocking`.
//!
//! # Failure
//!
//! A lost connection is no failure: the driver reconnects with backoff and a fresh token, and what was accepted is sent
//! again; [`Client::status`] tells of it, why, and how surely that is known. What you await ends in an error only when it
//! has failed for good: [`AcceptError`] hands a message back that was not accepted, [`DeliveryError`] says why one was not
//! acknowledged, [`AttachError`] why a device is not attached. [`Failure::retry`] tells whether the same may succeed later.
//! Futures may be dropped at any time: each has either been accepted and goes on without you, or has changed nothing.
//!
//! # Shutdown
//!
//! [`Client::close`] sends what can still be sent within [`Options::drain_timeout`], disconnects, and gives what was left,
//! to be sent by the next process. Dropping every [`Client`] and [`Device`] closes as well. Dropping the driver ends every
//! future with [`DriverStopped`].
//!
//! # Test your own code
//!
//! Take the [`Client`] and a [`Runtime`] as arguments: the same code then runs on the virtual clock and network of
//! `iotcore-gateway-testkit`, against an emulator of the bridge, where an hour takes milliseconds and connections break
//! where a test wants them to. It needs no runtime.
#![forbid(unsafe_code)]
#![warn(missing_docs)]

mod runtime;

pub use iotcore_gateway::{self, driver::*, *};

pub use self::runtime::{SmolRuntime, SmolStream};

/// A client, and the driver to spawn: `smol::spawn(driver.run())`.
///
/// # Errors
///
/// [`SetupError`]: the host or an option, and what it must be. Whether the bridge can be reached, the client's status
/// tells.
pub fn connect<T: TokenSource>(
    setup: Setup<T>,
) -> Result<(Client, Driver<SmolRuntime, T>), SetupError> {
    setup.start(SmolRuntime)
}
