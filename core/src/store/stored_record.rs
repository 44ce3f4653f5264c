//! A record of its own.

use core::num::NonZeroU64;

use bytes::Bytes;

use super::{Record, StoreSeq, format::Fields};
use crate::{
    command::{Priority, PublicationTopic},
    id::DeviceId,
    mqtt::QoS,
    tag::Tag,
    time::UnixTime,
    topic::Subfolder,
};

/// A [`Record`] that owns what it consists of, with its number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredRecord {
    seq: StoreSeq,
    accepted: NonZeroU64,
    device: DeviceId,
    topic: PublicationTopic,
    qos: QoS,
    payload: Bytes,
    deadline: Option<UnixTime>,
    priority: Priority,
    tag: Option<Tag>,
}

impl StoredRecord {
    /// Copies a record.
    #[must_use]
    pub fn new(seq: StoreSeq, record: Record<'_>) -> Self {
        Self {
            seq,
            accepted: record.accepted,
            device: record.device.clone(),
            topic: record.topic.clone(),
            qos: record.qos,
            payload: Bytes::copy_from_slice(record.payload),
            deadline: record.deadline,
            priority: record.priority,
            tag: record.tag.cloned(),
        }
    }

    /// Copies a record out of its bytes. `last` is one whose device is likely to be the same. `None` if a text is illegal.
    pub(crate) fn read(
        seq: NonZeroU64,
        fields: &Fields<'_>,
        last: Option<&DeviceId>,
    ) -> Option<Self> {
        let text = |bytes| core::str::from_utf8(bytes).ok();
        let device = match last.filter(|last| last.as_str().as_bytes() == fields.device) {
            Some(last) => last.clone(),
            None => text(fields.device)?.try_into().ok()?,
        };
        let subfolder = match fields.subfolder {
            None => None,
            Some(subfolder) => Some(Subfolder::try_from(text(subfolder)?).ok()?),
        };
        let topic = match fields.is_state {
            true if subfolder.is_some() => return None,
            true => PublicationTopic::State,
            false => PublicationTopic::Telemetry(subfolder),
        };
        let tag = match fields.tag {
            None => None,
            Some(tag) => Some(Tag::try_from(text(tag)?).ok()?),
        };
        Some(Self {
            seq: seq.into(),
            accepted: fields.accepted,
            device,
            topic,
            qos: fields.qos,
            payload: Bytes::copy_from_slice(fields.payload),
            deadline: fields.deadline,
            priority: fields.priority,
            tag,
        })
    }

    /// Returns its number.
    #[must_use]
    pub const fn seq(&self) -> StoreSeq {
        self.seq
    }

    /// Returns the publication.
    #[must_use]
    pub fn record(&self) -> Record<'_> {
        Record {
            accepted: self.accepted,
            device: &self.device,
            topic: &self.topic,
            qos: self.qos,
            payload: &self.payload,
            deadline: self.deadline,
            priority: self.priority,
            tag: self.tag.as_ref(),
        }
    }

    pub(crate) const fn device(&self) -> &DeviceId {
        &self.device
    }
}
