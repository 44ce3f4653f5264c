//! The data of commands: keys, operation identifiers, publications.

use core::num::NonZeroU64;

use bytes::Bytes;

use crate::{mqtt::QoS, tag::Tag, time::Duration, token::Token, topic::Subfolder};

/// Identifies one device of a [`Gateway`](crate::Gateway); the gateway itself has a key too.
///
/// Returned by [`Gateway::attach`](crate::Gateway::attach). Valid until the device has been detached: a later attach of
/// the same id returns a different key, and the old one is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DeviceKey {
    pub(crate) slot: Slot,
    /// Distinguishes the successive devices of one slot, and most likely those of two gateways.
    pub(crate) generation: u32,
}

/// The index of a device in the tables of its gateway: 0 for the gateway itself, at most 1,000 for the devices.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Slot(pub(crate) u32);

impl Slot {
    pub(crate) fn index(self) -> usize {
        self.0 as usize
    }
}

/// Identifies one accepted command, for its [`Event::Done`](crate::Event::Done) or
/// [`Event::Failed`](crate::Event::Failed). Counts up from 1 and is never reused by a gateway.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OpId(NonZeroU64);

impl OpId {
    /// Returns the operation that follows so many others.
    pub(crate) fn after(others: u64) -> Self {
        Self(NonZeroU64::MIN.saturating_add(others))
    }

    /// Returns the number.
    pub fn as_u64(self) -> u64 {
        self.0.get()
    }
}

impl From<OpId> for NonZeroU64 {
    fn from(op: OpId) -> Self {
        op.0
    }
}

impl From<NonZeroU64> for OpId {
    fn from(number: NonZeroU64) -> Self {
        Self(number)
    }
}

impl core::fmt::Display for OpId {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "#{}", self.0)
    }
}

/// Identifies one config or command that the bridge delivered, for
/// [`Gateway::acknowledge`](crate::Gateway::acknowledge). Never reused by a gateway.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DeliveryId {
    pub(crate) number: u64,
    /// The device that it is for.
    pub(crate) device: DeviceKey,
}

impl DeliveryId {
    /// Returns the number.
    pub fn as_u64(self) -> u64 {
        self.number
    }
}

impl core::fmt::Debug for DeliveryId {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_tuple("DeliveryId").field(&self.number).finish()
    }
}

/// What a device can subscribe to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Subscription {
    /// `/devices/{id}/config`: the newest configuration, sent once after subscribing and again on each change.
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

/// How a device proves to the bridge who it is; see [`Gateway::attach`](crate::Gateway::attach).
#[derive(Clone, Debug)]
pub enum DeviceAuth {
    /// By its association with the gateway: its attach carries no token.
    ByAssociation,
    /// By this token. Once it has expired, another is asked for with
    /// [`Event::TokenNeeded`](crate::Event::TokenNeeded); a refusal by the bridge is final.
    Token(Token),
    /// By tokens that can be fetched: by this one, or with `None` by the one that the device has, while it is surely good: it
    /// has expired neither by the monotonic clock nor, if its `exp` is known, by the date, and the date has not been set to
    /// more than 10 min before its `iat` since it came. Without such a token, one is asked for with
    /// [`Event::TokenNeeded`](crate::Event::TokenNeeded) before the attach, and once more if the bridge refuses it.
    Renewable(Option<Token>),
}

/// A message to the cloud on behalf of one device.
///
/// ```
/// # use std::time::Duration;
/// # use iotcore_gateway::{ClientId, Gateway, Options, Publication, message::{Priority, QoS}};
/// # let id = ClientId::new("p".try_into()?, "us-central1".try_into()?, "reg".try_into()?, "gw-1".try_into()?);
/// # let gateway = Gateway::new(id, Options::default(), 1)?;
/// # let sensor = gateway.own_key();
/// let reading = Publication::telemetry(sensor, "21.5")
///     .subfolder("room/1".try_into()?)
///     .qos(QoS::AtMostOnce);
/// let state = Publication::state(sensor, r#"{"valve":"open"}"#);
/// let alarm = Publication::telemetry(sensor, "fire")
///     .priority(Priority::Urgent)
///     .expires_after(Duration::from_secs(600))
///     .tag("alarm 7".try_into()?);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Publication {
    pub(crate) device: DeviceKey,
    pub(crate) topic: PublicationTopic,
    pub(crate) qos: QoS,
    pub(crate) payload: Bytes,
    pub(crate) extras: Option<Box<Extras>>,
}

