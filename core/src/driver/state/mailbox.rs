//! The mailbox of one device.

use core::task::{Context, Poll};
use std::collections::VecDeque;

use crate::{
    command::DeliveryId,
    driver::{
        received_message::{MessageKind, ReceivedMessage},
        state::{waiters::Waiters, wakers::Wakers},
    },
    id::DeviceId,
    options::Acknowledge,
};

/// Maximum of the commands that are kept for a device although they need no acknowledgement any more, while nobody takes
/// its messages. The number of the others is limited by the gateway.
const MAX_UNREAD: usize = 64;

/// The state that the handles of one device share: its unread messages, who reads them, and who waits for room to
/// publish.
pub(crate) struct Mailbox {
    device: DeviceId,
    handles: usize,
    readers: usize,
    /// Its messages were not acknowledged in time, and none has been taken since.
    is_overdue: bool,
    queue: VecDeque<Queued>,
    reading: Waiters,
    /// Tasks that wait for room in the device's outgoing queue.
    publishing: Waiters,
    /// The device's key is no longer valid.
    is_detached: bool,
}

/// A message that nobody has taken yet.
struct Queued {
    message: ReceivedMessage,
    /// Its acknowledgement is still due, on this connection.
    is_owed: bool,
}

impl Queued {
    fn is_config(&self) -> bool {
        self.message.kind == MessageKind::Config
    }

    /// Returns whether it is a command that needs no acknowledgement any more.
    fn is_unread(&self) -> bool {
        !self.is_owed && !self.is_config()
    }
}

/// What becomes of a message that was delivered.
pub(crate) enum Delivered {
    /// It is acknowledged later: when it is taken, or when the user acknowledges it.
    Owed,
    /// It is kept for a later reader, and acknowledged now.
    Postponed,
    /// It is acknowledged now, and dropped, because the device has no handle to take it.
    Dropped,
}

impl Mailbox {
    pub(crate) fn new(device: DeviceId) -> Self {
        Self {
            device,
            handles: 0,
            readers: 0,
            is_overdue: false,
            queue: VecDeque::new(),
            reading: Waiters::default(),
            publishing: Waiters::default(),
            is_detached: false,
        }
    }

    pub(crate) fn device(&self) -> &DeviceId {
        &self.device
    }

    /// Counts one more handle.
    pub(crate) fn add_handle(&mut self) {
        self.handles += 1;
    }

    /// Counts one handle less.
    pub(crate) fn remove_handle(&mut self) {
        self.handles -= 1;
    }

    pub(crate) fn has_handles(&self) -> bool {
        self.handles > 0
    }

    /// Counts one more reader of the messages.
    pub(crate) fn start_reading(&mut self) {
        self.readers += 1;
    }

    /// Counts one reader less.
    pub(crate) fn stop_reading(&mut self, waiter: Option<u64>, wakers: &mut Wakers) {
        self.readers -= 1;
        self.reading.forget(waiter, wakers);
    }

    /// Queues a message for the device's readers. `is_owed` returns whose acknowledgement the gateway waits for. A config
    /// replaces one that nobody has taken, and is kept even without a handle: it is acknowledged when somebody takes it,
    /// because the acknowledgement shows the cloud that the device has it.
    pub(crate) fn deliver(
        &mut self,
        mut message: ReceivedMessage,
        is_owed: impl Fn(DeliveryId) -> bool,
        acknowledge: Acknowledge,
        wakers: &mut Wakers,
    ) -> Delivered {
        let is_config = message.kind == MessageKind::Config;
        if is_config {
            message.replaced = self.take_config(&is_owed);
        } else if !self.has_handles() {
            return Delivered::Dropped;
        }
        let is_postponed = !is_config && acknowledge == Acknowledge::Automatic && !self.is_read();
        let is_owed = is_owed(message.delivery) && !is_postponed;
        self.queue.push_back(Queued { message, is_owed });
        self.reading.wake_all(wakers);
        match is_postponed {
            true => Delivered::Postponed,
            false => Delivered::Owed,
        }
    }

    /// Returns whether somebody seems to take the messages.
    fn is_read(&self) -> bool {
        self.readers > 0 && !self.is_overdue
    }

