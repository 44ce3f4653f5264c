//! Validated identifiers. A client id or a topic can be built only from these, so an identifier that the bridge would
//! refuse, or that MQTT cannot address, is never sent.

pub(crate) mod client_id;
pub(crate) mod device_id;
mod rule;

use core::{borrow::Borrow, error::Error, fmt, str::FromStr};
use std::sync::Arc;

pub use self::rule::{IdKind, IdProblem};
pub(crate) use self::{client_id::ClientId, device_id::DeviceId};

macro_rules! checked_id {
    ($(#[$doc:meta])+ $name:ident, $kind:ident) => {
        $(#[$doc])+
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Arc<str>);

        impl $name {
            /// Returns the identifier as it appears in topics and client ids.
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

pub(crate) use checked_id;

checked_id! {
    /// The cloud project that the registry belongs to; also the audience of a token.
    ///
    /// 1 to 255 printable ASCII characters without space, `/`, `+` and `#`; this includes domain-scoped projects such
    /// as `example.com:plant`. Case-sensitive; cheap to clone.
    ///
    /// ```
    /// # use iotcore_gateway::id::ProjectId;
    /// let project: ProjectId = "example.com:plant".parse()?;
    /// assert_eq!(project.as_str(), "example.com:plant");
    /// assert!(ProjectId::try_from("plant/7").is_err());
    /// # Ok::<(), iotcore_gateway::id::IdError>(())
    /// ```
    ProjectId, Project
}

checked_id! {
    /// The region of the registry, such as `us-central1`.
    ///
    /// 1 to 255 printable ASCII characters without space, `/`, `+` and `#`. Not checked against a list of regions,
    /// because the service may add new ones. Cheap to clone.
    ///
    /// ```
    /// # use iotcore_gateway::id::Location;
    /// let location: Location = "us-central1".parse()?;
    /// assert_eq!(location.to_string(), "us-central1");
    /// # Ok::<(), iotcore_gateway::id::IdError>(())
    /// ```
    Location, Location
}

checked_id! {
    /// The registry that holds the gateway and its devices.
    ///
    /// 3 to 255 characters: an ASCII letter, then letters, digits and `-._+~%`; not beginning with `goog`, which the
    /// service reserves. Case-sensitive; cheap to clone.
    ///
    /// ```
    /// # use iotcore_gateway::id::{IdProblem, RegistryId};
    /// let registry: RegistryId = "sensors".parse()?;
    /// let refused = RegistryId::try_from("google").unwrap_err();
    /// assert_eq!(refused.problem(), IdProblem::ReservedPrefix);
    /// # Ok::<(), iotcore_gateway::id::IdError>(())
    /// ```
    RegistryId, Registry
}

/// Why an identifier is invalid: the service would not register it, or MQTT cannot address it. An error of the caller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdError {
    kind: IdKind,
    value: String,
    problem: IdProblem,
}

impl IdError {
    /// Returns the kind of identifier.
    #[must_use]
    pub const fn kind(&self) -> IdKind {
        self.kind
    }

    /// Returns the invalid value, truncated to 64 characters.
    #[must_use]
    pub fn value(&self) -> &str {
        &self.value
    }

    /// Returns what is wrong with it.
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

/// Truncates an invalid value, so that the size of an error is bounded.
pub(crate) fn excerpt(value: &str) -> String {
    const SHOWN: usize = 64;
    match value.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}…", value.split_at(end).0),
        None => value.to_owned(),
    }
}

/// FNV-1a, 32 bits.
fn fnv1a(bytes: &[u8]) -> u32 {
    bytes.iter().fold(0x811c_9dc5, |hash, byte| {
        (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193)
    })
}

#[cfg(test)]
mod tests;