/// Priority, deadline and tag, stored apart so that publications without them stay small.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Extras {
    pub(crate) priority: Priority,
    pub(crate) expires_after: Option<Duration>,
    pub(crate) tag: Option<Tag>,
}

impl Extras {
    /// Returns what a publication keeps of it.
    pub(crate) fn kept(self) -> Option<Box<Self>> {
        (self != Self::default()).then(|| Box::new(self))
    }

    /// Returns whether it has anything but a priority.
    pub(crate) fn has_more(&self) -> bool {
        self.expires_after.is_some() || self.tag.is_some()
    }
}

impl Publication {
    /// Creates a telemetry event of `device`, at QoS 1. At most 262,144 bytes (256 KiB); may be empty.
    pub fn telemetry(device: DeviceKey, payload: impl Into<Bytes>) -> Self {
        Self::new(device, PublicationTopic::Telemetry(None), payload.into())
    }

    /// Creates a state of `device`, at QoS 1. At most 65,536 bytes (64 KiB). A newer state replaces an older one; the
    /// bridge accepts one per second and device.
    pub fn state(device: DeviceKey, payload: impl Into<Bytes>) -> Self {
        Self::new(device, PublicationTopic::State, payload.into())
    }

    fn new(device: DeviceKey, topic: PublicationTopic, payload: Bytes) -> Self {
        Self {
            device,
            topic,
            qos: QoS::AtLeastOnce,
            payload,
            extras: None,
        }
    }

    /// Publishes a telemetry event under `/devices/{id}/events/{subfolder}`. Does nothing for a state, which has no
    /// subfolder.
    #[must_use]
    pub fn subfolder(mut self, subfolder: Subfolder) -> Self {
        if let PublicationTopic::Telemetry(slot) = &mut self.topic {
            *slot = Some(subfolder);
        }
        self
    }

    /// Publishes at this quality of service. At QoS 0 the operation is done once the message was handed over to the
    /// transport.
    #[must_use]
    pub fn qos(mut self, qos: QoS) -> Self {
        self.qos = qos;
        self
    }

    /// Publishes with this priority.
    #[must_use]
    pub fn priority(mut self, priority: Priority) -> Self {
        let mut extras = self
            .extras
            .take()
            .map_or_else(Extras::default, |extras| *extras);
        extras.priority = priority;
        self.extras = extras.kept();
        self
    }

    /// Sets the time after which it is not sent any more, counted from its acceptance by the machine's monotonic clock. If
    /// it is not in flight when the time has passed, it ends with [`Failure::Expired`](crate::Failure::Expired). If it is,
    /// its acknowledgement may still come, but it is not sent again. Time during which the machine sleeps counts if its
    /// clock goes on meanwhile; on most systems it does not. After a restart with a store the date counts, unless it was not
    /// known when it was stored: see `Durability`.
    #[must_use]
    pub fn expires_after(mut self, time: Duration) -> Self {
        self.extras.get_or_insert_default().expires_after = Some(time);
        self
    }

    /// Sets the user's own name for it, which is returned if it fails or is left unsent.
    #[must_use]
    pub fn tag(mut self, tag: Tag) -> Self {
        self.extras.get_or_insert_default().tag = Some(tag);
        self
    }

    pub(crate) fn is_urgent(&self) -> bool {
        let extras = self.extras.as_ref();
        extras.is_some_and(|extras| extras.priority == Priority::Urgent)
    }

    /// Returns the device that it is published for.
    pub fn device(&self) -> DeviceKey {
        self.device
    }

    /// Returns whether it is a telemetry event or a state.
    pub fn topic(&self) -> &PublicationTopic {
        &self.topic
    }

    /// Returns the payload.
    pub fn payload(&self) -> &Bytes {
        &self.payload
    }

    /// Returns the quality of service.
    pub fn quality(&self) -> QoS {
        self.qos
    }
}

/// How soon a [`Publication`] is sent beside others that wait.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Priority {
    /// In its device's order, in turn with other devices.
    #[default]
    Ordinary,
    /// Before the ordinary ones of its device and of all others, and before attaches, subscriptions and what is sent again;
    /// devices with urgent ones take turns. It does not overtake what was queued for transmission already, and waits for the
    /// attach of its device, and for the trial of a suspect. Its device may have a tenth of the window more in flight for
    /// urgent ones, up to `device_window`. It needs room in the queues like any other.
    Urgent,
}

/// The topic of a [`Publication`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PublicationTopic {
    /// `/devices/{id}/events` or `/devices/{id}/events/{subfolder}`.
    Telemetry(Option<Subfolder>),
    /// `/devices/{id}/state`.
    State,
}
