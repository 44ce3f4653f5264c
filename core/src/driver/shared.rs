//! What the driver and the handles share: the gateway, and who waits for what.

use core::{
    fmt,
    task::{Context, Poll, Waker},
};
use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Arc, Mutex, PoisonError},
};

use crate::{
    command::{DeviceKey, OpId, Publication},
    driver::{
        acknowledging::Acknowledging,
        closed::{CloseCause, Closed},
        environment::Environment,
        error::{AcceptError, DeliveryError, DriverStopped, TransportError},
        slots::Slot,
        status::{Feed, Status},
        waiters::Waiters,
    },
    error::{Failure, PublishError},
    event::Outcome,
    gateway::Gateway,
    options::Options,
    time::Instant,
};

/// Shared by the driver and all handles. The lock is held for one step of the machine and never across an await.
pub(crate) struct Shared {
    pub(crate) environment: Arc<dyn Environment>,
    state: Mutex<State>,
}

/// Everything behind the lock.
pub(crate) struct State {
    pub(crate) gateway: Gateway,
    pub(crate) slots: BTreeMap<DeviceKey, Slot>,
    /// Why the transport that is about to be reported as ended did.
    pub(crate) error: Option<Arc<TransportError>>,
    /// Devices whose tokens have expired.
    pub(crate) needing_tokens: VecDeque<DeviceKey>,
    /// Operations that end a device's key.
    pub(crate) detaches: BTreeMap<OpId, DeviceKey>,
    pub(crate) acknowledging: Acknowledging,
    /// Messages of one device that may wait from earlier connections.
    pub(crate) max_stale: usize,
    is_closing: bool,
    pub(super) end: Option<Closed>,
    /// Handles that can give commands.
    pub(super) handles: usize,
    pending: BTreeMap<OpId, Pending>,
    pub(super) feeds: BTreeMap<u64, Feed>,
    pub(super) last_feed: u64,
    closing: Waiters,
    driver: Option<Waker>,
    /// To be woken once the lock is released.
    pub(super) wakes: Vec<Waker>,
    /// To be dropped once the lock is released: a task may go with its last waker, and the task's handles with it.
    pub(super) drops: Vec<Waker>,
}

/// An operation that somebody waits for.
#[derive(Default)]
struct Pending {
    waiters: usize,
    tasks: Waiters,
    result: Option<Result<Outcome, Failure>>,
}

impl Shared {
    pub(crate) fn new(
        gateway: Gateway,
        options: &Options,
        acknowledging: Acknowledging,
        environment: Arc<impl Environment + 'static>,
    ) -> Self {
        let state = State {
            gateway,
            slots: BTreeMap::new(),
            error: None,
            needing_tokens: VecDeque::new(),
            detaches: BTreeMap::new(),
            acknowledging,
            max_stale: options.max_unacknowledged,
            is_closing: false,
            end: None,
            handles: 0,
            pending: BTreeMap::new(),
            feeds: BTreeMap::new(),
            last_feed: 0,
            closing: Waiters::default(),
            driver: None,
            wakes: Vec::new(),
            drops: Vec::new(),
        };
        Self {
            environment,
            state: Mutex::new(state),
        }
    }

    /// Does one step under the lock, now.
    pub(crate) fn with<T>(&self, step: impl FnOnce(&mut State, Instant) -> T) -> T {
        let now = self.environment.now();
        self.lock(|state| step(state, now))
    }

    /// Does one step under the lock, then wakes whom it concerns. What the step drops must not lock again.
    pub(crate) fn lock<T>(&self, step: impl FnOnce(&mut State) -> T) -> T {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let result = step(&mut state);
        let wakes = core::mem::take(&mut state.wakes);
        let drops = core::mem::take(&mut state.drops);
        drop(state);
        drop(drops);
        for waker in wakes {
            waker.wake();
        }
        result
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").finish_non_exhaustive()
    }
}

/// The driver's own.
impl State {
    /// Wakes this task when a handle has done something.
    pub(crate) fn listen(&mut self, cx: &Context<'_>) {
        self.drops.extend(self.driver.replace(cx.waker().clone()));
    }

    /// Has the driver look at the gateway.
    pub(crate) fn wake_driver(&mut self) {
        self.wakes.extend(self.driver.take());
    }

    /// The gateway is closed, or the driver is gone: everybody who waits learns it.
    pub(crate) fn finish(&mut self, closed: Closed) {
        self.end = Some(closed);
        for pending in self.pending.values_mut() {
            self.wakes.extend(pending.tasks.take());
        }
        for slot in self.slots.values_mut() {
            self.wakes
                .extend(slot.blocked.take().chain(slot.reading.take()));
        }
        for feed in self.feeds.values_mut() {
            self.wakes.extend(feed.reading.take());
        }
        self.wakes.extend(self.closing.take());
        self.wake_driver();
    }

    /// The driver was dropped.
    pub(crate) fn stop(&mut self) {
        if self.end.is_none() {
            let unsent = self.gateway.unsent().collect();
            self.finish(Closed {
                cause: CloseCause::DriverStopped,
                unsent,
            });
        }
    }

