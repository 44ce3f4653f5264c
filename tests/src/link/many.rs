//! A gateway with many devices.

use iotcore_gateway::Options;

use super::{GATEWAY, Link, PUBLIC_KEYS};
use crate::{AuthMethod, Registry, RegistryError, Settings};

impl Link {
    /// Creates a gateway that has not been opened, and a bridge with the registry of [`registry_of`].
    pub fn with_devices(options: Options, count: usize) -> Self {
        Self::with_registry(options, registry_of(count), Settings::default())
    }
}

/// Returns the name of a device of [`registry_of`], by its number from 1: `device-0001` and so on.
#[must_use]
pub fn device_id(number: usize) -> String {
    format!("device-{number:04}")
}

/// Returns a registry with [`GATEWAY`] and this many devices, which have no keys and are bound to it; it authenticates
/// them by their association. Their names are those of [`device_id`].
#[must_use]
pub fn registry_of(count: usize) -> Registry {
    let build = || {
        let mut registry = Registry::new("my-project", "us-central1", "my-registry")?;
        registry.add_gateway(GATEWAY, &PUBLIC_KEYS, AuthMethod::AssociationOnly)?;
        for device in (1..=count).map(device_id) {
            registry.add_device(&device, &[])?;
            registry.bind(GATEWAY, &device)?;
        }
        Ok::<_, RegistryError>(registry)
    };
    build().expect("legal ids and a key for ES256")
}
