//! Futures of operations: accepted, and acknowledged.

use core::{
    fmt,
    pin::Pin,
    task::{Context, Poll},
};
use std::sync::Arc;

use crate::{
    command::{OpId, Publication},
    driver::{AcceptError, Closed, DeliveryError, device::Handle, shared::Shared},
    event::Outcome,
};

/// Waits for the end of an operation, and counts as waiting for it until it is dropped.
#[derive(Debug)]
pub(crate) struct Completion {
    shared: Arc<Shared>,
    op: OpId,
    waiter: Option<u64>,
}

impl Completion {
    /// `op` was counted as waited for by [`wait_for`](crate::driver::shared::State::wait_for).
    pub(crate) fn new(shared: Arc<Shared>, op: OpId) -> Self {
        Self {
            shared,
            op,
            waiter: None,
        }
    }

    pub(crate) fn op(&self) -> OpId {
        self.op
    }
}

impl Future for Completion {
    type Output = Result<Outcome, DeliveryError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let Self { shared, op, waiter } = self.get_mut();
        shared.lock(|state| state.poll_pending(*op, waiter, cx))
    }
}

impl Drop for Completion {
    fn drop(&mut self) {
        let Self { shared, op, waiter } = self;
        shared.lock(|state| state.stop_waiting_for(*op, *waiter));
    }
}

/// A message that the gateway has accepted, on its way to the bridge. Awaiting it tells how that ended: acknowledged
/// (QoS 1) or handed to the transport (QoS 0).
///
/// Dropping it changes nothing for the message; should that fail, [`Status::Failed`](crate::driver::Status::Failed) tells.
#[derive(Debug)]
#[must_use = "the message is on its way, but only awaiting this tells whether it arrived"]
pub struct Delivery {
    completion: Completion,
}

impl Delivery {
    /// Names the message in [`Status::Failed`](crate::driver::Status::Failed), in
    /// [`Disconnected::suspects`](crate::Disconnected::suspects) and in [`Closed::unsent`].
    pub fn op(&self) -> OpId {
        self.completion.op()
    }
}

impl Future for Delivery {
    type Output = Result<(), DeliveryError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.completion)
            .poll(cx)
            .map(|ended| ended.map(drop))
    }
}

/// Has a message accepted, once there is room for it. Dropped before it ends, it has accepted nothing.
#[must_use = "nothing is sent until this is awaited"]
pub struct Accepting {
    device: Arc<Handle>,
    /// `None` once it has ended.
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
    /// When polled after it has ended.
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        let publication = this.publication.take();
        let publication = publication.expect("an ended future is not polled again");
        let shared = &this.device.shared;
        let polled =
            shared.with(|state, now| state.poll_publish(publication, &mut this.waiter, now, cx));
        match polled {
            Ok(result) => Poll::Ready(result.map(|op| Delivery {
                completion: Completion::new(Arc::clone(shared), op),
            })),
            Err(publication) => {
                this.publication = Some(publication);
                Poll::Pending
            }
        }
    }
}

impl Drop for Accepting {
    fn drop(&mut self) {
        let Handle { shared, key, .. } = &*self.device;
        shared.lock(|state| state.stop_publishing(*key, self.waiter));
    }
}

impl fmt::Debug for Accepting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Accepting")
            .field("publication", &self.publication)
            .finish_non_exhaustive()
    }
}

/// Hands a message over without waiting for room.
pub(crate) fn try_accept(
    device: &Handle,
    publication: Publication,
) -> Result<Delivery, AcceptError> {
    let shared = &device.shared;
    let op = shared.with(|state, now| state.publish(publication, now))?;
    Ok(Delivery {
        completion: Completion::new(Arc::clone(shared), op),
    })
}

/// Waits until the gateway is closed, or the driver dropped.
#[derive(Debug)]
pub(crate) struct Closing {
    shared: Arc<Shared>,
    waiter: Option<u64>,
}

impl Closing {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        Self {
            shared,
            waiter: None,
        }
    }
}

impl Future for Closing {
    type Output = Closed;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Closed> {
        let Self { shared, waiter } = self.get_mut();
        shared.lock(|state| state.poll_closed(waiter, cx))
    }
}

impl Drop for Closing {
    fn drop(&mut self) {
        let waiter = self.waiter;
        self.shared.lock(|state| state.stop_closing(waiter));
    }
}
