//! Requested operations that have not ended.

use std::collections::BTreeMap;

use iotcore_gateway_tokio::{DeviceId, OpId};

use super::{lanes::Place, load::Load};
use crate::operation::{Action, Control, Id, NotCancelled, Request};

/// Operations that have not ended.
#[derive(Default)]
pub(super) struct Open {
    all: BTreeMap<Id, OpenOperation>,
    messages: Load,
    /// How much the messages among them hold that were found in the store.
    restored: Load,
    /// The number of messages among them that are in the store.
    stored: usize,
    /// Whether the store is not there any more, as far as is known: nothing counts as in it then.
    is_store_gone: bool,
}

/// One open operation.
struct OpenOperation {
    kind: Kind,
    place: Place,
    device: DeviceId,
    /// The gateway's id of the operation, once accepted.
    op: Option<OpId>,
    origin: Origin,
    /// Whether it is a message that is in the store.
    is_stored: bool,
}

/// Where an operation comes from.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Origin {
    Input,
    /// It is a message that was found in the store.
    Store,
}

/// A message to the cloud.
pub(super) struct OpenMessage {
    pub(super) request: Request,
    pub(super) device: DeviceId,
    /// The gateway's id of the message, once accepted.
    pub(super) op: Option<OpId>,
    pub(super) origin: Origin,
    pub(super) is_stored: bool,
}

enum Kind {
    /// A message to the cloud, which shares its payload with the gateway.
    Message(Request),
    Control(Control),
}

/// Where an open message is.
pub(super) enum Whereabouts {
    /// It waits in the relay.
    Waiting(DeviceId, Place),
    /// The gateway has accepted it.
    Accepted(OpId),
}

impl Open {
    /// Adds an operation, which waits at this place, or was accepted long ago.
    pub(super) fn add(
        &mut self,
        request: &Request,
        device: DeviceId,
        place: Place,
        origin: Origin,
    ) {
        self.messages.add_request(request);
        if origin == Origin::Store {
            self.restored.add_request(request);
            self.stored += 1;
        }
        let kind = match &request.action {
            Action::Attach { .. } => Kind::Control(Control::Attach),
            Action::Detach => Kind::Control(Control::Detach),
            Action::Authorize { .. } => Kind::Control(Control::Authorize),
            Action::Telemetry { .. } | Action::State(_) => Kind::Message(request.clone()),
        };
        let operation = OpenOperation {
            kind,
            place,
            device,
            op: None,
            origin,
            is_stored: origin == Origin::Store,
        };
        self.all.insert(request.id.clone(), operation);
    }

    /// Returns where the message with this id is.
    pub(super) fn find_message(&self, id: &Id) -> Result<Whereabouts, NotCancelled> {
        let Some(operation) = self.all.get(id) else {
            return Err(NotCancelled::NotOpen(id.clone()));
        };
        match (&operation.kind, operation.op) {
            (Kind::Control(control), _) => Err(NotCancelled::NotCancellable(id.clone(), *control)),
            (Kind::Message(_), Some(op)) => Ok(Whereabouts::Accepted(op)),
            (Kind::Message(_), None) => Ok(Whereabouts::Waiting(
                operation.device.clone(),
                operation.place,
            )),
        }
    }

    /// Records the id under which the gateway accepted an operation.
    pub(super) fn set_op(&mut self, id: &Id, op: Option<OpId>) {
        if let Some(operation) = self.all.get_mut(id) {
            operation.op = op;
        }
    }

    /// Records that a message is in the store.
    pub(super) fn set_stored(&mut self, id: &Id) {
        if let Some(operation) = self.all.get_mut(id)
            && !std::mem::replace(&mut operation.is_stored, true)
        {
            self.stored += 1;
        }
    }

    /// Removes an operation; returns it if it was a message.
    pub(super) fn remove(&mut self, id: &Id) -> Option<OpenMessage> {
        let OpenOperation {
            kind,
            device,
            op,
            origin,
            is_stored,
            ..
        } = self.all.remove(id)?;
        let Kind::Message(request) = kind else {
            return None;
        };
        self.messages.remove_request(&request);
        self.stored -= usize::from(is_stored);
        if origin == Origin::Store {
            self.restored.remove_request(&request);
        }
        Some(OpenMessage {
            request,
            device,
            op,
            origin,
            is_stored: is_stored && !self.is_store_gone,
        })
    }

    /// Records whether the store is there.
    pub(super) fn set_store_gone(&mut self, is_store_gone: bool) {
        self.is_store_gone = is_store_gone;
    }

    /// Returns the ids of all open operations, in input order, each with whether the gateway has accepted it.
    pub(super) fn all_ids(&self) -> Vec<(Id, bool)> {
        let mut all: Vec<_> = self.all.iter().collect();
        all.sort_by_key(|(_, operation)| operation.place.number);
        let all = all.into_iter();
        all.map(|(id, operation)| (id.clone(), operation.op.is_some()))
            .collect()
    }

    pub(super) fn contains(&self, id: &Id) -> bool {
        self.all.contains_key(id)
    }

    pub(super) fn is_attaching(&self) -> bool {
        self.all
            .values()
            .any(|operation| matches!(operation.kind, Kind::Control(Control::Attach)))
    }

    /// Returns how much the open messages to the cloud hold.
    pub(super) fn messages(&self) -> Load {
        self.messages
    }

    /// Returns how much those among them hold that were found in the store.
    pub(super) fn restored(&self) -> Load {
        self.restored
    }

    /// Returns whether everything that the input has asked for has ended.
    pub(super) fn has_only_restored(&self) -> bool {
        self.all.len() == self.restored.messages
    }

    /// Returns whether there are open messages, and all of them are in the store.
    pub(super) fn is_in_store(&self) -> bool {
        !self.is_store_gone && self.stored > 0 && self.stored == self.messages.messages
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
                Kind::Message(request) => Some((operation.place.number, request, operation.op)),
                Kind::Control(_) => None,
            });
        let mut messages: Vec<_> = messages.collect();
        messages.sort_by_key(|(number, ..)| *number);
        let messages = messages.into_iter();
        messages.map(|(_, request, op)| (request, op)).collect()
    }
}
