//! A gateway on ClearBlade IoT Core's MQTT bridge, on smol.
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
//! This crate is [`SmolRuntime`] and [`connect`]; everything else is [`iotcore_gateway`], whose items stand here too:
//! see [`iotcore_gateway::driver`] for how the handles behave, and for failure, back-pressure and shutdown.
//!
//! `connect` and the driver need no more than a thread that polls them: any executor will do, or `smol::block_on`. Timers
//! and sockets are those of `async-io`, which starts its own thread when it is first used; names are resolved on the
//! threads of `blocking`.
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
