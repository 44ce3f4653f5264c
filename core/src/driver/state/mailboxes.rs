//! The mailboxes of all devices that have handles or had them.

use core::task::{Context, Poll};
use std::collections::BTreeMap;

use crate::{
    command::DeviceKey,
    driver::{
        received_message::ReceivedMessage,
        state::{
            mailbox::{Delivered, Mailbox, Taken},
            wakers::Wakers,
        },
    },
    id::DeviceId,
    options::Acknowledge,
};

/// One mailbox per device, kept until the device is detached and has no handles.
pub(crate) struct Mailboxes {
    mailboxes: BTreeMap<DeviceKey, Mailbox>,
    acknowledge: Acknowledge,
    /// Messages of one device that may wait from earlier connections.
    max_stale: usize,
}

impl Mailboxes {
    pub(crate) fn new(acknowledge: Acknowledge, max_stale: usize) -> Self {
        Self {
            mailboxes: BTreeMap::new(),
            acknowledge,
            max_stale,
        }
    }

    pub(crate) fn get(&self, key: DeviceKey) -> Option<&Mailbox> {
        self.mailboxes.get(&key)
    }

    pub(crate) fn get_mut(&mut self, key: DeviceKey) -> Option<&mut Mailbox> {
        self.mailboxes.get_mut(&key)
    }

    /// Returns the devices that have a mailbox.
    pub(crate) fn keys(&self) -> impl Iterator<Item = DeviceKey> {
        self.mailboxes.keys().copied()
    }

    /// Counts one more handle of a device.
    pub(crate) fn add_handle(&mut self, key: DeviceKey, device: &DeviceId) {
        self.mailboxes
            .entry(key)
            .or_insert_with(|| Mailbox::new(device.clone()))
            .add_handle();
    }

    /// Counts one handle of a device less. After the last, returns the messages that nobody can take any more.
    pub(crate) fn remove_handle(&mut self, key: DeviceKey) -> Option<Abandoned> {
        let mailbox = self.mailboxes.get_mut(&key)?;
        mailbox.remove_handle();
        if mailbox.has_handles() {
            return None;
        }
        let abandoned = Abandoned {
            device: mailbox.device().clone(),
            messages: mailbox.abandon().collect(),
        };
        self.remove_if_over(key);
        Some(abandoned)
    }

    /// Returns whether any device has a handle.
    pub(crate) fn have_handles(&self) -> bool {
        self.mailboxes.values().any(Mailbox::has_handles)
    }

    /// Records that a device is detached. Its messages can still be taken.
    pub(crate) fn detach(&mut self, key: DeviceKey, wakers: &mut Wakers) {
        if let Some(mailbox) = self.mailboxes.get_mut(&key) {
            mailbox.detach(wakers);
        }
        self.remove_if_over(key);
    }

    fn remove_if_over(&mut self, key: DeviceKey) {
        if self.mailboxes.get(&key).is_some_and(Mailbox::is_over) {
            self.mailboxes.remove(&key);
        }
    }

    /// Queues a message for the readers of a device.
    pub(crate) fn deliver(
        &mut self,
        key: DeviceKey,
        message: ReceivedMessage,
        wakers: &mut Wakers,
    ) -> Delivered {
        match self.mailboxes.get_mut(&key) {
            Some(mailbox) => mailbox.deliver(message, self.acknowledge, wakers),
            None => Delivered::Dropped,
        }
    }

    /// Takes the next message of a device, `None` when no more come. `has_ended` means that the gateway has.
    pub(crate) fn poll_take(
        &mut self,
        key: DeviceKey,
        has_ended: bool,
        waiter: &mut Option<u64>,
        cx: &Context<'_>,
        wakers: &mut Wakers,
    ) -> Poll<Option<Taken>> {
        match self.mailboxes.get_mut(&key) {
            Some(mailbox) => mailbox.poll_take(self.acknowledge, has_ended, waiter, cx, wakers),
            None => Poll::Ready(None),
        }
    }

    /// Records the end of a connection: acknowledgements end with it, messages do not. Returns how many messages of
    /// which devices were dropped, because too many wait from earlier connections.
    pub(crate) fn end_connection(&mut self) -> Vec<(DeviceId, usize)> {
        self.mailboxes
            .values_mut()
            .filter_map(|mailbox| {
                let dropped = mailbox.end_connection(self.max_stale);
                (dropped > 0).then(|| (mailbox.device().clone(), dropped))
            })
            .collect()
    }

    /// Lets all tasks that wait for room try again.
    pub(crate) fn wake_publishers(&mut self, wakers: &mut Wakers) {
        for mailbox in self.mailboxes.values_mut() {
            mailbox.wake_publishers(wakers);
        }
    }

    /// Wakes everybody who waits.
    pub(crate) fn wake_all(&mut self, wakers: &mut Wakers) {
        for mailbox in self.mailboxes.values_mut() {
            mailbox.wake_all(wakers);
        }
    }
}

/// The messages of a device whose last handle was dropped.
pub(crate) struct Abandoned {
    pub(crate) device: DeviceId,
    pub(crate) messages: Vec<ReceivedMessage>,
}
