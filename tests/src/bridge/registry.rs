//! The device registry: the project, the devices with their keys, the gateways, and their bindings. Built in code with
//! [`Registry::new`], or parsed from a file with [`file::parse`].

mod error;
pub mod file;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use serde::Deserialize;

use super::auth::PublicKey;
use super::quotas::MAX_STATE;
use super::record::DeviceRecord;
pub use error::RegistryError;

/// The maximum number of public keys per device.
pub const MAX_KEYS: usize = 3;

/// The maximum number of devices bound to one gateway.
pub const MAX_BOUND: usize = 10_000;

/// The maximum number of gateways that a device is bound to.
pub const MAX_GATEWAYS: usize = 10;

/// A validated device registry.
#[derive(Clone, Debug)]
pub struct Registry {
    project: String,
    location: String,
    registry: String,
    mqtt_enabled: bool,
    telemetry_topic: bool,
    devices: BTreeMap<String, Device>,
}

/// How a gateway's devices authenticate when it attaches them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum AuthMethod {
    /// No device may use the gateway.
    #[default]
    #[serde(rename = "GATEWAY_AUTH_METHOD_UNSPECIFIED")]
    Unspecified,
    /// By binding; a token is ignored.
    AssociationOnly,
    /// By their own token; a binding is not needed.
    DeviceAuthTokenOnly,
    /// By both.
    AssociationAndDeviceAuthToken,
}

/// A device or gateway of the registry.
#[derive(Clone, Debug, Default)]
pub(crate) struct Device {
    pub(crate) keys: Vec<PublicKey>,
    pub(crate) blocked: bool,
    /// The config that it has at the start, version 1.
    pub(crate) config: Bytes,
    /// The gateways that it is bound to.
    pub(crate) bound_to: BTreeSet<String>,
    /// The additional data of a gateway.
    pub(crate) gateway: Option<Gateway>,
}

/// The data that a gateway has in addition to a device.
#[derive(Clone, Debug, Default)]
pub(crate) struct Gateway {
    pub(crate) auth_method: AuthMethod,
    /// How many devices are bound to it.
    pub(crate) bound: usize,
}

impl Registry {
    /// Creates a registry without devices.
    ///
    /// # Errors
    /// A name that the service would not accept.
    pub fn new(project: &str, location: &str, registry: &str) -> Result<Self, RegistryError> {
        for (what, id) in [("project", project), ("location", location)] {
            if id.is_empty() || id.contains(['/', '+', '#', '\0']) {
                return Err(RegistryError::Id {
                    what,
                    id: id.to_owned(),
                });
            }
        }
        check_id("registry", registry)?;
        Ok(Self {
            project: project.to_owned(),
            location: location.to_owned(),
            registry: registry.to_owned(),
            mqtt_enabled: true,
            telemetry_topic: true,
            devices: BTreeMap::new(),
        })
    }

    /// Adds a device that is not a gateway, with its public keys in PEM (none, if it is only attached by its binding).
    ///
    /// # Errors
    /// An invalid or duplicate name, too many keys, or one that cannot be used.
    pub fn add_device(&mut self, id: &str, keys: &[&str]) -> Result<(), RegistryError> {
        self.insert(id, parse_keys(id, keys)?, None)
    }

    /// Adds a gateway, with its public keys in PEM. Devices are bound to it with
    /// [`bind`](Self::bind).
    ///
    /// # Errors
    /// As for [`add_device`](Self::add_device).
    pub fn add_gateway(
        &mut self,
        id: &str,
        keys: &[&str],
        auth_method: AuthMethod,
    ) -> Result<(), RegistryError> {
        let gateway = Gateway {
            auth_method,
            bound: 0,
        };
        self.insert(id, parse_keys(id, keys)?, Some(gateway))
    }

    /// Binds a device to a gateway; does nothing if it is already bound.
    ///
    /// # Errors
    /// An unknown name, a gateway in place of a device or the reverse, or a limit.
    pub fn bind(&mut self, gateway: &str, device: &str) -> Result<(), RegistryError> {
        let bound = self.gateway_mut(gateway)?.bound;
        let entry = self.find_mut(device)?;
        let (gateway, device) = (gateway.to_owned(), device.to_owned());
        if entry.gateway.is_some() {
            return Err(RegistryError::BoundGateway { gateway, device });
        }
        if entry.bound_to.contains(&gateway) {
            return Ok(());
        }
        if bound >= MAX_BOUND {
            return Err(RegistryError::TooManyBound { gateway });
        }
        if entry.bound_to.len() >= MAX_GATEWAYS {
            return Err(RegistryError::TooManyGateways { device });
        }
        entry.bound_to.insert(gateway.clone());
        self.gateway_mut(&gateway)?.bound += 1;
        Ok(())
    }

    /// Unbinds a device; does nothing if it is not bound.
    pub(crate) fn unbind(&mut self, gateway: &str, device: &str) -> Result<(), RegistryError> {
        self.gateway_mut(gateway)?;
        if self.find_mut(device)?.gateway.is_some() {
            let (gateway, device) = (gateway.to_owned(), device.to_owned());
            return Err(RegistryError::BoundGateway { gateway, device });
        }
        if self.find_mut(device)?.bound_to.remove(gateway) {
            self.gateway_mut(gateway)?.bound -= 1;
        }
        Ok(())
    }

