//! Operations that handles wait for, and their results.

use core::task::{Context, Poll};
use std::collections::BTreeMap;

use crate::{
    command::{DeviceKey, OpId},
    driver::{
        operation_error::Unsuccessful,
        state::{waiters::Waiters, wakers::Wakers},
    },
    error::Failure,
    event::Outcome,
    unsent::Unsent,
};

/// The operations of the gateway that somebody waits for, and its detaches.
pub(crate) struct Operations {
    pending: BTreeMap<OpId, Pending>,
    /// Operations that end a device's key.
    detaches: BTreeMap<OpId, DeviceKey>,
    reports_replaced_states: bool,
}

/// An operation that somebody waits for.
#[derive(Default)]
struct Pending {
    waiters: usize,
    tasks: Waiters,
    result: Option<Result<Outcome, Unsuccessful>>,
    #[cfg(feature = "store")]
    is_stored: bool,
}

impl Pending {
    fn finish(&mut self, result: Result<Outcome, Unsuccessful>, wakers: &mut Wakers) {
        self.result = Some(result);
        self.tasks.wake_all(wakers);
    }
}

impl Operations {
    /// Creates the table without operations. `reports_replaced_states` says whether a replaced state counts as a failure
    /// that is to be reported.
    pub(crate) fn new(reports_replaced_states: bool) -> Self {
        Self {
            pending: BTreeMap::new(),
            detaches: BTreeMap::new(),
            reports_replaced_states,
        }
    }

    /// Counts one more future that waits for `op`.
    pub(crate) fn wait_for(&mut self, op: OpId) {
        self.pending.entry(op).or_default().waiters += 1;
    }

    /// Counts one future less, and forgets the operation after the last.
    pub(crate) fn stop_waiting_for(&mut self, op: OpId, waiter: Option<u64>, wakers: &mut Wakers) {
        if let Some(pending) = self.pending.get_mut(&op) {
            pending.tasks.forget(waiter, wakers);
            pending.waiters -= 1;
            if pending.waiters == 0 {
                self.pending.remove(&op);
            }
        }
    }

    /// Returns the result of `op`. `has_ended` means that no more results come.
    pub(crate) fn poll(
        &mut self,
        op: OpId,
        has_ended: bool,
        waiter: &mut Option<u64>,
        cx: &Context<'_>,
        wakers: &mut Wakers,
    ) -> Poll<Result<Outcome, Unsuccessful>> {
        match self.pending.get_mut(&op) {
            Some(Pending {
                result: Some(result),
                ..
            }) => Poll::Ready(result.clone()),
            Some(pending) if !has_ended => {
                pending.tasks.register(waiter, cx, wakers);
                Poll::Pending
            }
            _ => Poll::Ready(Err(Unsuccessful::DriverStopped)),
        }
    }

    /// Records the success of an operation for those who wait for it.
    pub(crate) fn succeed(&mut self, op: OpId, outcome: Outcome, wakers: &mut Wakers) {
        if let Some(pending) = self.pending.get_mut(&op) {
            pending.finish(Ok(outcome), wakers);
        }
    }

    /// Records that a publication is durable.
    #[cfg(feature = "store")]
    pub(crate) fn store(&mut self, op: OpId, wakers: &mut Wakers) {
        if let Some(pending) = self.pending.get_mut(&op) {
            pending.is_stored = true;
            pending.tasks.wake_all(wakers);
        }
    }

    /// Returns whether a publication is known to be durable.
    #[cfg(feature = "store")]
    pub(crate) fn is_stored(&self, op: OpId) -> bool {
        self.pending
            .get(&op)
            .is_some_and(|pending| pending.is_stored)
    }

    /// Forgets the task of a future, whose operation is still waited for.
    #[cfg(feature = "store")]
    pub(crate) fn forget_task(&mut self, op: OpId, waiter: Option<u64>, wakers: &mut Wakers) {
        if let Some(pending) = self.pending.get_mut(&op) {
            pending.tasks.forget(waiter, wakers);
        }
    }

    /// Records the failure of an operation for those who wait for it. Returns it, with what was not published, if nobody
    /// does, unless the end of the gateway, or a newer state, explains it.
    pub(crate) fn fail(
        &mut self,
        op: OpId,
        failure: Failure,
        unsent: Option<Box<Unsent>>,
        wakers: &mut Wakers,
    ) -> Option<(Failure, Option<Box<Unsent>>)> {
        if let Some(pending) = self.pending.get_mut(&op) {
            pending.finish(Err(Unsuccessful::Failed { failure, unsent }), wakers);
            return None;
        }
        let is_replaced = failure == Failure::Superseded && unsent.is_some();
        match failure {
            Failure::Closed | Failure::GaveUp => None,
            _ if is_replaced && !self.reports_replaced_states => None,
            _ => Some((failure, unsent)),
        }
    }

    /// Records that `op` detaches `device`.
    pub(crate) fn record_detach(&mut self, op: OpId, device: DeviceKey) {
        self.detaches.insert(op, device);
    }

    /// Returns the device that `op` has detached, once.
    pub(crate) fn take_detached(&mut self, op: OpId) -> Option<DeviceKey> {
        self.detaches.remove(&op)
    }

    /// Wakes everybody who waits.
    pub(crate) fn wake_all(&mut self, wakers: &mut Wakers) {
        for pending in self.pending.values_mut() {
            pending.tasks.wake_all(wakers);
        }
    }
}