    pub(crate) fn end(&self) -> Option<&Closed> {
        self.end.as_ref()
    }

    pub(crate) fn is_closing(&self) -> bool {
        self.is_closing
    }

    pub(crate) fn check_running(&self) -> Result<(), DriverStopped> {
        match &self.end {
            Some(closed) if closed.cause == CloseCause::DriverStopped => Err(DriverStopped),
            _ => Ok(()),
        }
    }
}

/// Operations.
impl State {
    /// Counts one more future that waits for `op`.
    pub(crate) fn wait_for(&mut self, op: OpId) {
        self.pending.entry(op).or_default().waiters += 1;
    }

    /// An operation was accepted that its caller waits for.
    pub(crate) fn accepted(&mut self, op: OpId) -> OpId {
        self.wait_for(op);
        self.wake_driver();
        op
    }

    pub(crate) fn poll_pending(
        &mut self,
        op: OpId,
        waiter: &mut Option<u64>,
        cx: &Context<'_>,
    ) -> Poll<Result<Outcome, DeliveryError>> {
        let is_over = self.end.is_some();
        match self.pending.get_mut(&op) {
            Some(Pending {
                result: Some(result),
                ..
            }) => Poll::Ready(result.clone().map_err(DeliveryError::Failed)),
            Some(pending) if !is_over => {
                self.drops.extend(pending.tasks.register(waiter, cx));
                Poll::Pending
            }
            _ => Poll::Ready(Err(DeliveryError::DriverStopped)),
        }
    }

    pub(crate) fn stop_waiting_for(&mut self, op: OpId, waiter: Option<u64>) {
        if let Some(pending) = self.pending.get_mut(&op) {
            self.drops.extend(pending.tasks.forget(waiter));
            pending.waiters -= 1;
            if pending.waiters == 0 {
                self.pending.remove(&op);
            }
        }
    }

    /// An operation has ended.
    pub(crate) fn complete(&mut self, op: OpId, result: Result<Outcome, Failure>) {
        if let Some(key) = self.detaches.remove(&op) {
            self.retire(key);
        }
        match (self.pending.get_mut(&op), result) {
            (Some(pending), result) => {
                pending.result = Some(result);
                self.wakes.extend(pending.tasks.take());
            }
            (None, Ok(_) | Err(Failure::Closed | Failure::GaveUp)) => {}
            (None, Err(failure)) => self.report(Status::Failed { op, failure }),
        }
    }

    /// Hands a publication to the gateway; it comes back if there is no room, and the task is woken when there may be.
    pub(crate) fn publish(
        &mut self,
        publication: Publication,
        now: Instant,
    ) -> Result<OpId, AcceptError> {
        if self.check_running().is_err() {
            return Err(AcceptError::DriverStopped(publication));
        }
        let op = self
            .gateway
            .publish(publication, now)
            .map_err(AcceptError::Refused)?;
        self.wait_for(op);
        self.wake_driver();
        Ok(op)
    }

    /// [`publish`](Self::publish), but waits for room.
    pub(crate) fn poll_publish(
        &mut self,
        publication: Publication,
        waiter: &mut Option<u64>,
        now: Instant,
        cx: &Context<'_>,
    ) -> Result<Result<OpId, AcceptError>, Publication> {
        let key = publication.device();
        match self.publish(publication, now) {
            Err(AcceptError::Refused(PublishError::Blocked(publication))) => {
                if let Some(slot) = self.slots.get_mut(&key) {
                    self.drops.extend(slot.blocked.register(waiter, cx));
                }
                Err(publication)
            }
            result => Ok(result),
        }
    }

    pub(crate) fn stop_publishing(&mut self, key: DeviceKey, waiter: Option<u64>) {
        if let Some(slot) = self.slots.get_mut(&key) {
            self.drops.extend(slot.blocked.forget(waiter));
        }
    }

    /// Tasks that wait for room for this device try again.
    pub(crate) fn retry_blocked(&mut self, key: DeviceKey) {
        if let Some(slot) = self.slots.get_mut(&key) {
            self.wakes.extend(slot.blocked.take());
        }
    }

    pub(crate) fn close(&mut self, now: Instant) {
        if self.end.is_none() {
            self.is_closing = true;
            self.gateway.close(now);
            for slot in self.slots.values_mut() {
                self.wakes.extend(slot.blocked.take());
            }
            self.wake_driver();
        }
    }

    pub(crate) fn poll_closed(
        &mut self,
        waiter: &mut Option<u64>,
        cx: &Context<'_>,
    ) -> Poll<Closed> {
        match &self.end {
            Some(closed) => Poll::Ready(closed.clone()),
            None => {
                self.drops.extend(self.closing.register(waiter, cx));
                Poll::Pending
            }
        }
    }

    pub(crate) fn stop_closing(&mut self, waiter: Option<u64>) {
        self.drops.extend(self.closing.forget(waiter));
    }
}
