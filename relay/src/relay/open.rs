//! Requested operations that have not ended.

use std::collections::BTreeMap;

use iotcore_gateway_tokio::OpId;

use crate::operation::{Action, Id, Request};

/// Operations that have not ended.
#[derive(Default)]
pub(super) struct Open {
    all: BTreeMap<Id, OpenOperation>,
    messages: usize,
    bytes: usize,
}

/// One open operation.
struct OpenOperation {
    kind: Kind,
    /// The gateway's id of the operation, once accepted.
    op: Option<OpId>,
}

#[derive(Clone, Copy, PartialEq)]
enum Kind {
    /// A message, with the size of its payload in bytes.
    Message(usize),
    Attach,
    Other,
}

impl Open {
    pub(super) fn add(&mut self, request: &Request) {
        let kind = match &request.action {
            Action::Attach { .. } => Kind::Attach,
            Action::Telemetry { payload, .. } | Action::State { payload, .. } => {
                self.messages += 1;
                self.bytes += payload.len();
                Kind::Message(payload.len())
            }
            Action::Detach | Action::Authorize { .. } => Kind::Other,
        };
        self.all
            .insert(request.id.clone(), OpenOperation { kind, op: None });
    }

    /// Records the id under which the gateway accepted an operation.
    pub(super) fn set_op(&mut self, id: &Id, op: Option<OpId>) {
        if let Some(operation) = self.all.get_mut(id) {
            operation.op = op;
        }
    }

    /// Removes an operation; returns whether it was a message.
    pub(super) fn remove(&mut self, id: &Id) -> bool {
        match self.all.remove(id).map(|operation| operation.kind) {
            Some(Kind::Message(bytes)) => {
                self.messages -= 1;
                self.bytes -= bytes;
                true
            }
            _ => false,
        }
    }

    pub(super) fn contains(&self, id: &Id) -> bool {
        self.all.contains_key(id)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    pub(super) fn is_attaching(&self) -> bool {
        self.all
            .values()
            .any(|operation| operation.kind == Kind::Attach)
    }

    /// Returns the number of open messages to the cloud.
    pub(super) fn messages(&self) -> usize {
        self.messages
    }

    /// Returns the total size of their payloads in bytes.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Returns the number of other open operations.
    pub(super) fn controls(&self) -> usize {
        self.all.len() - self.messages
    }

    /// Returns the input's ids of these operations; those that the input did not request are left out.
    pub(super) fn ids(&self, ops: &[OpId]) -> Vec<Id> {
        let id_of = |op: &OpId| {
            let mut all = self.all.iter();
            let (id, _) = all.find(|(_, operation)| operation.op == Some(*op))?;
            Some(id.clone())
        };
        ops.iter().filter_map(id_of).collect()
    }

    /// Returns the input's ids of all accepted operations.
    pub(super) fn ids_by_op(&self) -> BTreeMap<OpId, &Id> {
        let accepted = self.all.iter();
        accepted
            .filter_map(|(id, operation)| Some((operation.op?, id)))
            .collect()
    }
}
