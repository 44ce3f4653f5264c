//! Operations on their way to the thread of the store.

use super::Store;
use crate::{
    gateway::Gateway,
    store::{StoreFailure, StoreOp, StoreSeq, StoredRecord},
};

/// Operations that are made durable together. The machine keeps a group below 1 MiB and one message.
pub(crate) struct Group {
    ops: Vec<Op>,
    through: StoreSeq,
}

enum Op {
    Put(Box<StoredRecord>),
    Remove(StoreSeq),
}

impl Group {
    /// Takes the next group from a gateway, if it has one.
    pub(crate) fn take(gateway: &mut Gateway) -> Option<Self> {
        let mut ops = Vec::new();
        loop {
            match gateway.poll_store()? {
                StoreOp::Put { seq, record } => {
                    ops.push(Op::Put(Box::new(StoredRecord::new(seq, record))));
                }
                StoreOp::Remove { seq } => ops.push(Op::Remove(seq)),
                StoreOp::Commit { through } => return Some(Self { ops, through }),
            }
        }
    }

    /// Carries the operations out; returns what is durable then.
    pub(crate) fn commit(self, store: &mut dyn Store) -> Result<StoreSeq, StoreFailure> {
        for op in &self.ops {
            store.apply(match op {
                Op::Put(stored) => StoreOp::Put {
                    seq: stored.seq(),
                    record: stored.record(),
                },
                Op::Remove(seq) => StoreOp::Remove { seq: *seq },
            })?;
        }
        let through = self.through;
        store.apply(StoreOp::Commit { through })?;
        Ok(through)
    }
}
