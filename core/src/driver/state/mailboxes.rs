//! The mailboxes of all devices that have handles or had them.

use core::task::{Context, Poll};
use std::collections::BTreeMap;

use crate::{
    command::{DeliveryId, DeviceKey},
    driver::{
        received_message::ReceivedMessage,
        state::{
            mailbox::{Delivered, Mailbox},
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
    /// Commands of one device that may wait although they need no acknowledgement.
    max_stale: usize,
    /// How many messages of which devices were dropped and not reported yet.
    dropped: BTreeMap<DeviceId, usize>,
}

impl Mailboxes {
    pub(crate) fn new(acknowledge: Acknowledge, max_stale: usize) -> Self {
        Self {
            mailboxes: BTreeMap::new(),
            acknowledge,
            max_stale,
            dropped: BTreeMap::new(),
        }
    }

    /// Returns who acknowledges messages that were taken.
    pub(crate) fn acknowledge(&self) -> Acknowledge {
        self.acknowledge
    }

    pub(crate) fn get(&self, key: DeviceKey) -> Option<&Mailbox> {
        self.mailboxes.get(&key)
    }

    pub(crate) fn get_mut(&mut self, key: DeviceKey) -> Option<&mut Mailbox> {
        self.mailboxes.get_mut(&key)
    }

    /// Counts one more handle of a device.
    pub(crate) fn add_handle(&mut self, key: DeviceKey, device: &DeviceId) {
        self.mailboxes
            .entry(key)
            .or_insert_with(|| Mailbox::new(device.clone()))
            .add_handle();
    }

    /// Counts one handle of a device less. After the last, drops the commands, which nobody can take any more, and
    /// returns them; `None` while there are others.
    pub(crate) fn remove_handle(&mut self, key: DeviceKey) -> Option<Vec<DeliveryId>> {
        let mailbox = self.mailboxes.get_mut(&key)?;
        mailbox.remove_handle();
        if mailbox.has_handles() {
            return None;
        }
        let abandoned = mailbox.abandon();
        drop_from(&mut self.dropped, mailbox, abandoned.len());
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

    /// Queues a message for the readers of a device. `is_owed` returns whose acknowledgement the gateway waits for.
    pub(crate) fn deliver(
        &mut self,
        key: DeviceKey,
        message: ReceivedMessage,
        is_owed: impl Fn(DeliveryId) -> bool,
        wakers: &mut Wakers,
    ) -> Delivered {
        let Some(mailbox) = self.mailboxes.get_mut(&key) else {
            return Delivered::Dropped;
        };
        let delivered = mailbox.deliver(message, is_owed, self.acknowledge, wakers);
        let dropped = match delivered {
            Delivered::Dropped => 1,
            Delivered::Owed | Delivered::Postponed => mailbox.trim(self.max_stale),
        };
        drop_from(&mut self.dropped, mailbox, dropped);
        delivered
    }

    /// Takes the next message of a device, `None` when no more come. `has_ended` means that the gateway has.
    pub(crate) fn poll_take(
        &mut self,
        key: DeviceKey,
        has_ended: bool,
        waiter: &mut Option<u64>,
        cx: &Context<'_>,
        wakers: &mut Wakers,
    ) -> Poll<Option<ReceivedMessage>> {
        match self.mailboxes.get_mut(&key) {
            Some(mailbox) => mailbox.poll_take(has_ended, waiter, cx, wakers),
            None => Poll::Ready(None),
        }
    }

    /// Records that messages of a device were not acknowledged in time. `is_owed` returns which still have to be. Returns
    /// whether somebody should know.
    pub(crate) fn be_overdue(
        &mut self,
        key: DeviceKey,
        is_owed: impl Fn(DeliveryId) -> bool,
    ) -> bool {
        let Some(mailbox) = self.mailboxes.get_mut(&key) else {
            return false;
        };
        let is_told = mailbox.be_overdue(is_owed);
        let dropped = mailbox.trim(self.max_stale);
        drop_from(&mut self.dropped, mailbox, dropped);
        is_told
    }

    /// Records the end of a connection: acknowledgements end with it, messages do not.
    pub(crate) fn end_connection(&mut self) {
        for mailbox in self.mailboxes.values_mut() {
            mailbox.end_connection();
            let dropped = mailbox.trim(self.max_stale);
            drop_from(&mut self.dropped, mailbox, dropped);
        }
    }

    /// Returns how many messages of which devices were dropped since the last call.
    pub(crate) fn take_dropped(&mut self) -> BTreeMap<DeviceId, usize> {
        core::mem::take(&mut self.dropped)
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

/// Counts messages of a device that were dropped.
fn drop_from(dropped: &mut BTreeMap<DeviceId, usize>, mailbox: &Mailbox, messages: usize) {
    if messages > 0 {
        *dropped.entry(mailbox.device().clone()).or_default() += messages;
    }
}
