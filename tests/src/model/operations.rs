//! The user's operations, and how they ended.

use std::collections::BTreeMap;
use std::time::Instant;

use iotcore_gateway::{
    Failure, OpId, Outcome,
    options::{Overflow, Reconnect},
};

use super::{Finding, Model};
use crate::script::Rule;

/// The kind of an operation, with its device or publication. Devices are indices into [`DEVICES`](crate::script::DEVICES).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OperationKind {
    /// Connects the gateway.
    Open,
    /// Attaches the device.
    Attach(usize),
    /// Sends a new token for the device, which may attach it.
    Authorize(usize),
    /// Detaches the device.
    Detach(usize),
    /// Publishes the publication with this number.
    Publish(u32),
    /// Subscribes the device.
    Subscribe(usize),
    /// Unsubscribes the device.
    Unsubscribe(usize),
    /// Closes the gateway.
    Close,
}

/// All operations of a process.
#[derive(Debug, Default)]
pub(super) struct Operations {
    all: BTreeMap<OpId, Operation>,
}

#[derive(Debug)]
struct Operation {
    kind: OperationKind,
    is_ended: bool,
}

impl Operations {
    /// Records the end of an operation, and returns its kind.
    pub(super) fn end(&mut self, op: OpId) -> Result<OperationKind, Finding> {
        let finding = |what| Err(Finding::new(Rule::OneEnd, format!("{op} {what}")));
        match self.all.get_mut(&op) {
            None => finding("ended, but was never started"),
            Some(operation) if operation.is_ended => finding("ended twice"),
            Some(operation) => {
                operation.is_ended = true;
                Ok(operation.kind)
            }
        }
    }

    pub(super) fn pending(&self) -> impl Iterator<Item = (OpId, OperationKind)> {
        let pending = self.all.iter().filter(|(_, operation)| !operation.is_ended);
        pending.map(|(op, operation)| (*op, operation.kind))
    }
}

impl Model {
    /// Records the user's command and its operation.
    pub(crate) fn ask(&mut self, op: OpId, kind: OperationKind) -> Result<(), Finding> {
        if let OperationKind::Detach(device) = kind {
            self.devices[device].is_detached = true;
        }
        let all = &mut self.operations.all;
        let newest = all.last_key_value().map(|(newest, _)| *newest);
        match all.get(&op) {
            None if newest.is_some_and(|newest| op < newest) => {
                let what = format!("{op} was returned after {newest:?}");
                return Err(Finding::new(Rule::OneEnd, what));
            }
            None => {
                let is_ended = false;
                all.insert(op, Operation { kind, is_ended });
            }
            // A command that is repeated before its end returns the same operation.
            Some(before) if before.is_ended && kind != OperationKind::Close => {
                return Err(Finding::new(
                    Rule::OneEnd,
                    format!("{op} was returned again after its end"),
                ));
            }
            Some(_) => {}
        }
        Ok(())
    }

    /// Returns all operations of this process, by age.
    pub(super) fn operations(&self) -> impl Iterator<Item = OpId> {
        self.operations.all.keys().copied()
    }

    /// Returns the operations that have not ended.
    pub(crate) fn pending(&self) -> impl Iterator<Item = (OpId, OperationKind)> {
        self.operations.pending()
    }

    fn is_closing(&self) -> bool {
        let all = self.operations.all.values();
        all.rev()
            .any(|operation| operation.kind == OperationKind::Close)
    }

    pub(super) fn check_outcome(
        &mut self,
        kind: OperationKind,
        outcome: Outcome,
    ) -> Result<(), Finding> {
        let fits = match (kind, outcome) {
            (OperationKind::Publish(number), Outcome::Acknowledged | Outcome::Transmitted) => {
                if outcome == Outcome::Acknowledged {
                    let device = self.publications.at(number).device;
                    self.hang_ups.acknowledge(device);
                }
                return self.check_published(number, outcome);
            }
            (OperationKind::Open, Outcome::Opened)
            | (OperationKind::Attach(_) | OperationKind::Authorize(_), Outcome::Attached)
            | (OperationKind::Authorize(_), Outcome::Authorized)
            | (OperationKind::Detach(_), Outcome::Detached)
            | (OperationKind::Subscribe(_), Outcome::Subscribed(_))
            | (OperationKind::Unsubscribe(_), Outcome::Unsubscribed)
            | (OperationKind::Close, Outcome::Closed) => true,
            _ => false,
        };
        match fits {
            true => Ok(()),
            false => Err(Finding::new(
                Rule::OneEnd,
                format!("{kind:?} ended in {outcome:?}"),
            )),
        }
    }

