//! Publications that were accepted and not acknowledged, to keep across a restart and publish again.

use bytes::Bytes;

use crate::{
    command::{DeviceKey, Extras, OpId, Priority, Publication, PublicationTopic},
    id::DeviceId,
    mqtt::QoS,
    tag::Tag,
    time::Duration,
};

/// A publication that was accepted and was not acknowledged. Cheap to clone: the payload is shared.
///
/// It can be published again by this gateway or the next one, once the device is attached there. With the feature
/// `serde` it can be written to a file and read back; a record with an invalid device id or subfolder is refused.
///
/// ```
/// # use std::time::Instant;
/// # use iotcore_gateway::{ClientId, Gateway, Options, Publication};
/// # let id = ClientId::new("p".try_into()?, "us-central1".try_into()?, "reg".try_into()?, "gw-1".try_into()?);
/// # let now = Instant::now();
/// # let mut old = Gateway::new(id.clone(), Options::default(), 1)?;
/// # old.publish(Publication::telemetry(old.own_key(), "21.5"), now)?;
/// let kept: Vec<_> = old.unsent().collect();
///
/// let mut new = Gateway::new(id, Options::default(), 2)?;
/// for unsent in kept {
///     if let Some(device) = new.device_key(&unsent.device) {
///         new.publish(unsent.into_publication(device), now)?;
///     }
/// }
/// assert_eq!(new.unsent().next().expect("kept").payload, "21.5");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Serialize, serde::Deserialize),
    serde(into = "record::Record", try_from = "record::Record")
)]
#[non_exhaustive]
pub struct Unsent {
    /// The operation that accepted it. It means nothing to another gateway.
    pub op: OpId,
    /// The device that it was published for.
    pub device: DeviceId,
    /// The topic.
    pub topic: PublicationTopic,
    /// The quality of service.
    pub qos: QoS,
    /// The payload.
    pub payload: Bytes,
    /// The priority.
    pub priority: Priority,
    /// How much time was left until it would have expired, when it was handed back: counted from the last instant that was
    /// passed to the gateway.
    pub expires_after: Option<Duration>,
    /// The user's own name for it.
    pub tag: Option<Tag>,
    /// Whether it stays in the store: the next gateway with that store sends it by itself, so publish it again only if that
    /// store is given up. Otherwise it is in no store, or was removed, or the store was not there any more when it was last
    /// written (`StoreFailureKind::Unreachable`): if it is back at the next start, that sends it as well.
    pub is_stored: bool,
}

impl Unsent {
    /// Converts it back into a publication, for the device with this key.
    pub fn into_publication(self, device: DeviceKey) -> Publication {
        let extras = self.extras();
        Publication {
            device,
            topic: self.topic,
            qos: self.qos,
            payload: self.payload,
            extras: extras.kept(),
        }
    }

    pub(crate) fn extras(&self) -> Extras {
        Extras {
            priority: self.priority,
            expires_after: self.expires_after,
            tag: self.tag.clone(),
        }
    }
}

#[cfg(feature = "serde")]
mod record {
    use core::num::NonZeroU64;

    use bytes::Bytes;

    use super::Unsent;
    use crate::{
        command::{Priority, PublicationTopic},
        mqtt::QoS,
        time::Duration,
    };

    /// The serialized form of an [`Unsent`].
    #[derive(serde::Serialize, serde::Deserialize)]
    pub(super) struct Record {
        op: NonZeroU64,
        device: String,
        topic: Topic,
        qos: u8,
        payload: Bytes,
        // What earlier versions did not write.
        #[serde(default)]
        is_urgent: bool,
        #[serde(default)]
        expires_after: Option<Duration>,
        #[serde(default)]
        tag: Option<String>,
        #[serde(default)]
        is_stored: bool,
    }

    #[derive(serde::Serialize, serde::Deserialize)]
    #[serde(rename_all = "lowercase")]
    enum Topic {
        Telemetry { subfolder: Option<String> },
        State,
    }

    impl From<Unsent> for Record {
        fn from(unsent: Unsent) -> Self {
            Self {
                op: unsent.op.into(),
                device: unsent.device.to_string(),
                topic: match unsent.topic {
                    PublicationTopic::Telemetry(subfolder) => Topic::Telemetry {
                        subfolder: subfolder.map(|subfolder| subfolder.to_string()),
                    },
                    PublicationTopic::State => Topic::State,
                },
                qos: match unsent.qos {
                    QoS::AtMostOnce => 0,
                    QoS::AtLeastOnce => 1,
                },
                payload: unsent.payload,
                is_urgent: unsent.priority == Priority::Urgent,
                expires_after: unsent.expires_after,
                tag: unsent.tag.map(|tag| tag.to_string()),
                is_stored: unsent.is_stored,
            }
        }
    }

    impl TryFrom<Record> for Unsent {
        type Error = String;

        fn try_from(record: Record) -> Result<Self, String> {
            let subfolder = |subfolder: String| subfolder.parse().map_err(shown);
            let tag = |tag: String| tag.parse().map_err(shown);
            Ok(Self {
                op: record.op.into(),
                device: record.device.parse().map_err(shown)?,
                topic: match record.topic {
                    Topic::Telemetry { subfolder: given } => {
                        PublicationTopic::Telemetry(given.map(subfolder).transpose()?)
                    }
                    Topic::State => PublicationTopic::State,
                },
                qos: match record.qos {
                    0 => QoS::AtMostOnce,
                    1 => QoS::AtLeastOnce,
                    other => return Err(format!("quality of service {other}: it must be 0 or 1")),
                },
                payload: record.payload,
                priority: match record.is_urgent {
                    true => Priority::Urgent,
                    false => Priority::Ordinary,
                },
                expires_after: record.expires_after,
                tag: record.tag.map(tag).transpose()?,
                is_stored: record.is_stored,
            })
        }
    }

    fn shown(error: impl core::error::Error) -> String {
        error.to_string()
    }
}