    /// Sets whether connections of the device are refused.
    ///
    /// # Errors
    /// An unknown name.
    pub fn set_blocked(&mut self, id: &str, blocked: bool) -> Result<(), RegistryError> {
        self.find_mut(id)?.blocked = blocked;
        Ok(())
    }

    /// Replaces a device's public keys.
    ///
    /// # Errors
    /// An unknown name, too many keys, or one that cannot be used.
    pub fn set_public_keys(&mut self, id: &str, keys: &[&str]) -> Result<(), RegistryError> {
        let keys = parse_keys(id, keys)?;
        self.find_mut(id)?.keys = keys;
        Ok(())
    }

    /// Sets the config that a device or gateway has when the bridge starts, as its version 1 (default empty).
    ///
    /// # Errors
    /// An unknown name, or more than 64 KiB.
    pub fn set_initial_config(
        &mut self,
        id: &str,
        config: impl Into<Bytes>,
    ) -> Result<(), RegistryError> {
        let config = config.into();
        if config.len() > MAX_STATE {
            return Err(RegistryError::ConfigTooLarge {
                device: id.to_owned(),
                length: config.len(),
            });
        }
        self.find_mut(id)?.config = config;
        Ok(())
    }

    /// Sets whether the registry accepts MQTT connections (default true).
    pub fn set_mqtt_enabled(&mut self, enabled: bool) {
        self.mqtt_enabled = enabled;
    }

    /// Sets whether the registry has a topic for telemetry (default true). Without one, telemetry closes the
    /// connection.
    pub fn set_telemetry_topic(&mut self, exists: bool) {
        self.telemetry_topic = exists;
    }

    /// Returns the name of the project, which tokens contain as `aud`.
    #[must_use]
    pub fn project(&self) -> &str {
        &self.project
    }

    /// Returns the MQTT client identifier of a device.
    #[must_use]
    pub fn client_id(&self, device: &str) -> String {
        format!(
            "projects/{}/locations/{}/registries/{}/devices/{device}",
            self.project, self.location, self.registry
        )
    }

    /// Returns the names of all devices, including gateways, in order.
    pub fn devices(&self) -> impl Iterator<Item = &str> {
        self.devices.keys().map(String::as_str)
    }

    /// Returns the record of each device at the start.
    pub(crate) fn records(&self) -> BTreeMap<String, DeviceRecord> {
        let records = self.devices.iter();
        records
            .map(|(id, device)| (id.clone(), DeviceRecord::new(device.config.clone())))
            .collect()
    }

    pub(crate) fn is_mqtt_enabled(&self) -> bool {
        self.mqtt_enabled
    }

    pub(crate) fn has_telemetry_topic(&self) -> bool {
        self.telemetry_topic
    }

    pub(crate) fn find(&self, id: &str) -> Option<&Device> {
        self.devices.get(id)
    }

    fn find_mut(&mut self, id: &str) -> Result<&mut Device, RegistryError> {
        let unknown = || RegistryError::Unknown { id: id.to_owned() };
        self.devices.get_mut(id).ok_or_else(unknown)
    }

    fn gateway_mut(&mut self, id: &str) -> Result<&mut Gateway, RegistryError> {
        let not = || RegistryError::NotGateway { id: id.to_owned() };
        self.find_mut(id)?.gateway.as_mut().ok_or_else(not)
    }

    fn insert(
        &mut self,
        id: &str,
        keys: Vec<PublicKey>,
        gateway: Option<Gateway>,
    ) -> Result<(), RegistryError> {
        check_id("device", id)?;
        if self.devices.contains_key(id) {
            return Err(RegistryError::Duplicate { id: id.to_owned() });
        }
        let device = Device {
            keys,
            gateway,
            ..Device::default()
        };
        self.devices.insert(id.to_owned(), device);
        Ok(())
    }
}

/// Documented: a letter, then letters, digits and `-._+~%`; 3 to 255 characters, not beginning with `goog`.
pub(crate) fn is_id(id: &str) -> bool {
    let bytes = id.as_bytes();
    (3..=255).contains(&bytes.len())
        && bytes.first().is_some_and(u8::is_ascii_alphabetic)
        && bytes
            .iter()
            .all(|byte| byte.is_ascii_alphanumeric() || b"-._+~%".contains(byte))
        && !id.starts_with("goog")
}

fn check_id(what: &'static str, id: &str) -> Result<(), RegistryError> {
    match is_id(id) {
        true => Ok(()),
        false => Err(RegistryError::Id {
            what,
            id: id.to_owned(),
        }),
    }
}

fn parse_keys(device: &str, pems: &[&str]) -> Result<Vec<PublicKey>, RegistryError> {
    check_key_count(device, pems.len())?;
    let keys = pems.iter().enumerate().map(|(index, pem)| {
        PublicKey::from_pem(pem).map_err(|error| RegistryError::Key {
            device: device.to_owned(),
            number: index + 1,
            error,
        })
    });
    keys.collect()
}

fn check_key_count(device: &str, count: usize) -> Result<(), RegistryError> {
    match count <= MAX_KEYS {
        true => Ok(()),
        false => Err(RegistryError::TooManyKeys {
            device: device.to_owned(),
            count,
        }),
    }
}
