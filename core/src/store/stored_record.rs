//! A record of its own.

use core::num::NonZeroU64;

use bytes::Bytes;

use super::{
    Record, RecordTooLarge, SegmentNumber, StoreSeq,
    format::{Fields, Kind, RecordHeader, Seal, append_put, read_put},
};
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

    /// Reads what [`Record::to_bytes`] has written, by this version or an earlier one. `None` if it is damaged.
    ///
    /// ```
    /// # use iotcore_gateway::store::{StoreOp, StoredRecord};
    /// # use std::collections::BTreeMap;
    /// fn apply(kept: &mut BTreeMap<u64, Vec<u8>>, op: StoreOp<'_>) -> Result<(), Box<dyn std::error::Error>> {
    ///     match op {
    ///         StoreOp::Put { seq, record } => drop(kept.insert(seq.as_u64(), record.to_bytes(seq)?)),
    ///         StoreOp::Remove { seq } => drop(kept.remove(&seq.as_u64())),
    ///         StoreOp::Commit { .. } => {} // write it to the disk here, and sync
    ///         _ => return Err("an operation of a later version".into()),
    ///     }
    ///     Ok(())
    /// }
    ///
    /// fn restore(kept: &BTreeMap<u64, Vec<u8>>) -> Vec<StoredRecord> {
    ///     let mut found: Vec<_> = kept.values().filter_map(|bytes| StoredRecord::from_bytes(bytes)).collect();
    ///     found.sort_by_key(|stored| stored.record().accepted);
    ///     found
    /// }
    /// ```
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let seal = alone();
        let header = seal.read_header(bytes)?;
        let is_whole = header.kind == Kind::Put && header.len as usize == bytes.len();
        if !is_whole || !seal.is_valid(bytes) {
            return None;
        }
        let fields = read_put(header.flags, bytes)?;
        Self::read(NonZeroU64::new(header.seq)?, &fields, None)
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

impl Record<'_> {
    /// Writes it with its number, for a store of one's own that keeps records as they are.
    /// [`StoredRecord::from_bytes`] reads it, in later versions, too.
    ///
    /// # Errors
    ///
    /// [`RecordTooLarge`]: the payload is larger than any quota allows.
    pub fn to_bytes(&self, seq: StoreSeq) -> Result<Vec<u8>, RecordTooLarge> {
        let mut bytes = Vec::new();
        append_put(&mut bytes, seq.into(), self)?;
        if let Some(header) = RecordHeader::read(&bytes) {
            bytes.truncate(header.len as usize);
            alone().seal(&header, &mut bytes);
        }
        Ok(bytes)
    }
}

/// Returns the seal of a record that is in no segment: no client id is empty.
fn alone() -> Seal {
    Seal::new("", SegmentNumber::from_u64(0))
}
