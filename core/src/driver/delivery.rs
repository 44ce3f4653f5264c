//! Futures of messages: until they are accepted, then until they are acknowledged.

use core::{
    fmt,
    pin::Pin,
    task::{Context, Poll},
};
use std::sync::Arc;

#[cfg(feature = "store")]
use crate::driver::operation_error::StoredError;
use crate::{
    command::{OpId, Publication},
    driver::{
        completion::Completion,
        handle::Handle,
        operation_error::{AcceptError, DeliveryError, OperationError},
        shared::Shared,
    },
    mqtt::QoS,
};

/// A message that the gateway has accepted. Awaiting it returns the result: acknowledged by the bridge (QoS 1) or
/// handed to the transport (QoS 0).
///
/// Dropping it does not affect the message; a later failure is then reported as
/// [`Status::Undelivered`](crate::driver::Status::Undelivered), which counts messages and does not return them.
///
/// ```
/// # mod bridge { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/doctests/bridge.rs")); }
/// # use iotcore_gateway::driver::{*, error::DeliveryError};
/// # bridge::on_bridge(async |client, world| {
/// let delivery = client.gateway().telemetry(Telemetry::new("71").tag("reading 17".parse()?)).await?;
/// # world.unplug();
/// # delivery.cancel()?;
/// match delivery.await {
///     Ok(()) => println!("the bridge has it"),
///     Err(DeliveryError::Failed { failure, unsent }) => {
///         eprintln!("{:?} was not delivered: {failure}", unsent.tag); // `failure.retry()`: is it worth another try?
///     }
///     Err(error) => return Err(error.into()), // the driver was dropped
/// }
/// # Ok(())
/// # });
/// ```
#[derive(Debug)]
#[must_use = "the message is on its way, but only awaiting this tells whether it arrived"]
pub struct Delivery {
    completion: Completion,
    #[cfg_attr(
        not(feature = "store"),
        expect(dead_code, reason = "only a store asks for it")
    )]
    qos: QoS,
}

impl Delivery {
    fn new(shared: &Arc<Shared>, op: OpId, qos: QoS) -> Self {
        Self {
            completion: Completion::new(Arc::clone(shared), op),
            qos,
        }
    }

    /// Returns the operation's id, which identifies the message for [`Client::cancel`](crate::driver::Client::cancel), in
    /// [`Disconnected::suspects`](crate::cause::Disconnected::suspects) and in
    /// [`Closed::unsent`](crate::driver::closed::Closed::unsent).
    pub fn op(&self) -> OpId {
        self.completion.op()
    }

    /// Cancels the message: it is not sent, nor sent again. Awaiting this then returns it with
    /// [`Failure::Cancelled`](crate::Failure::Cancelled). If it was in flight, it may have arrived.
    ///
    /// # Errors
    ///
    /// [`OperationError`]: it has ended already
    /// ([`CommandError::NotCancellable`](crate::command_error::CommandError::NotCancellable)), which awaiting this
    /// tells, or the driver was dropped.
    pub fn cancel(&self) -> Result<(), OperationError> {
        self.completion.cancel()
    }

    /// Waits until the message is safe from a power cut: acknowledged by the bridge, or durable in the store
    /// ([`Setup::store`](crate::driver::Setup::store)), whichever comes first. With its linger of 1 s, that takes about 1 s and
    /// the time of a sync, if the bridge does not acknowledge it before.
    #[cfg(feature = "store")]
    pub fn stored(&self) -> Storing<'_> {
        Storing {
            delivery: self,
            waiter: None,
        }
    }
}

impl Future for Delivery {
    type Output = Result<(), DeliveryError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.completion)
            .poll(cx)
            .map(|ended| ended.map(drop).map_err(Into::into))
    }
}

/// Waits until a message is safe from a power cut; see [`Delivery::stored`].
///
/// It ends with [`StoredError`]: at once, if the message is not kept in a store; if the store cannot be written, or the message
/// fails, or the driver is dropped.
#[cfg(feature = "store")]
#[derive(Debug)]
#[must_use = "only awaiting this tells whether it is stored"]
pub struct Storing<'a> {
    delivery: &'a Delivery,
    waiter: Option<u64>,
}

#[cfg(feature = "store")]
impl Future for Storing<'_> {
    type Output = Result<(), StoredError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let Self { delivery, waiter } = self.get_mut();
        let (op, qos) = (delivery.op(), delivery.qos);
        let shared = delivery.completion.shared();
        shared.lock(|state| state.poll_stored(op, qos, waiter, cx))
    }
}

#[cfg(feature = "store")]
impl Drop for Storing<'_> {
    fn drop(&mut self) {
        let (op, waiter) = (self.delivery.op(), self.waiter);
        let shared = self.delivery.completion.shared();
        shared.lock(|state| state.stop_waiting_for_store(op, waiter));
    }
}

/// Waits until the gateway has accepted a message, which needs room in its queues. Dropped before it completes, it has
/// sent nothing, which is how to take back a message that still waits here. Its time to expire begins when it is accepted.
#[must_use = "nothing is sent until this is awaited"]
pub struct Accepting {
    device: Arc<Handle>,
    /// `None` once it has completed.
    publication: Option<Publication>,
    waiter: Option<u64>,
}

impl Accepting {
    pub(crate) fn new(device: Arc<Handle>, publication: Publication) -> Self {
        Self {
            device,
            publication: Some(publication),
            waiter: None,
        }
    }
}

impl Future for Accepting {
    type Output = Result<Delivery, AcceptError>;

    /// # Panics
    ///
    /// When polled after it has completed.
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        let publication = this.publication.take();
        let publication = publication.expect("an ended future is not polled again");
        let qos = publication.quality();
        let shared = this.device.shared();
        let polled =
            shared.with(|state, now| state.poll_publish(publication, &mut this.waiter, now, cx));
        match polled {
            Ok(result) => Poll::Ready(result.map(|op| Delivery::new(shared, op, qos))),
            Err(publication) => {
                this.publication = Some(publication);
                Poll::Pending
            }
        }
    }
}

impl Drop for Accepting {
    fn drop(&mut self) {
        let (key, waiter) = (self.device.key(), self.waiter);
        self.device
            .shared()
            .lock(|state| state.stop_publishing(key, waiter));
    }
}

impl fmt::Debug for Accepting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Accepting")
            .field("publication", &self.publication)
            .finish_non_exhaustive()
    }
}

/// Hands a message to the gateway without waiting for room.
pub(crate) fn try_accept(
    device: &Handle,
    publication: Publication,
) -> Result<Delivery, AcceptError> {
    let shared = device.shared();
    let qos = publication.quality();
    let op = shared.with(|state, now| state.publish(publication, now))?;
    Ok(Delivery::new(shared, op, qos))
}
