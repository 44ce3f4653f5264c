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
    command::{DeliveryId, DeviceKey, OpId, Publication},
    driver::{
        AcceptError, Acknowledging, CloseCause, Closed, DeliveryError, DriverStopped, MessageKind,
        Status, TransportError, host::Host, waiters::Waiters,
    },
    error::{Failure, PublishError},
    event::Outcome,
    gateway::Gateway,
    id::DeviceId,
    options::Options,
    time::Instant,
};

/// Changes that wait for one reader of the status.
const MAX_CHANGES: usize = 1_024;

/// Shared by the driver and all handles. The lock is held for one step of the machine and never across an await.
pub(crate) struct Shared {
    pub(crate) host: Arc<dyn Host>,
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
    end: Option<Closed>,
    /// Handles that can give commands.
    handles: usize,
    pending: BTreeMap<OpId, Pending>,
    feeds: BTreeMap<u64, Feed>,
    last_feed: u64,
    closing: Waiters,
    driver: Option<Waker>,
    /// To be woken once the lock is released.
    wakes: Vec<Waker>,
    /// To be dropped once the lock is released: a task may go with its last waker, and the task's handles with it.
    drops: Vec<Waker>,
}

/// An operation that somebody waits for.
#[derive(Default)]
struct Pending {
    waiters: usize,
    tasks: Waiters,
    result: Option<Result<Outcome, Failure>>,
}

/// A device, and its handles.
pub(crate) struct Slot {
    pub(crate) id: DeviceId,
    /// Handles that can take its messages.
    pub(crate) handles: usize,
    /// Handles that do.
    pub(crate) readers: usize,
    pub(crate) queue: VecDeque<Queued>,
    pub(crate) reading: Waiters,
    /// Tasks that wait for room in the device's queue.
    blocked: Waiters,
    /// It was detached, and its key is no longer valid.
    is_gone: bool,
}

/// A config or command that nobody has taken yet.
pub(crate) struct Queued {
    pub(crate) kind: MessageKind,
    pub(crate) payload: bytes::Bytes,
    pub(crate) delivery: DeliveryId,
    /// Its acknowledgement is still to be given, on this connection.
    pub(crate) is_owed: bool,
}

/// What one reader of the status has not read yet.
#[derive(Default)]
struct Feed {
    changes: VecDeque<Status>,
    missed: u64,
    reading: Waiters,
}

