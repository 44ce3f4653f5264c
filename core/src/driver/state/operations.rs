//! Operations that handles wait for, and their results.

use core::task::{Context, Poll};
use std::collections::BTreeMap;

use crate::{
    command::{DeviceKey, OpId},
    driver::{
        error::DeliveryError,
        state::{waiters::Waiters, wakers::Wakers},
    },
    error::Failure,
    event::Outcome,
};

/// The operations of the gateway that somebody waits for, and its detaches.
#[derive(Default)]
pub(crate) struct Operations {
    pending: BTreeMap<OpId, Pending>,
    /// Operations that end a device's key.
    detaches: BTreeMap<OpId, DeviceKey>,
}

/// An operation that somebody waits for.
#[derive(Default)]
struct Pending {
    waiters: usize,
    tasks: Waiters,
    result: Option<Result<Outcome, Failure>>,
}

impl Operations {
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
    ) -> Poll<Result<Outcome, DeliveryError>> {
        match self.pending.get_mut(&op) {
            Some(Pending {
                result: Some(result),
                ..
            }) => Poll::Ready(result.clone().map_err(DeliveryError::Failed)),
            Some(pending) if !has_ended => {
                pending.tasks.register(waiter, cx, wakers);
                Poll::Pending
            }
            _ => Poll::Ready(Err(DeliveryError::DriverStopped)),
        }
    }

    /// Records a result for those who wait for it. Returns a failure that nobody waits for, unless the end of the
    /// gateway explains it.
    pub(crate) fn complete(
        &mut self,
        op: OpId,
        result: Result<Outcome, Failure>,
        wakers: &mut Wakers,
    ) -> Option<Failure> {
        match (self.pending.get_mut(&op), result) {
            (Some(pending), result) => {
                pending.result = Some(result);
                pending.tasks.wake_all(wakers);
                None
            }
            (None, Ok(_) | Err(Failure::Closed | Failure::GaveUp)) => None,
            (None, Err(failure)) => Some(failure),
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
