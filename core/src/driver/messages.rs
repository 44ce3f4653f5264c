//! Configs and commands, as a stream.

use core::{
    fmt,
    future::poll_fn,
    pin::Pin,
    task::{Context, Poll},
};
use std::sync::Arc;

use bytes::Bytes;
use futures_core::Stream;

use crate::{
    command::DeliveryId,
    driver::{device::Handle, shared::Shared, slots::Queued},
    id::DeviceId,
};

/// When a config or command is acknowledged to the bridge, which tells the cloud that the device has it.
///
/// Either way acknowledgements keep the order of the messages [MQTT-4.6.0-2], so one that is not given holds back those
/// of all devices, and at `max_unacknowledged` of them nothing more is read from the bridge.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Acknowledging {
    /// When it is taken from [`Messages`], the default. While nobody reads a device's messages, its newest config and up
    /// to 16 messages in all are acknowledged as they come, and kept.
    #[default]
    WhenTaken,
    /// When [`Message::acknowledge`] says so.
    Manual,
}

/// The configs and commands of one device, oldest first; it ends once the device was detached or the driver has ended,
/// and all were taken.
///
/// Two of one device share its messages: each goes to one of them.
#[derive(Debug)]
#[must_use = "messages gather until they are taken"]
pub struct Messages {
    device: Arc<Handle>,
    waiter: Option<u64>,
}

impl Messages {
    pub(crate) fn new(device: Arc<Handle>) -> Self {
        let Handle { shared, key, .. } = &*device;
        shared.lock(|state| state.start_reading(*key));
        Self {
            device,
            waiter: None,
        }
    }

    /// The next message. Cancel safe: dropped before it ends, it has taken none.
    pub async fn next(&mut self) -> Option<Message> {
        poll_fn(|cx| Pin::new(&mut *self).poll_next(cx)).await
    }
}

impl Stream for Messages {
    type Item = Message;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Message>> {
        let Self { device, waiter } = self.get_mut();
        let Handle { shared, key, id } = &**device;
        let polled = shared.with(|state, now| state.poll_message(*key, waiter, now, cx));
        polled.map(|queued| queued.map(|queued| Message::new(queued, id, shared)))
    }
}

impl Drop for Messages {
    fn drop(&mut self) {
        let Handle { shared, key, .. } = &*self.device;
        shared.lock(|state| state.stop_reading(*key, self.waiter));
    }
}

/// A config or a command.
#[derive(Clone)]
#[non_exhaustive]
pub struct Message {
    /// For whom it is.
    pub device: DeviceId,
    /// What it is.
    pub kind: MessageKind,
    /// What it says. An empty config is normal: the device was never configured.
    pub payload: Bytes,
    delivery: DeliveryId,
    shared: Arc<Shared>,
}

/// Whether a message is a config or a command.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum MessageKind {
    /// The device's newest configuration.
    Config,
    /// A command, which the bridge does not store.
    Command {
        /// What follows `commands/` in its topic.
        subfolder: Option<String>,
    },
}

impl Message {
    fn new(queued: Queued, device: &DeviceId, shared: &Arc<Shared>) -> Self {
        Self {
            device: device.clone(),
            kind: queued.kind,
            payload: queued.payload,
            delivery: queued.delivery,
            shared: Arc::clone(shared),
        }
    }

    /// Names this delivery; the bridge's repetition of the same message has another one.
    pub fn delivery(&self) -> DeliveryId {
        self.delivery
    }

    /// Acknowledges it, with [`Acknowledging::Manual`]. On a later connection, or given twice, it changes nothing.
    pub fn acknowledge(&self) {
        self.shared
            .with(|state, now| state.acknowledge(self.delivery, now));
    }
}

impl fmt::Debug for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Message")
            .field("device", &self.device)
            .field("kind", &self.kind)
            .field("payload", &self.payload)
            .field("delivery", &self.delivery)
            .finish_non_exhaustive()
    }
}
