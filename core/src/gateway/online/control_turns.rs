//! Turns of the devices to be attached, subscribed or detached.

use std::collections::VecDeque;

use super::{super::devices::SubscriptionKey, asks::Asks};
use crate::command::Slot;

/// The control packets that are still to be sent on one connection, in order.
#[derive(Debug, Default)]
pub(crate) struct ControlTurns {
    /// Devices to be attached.
    pub(crate) attach: Asks<Slot>,
    /// Subscriptions to be made or ended.
    pub(crate) subscribe: Asks<SubscriptionKey>,
    /// Devices to be detached that have nothing left to send.
    pub(crate) detach: VecDeque<Slot>,
}

impl ControlTurns {
    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.attach.is_empty() & self.subscribe.is_empty() & self.detach.is_empty()
    }

    /// Removes a device.
    pub(crate) fn remove(&mut self, device: Slot) {
        self.attach.remove(device);
        self.subscribe.retain(|key| key.device != device);
        self.detach.retain(|&other| other != device);
    }
}