    /// Removes the config that waits. Returns the deliveries to acknowledge with the one that replaces it.
    fn take_config(&mut self, is_owed: impl Fn(DeliveryId) -> bool) -> Vec<DeliveryId> {
        let at = self.queue.iter().position(Queued::is_config);
        let Some(Queued { message, .. }) = at.and_then(|at| self.queue.remove(at)) else {
            return Vec::new();
        };
        let mut replaced = message.replaced;
        replaced.push(message.delivery);
        replaced.retain(|delivery| is_owed(*delivery));
        replaced
    }

    /// Drops the oldest commands that need no acknowledgement any more, if there are more than `max_stale`, or than
    /// `MAX_UNREAD` while nobody takes them. Returns how many.
    pub(crate) fn trim(&mut self, max_stale: usize) -> usize {
        let most = match self.is_read() {
            true => max_stale,
            false => MAX_UNREAD,
        };
        let unread = self
            .queue
            .iter()
            .filter(|queued| queued.is_unread())
            .count();
        let excess = unread.saturating_sub(most);
        let mut left = excess;
        if excess > 0 {
            self.queue.retain(|queued| {
                let is_dropped = left > 0 && queued.is_unread();
                left -= usize::from(is_dropped);
                !is_dropped
            });
        }
        excess
    }

    /// Records that the messages were not acknowledged in time. `is_owed` returns which still have to be. Returns whether
    /// somebody should know: not if it is only the config of a device that nobody reads, which is kept.
    pub(crate) fn be_overdue(&mut self, is_owed: impl Fn(DeliveryId) -> bool) -> bool {
        let mut queue = self.queue.iter();
        let has_command = queue.any(|queued| queued.is_owed && !queued.is_config());
        self.is_overdue = true;
        self.update_owed(is_owed);
        self.readers > 0 || has_command
    }

    /// Records the end of a connection: acknowledgements end with it, messages do not.
    pub(crate) fn end_connection(&mut self) {
        self.update_owed(|_| false);
    }

    /// Updates which messages still have to be acknowledged.
    fn update_owed(&mut self, is_owed: impl Fn(DeliveryId) -> bool) {
        for queued in &mut self.queue {
            let message = &mut queued.message;
            queued.is_owed = is_owed(message.delivery);
            message.replaced.retain(|delivery| is_owed(*delivery));
        }
    }

    /// Takes the next message, `None` when no more come. `has_ended` means that the gateway has.
    pub(crate) fn poll_take(
        &mut self,
        has_ended: bool,
        waiter: &mut Option<u64>,
        cx: &Context<'_>,
        wakers: &mut Wakers,
    ) -> Poll<Option<ReceivedMessage>> {
        if let Some(Queued { message, .. }) = self.queue.pop_front() {
            self.is_overdue = false;
            return Poll::Ready(Some(message));
        }
        if has_ended || self.is_detached {
            return Poll::Ready(None);
        }
        self.reading.register(waiter, cx, wakers);
        Poll::Pending
    }

    /// Removes the commands, because nobody can take them any more.
    pub(crate) fn abandon(&mut self) -> Vec<DeliveryId> {
        let (configs, commands) = core::mem::take(&mut self.queue)
            .into_iter()
            .partition(Queued::is_config);
        self.queue = configs;
        let commands: VecDeque<Queued> = commands;
        let commands = commands.into_iter();
        commands.map(|queued| queued.message.delivery).collect()
    }

    /// Registers a task that waits for room in the device's outgoing queue.
    pub(crate) fn wait_for_room(
        &mut self,
        waiter: &mut Option<u64>,
        cx: &Context<'_>,
        wakers: &mut Wakers,
    ) {
        self.publishing.register(waiter, cx, wakers);
    }

    /// Removes a task that waits for room no longer.
    pub(crate) fn stop_waiting_for_room(&mut self, waiter: Option<u64>, wakers: &mut Wakers) {
        self.publishing.forget(waiter, wakers);
    }

    /// Lets the tasks that wait for room try again.
    pub(crate) fn wake_publishers(&mut self, wakers: &mut Wakers) {
        self.publishing.wake_all(wakers);
    }

    /// Wakes everybody who waits.
    pub(crate) fn wake_all(&mut self, wakers: &mut Wakers) {
        self.publishing.wake_all(wakers);
        self.reading.wake_all(wakers);
    }

    /// Records that the device is detached. Its messages can still be taken.
    pub(crate) fn detach(&mut self, wakers: &mut Wakers) {
        self.is_detached = true;
        self.wake_all(wakers);
    }

    /// Returns whether nobody needs it any more.
    pub(crate) fn is_over(&self) -> bool {
        self.is_detached && !self.has_handles()
    }
}
