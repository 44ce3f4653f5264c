//! A device as the user sees it: its telemetry, state, messages, subscriptions and detach.

use core::fmt;
use std::sync::Arc;

use crate::{
    command::{DeviceKey, OpId, Subscription},
    driver::{
        delivery::{Accepting, Delivery, try_accept},
        handle::Handle,
        messages::Messages,
        operation::Operation,
        operation_error::{AcceptError, OperationError},
        payloads::{ReportedState, Telemetry},
        shared::Shared,
        state::State,
    },
    gateway::DeviceState,
    id::DeviceId,
    mqtt::QoS,
    time::Instant,
    token::Token,
    unsent::Unsent,
};

/// A device that the gateway speaks for, or the gateway itself. Cheap to clone; all clones are one device.
///
/// Its futures are `Send` and cancel safe: a future that is dropped has either been accepted, and continues without its
/// caller, or has changed nothing. Dropping the handle does not detach the device; commands that arrive for it
/// afterwards are acknowledged and dropped, its newest config is kept for a later handle.
///
/// ```
/// # mod bridge { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/doctests/bridge.rs")); }
/// # use iotcore_gateway::{*, device::DeviceState, driver::*, message::Subscription};
/// # bridge::on_bridge(async |client, world| {
/// let boiler = client.attach("boiler-7".parse::<DeviceId>()?).await?;
/// assert_eq!(boiler.status(), Some(DeviceState::Attached));
///
/// let first = boiler.telemetry("71").await?; // accepted
/// let second = boiler.telemetry(Telemetry::new("too hot").subfolder("alarms".parse()?)).await?;
/// boiler.report_state(r#"{"valve":"open"}"#).await?;
/// first.await?; // acknowledged
/// second.await?;
///
/// boiler.unsubscribe(Subscription::Commands).await?;
/// boiler.detach().await?;
/// assert_eq!(boiler.status(), None);
/// # assert_eq!(world.arrived("/devices/boiler-7/events/alarms"), ["too hot"]);
/// # Ok(())
/// # });
/// ```
#[derive(Clone)]
pub struct Device {
    handle: Arc<Handle>,
}

impl Device {
    /// Wraps a handle that [`State`] has counted.
    pub(crate) fn new(shared: Arc<Shared>, key: DeviceKey, id: DeviceId) -> Self {
        Self {
            handle: Arc::new(Handle::new(shared, key, id)),
        }
    }

    /// Returns its id.
    pub fn id(&self) -> &DeviceId {
        self.handle.id()
    }

    /// Returns its state on the bridge, or `None` once it is detached.
    pub fn status(&self) -> Option<DeviceState> {
        let key = self.handle.key();
        self.handle
            .shared()
            .lock(|state| state.gateway().device_state(key))
    }

    /// Sends a telemetry event. Completes once the gateway has **accepted** it, which waits only while its queues are
    /// full; the [`Delivery`] completes once the bridge has acknowledged it. A task that awaits only the acceptance
    /// therefore fills the whole window.
    ///
    /// # Errors
    ///
    /// [`AcceptError`] returns the payload: too large, detached, refused, closed, or the driver was dropped.
    pub fn telemetry(&self, event: impl Into<Telemetry>) -> Accepting {
        let publication = event.into().into_publication(self.handle.key());
        Accepting::new(Arc::clone(&self.handle), publication)
    }

    /// Sends a telemetry event as [`telemetry`](Self::telemetry) does, but without waiting for room.
    ///
    /// # Errors
    ///
    /// As for [`telemetry`](Self::telemetry), and
    /// [`PublishErrorKind::Blocked`](crate::command_error::PublishErrorKind::Blocked) while the queues are full.
    pub fn try_telemetry(&self, event: impl Into<Telemetry>) -> Result<Delivery, AcceptError> {
        try_accept(
            &self.handle,
            event.into().into_publication(self.handle.key()),
        )
    }

