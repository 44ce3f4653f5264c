//! The stream of configs and commands.

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
    driver::{
        handle::Handle, received_message::MessageKind, received_message::ReceivedMessage,
        shared::Shared,
    },
    id::DeviceId,
};

/// The configs and commands of one device, oldest first. The stream ends once the device is detached or the driver has
/// ended, and all messages are taken.
///
/// Of the configs that nobody has taken, only the newest is kept. Commands are kept until they are taken; those that need
/// no acknowledgement any more, because nobody took them in time, the connection ended, or they came at QoS 0, are dropped
/// oldest first if there are too many, as [`Status::Dropped`](crate::driver::Status::Dropped) reports: 64 while nobody
/// reads, `max_unacknowledged` otherwise.
///
/// Streams of one device compete: each message goes to one of them.
///
/// ```
/// # mod bridge { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/doctests/bridge.rs")); }
/// # use iotcore_gateway::{*, driver::*};
/// # bridge::on_bridge(async |client, world| {
/// let boiler = client.attach("boiler-7".parse::<DeviceId>()?).await?;
/// let mut messages = boiler.messages();
/// # let mut taken = 0;
/// while let Some(message) = messages.next().await {
///     match &message.kind {
///         MessageKind::Config if message.payload.is_empty() => println!("never configured"),
///         MessageKind::Config => println!("the config is {:?}", message.payload),
///         MessageKind::Command { subfolder } => println!("do {:?} in {subfolder:?}", message.payload),
///         _ => {}
///     }
/// #     taken += 1;
/// #     if taken == 2 { break }
/// }
/// # Ok(())
/// # });
/// ```
#[derive(Debug)]
#[must_use = "messages gather until they are taken"]
pub struct Messages {
    device: Arc<Handle>,
    waiter: Option<u64>,
}

impl Messages {
    pub(crate) fn new(device: Arc<Handle>) -> Self {
        let key = device.key();
        device.shared().lock(|state| state.start_reading(key));
        Self {
            device,
            waiter: None,
        }
    }

    /// Takes the next message. Cancel safe: dropped before it completes, it has taken none.
    pub async fn next(&mut self) -> Option<Message> {
        poll_fn(|cx| Pin::new(&mut *self).poll_next(cx)).await
    }
}

impl Stream for Messages {
    type Item = Message;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Message>> {
        let Self { device, waiter } = self.get_mut();
        let (shared, key) = (device.shared(), device.key());
        let polled = shared.with(|state, now| state.poll_message(key, waiter, now, cx));
        polled.map(|received| Some(Message::new(received?, device)))
    }
}

impl Drop for Messages {
    fn drop(&mut self) {
        let (key, waiter) = (self.device.key(), self.waiter);
        self.device
            .shared()
            .lock(|state| state.stop_reading(key, waiter));
    }
}

/// A config or a command.
#[derive(Clone)]
#[non_exhaustive]
pub struct Message {
    /// The device that it is for.
    pub device: DeviceId,
    /// Config or command.
    pub kind: MessageKind,
    /// The payload. An empty config is normal: the device was never configured.
    pub payload: Bytes,
    delivery: DeliveryId,
    /// Older configs, acknowledged with this one.
    replaced: Vec<DeliveryId>,
    shared: Arc<Shared>,
}

impl Message {
    fn new(received: ReceivedMessage, device: &Handle) -> Self {
        Self {
            device: device.id().clone(),
            kind: received.kind,
            payload: received.payload,
            delivery: received.delivery,
            replaced: received.replaced,
            shared: Arc::clone(device.shared()),
        }
    }

    /// Returns the id of this delivery. A redelivery of the same message has a different one.
    pub fn delivery(&self) -> DeliveryId {
        self.delivery
    }

    /// Returns whether [`acknowledge`](Self::acknowledge) still has an effect: the message came at QoS 1 on this
    /// connection, and was neither acknowledged nor given up as a command that waited for too long.
    pub fn awaits_acknowledgement(&self) -> bool {
        self.shared
            .lock(|state| state.gateway().awaits_acknowledgement(self.delivery))
    }

    /// Acknowledges the message, with [`Acknowledge::Manual`](crate::options::Acknowledge::Manual). A config that was
    /// given up ([`Status::AcknowledgementsOverdue`](crate::driver::Status::AcknowledgementsOverdue)) is asked for
    /// again, and delivered again only with another payload. On a later connection, or when called again, it shows only
    /// that somebody heeds the device.
    pub fn acknowledge(&self) {
        let deliveries = self.replaced.iter().copied().chain([self.delivery]);
        self.shared
            .with(|state, now| state.acknowledge(deliveries, now));
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
