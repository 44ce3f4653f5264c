//! Whose turn it is to be attached, subscribed or detached.

use std::collections::VecDeque;

use super::super::devices::SubscriptionKey;
use crate::command::Slot;

/// What has yet to be asked of the bridge on one connection, in the order of the turns.
#[derive(Debug, Default)]
pub(crate) struct ControlTurns {
    /// Devices that have yet to be attached.
    pub(crate) attach: VecDeque<Slot>,
    /// Subscriptions that have yet to be made or ended.
    pub(crate) subscribe: VecDeque<SubscriptionKey>,
    /// Devices with nothing left to send that are to be detached.
    pub(crate) detach: VecDeque<Slot>,
}

impl ControlTurns {
    pub(crate) fn is_empty(&self) -> bool {
        self.attach.is_empty() && self.subscribe.is_empty() && self.detach.is_empty()
    }

    /// Takes out a device that is gone.
    pub(crate) fn remove(&mut self, device: Slot) {
        self.attach.retain(|&other| other != device);
        self.subscribe.retain(|key| key.device != device);
        self.detach.retain(|&other| other != device);
    }
}