    /// Reports the device's state, accepted and acknowledged as by [`telemetry`](Self::telemetry). A report that still
    /// waits in the queue is replaced, and ends with [`Failure::Superseded`](crate::Failure::Superseded).
    ///
    /// # Errors
    ///
    /// As for [`telemetry`](Self::telemetry).
    pub fn report_state(&self, state: impl Into<ReportedState>) -> Accepting {
        let publication = state.into().into_publication(self.handle.key());
        Accepting::new(Arc::clone(&self.handle), publication)
    }

    /// Reports the device's state as [`report_state`](Self::report_state) does, but without waiting for room.
    ///
    /// # Errors
    ///
    /// As for [`try_telemetry`](Self::try_telemetry).
    pub fn try_report_state(
        &self,
        state: impl Into<ReportedState>,
    ) -> Result<Delivery, AcceptError> {
        try_accept(
            &self.handle,
            state.into().into_publication(self.handle.key()),
        )
    }

    /// Sends again what was left unsent, telemetry or a state, by this gateway or one of an earlier run, with its priority, its
    /// tag, and the time that it had left until it expires. Accepted and acknowledged as by [`telemetry`](Self::telemetry).
    /// The device that it names is not looked at: [`Client::device`](crate::driver::Client::device) returns its handle.
    ///
    /// # Errors
    ///
    /// As for [`telemetry`](Self::telemetry).
    pub fn send_again(&self, unsent: Unsent) -> Accepting {
        let publication = unsent.into_publication(self.handle.key());
        Accepting::new(Arc::clone(&self.handle), publication)
    }

    /// Returns the stream of its configs and commands, beginning with those that already wait.
    pub fn messages(&self) -> Messages {
        Messages::new(Arc::clone(&self.handle))
    }

    /// Subscribes to its configs or commands, now and on every later connection. Accepted immediately; completes once
    /// the bridge has granted it.
    ///
    /// # Errors
    ///
    /// [`OperationError`]: refused for a device that the bridge has refused, or failed. Then the subscription is tried again,
    /// for a device that stays detached with its next attach; after [`Failure::Suspected`](crate::Failure::Suspected) it is
    /// not.
    pub fn subscribe(&self, subscription: Subscription, qos: QoS) -> Operation {
        self.operate(|state, key, now| state.subscribe(key, subscription, qos, now))
    }

    /// Ends a subscription. Accepted immediately; completes once the bridge has confirmed it.
    ///
    /// # Errors
    ///
    /// [`OperationError`].
    pub fn unsubscribe(&self, subscription: Subscription) -> Operation {
        self.operate(|state, key, now| state.unsubscribe(key, subscription, now))
    }

    /// Sets the token of its next attach, which answers [`Status::TokenNeeded`](crate::driver::Status::TokenNeeded). A
    /// device that the bridge had refused is attached with it, and the operation completes with that attach.
    ///
    /// # Errors
    ///
    /// [`OperationError`].
    pub fn authorize(&self, token: Token) -> Operation {
        let unix_now = self.handle.shared().environment().unix_now();
        self.operate(|state, key, now| state.authorize(key, token, unix_now, now))
    }

    /// Detaches the device after the messages that it has sent. Accepted immediately; completes once the bridge has
    /// acknowledged it. Its handles cannot send any more after that.
    ///
    /// # Errors
    ///
    /// [`OperationError`].
    pub fn detach(&self) -> Operation {
        self.operate(|state, key, now| state.detach(key, now))
    }

    /// Hands a command to the gateway.
    fn operate(
        &self,
        command: impl FnOnce(&mut State, DeviceKey, Instant) -> Result<OpId, OperationError>,
    ) -> Operation {
        let (shared, key) = (self.handle.shared(), self.handle.key());
        let op = shared.with(|state, now| command(state, key, now));
        Operation::new(shared, op)
    }
}

impl fmt::Debug for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Device").field(self.id()).finish()
    }
}
