//! The mailbox of one device.

use core::task::{Context, Poll};
use std::collections::VecDeque;

use crate::{
    driver::{
        received_message::{MessageKind, ReceivedMessage},
        state::{waiters::Waiters, wakers::Wakers},
    },
    id::DeviceId,
    options::Acknowledge,
};

/// Maximum of messages that are acknowledged and kept for a device whose messages nobody reads. Further ones wait for
/// their acknowledgement. A device that only sends therefore holds back no others, and nothing acknowledged is dropped.
const MAX_UNREAD: usize = 16;

/// The state that the handles of one device share: its unread messages, who reads them, and who waits for room to
/// publish.
pub(crate) struct Mailbox {
    device: DeviceId,
    handles: usize,
    readers: usize,
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

/// The acknowledgement that a delivered message needs.
pub(crate) enum Delivered {
    /// Later: when the message is taken, or when the user acknowledges it.
    Owed,
    /// Now: the message is kept for a later reader.
    KeptUnread,
    /// Now: the message was dropped, because the device has no handle to take it.
    Dropped,
}

/// A message that a reader has taken.
pub(crate) struct Taken {
    pub(crate) message: ReceivedMessage,
    /// Its acknowledgement is due now.
    pub(crate) is_due: bool,
}

impl Mailbox {
    pub(crate) fn new(device: DeviceId) -> Self {
        Self {
            device,
            handles: 0,
            readers: 0,
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

    /// Queues a message for the device's readers.
    pub(crate) fn deliver(
        &mut self,
        message: ReceivedMessage,
        acknowledge: Acknowledge,
        wakers: &mut Wakers,
    ) -> Delivered {
        if !self.has_handles() {
            return Delivered::Dropped;
        }
        let is_kept_unread = acknowledge == Acknowledge::Automatic
            && self.readers == 0
            && self.make_room_unread(&message.kind);
        self.queue.push_back(Queued {
            message,
            is_owed: !is_kept_unread,
        });
        self.reading.wake_all(wakers);
        if is_kept_unread {
            Delivered::KeptUnread
        } else {
            Delivered::Owed
        }
    }

    /// Drops what a message of this kind replaces. Returns whether there is room to keep it for a later reader.
    fn make_room_unread(&mut self, kind: &MessageKind) -> bool {
        if *kind == MessageKind::Config {
            // A late reader wants only the newest of the configs that the cloud knows to have arrived.
            self.queue
                .retain(|queued| queued.is_owed || queued.message.kind != MessageKind::Config);
        }
        let unread = self.queue.iter().filter(|queued| !queued.is_owed).count();
        unread < MAX_UNREAD
    }

    /// Takes the next message, `None` when no more come. `has_ended` means that the gateway has.
    pub(crate) fn poll_take(
        &mut self,
        acknowledge: Acknowledge,
        has_ended: bool,
        waiter: &mut Option<u64>,
        cx: &Context<'_>,
        wakers: &mut Wakers,
    ) -> Poll<Option<Taken>> {
        if let Some(Queued { message, is_owed }) = self.queue.pop_front() {
            let is_due = is_owed && acknowledge == Acknowledge::Automatic;
            return Poll::Ready(Some(Taken { message, is_due }));
        }
        if has_ended || self.is_detached {
            return Poll::Ready(None);
        }
        self.reading.register(waiter, cx, wakers);
        Poll::Pending
    }

    /// Empties the queue, because nobody can take from it any more.
    pub(crate) fn abandon(&mut self) -> impl Iterator<Item = ReceivedMessage> + use<> {
        core::mem::take(&mut self.queue)
            .into_iter()
            .map(|queued| queued.message)
    }

    /// Records the end of a connection: acknowledgements end with it, messages do not. Keeps the newest `max_stale`,
    /// and returns how many it dropped.
    pub(crate) fn end_connection(&mut self, max_stale: usize) -> usize {
        let excess = self.queue.len().saturating_sub(max_stale);
        self.queue.drain(..excess);
        for queued in &mut self.queue {
            queued.is_owed = false;
        }
        excess
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
