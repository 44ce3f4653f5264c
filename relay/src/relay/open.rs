//! Requested operations that have not ended.

use std::collections::BTreeMap;

use iotcore_gateway_tokio::{DeviceId, OpId};

use super::load::Load;
use crate::operation::{Action, Id, Request};

/// Operations that have not ended.
#[derive(Default)]
pub(super) struct Open {
    all: BTreeMap<Id, OpenOperation>,
    messages: Load,
    /// The number of the latest operation.
    last: u64,
}

/// One open operation.
struct OpenOperation {
    kind: Kind,
    /// Its place in the input.
    number: u64,
    device: DeviceId,
    /// The gateway's id of the operation, once accepted.
    op: Option<OpId>,
}

/// A message to the cloud.
pub(super) struct OpenMessage {
    pub(super) request: Request,
    pub(super) device: DeviceId,
    /// The gateway's id of the message, once accepted.
    pub(super) op: Option<OpId>,
}

enum Kind {
    /// A message to the cloud, which shares its payload with the gateway.
    Message(Request),
    Attach,
    Other,
}

impl Open {
    /// Adds an operation; returns its number, its place in the input.
    pub(super) fn add(&mut self, request: &Request, device: DeviceId) -> u64 {
        self.messages.add_request(request);
        let kind = match &request.action {
            Action::Attach { .. } => Kind::Attach,
            Action::Telemetry { .. } | Action::State { .. } => Kind::Message(request.clone()),
            Action::Detach | Action::Authorize { .. } => Kind::Other,
        };
        self.last += 1;
        let operation = OpenOperation {
            kind,
            number: self.last,
            device,
            op: None,
        };
        self.all.insert(request.id.clone(), operation);
        self.last
    }

    /// Records the id under which the gateway accepted an operation.
    pub(super) fn set_op(&mut self, id: &Id, op: Option<OpId>) {
        if let Some(operation) = self.all.get_mut(id) {
            operation.op = op;
        }
    }

    /// Removes an operation; returns it if it was a message.
    pub(super) fn remove(&mut self, id: &Id) -> Option<OpenMessage> {
        let OpenOperation {
            kind, device, op, ..
        } = self.all.remove(id)?;
        let Kind::Message(request) = kind else {
            return None;
        };
        self.messages.remove_request(&request);
        Some(OpenMessage {
            request,
            device,
            op,
        })
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
            .any(|operation| matches!(operation.kind, Kind::Attach))
    }

    /// Returns how much the open messages to the cloud hold.
    pub(super) fn messages(&self) -> Load {
        self.messages
    }

    /// Returns the number of other open operations.
    pub(super) fn controls(&self) -> usize {
        self.all.len() - self.messages.messages
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

    /// Returns the open messages in input order, each with the gateway's id once it is accepted.
    pub(super) fn all_messages(&self) -> Vec<(&Request, Option<OpId>)> {
        let messages = self
            .all
            .values()
            .filter_map(|operation| match &operation.kind {
                Kind::Message(request) => Some((operation.number, request, operation.op)),
                Kind::Attach | Kind::Other => None,
            });
        let mut messages: Vec<_> = messages.collect();
        messages.sort_by_key(|(number, ..)| *number);
        let messages = messages.into_iter();
        messages.map(|(_, request, op)| (request, op)).collect()
    }
}