impl Shared {
    pub(crate) fn new(
        gateway: Gateway,
        options: &Options,
        acknowledging: Acknowledging,
        host: Arc<dyn Host>,
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
            host,
            state: Mutex::new(state),
        }
    }

    /// Does one step under the lock, then wakes whom it concerns. What the step drops must not lock again.
    pub(crate) fn with<T>(&self, step: impl FnOnce(&mut State, Instant) -> T) -> T {
        let now = self.host.now();
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let result = step(&mut state, now);
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
        if self.end.is_none() && !self.is_closing {
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

/// Devices and their handles.
impl State {
    /// Counts one more handle of a device.
    pub(crate) fn add_handle(&mut self, key: DeviceKey, id: &DeviceId) {
        self.handles += 1;
        let slot = self.slots.entry(key).or_insert_with(|| Slot {
            id: id.clone(),
            handles: 0,
            readers: 0,
            queue: VecDeque::new(),
            reading: Waiters::default(),
            blocked: Waiters::default(),
            is_gone: false,
        });
        slot.handles += 1;
    }

    /// Counts one less. Messages that nobody can take any more are acknowledged, so that they hold back no others
    /// [MQTT-4.6.0-2]; without any handle the gateway closes.
    pub(crate) fn remove_handle(&mut self, key: DeviceKey, now: Instant) {
        self.handles -= 1;
        if let Some(slot) = self.slots.get_mut(&key) {
            slot.handles -= 1;
            if slot.handles == 0 {
                let queue = core::mem::take(&mut slot.queue);
                let is_gone = slot.is_gone;
                for message in &queue {
                    self.gateway.acknowledge(message.delivery, now);
                }
                self.report_dropped(key, queue.len());
                if is_gone {
                    self.slots.remove(&key);
                }
                self.wake_driver();
            }
        }
        if self.handles == 0 {
            self.close(now);
        }
    }

    /// A device was detached. What it received can still be taken.
    fn retire(&mut self, key: DeviceKey) {
        if let Some(slot) = self.slots.get_mut(&key) {
            slot.is_gone = true;
            self.wakes
                .extend(slot.blocked.take().chain(slot.reading.take()));
            if slot.handles == 0 {
                self.slots.remove(&key);
            }
        }
    }

    /// The next message of a device, `None` when there will be no more.
    pub(crate) fn poll_message(
        &mut self,
        key: DeviceKey,
        waiter: &mut Option<u64>,
        now: Instant,
        cx: &Context<'_>,
    ) -> Poll<Option<Queued>> {
        let is_over = self.end.is_some();
        let Some(slot) = self.slots.get_mut(&key) else {
            return Poll::Ready(None);
        };
        if let Some(message) = slot.queue.pop_front() {
            if self.acknowledging == Acknowledging::WhenTaken && message.is_owed {
                self.acknowledge(message.delivery, now);
            }
            return Poll::Ready(Some(message));
        }
        if is_over || slot.is_gone {
            return Poll::Ready(None);
        }
        self.drops.extend(slot.reading.register(waiter, cx));
        Poll::Pending
    }

    pub(crate) fn acknowledge(&mut self, delivery: DeliveryId, now: Instant) {
        self.gateway.acknowledge(delivery, now);
        self.wake_driver();
    }

    /// Counts one more reader of a device's messages.
    pub(crate) fn start_reading(&mut self, key: DeviceKey) {
        if let Some(slot) = self.slots.get_mut(&key) {
            slot.readers += 1;
        }
    }

    pub(crate) fn stop_reading(&mut self, key: DeviceKey, waiter: Option<u64>) {
        if let Some(slot) = self.slots.get_mut(&key) {
            slot.readers -= 1;
            self.drops.extend(slot.reading.forget(waiter));
        }
    }

    /// Wakes whoever reads a device's messages.
    pub(crate) fn wake_readers(&mut self, key: DeviceKey) {
        if let Some(slot) = self.slots.get_mut(&key) {
            self.wakes.extend(slot.reading.take());
        }
    }
}

/// The status.
impl State {
    pub(crate) fn open_feed(&mut self) -> u64 {
        self.last_feed += 1;
        self.feeds.insert(self.last_feed, Feed::default());
        self.last_feed
    }

    /// Gives what was not read, to be dropped without the lock.
    pub(crate) fn close_feed(&mut self, feed: u64) -> impl Sized + use<> {
        self.feeds.remove(&feed)
    }

    pub(crate) fn report(&mut self, change: Status) {
        for feed in self.feeds.values_mut() {
            if feed.changes.len() == MAX_CHANGES {
                feed.changes.pop_front();
                feed.missed += 1;
            }
            feed.changes.push_back(change.clone());
            self.wakes.extend(feed.reading.take());
        }
    }

    pub(crate) fn report_dropped(&mut self, key: DeviceKey, messages: usize) {
        if messages > 0
            && let Some(slot) = self.slots.get(&key)
        {
            let device = slot.id.clone();
            self.report(Status::Dropped { device, messages });
        }
    }

    pub(crate) fn poll_feed(
        &mut self,
        feed: u64,
        waiter: &mut Option<u64>,
        cx: &Context<'_>,
    ) -> Poll<Option<Status>> {
        let is_over = self.end.is_some();
        let Some(feed) = self.feeds.get_mut(&feed) else {
            return Poll::Ready(None);
        };
        if feed.missed > 0 {
            return Poll::Ready(Some(Status::Missed(core::mem::take(&mut feed.missed))));
        }
        if let Some(change) = feed.changes.pop_front() {
            return Poll::Ready(Some(change));
        }
        if is_over {
            return Poll::Ready(None);
        }
        self.drops.extend(feed.reading.register(waiter, cx));
        Poll::Pending
    }
}
