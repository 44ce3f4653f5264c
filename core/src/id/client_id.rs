//! The path of a gateway in the cloud.

use core::fmt;

use crate::id::{DeviceId, Location, ProjectId, RegistryId, fnv1a};

/// The MQTT client id of a gateway: its full path in the cloud.
///
/// ```
/// # use iotcore_gateway::ClientId;
/// let id = ClientId::new(
///     "plant".parse()?,
///     "us-central1".parse()?,
///     "sensors".parse()?,
///     "gateway-1".parse()?,
/// );
/// assert_eq!(
///     id.to_string(),
///     "projects/plant/locations/us-central1/registries/sensors/devices/gateway-1",
/// );
/// # Ok::<(), iotcore_gateway::id::IdError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClientId {
    project: ProjectId,
    location: Location,
    registry: RegistryId,
    gateway: DeviceId,
}

impl ClientId {
    /// Creates the client id of `gateway`, a gateway of `registry`.
    #[must_use]
    pub const fn new(
        project: ProjectId,
        location: Location,
        registry: RegistryId,
        gateway: DeviceId,
    ) -> Self {
        Self {
            project,
            location,
            registry,
            gateway,
        }
    }

    /// Returns the project, which is also the audience of a token.
    #[must_use]
    pub const fn project(&self) -> &ProjectId {
        &self.project
    }

    /// Returns the region.
    #[must_use]
    pub const fn location(&self) -> &Location {
        &self.location
    }

    /// Returns the registry of the gateway and of all its devices.
    #[must_use]
    pub const fn registry(&self) -> &RegistryId {
        &self.registry
    }

    /// Returns the gateway's own id.
    #[must_use]
    pub const fn gateway(&self) -> &DeviceId {
        &self.gateway
    }

    /// Returns the client id that is displayed as this path; `None` if no client id is.
    #[cfg(feature = "store")]
    pub(crate) fn from_path(path: &str) -> Option<Self> {
        let mut parts = path.split('/');
        let mut after = |name: &str| parts.next().filter(|part| *part == name).and(parts.next());
        let id = Self {
            project: after("projects")?.parse().ok()?,
            location: after("locations")?.parse().ok()?,
            registry: after("registries")?.parse().ok()?,
            gateway: after("devices")?.parse().ok()?,
        };
        parts.next().is_none().then_some(id)
    }

    /// Returns a hash of the whole path, for what must differ between gateways and be the same on every machine.
    pub(crate) fn fingerprint(&self) -> u32 {
        fnv1a(self.to_string().as_bytes())
    }
}

impl fmt::Display for ClientId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            project,
            location,
            registry,
            gateway,
        } = self;
        write!(
            f,
            "projects/{project}/locations/{location}/registries/{registry}/devices/{gateway}"
        )
    }
}

#[cfg(all(test, feature = "store"))]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_read_back_and_no_other_text_is_one() {
        let path = "projects/plant/locations/us-central1/registries/sensors/devices/gateway-1";
        assert_eq!(ClientId::from_path(path).unwrap().to_string(), path);
        for other in [
            "",
            "plant",
            "projects/plant/locations/us-central1/registries/sensors/devices",
            "projects/plant/locations/us-central1/registries/sensors/devices/7",
            "projects/plant/locations/us-central1/registries/sensors/devices/gateway-1/",
            "/projects/plant/locations/us-central1/registries/sensors/devices/gateway-1",
        ] {
            assert_eq!(ClientId::from_path(other), None, "{other}");
        }
    }
}
