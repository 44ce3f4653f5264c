//! The future of a device's attach.

use core::{
    fmt,
    future::poll_fn,
    pin::Pin,
    task::{Context, Poll},
};
use std::sync::{Arc, OnceLock};

use crate::{
    command::{DeviceAuth, OpId, Subscription},
    driver::{
        attach_error::AttachError,
        completion::Completion,
        device::Device,
        failed_attempt::FailedAttempt,
        not_connected::NotConnected,
        operation_error::{OperationError, Unsuccessful},
        payloads::Attach,
        runtime::BoxFuture,
        shared::Shared,
        token_wait::TokenWait,
    },
    event::Outcome,
    id::DeviceId,
    token::Token,
};

/// A device being attached and subscribed. The gateway is not asked before the first poll; dropping this after the
/// gateway has accepted the attach does not affect it. Kept or dropped while a token is fetched, it holds up no other
/// device; dropped then, it attaches nothing. It counts as a handle of the gateway.
#[must_use = "nothing is attached until this is awaited"]
pub struct Attaching {
    attached: BoxFuture<Result<Device, AttachError>>,
    accepted: Arc<OnceLock<(OpId, Device)>>,
    /// The result, if it came while [`accepted`](Self::accepted) was awaited.
    ended: Option<Result<Device, AttachError>>,
}

impl Attaching {
    /// Attaches a device. The gateway stays open for it, because it holds a handle of the gateway.
    pub(crate) fn new(shared: Arc<Shared>, gateway: Device, attach: Attach) -> Self {
        let accepted = Arc::default();
        let attached = attach_device(shared, attach, Arc::clone(&accepted));
        Self {
            attached: Box::pin(async move {
                let attached = attached.await;
                drop(gateway);
                attached
            }),
            accepted,
            ended: None,
        }
    }

    /// Waits until the gateway has accepted the attach, and returns the device: at once, with or without a connection, unless
    /// the token source has to be waited for. What the device sends waits in its queue until the bridge has acknowledged the
    /// attach. Await the attach itself to learn how it ends.
    ///
    /// # Errors
    ///
    /// [`AttachError`]: no token, or the gateway is closing or was closed, or the driver was dropped. The attach has ended then,
    /// and is not awaited.
    ///
    /// # Panics
    ///
    /// When the attach has been awaited to its end without a device.
    pub async fn accepted(&mut self) -> Result<Device, AttachError> {
        poll_fn(|cx| {
            if self.ended.is_none()
                && self.accepted.get().is_none()
                && let Poll::Ready(ended) = self.attached.as_mut().poll(cx)
            {
                self.ended = Some(ended);
            }
            match (self.device(), self.ended.take()) {
                (Some(device), ended) => {
                    self.ended = ended;
                    Poll::Ready(Ok(device))
                }
                (None, Some(ended)) => Poll::Ready(ended),
                (None, None) => Poll::Pending,
            }
        })
        .await
    }

    /// Returns the operation's id once the gateway has accepted the attach. It identifies the attach in
    /// [`Disconnected::suspects`](crate::cause::Disconnected::suspects).
    pub fn op(&self) -> Option<OpId> {
        Some(self.accepted.get()?.0)
    }

    /// Returns the device once the gateway has accepted the attach, which is after the first poll unless the token source
    /// has to be waited for. What the device sends waits in its queue until the bridge has acknowledged the attach.
    pub fn device(&self) -> Option<Device> {
        Some(self.accepted.get()?.1.clone())
    }
}

impl Future for Attaching {
    type Output = Result<Device, AttachError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.ended.take() {
            Some(ended) => Poll::Ready(ended),
            None => self.attached.as_mut().poll(cx),
        }
    }
}

impl fmt::Debug for Attaching {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Attaching")
            .field("op", &self.op())
            .finish_non_exhaustive()
    }
}

/// Asks the token source. An answer that does not come with the first poll is the driver's to wait for, so that a future
/// that is kept and not polled holds up no other.
async fn device_token(
    shared: &Arc<Shared>,
    device: &DeviceId,
) -> Result<Option<Token>, AttachError> {
    let asked = shared.with(|state, now| state.ask_for_token(device, now));
    let (request, begins) = asked.map_err(|error| attach_error(shared, error, None))?;
    let answered = TokenWait::new(Arc::clone(shared), request);
    if begins {
        let mut fetch = Arc::clone(shared.environment()).device_token(device.clone());
        match poll_fn(|cx| Poll::Ready(fetch.as_mut().poll(cx))).await {
            Poll::Ready(answer) => return answer.map_err(AttachError::Token),
            Poll::Pending => drop(shared.lock(|state| state.hand_over(request, fetch))),
        }
    }
    let answer = answered.await;
    answer
        .map_err(|error| attach_error(shared, error, None))?
        .map_err(AttachError::Token)
}

async fn attach_device(
    shared: Arc<Shared>,
    attach: Attach,
    told: Arc<OnceLock<(OpId, Device)>>,
) -> Result<Device, AttachError> {
    let failed_attempt = (!attach.keeps_waiting).then(|| FailedAttempt::new(Arc::clone(&shared)));
    let auth = match attach.token {
        Some(token) => DeviceAuth::Token(token),
        None => match device_token(&shared, &attach.device).await? {
            Some(token) => DeviceAuth::Renewable(Some(token)),
            None => DeviceAuth::ByAssociation,
        },
    };
    let id = attach.device;
    let subscriptions = [
        (Subscription::Config, attach.config),
        (Subscription::Commands, attach.commands),
    ];
    let unix_now = shared.environment().unix_now();
    let accepted = shared
        .with(|state, now| state.attach(&id, auth, &subscriptions, unix_now, now))
        .map_err(|error| attach_error(&shared, error, None))?;
    let device = Device::new(Arc::clone(&shared), accepted.device, id);
    told.get_or_init(|| (accepted.attach, device.clone()));
    let attached = Completion::new(Arc::clone(&shared), accepted.attach);
    let subscribed = accepted
        .subscribes
        .map(|op| op.map(|op| Completion::new(Arc::clone(&shared), op)));
    match unless_not_connected(attached, failed_attempt).await {
        Ok(Ok(_)) => {}
        Ok(Err(error)) => return Err(attach_error(&shared, error.into(), Some(device))),
        Err(not_connected) => return Err(AttachError::NotConnected(not_connected, Some(device))),
    }
    for completion in subscribed.into_iter().flatten() {
        if let Err(error) = completion.await {
            return Err(AttachError::Subscribe(error.into(), device));
        }
    }
    Ok(device)
}

/// Waits for the end of an attach, but no longer than for an attempt to connect that fails before the first connection.
async fn unless_not_connected(
    mut attached: Completion,
    mut failed_attempt: Option<FailedAttempt>,
) -> Result<Result<Outcome, Unsuccessful>, NotConnected> {
    poll_fn(|cx| {
        if let Some(failed_attempt) = &mut failed_attempt
            && let Poll::Ready(not_connected) = Pin::new(failed_attempt).poll(cx)
        {
            return Poll::Ready(Err(not_connected));
        }
        Pin::new(&mut attached).poll(cx).map(Ok)
    })
    .await
}

/// Returns why an attach failed: of a gateway that has given up before its first connection, why it is not connected.
fn attach_error(shared: &Shared, error: OperationError, device: Option<Device>) -> AttachError {
    match shared.lock(|state| state.gave_up()) {
        Some(not_connected) => AttachError::NotConnected(not_connected, device),
        None => AttachError::Attach(error, device),
    }
}
