//! The cloud's side of the example: an emulator on a free loopback port, with generated keys.

use std::error::Error;

use iotcore_gateway::{Algorithm, ClientId, auth::SigningKey};
use iotcore_gateway_testkit::{
    AuthMethod, OperatorError, Registry, Settings,
    keys::{DeviceKey, ServerIdentity},
    serve::{Server, tls},
};

use super::{
    place::{Place, Trust},
    timeline::Timeline,
};

const PROJECT: &str = "demo-project";
const LOCATION: &str = "us-central1";
const REGISTRY: &str = "demo-registry";
const GATEWAY: &str = "gateway-1";
const DEVICE: &str = "thermostat-1";
const STRANGER: &str = "stranger-1";

/// The emulated cloud of a small fleet: one gateway, one device that is bound to it, and one that is not.
pub(crate) struct Cloud {
    server: Server,
}

impl Cloud {
    /// Starts an emulator whose events are printed on the timeline.
    pub(crate) fn start(
        timeline: &Timeline,
    ) -> Result<(Place, Self), Box<dyn Error + Send + Sync>> {
        let key = DeviceKey::generate()?;
        let mut registry = Registry::new(PROJECT, LOCATION, REGISTRY)?;
        registry.add_gateway(GATEWAY, &[&key.public_pem], AuthMethod::AssociationOnly)?;
        registry.add_device(DEVICE, &[])?;
        registry.add_device(STRANGER, &[])?;
        registry.bind(GATEWAY, DEVICE)?;

        let identity = ServerIdentity::generate()?;
        let tls = tls::server_config(&identity.certificate_pem, &identity.key_pem)?;
        let told = timeline.clone();
        let server = Server::start(
            registry,
            Settings::default(),
            "127.0.0.1:0",
            Some(tls),
            move |event| {
                told.bridge(event);
            },
        )?;
        let place = Place {
            host: "localhost".to_owned(),
            port: server.local_addr().port(),
            trust: Trust::Certificates(identity.ca_pem.into_bytes()),
            client_id: ClientId::new(
                PROJECT.try_into()?,
                LOCATION.try_into()?,
                REGISTRY.try_into()?,
                GATEWAY.try_into()?,
            ),
            key: SigningKey::from_pem(key.private_pem.as_bytes(), Algorithm::Es256)?,
            device: DEVICE.try_into()?,
        };
        Ok((place, Self { server }))
    }

    /// Returns a device that the gateway must not attach.
    pub(crate) fn stranger(&self) -> &'static str {
        STRANGER
    }

    /// Sends a device a new configuration.
    pub(crate) fn configure(
        &self,
        device: &str,
        payload: &'static str,
    ) -> Result<u64, OperatorError> {
        self.server
            .with(|bridge, now| bridge.send_config(device, payload, now))
    }

    /// Sends a command to a device.
    pub(crate) fn command(
        &self,
        device: &str,
        subfolder: &str,
        payload: &'static str,
    ) -> Result<(), OperatorError> {
        self.server
            .with(|bridge, now| bridge.send_command(device, Some(subfolder), payload, now))
    }

    /// Cuts the gateway's connection.
    pub(crate) fn cut(&self) -> Result<(), OperatorError> {
        self.server
            .with(|bridge, now| bridge.drop_connection(GATEWAY, now))
    }
}