    /// Checks that a failure reported by the gateway can be true.
    pub(super) fn check_failure(
        &mut self,
        kind: OperationKind,
        failure: &Failure,
        now: Instant,
    ) -> Result<(), Finding> {
        let reported = |device: usize| {
            self.devices[device].reports > 0
                || self.hang_ups.may_be_without_attach(device)
                || self.is_deceived
        };
        let can_be = match (kind, failure) {
            (OperationKind::Close, _) => false,
            (_, Failure::Closed) => self.is_closing(),
            (kind, Failure::Suspected { connections }) => {
                let can_be = self.may_be_suspected(kind, *connections);
                if let OperationKind::Publish(number) = kind {
                    let device = self.publications.at(number).device;
                    self.hang_ups.give_up(device);
                }
                can_be
            }
            (_, Failure::GaveUp) => self.options.reconnect != Reconnect::Forever,
            (OperationKind::Publish(number), failure) => {
                let published = self.publications.at(number);
                let device = published.device;
                match failure {
                    Failure::Cancelled => {
                        self.hang_ups.end(number, device);
                        published.is_cancelled
                    }
                    Failure::Expired => {
                        self.hang_ups.end(number, device);
                        published.expires_at.is_some_and(|at| at <= now)
                    }
                    Failure::Superseded => {
                        let newest = self.publications.newest_state(device);
                        self.hang_ups.replace(number, newest.unwrap_or(number));
                        published.is_state
                    }
                    Failure::Dropped => {
                        !published.is_state
                            && self.options.overflow == Overflow::DropOldest
                            && self.publications.may_be_dropped(number)
                    }
                    Failure::Detached => self.devices[device].is_detached,
                    Failure::DeviceRefused | Failure::Reported(_) => reported(device),
                    _ => false,
                }
            }
            (
                OperationKind::Attach(device) | OperationKind::Authorize(device),
                Failure::Detached,
            ) => self.devices[device].is_detached,
            (
                OperationKind::Subscribe(device) | OperationKind::Unsubscribe(device),
                Failure::Detached,
            ) => self.devices[device].is_detached,
            (
                OperationKind::Attach(device)
                | OperationKind::Authorize(device)
                | OperationKind::Detach(device)
                | OperationKind::Subscribe(device)
                | OperationKind::Unsubscribe(device),
                Failure::Reported(_),
            ) => reported(device),
            (OperationKind::Subscribe(device), Failure::DeviceRefused | Failure::NotAttached) => {
                reported(device)
            }
            (OperationKind::Open, _) => false,
            (_, Failure::TimedOut(_)) if self.is_in_time => {
                let what =
                    format!("{kind:?} was told as timed out, and the bridge answers in time");
                return Err(Finding::new(Rule::Liveness, what));
            }
            (_, Failure::TimedOut(_)) => true,
            (OperationKind::Subscribe(_) | OperationKind::Unsubscribe(_), Failure::Superseded) => {
                true
            }
            (OperationKind::Subscribe(_), Failure::SubscriptionRefused(_)) => true,
            _ => false,
        };
        if let OperationKind::Publish(number) = kind {
            self.end_publication(number);
        }
        match can_be {
            true => Ok(()),
            false => Err(Finding::new(
                Rule::Delivery,
                format!("{kind:?} ended in {failure:?}"),
            )),
        }
    }

    /// Checks that the gateway's unsent publications are those that have not ended.
    pub(crate) fn check_unsent(&self, unsent: impl Iterator<Item = OpId>) -> Result<(), Finding> {
        let is_closed = self.is_closed;
        let pending = self
            .pending()
            .filter(|(_, kind)| matches!(kind, OperationKind::Publish(_)));
        let pending: Vec<_> = pending.map(|(op, _)| op).collect();
        let unsent: Vec<_> = unsent.collect();
        // The last event also ends each of them.
        let fits = match is_closed {
            true => pending.is_empty(),
            false => pending == unsent,
        };
        match fits {
            true => Ok(()),
            false => Err(Finding::new(
                Rule::Delivery,
                format!("unsent are {unsent:?}, while {pending:?} have not ended"),
            )),
        }
    }

    /// Checks, at the end, that nothing is pending and nothing is left to report.
    pub(crate) fn check_end(&self) -> Result<(), Finding> {
        match self.pending().next() {
            Some((op, kind)) => Err(Finding::new(
                Rule::OneEnd,
                format!("{op}, {kind:?}, never ended"),
            )),
            None if !self.is_closed => Err(Finding::new(
                Rule::OneEnd,
                "no Closed after the end".to_owned(),
            )),
            None => Ok(()),
        }
    }
}
