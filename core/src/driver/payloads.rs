//! What a device sends, and how it is attached.

use bytes::Bytes;

use crate::{id::DeviceId, mqtt::QoS, token::Token, topic::Subfolder};

/// A telemetry event, at QoS 1 unless asked otherwise. Strings and bytes become one by themselves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Telemetry {
    pub(crate) payload: Bytes,
    pub(crate) subfolder: Option<Subfolder>,
    pub(crate) qos: QoS,
}

impl Telemetry {
    /// At most 262,144 bytes (256 KiB); may be empty.
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

    /// Publishes it at this quality of service. At QoS 0 its delivery ends once it was handed to the transport.
    #[must_use]
    pub fn qos(mut self, qos: QoS) -> Self {
        self.qos = qos;
        self
    }
}

/// The state that a device reports, at QoS 1 unless asked otherwise. Strings and bytes become one by themselves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReportedState {
    pub(crate) payload: Bytes,
    pub(crate) qos: QoS,
}

impl ReportedState {
    /// At most 65,536 bytes (64 KiB).
    pub fn new(payload: impl Into<Bytes>) -> Self {
        Self {
            payload: payload.into(),
            qos: QoS::AtLeastOnce,
        }
    }

    /// Publishes it at this quality of service.
    #[must_use]
    pub fn qos(mut self, qos: QoS) -> Self {
        self.qos = qos;
        self
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

/// How a device is attached. A [`DeviceId`] becomes one by itself: with a token of the token source if it has one, and
/// with subscriptions to its configs and commands at QoS 1.
#[derive(Clone, Debug)]
pub struct Attach {
    pub(crate) device: DeviceId,
    pub(crate) token: Option<Token>,
    pub(crate) config: Option<QoS>,
    pub(crate) commands: Option<QoS>,
}

impl Attach {
    /// The device, with the defaults above.
    pub fn new(device: DeviceId) -> Self {
        Self {
            device,
            token: None,
            config: Some(QoS::AtLeastOnce),
            commands: Some(QoS::AtLeastOnce),
        }
    }

    /// Attaches it with this token, and does not ask the token source.
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
