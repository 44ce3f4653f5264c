//! What a user asks of the gateway: keys, operation identifiers, publications.

use bytes::Bytes;

use crate::{mqtt::QoS, topic::Subfolder};

/// Addresses one device of a [`Gateway`](crate::Gateway); the gateway itself has one too.
///
/// Given by [`Gateway::attach`](crate::Gateway::attach). It is valid until the device has been detached: a later
/// attach of the same id gives another key, and the old one is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DeviceKey {
    pub(crate) slot: Slot,
    /// Tells the devices of one slot apart, and in all likelihood those of two gateways.
    pub(crate) generation: u32,
}

/// The place of a device in the tables of its gateway: 0 for the gateway itself, at most 1,000 beside it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Slot(pub(crate) u32);

impl Slot {
    pub(crate) fn index(self) -> usize {
        self.0 as usize
    }
}

/// Names one accepted command, for its [`Event::Done`](crate::Event::Done) or
/// [`Event::Failed`](crate::Event::Failed). Counts up from 1 and is never reused by a gateway.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OpId(pub(crate) u64);

impl OpId {
    /// The number itself.
    pub fn as_u64(self) -> u64 {
        self.0
    }
}

impl core::fmt::Display for OpId {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "#{}", self.0)
    }
}

/// Names one config or command that the bridge delivered, for [`Gateway::acknowledge`](crate::Gateway::acknowledge).
/// Never reused by a gateway.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DeliveryId(pub(crate) u64);

impl DeliveryId {
    /// The number itself.
    pub fn as_u64(self) -> u64 {
        self.0
    }
}

/// What a device can subscribe to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Subscription {
    /// `/devices/{id}/config`: the newest configuration, sent once on subscribing and again on each change.
    Config,
    /// `/devices/{id}/commands/#`: commands, which the bridge does not store.
    Commands,
}

impl core::fmt::Display for Subscription {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(match self {
            Self::Config => "config",
            Self::Commands => "commands",
        })
    }
}

/// A message to the cloud on behalf of one device.
///
/// ```
/// # use iotcore_gateway::{ClientId, Gateway, Options, Publication, QoS};
/// # let id = ClientId::new("p".try_into()?, "us-central1".try_into()?, "reg".try_into()?, "gw-1".try_into()?);
/// # let gateway = Gateway::new(id, Options::default(), 1)?;
/// # let sensor = gateway.own_key();
/// let reading = Publication::telemetry(sensor, "21.5")
///     .subfolder("room/1".try_into()?)
///     .qos(QoS::AtMostOnce);
/// let state = Publication::state(sensor, r#"{"valve":"open"}"#);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Publication {
    pub(crate) device: DeviceKey,
    pub(crate) topic: PublicationTopic,
    pub(crate) qos: QoS,
    pub(crate) payload: Bytes,
}

impl Publication {
    /// A telemetry event of `device`, at QoS 1. At most 262,144 bytes (256 KiB); may be empty.
    pub fn telemetry(device: DeviceKey, payload: impl Into<Bytes>) -> Self {
        Self {
            device,
            topic: PublicationTopic::Telemetry(None),
            qos: QoS::AtLeastOnce,
            payload: payload.into(),
        }
    }

    /// The state of `device`, at QoS 1. At most 65,536 bytes (64 KiB); the newest one wins, and the bridge takes one a
    /// second a device.
    pub fn state(device: DeviceKey, payload: impl Into<Bytes>) -> Self {
        Self {
            device,
            topic: PublicationTopic::State,
            qos: QoS::AtLeastOnce,
            payload: payload.into(),
        }
    }

    /// Publishes a telemetry event under `/devices/{id}/events/{subfolder}`. A state has no subfolder: there it changes
    /// nothing.
    #[must_use]
    pub fn subfolder(mut self, subfolder: Subfolder) -> Self {
        if let PublicationTopic::Telemetry(slot) = &mut self.topic {
            *slot = Some(subfolder);
        }
        self
    }

    /// Publishes at this quality of service. At QoS 0 the message is done once it was handed to the transport.
    #[must_use]
    pub fn qos(mut self, qos: QoS) -> Self {
        self.qos = qos;
        self
    }

    /// Whom it speaks for.
    pub fn device(&self) -> DeviceKey {
        self.device
    }

    /// Whether it is a telemetry event or a state.
    pub fn topic(&self) -> &PublicationTopic {
        &self.topic
    }

    /// What it says.
    pub fn payload(&self) -> &Bytes {
        &self.payload
    }

    /// The quality of service it asks for.
    pub fn quality(&self) -> QoS {
        self.qos
    }
}

/// Which of a device's topics a [`Publication`] goes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PublicationTopic {
    /// `/devices/{id}/events` or `/devices/{id}/events/{subfolder}`.
    Telemetry(Option<Subfolder>),
    /// `/devices/{id}/state`.
    State,
}
