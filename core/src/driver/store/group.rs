//! Operations on their way to the thread of the store.

use bytes::Bytes;

use super::Store;
use crate::{
    command::{Priority, PublicationTopic},
    gateway::Gateway,
    id::DeviceId,
    mqtt::QoS,
    store::{Record, StoreFailure, StoreOp, StoreSeq},
    tag::Tag,
    time::UnixTime,
};
use core::num::NonZeroU64;

/// Operations that are made durable together. The machine keeps a group below 1 MiB and one message.
pub(crate) struct Group {
    ops: Vec<Op>,
    through: StoreSeq,
}

enum Op {
    Put(StoreSeq, Box<Kept>),
    Remove(StoreSeq),
}

/// A record of its own.
struct Kept {
    accepted: NonZeroU64,
    device: DeviceId,
    topic: PublicationTopic,
    qos: QoS,
    payload: Bytes,
    deadline: Option<UnixTime>,
    priority: Priority,
    tag: Option<Tag>,
}

impl Kept {
    fn of(record: Record<'_>) -> Self {
        Self {
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

    fn record(&self) -> Record<'_> {
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
}

impl Group {
    /// Takes the next group from a gateway, if it has one.
    pub(crate) fn take(gateway: &mut Gateway) -> Option<Self> {
        let mut ops = Vec::new();
        loop {
            match gateway.poll_store()? {
                StoreOp::Put { seq, record } => ops.push(Op::Put(seq, Box::new(Kept::of(record)))),
                StoreOp::Remove { seq } => ops.push(Op::Remove(seq)),
                StoreOp::Commit { through } => return Some(Self { ops, through }),
            }
        }
    }

    /// Carries the operations out; returns what is durable then.
    pub(crate) fn commit(self, store: &mut dyn Store) -> Result<StoreSeq, StoreFailure> {
        for op in &self.ops {
            store.apply(match op {
                Op::Put(seq, kept) => StoreOp::Put {
                    seq: *seq,
                    record: kept.record(),
                },
                Op::Remove(seq) => StoreOp::Remove { seq: *seq },
            })?;
        }
        let through = self.through;
        store.apply(StoreOp::Commit { through })?;
        Ok(through)
    }
}
