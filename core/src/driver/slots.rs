//! Devices as their handles see them: who can take what came for them, and who waits for room.

use core::task::{Context, Poll};
use std::collections::VecDeque;

use bytes::Bytes;

use crate::{
    command::{DeliveryId, DeviceKey},
    driver::{
        acknowledging::Acknowledging, received_message::MessageKind, shared::State,
        waiters::Waiters,
    },
    id::DeviceId,
    time::Instant,
};

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
    pub(super) blocked: Waiters,
    /// It was detached, and its key is no longer valid.
    is_gone: bool,
}

/// A config or command that nobody has taken yet.
pub(crate) struct Queued {
    pub(crate) kind: MessageKind,
    pub(crate) payload: Bytes,
    pub(crate) delivery: DeliveryId,
    /// Its acknowledgement is still to be given, on this connection.
    pub(crate) is_owed: bool,
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
    pub(super) fn retire(&mut self, key: DeviceKey) {
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
