//! What users hand in: telemetry, reported state, and how to attach a device.

use bytes::Bytes;

use crate::{
    command::{DeviceKey, Publication, PublicationTopic},
    id::DeviceId,
    mqtt::QoS,
    token::Token,
    topic::Subfolder,
    unsent::Unsent,
};

/// A telemetry event, at QoS 1 by default. Strings and bytes convert into it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Telemetry {
    payload: Bytes,
    subfolder: Option<Subfolder>,
    qos: QoS,
}

impl Telemetry {
    /// Creates an event of at most 262,144 bytes (256 KiB), which may be empty.
    pub fn new(payload: impl Into<Bytes>) -> Self {
        Self {
            payload: payload.into(),
            subfolder: None,
            qos: QoS::AtLeastOnce,
        }
    }

    /// Publishes it under `/devices/{id}/events/{subfolder}`.
    #[must_use]
    pub fn subfolder(mut self, subfolder: Subfolder) -> Self {
        self.subfolder = Some(subfolder);
        self
    }

    /// Sets its quality of service. At QoS 0 its delivery completes once it is handed to the transport.
    #[must_use]
    pub fn qos(mut self, qos: QoS) -> Self {
        self.qos = qos;
        self
    }

    pub(crate) fn into_publication(self, device: DeviceKey) -> Publication {
        let publication = Publication::telemetry(device, self.payload).qos(self.qos);
        match self.subfolder {
            Some(subfolder) => publication.subfolder(subfolder),
            None => publication,
        }
    }
}

/// The state that a device reports, at QoS 1 by default. Strings and bytes convert into it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReportedState {
    payload: Bytes,
    qos: QoS,
}

impl ReportedState {
    /// Creates a report of at most 65,536 bytes (64 KiB).
    pub fn new(payload: impl Into<Bytes>) -> Self {
        Self {
            payload: payload.into(),
            qos: QoS::AtLeastOnce,
        }
    }

    /// Sets its quality of service.
    #[must_use]
    pub fn qos(mut self, qos: QoS) -> Self {
        self.qos = qos;
        self
    }

    pub(crate) fn into_publication(self, device: DeviceKey) -> Publication {
        Publication::state(device, self.payload).qos(self.qos)
    }
}

/// Refuses a state, and returns it.
impl TryFrom<Unsent> for Telemetry {
    type Error = Unsent;

    fn try_from(unsent: Unsent) -> Result<Self, Unsent> {
        match unsent.topic {
            PublicationTopic::Telemetry(subfolder) => Ok(Self {
                payload: unsent.payload,
                subfolder,
                qos: unsent.qos,
            }),
            PublicationTopic::State => Err(unsent),
        }
    }
}

/// Refuses a telemetry event, and returns it.
impl TryFrom<Unsent> for ReportedState {
    type Error = Unsent;

    fn try_from(unsent: Unsent) -> Result<Self, Unsent> {
        match unsent.topic {
            PublicationTopic::State => Ok(Self {
                payload: unsent.payload,
                qos: unsent.qos,
            }),
            PublicationTopic::Telemetry(_) => Err(unsent),
        }
    }
}

macro_rules! from_bytes {
    ($($bytes:ty),*) => {$(
        impl From<$bytes> for Telemetry {
            fn from(payload: $bytes) -> Self {
                Self::new(payload)
            }
        }

        impl From<$bytes> for ReportedState {
            fn from(payload: $bytes) -> Self {
                Self::new(payload)
            }
        }
    )*};
}

from_bytes!(Bytes, Vec<u8>, String, &'static str, &'static [u8]);

/// How to attach a device. A [`DeviceId`] converts into it, with the defaults: the token source is asked for a token,
/// and the device is subscribed to its configs and commands at QoS 1. A device that only sends needs neither:
/// `Attach::new(id).config(None).commands(None)`.
#[derive(Clone, Debug)]
pub struct Attach {
    pub(crate) device: DeviceId,
    pub(crate) token: Option<Token>,
    pub(crate) config: Option<QoS>,
    pub(crate) commands: Option<QoS>,
}

impl Attach {
    /// Attaches the device with the defaults above.
    pub fn new(device: DeviceId) -> Self {
        Self {
            device,
            token: None,
            config: Some(QoS::AtLeastOnce),
            commands: Some(QoS::AtLeastOnce),
        }
    }

    /// Attaches it with this token instead of asking the token source: a refusal by the bridge is final. The source is asked
    /// once the token has expired.
    #[must_use]
    pub fn token(mut self, token: Token) -> Self {
        self.token = Some(token);
        self
    }

    /// Subscribes to its configs at this quality of service, or not at all.
    #[must_use]
    pub fn config(mut self, qos: impl Into<Option<QoS>>) -> Self {
        self.config = qos.into();
        self
    }

    /// Subscribes to its commands at this quality of service, or not at all.
    #[must_use]
    pub fn commands(mut self, qos: impl Into<Option<QoS>>) -> Self {
        self.commands = qos.into();
        self
    }
}

impl From<DeviceId> for Attach {
    fn from(device: DeviceId) -> Self {
        Self::new(device)
    }
}

impl From<&DeviceId> for Attach {
    fn from(device: &DeviceId) -> Self {
        Self::new(device.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::{OpId, Priority};

    #[test]
    fn what_is_unsent_becomes_what_it_was_and_nothing_else() {
        let unsent = |topic| Unsent {
            op: OpId::after(0),
            device: "sensor-1".try_into().unwrap(),
            topic,
            qos: QoS::AtMostOnce,
            payload: Bytes::from_static(b"1"),
            priority: Priority::Ordinary,
            expires_after: None,
            tag: None,
        };
        let subfolder: Subfolder = "alerts".try_into().unwrap();
        let telemetry = unsent(PublicationTopic::Telemetry(Some(subfolder.clone())));
        let state = unsent(PublicationTopic::State);
        let expected = Telemetry::new("1")
            .subfolder(subfolder)
            .qos(QoS::AtMostOnce);
        assert_eq!(Telemetry::try_from(telemetry.clone()), Ok(expected));
        assert_eq!(Telemetry::try_from(state.clone()), Err(state.clone()));
        let expected = ReportedState::new("1").qos(QoS::AtMostOnce);
        assert_eq!(ReportedState::try_from(state), Ok(expected));
        assert_eq!(ReportedState::try_from(telemetry.clone()), Err(telemetry));
    }
}
