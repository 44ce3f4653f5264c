//! Checked identifiers. A client id or a topic can be built only from these, so an identifier that
//! the bridge would refuse, or that MQTT cannot address, never reaches the wire.

mod rule;

use core::{borrow::Borrow, error::Error, fmt, str::FromStr};
use std::sync::Arc;

pub use self::rule::{IdKind, IdProblem};

macro_rules! checked_id {
    ($(#[$doc:meta])+ $name:ident, $kind:ident) => {
        $(#[$doc])+
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Arc<str>);

        impl $name {
            /// The identifier as it stands in topics and client ids.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl TryFrom<&str> for $name {
            type Error = IdError;

            fn try_from(value: &str) -> Result<Self, IdError> {
                match IdKind::$kind.check(value) {
                    Ok(()) => Ok(Self(value.into())),
                    Err(problem) => {
                        let value = excerpt(value);
                        Err(IdError { kind: IdKind::$kind, value, problem })
                    }
                }
            }
        }

        impl TryFrom<String> for $name {
            type Error = IdError;

            fn try_from(value: String) -> Result<Self, IdError> {
                Self::try_from(value.as_str())
            }
        }

        impl FromStr for $name {
            type Err = IdError;

            fn from_str(value: &str) -> Result<Self, IdError> {
                Self::try_from(value)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({:?})"), self.as_str())
            }
        }
    };
}

checked_id! {
    /// The cloud project that the registry belongs to; also a token's audience.
    ///
    /// 1 to 255 printable ASCII characters without space, `/`, `+` and `#`: a domain-scoped project
    /// such as `example.com:plant` is one too. Case-sensitive; cheap to clone.
    ///
    /// ```
    /// use iotcore_gateway::ProjectId;
    ///
    /// let project: ProjectId = "example.com:plant".parse()?;
    /// assert_eq!(project.as_str(), "example.com:plant");
    /// assert!(ProjectId::try_from("plant/7").is_err());
    /// # Ok::<(), iotcore_gateway::IdError>(())
    /// ```
    ProjectId, Project
}

checked_id! {
    /// The region of the registry, such as `us-central1`.
    ///
    /// 1 to 255 printable ASCII characters without space, `/`, `+` and `#`. Regions are not
    /// checked against a list: the service may open new ones. Cheap to clone.
    ///
    /// ```
    /// use iotcore_gateway::Location;
    ///
    /// let location: Location = "us-central1".parse()?;
    /// assert_eq!(location.to_string(), "us-central1");
    /// # Ok::<(), iotcore_gateway::IdError>(())
    /// ```
    Location, Location
}

checked_id! {
    /// The registry that holds the gateway and its devices.
    ///
    /// 3 to 255 characters: an ASCII letter, then letters, digits and `-._+~%`; not beginning with
    /// `goog`, which is the service's own rule. Case-sensitive; cheap to clone.
    ///
    /// ```
    /// use iotcore_gateway::{IdProblem, RegistryId};
    ///
    /// let registry: RegistryId = "sensors".parse()?;
    /// let refused = RegistryId::try_from("google").unwrap_err();
    /// assert_eq!(refused.problem(), IdProblem::ReservedPrefix);
    /// # Ok::<(), iotcore_gateway::IdError>(())
    /// ```
    RegistryId, Registry
}

checked_id! {
    /// A device, or a gateway, which is a device too.
    ///
    /// 3 to 255 characters: an ASCII letter, then letters, digits and `-._~%`; not beginning with
    /// `goog`. The service would also register an id with `+`, but MQTT forbids that character in
    /// a topic name and reads it as a wildcard in a filter [MQTT-3.3.2-2, MQTT-4.7.1-1], so no
    /// gateway could speak for such a device: it is refused. Case-sensitive; cheap to clone.
    ///
    /// ```
    /// use iotcore_gateway::{DeviceId, IdProblem};
    ///
    /// let device: DeviceId = "boiler-7".parse()?;
    /// let refused = DeviceId::try_from("boiler+7").unwrap_err();
    /// assert_eq!(refused.problem(), IdProblem::Wildcard { position: 6 });
    /// # Ok::<(), iotcore_gateway::IdError>(())
    /// ```
    DeviceId, Device
}

/// The MQTT client id of a gateway: its whole path in the cloud.
///
/// ```
/// use iotcore_gateway::ClientId;
///
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
/// # Ok::<(), iotcore_gateway::IdError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClientId {
    project: ProjectId,
    location: Location,
    registry: RegistryId,
    gateway: DeviceId,
}

impl ClientId {
    /// The client id of `gateway`, a gateway of `registry`.
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

    /// The project, which a token names as its audience.
    #[must_use]
    pub const fn project(&self) -> &ProjectId {
        &self.project
    }

    /// The region.
    #[must_use]
    pub const fn location(&self) -> &Location {
        &self.location
    }

    /// The registry of the gateway and of all its devices.
    #[must_use]
    pub const fn registry(&self) -> &RegistryId {
        &self.registry
    }

    /// The gateway's own id.
    #[must_use]
    pub const fn gateway(&self) -> &DeviceId {
        &self.gateway
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

/// A refused identifier: the caller gave a value that the service would not register, or that
/// MQTT cannot address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdError {
    kind: IdKind,
    value: String,
    problem: IdProblem,
}

impl IdError {
    /// What the value was to identify.
    #[must_use]
    pub const fn kind(&self) -> IdKind {
        self.kind
    }

    /// The refused value, cut after 64 characters.
    #[must_use]
    pub fn value(&self) -> &str {
        &self.value
    }

    /// What is wrong with it.
    #[must_use]
    pub const fn problem(&self) -> IdProblem {
        self.problem
    }
}

impl fmt::Display for IdError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            kind,
            value,
            problem,
        } = self;
        write!(f, "{kind} {value:?} {problem}; it must be {}", kind.rule())
    }
}

impl Error for IdError {}

/// The start of a refused value, so that an error stays small whatever was given.
pub(crate) fn excerpt(value: &str) -> String {
    const SHOWN: usize = 64;
    match value.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}…", value.split_at(end).0),
        None => value.to_owned(),
    }
}

#[cfg(test)]
mod tests;
