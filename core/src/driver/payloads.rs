//! What users hand in: telemetry, reported state, and how to attach a device.

use bytes::Bytes;

use crate::{
    command::{DeviceKey, Extras, Priority, Publication, PublicationTopic},
    id::DeviceId,
    mqtt::QoS,
    tag::Tag,
    time::Duration,
    token::Token,
    topic::Subfolder,
    unsent::Unsent,
};

/// A telemetry event, at QoS 1 by default. Strings and bytes convert into it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Telemetry {
    subfolder: Option<Subfolder>,
    sending: Sending,
}

impl Telemetry {
    /// Creates an event of at most 262,144 bytes (256 KiB), which may be empty.
    pub fn new(payload: impl Into<Bytes>) -> Self {
        Self {
            subfolder: None,
            sending: Sending::new(payload.into()),
        }
    }

    /// Publishes it under `/devices/{id}/events/{subfolder}`.
    #[must_use]
    pub fn subfolder(mut self, subfolder: Subfolder) -> Self {
        self.subfolder = Some(subfolder);
        self
    }

    pub(crate) fn into_publication(self, device: DeviceKey) -> Publication {
        let topic = PublicationTopic::Telemetry(self.subfolder);
        self.sending.into_publication(device, topic)
    }
}

/// The state that a device reports, at QoS 1 by default. Strings and bytes convert into it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReportedState {
    sending: Sending,
}

impl ReportedState {
    /// Creates a report of at most 65,536 bytes (64 KiB).
    pub fn new(payload: impl Into<Bytes>) -> Self {
        Self {
            sending: Sending::new(payload.into()),
        }
    }

    pub(crate) fn into_publication(self, device: DeviceKey) -> Publication {
        self.sending
            .into_publication(device, PublicationTopic::State)
    }
}

/// What a telemetry event and a state have in common.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Sending {
    payload: Bytes,
    qos: QoS,
    extras: Extras,
}

impl Sending {
    fn new(payload: Bytes) -> Self {
        Self {
            payload,
            qos: QoS::AtLeastOnce,
            extras: Extras::default(),
        }
    }

    fn into_publication(self, device: DeviceKey, topic: PublicationTopic) -> Publication {
        Publication {
            device,
            topic,
            qos: self.qos,
            payload: self.payload,
            extras: self.extras.kept(),
        }
    }
}

impl From<Unsent> for Sending {
    fn from(unsent: Unsent) -> Self {
        Self {
            extras: unsent.extras(),
            payload: unsent.payload,
            qos: unsent.qos,
        }
    }
}

macro_rules! sent {
    ($($message:ty),*) => {$(
        impl $message {
            /// Sets its quality of service. At QoS 0 its delivery completes once it is handed to the transport.
            #[must_use]
            pub fn qos(mut self, qos: QoS) -> Self {
                self.sending.qos = qos;
                self
            }

            /// Sets its priority.
            #[must_use]
            pub fn priority(mut self, priority: Priority) -> Self {
                self.sending.extras.priority = priority;
                self
            }

            /// Sets the time after which it is not sent any more, counted from its acceptance by the gateway: the time that
            /// [`Accepting`](crate::driver::pending::Accepting) waits for room before that does not count. If it is not
            /// in flight when the time has passed, its delivery ends with
            /// [`Failure::Expired`](crate::Failure::Expired). See
            /// [`Publication::expires_after`](crate::Publication::expires_after).
            #[must_use]
            pub fn expires_after(mut self, time: Duration) -> Self {
                self.sending.extras.expires_after = Some(time);
                self
            }

            /// Sets the user's own name for it, which is returned if it fails or is left unsent.
            #[must_use]
            pub fn tag(mut self, tag: Tag) -> Self {
                self.sending.extras.tag = Some(tag);
                self
            }
        }
    )*};
}

sent!(Telemetry, ReportedState);

/// Keeps all of it, also the time that was left until it would have expired. Refuses a state, and returns it.
impl TryFrom<Unsent> for Telemetry {
    type Error = Unsent;

    fn try_from(mut unsent: Unsent) -> Result<Self, Unsent> {
        match &mut unsent.topic {
            PublicationTopic::Telemetry(subfolder) => Ok(Self {
                subfolder: subfolder.take(),
                sending: unsent.into(),
            }),
            PublicationTopic::State => Err(unsent),
        }
    }
}

/// Keeps all of it, also the time that was left until it would have expired. Refuses a telemetry event, and returns it.
impl TryFrom<Unsent> for ReportedState {
    type Error = Unsent;

    fn try_from(unsent: Unsent) -> Result<Self, Unsent> {
        match unsent.topic {
            PublicationTopic::State => Ok(Self {
                sending: unsent.into(),
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
    pub(crate) keeps_waiting: bool,
}

impl Attach {
    /// Attaches the device with the defaults above.
    pub fn new(device: DeviceId) -> Self {
        Self {
            device,
            token: None,
            config: Some(QoS::AtLeastOnce),
            commands: Some(QoS::AtLeastOnce),
            keeps_waiting: false,
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

    /// Waits through failed attempts, also before the first connection, instead of ending with
    /// [`AttachError::NotConnected`](crate::driver::error::AttachError::NotConnected) after one. For a box that may start without a
    /// network; [`Client::status`](crate::driver::Client::status) reports the attempts.
    #[must_use]
    pub fn keep_waiting(mut self) -> Self {
        self.keeps_waiting = true;
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
    use crate::command::OpId;

    #[test]
    fn what_is_unsent_becomes_what_it_was_and_nothing_else() {
        let unsent = |topic| Unsent {
            op: OpId::after(0),
            device: "sensor-1".try_into().unwrap(),
            topic,
            qos: QoS::AtMostOnce,
            payload: Bytes::from_static(b"1"),
            priority: Priority::Urgent,
            expires_after: Some(Duration::from_millis(1_500)),
            tag: Some("reading 17".parse().unwrap()),
            is_stored: true,
        };
        let subfolder: Subfolder = "alerts".try_into().unwrap();
        let telemetry = unsent(PublicationTopic::Telemetry(Some(subfolder.clone())));
        let state = unsent(PublicationTopic::State);
        let expected = Telemetry::new("1")
            .subfolder(subfolder)
            .qos(QoS::AtMostOnce)
            .priority(Priority::Urgent)
            .expires_after(Duration::from_millis(1_500))
            .tag("reading 17".parse().unwrap());
        assert_eq!(Telemetry::try_from(telemetry.clone()), Ok(expected));
        assert_eq!(Telemetry::try_from(state.clone()), Err(state.clone()));
        let expected = ReportedState::new("1")
            .qos(QoS::AtMostOnce)
            .priority(Priority::Urgent)
            .expires_after(Duration::from_millis(1_500))
            .tag("reading 17".parse().unwrap());
        assert_eq!(ReportedState::try_from(state), Ok(expected));
        assert_eq!(ReportedState::try_from(telemetry.clone()), Err(telemetry));
    }
}
