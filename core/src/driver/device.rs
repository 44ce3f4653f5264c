//! A device's handle: what it sends, what it receives, and its end.

use core::fmt;
use std::sync::Arc;

use crate::{
    command::{DeviceKey, OpId, Publication, Subscription},
    driver::{
        AcceptError, Accepting, Delivery, Messages, Operation, ReportedState, Telemetry,
        delivery::try_accept,
        shared::{Shared, State},
    },
    error::CommandError,
    gateway::DeviceState,
    id::DeviceId,
    mqtt::QoS,
    time::Instant,
    token::Token,
};

/// A device that the gateway speaks for, or the gateway itself. Cheap to clone; all clones are one device.
///
/// Its futures are `Send` and cancel safe: one that is dropped has either been accepted, and goes on without its caller,
/// or has not and changes nothing. Dropping the handle detaches nothing; messages that come for it afterwards are
/// acknowledged and dropped.
#[derive(Clone)]
pub struct Device {
    handle: Arc<Handle>,
}

/// Counts as one that can take the device's messages and give commands.
pub(crate) struct Handle {
    pub(crate) shared: Arc<Shared>,
    pub(crate) key: DeviceKey,
    pub(crate) id: DeviceId,
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.shared
            .with(|state, now| state.remove_handle(self.key, now));
    }
}

impl Device {
    /// `key` was counted by [`add_handle`](State::add_handle).
    pub(crate) fn new(shared: Arc<Shared>, key: DeviceKey, id: DeviceId) -> Self {
        let handle = Handle { shared, key, id };
        Self {
            handle: Arc::new(handle),
        }
    }

    /// Its id.
    pub fn id(&self) -> &DeviceId {
        &self.handle.id
    }

    /// How it stands with the bridge; `None` once it was detached.
    pub fn standing(&self) -> Option<DeviceState> {
        let Handle { shared, key, .. } = &*self.handle;
        shared.lock(|state| state.gateway.device_state(*key))
    }

    /// Sends a telemetry event. Ends once the gateway has **accepted** it, which waits only while its queues are full; the
    /// [`Delivery`] ends once the bridge has acknowledged it. So one task that awaits only the acceptance fills the whole
    /// window.
    ///
    /// # Errors
    ///
    /// [`AcceptError`] hands the payload back: too large, detached, refused, closed, or the driver was dropped.
    pub fn telemetry(&self, event: impl Into<Telemetry>) -> Accepting {
        let publication = event.into().publication(self.handle.key);
        Accepting::new(Arc::clone(&self.handle), publication)
    }

    /// [`telemetry`](Self::telemetry) that does not wait.
    ///
    /// # Errors
    ///
    /// Its errors, and [`PublishError::Blocked`](crate::PublishError::Blocked) while the queues are full.
    pub fn try_telemetry(&self, event: impl Into<Telemetry>) -> Result<Delivery, AcceptError> {
        try_accept(&self.handle, event.into().publication(self.handle.key))
    }

    /// Reports the device's state, as [`telemetry`](Self::telemetry) does an event. One that still waits is replaced, and
    /// ends with [`Failure::Superseded`](crate::Failure::Superseded).
    ///
    /// # Errors
    ///
    /// As for [`telemetry`](Self::telemetry).
    pub fn state(&self, state: impl Into<ReportedState>) -> Accepting {
        let publication = state.into().publication(self.handle.key);
        Accepting::new(Arc::clone(&self.handle), publication)
    }

    /// [`state`](Self::state) that does not wait.
    ///
    /// # Errors
    ///
    /// As for [`try_telemetry`](Self::try_telemetry).
    pub fn try_state(&self, state: impl Into<ReportedState>) -> Result<Delivery, AcceptError> {
        try_accept(&self.handle, state.into().publication(self.handle.key))
    }

    /// The configs and commands that it is subscribed to, from those that wait already on.
    pub fn messages(&self) -> Messages {
        Messages::new(Arc::clone(&self.handle))
    }

    /// Subscribes to its configs or commands, now and on every later connection. Accepted at once; ends once the bridge
    /// has granted it.
    ///
    /// # Errors
    ///
    /// [`OperationError`](crate::driver::OperationError); after `Failed` it stays wanted and is tried again.
    pub fn subscribe(&self, subscription: Subscription, qos: QoS) -> Operation {
        self.operate(|state, key, now| state.gateway.subscribe(key, subscription, qos, now))
    }

    /// Ends a subscription. Accepted at once; ends once the bridge has confirmed it.
    ///
    /// # Errors
    ///
    /// [`OperationError`](crate::driver::OperationError).
    pub fn unsubscribe(&self, subscription: Subscription) -> Operation {
        self.operate(|state, key, now| state.gateway.unsubscribe(key, subscription, now))
    }

    /// Gives its new token, for its next attach: what [`Status::TokenNeeded`](crate::driver::Status::TokenNeeded) asks
    /// for. A device that the bridge had refused is attached with it, and this ends with that.
    ///
    /// # Errors
    ///
    /// [`OperationError`](crate::driver::OperationError).
    pub fn authorize(&self, token: Token) -> Operation {
        self.operate(|state, key, now| state.gateway.authorize(key, token, now))
    }

    /// Detaches it, behind the messages that it has sent. Accepted at once; ends once the bridge has acknowledged it. Its
    /// handles are of no use afterwards.
    ///
    /// # Errors
    ///
    /// [`OperationError`](crate::driver::OperationError).
    pub fn detach(&self) -> Operation {
        self.operate(|state, key, now| {
            let op = state.gateway.detach(key, now)?;
            state.detaches.insert(op, key);
            Ok(op)
        })
    }

    /// Gives a command to the gateway.
    fn operate(
        &self,
        command: impl FnOnce(&mut State, DeviceKey, Instant) -> Result<OpId, CommandError>,
    ) -> Operation {
        let Handle { shared, key, .. } = &*self.handle;
        let op = shared.with(|state, now| {
            state.check_running()?;
            let op = command(state, *key, now)?;
            Ok(state.accepted(op))
        });
        Operation::new(shared, op)
    }
}

impl State {
    /// An operation was accepted that its caller waits for.
    pub(crate) fn accepted(&mut self, op: OpId) -> OpId {
        self.wait_for(op);
        self.wake_driver();
        op
    }
}

impl fmt::Debug for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Device").field(&self.handle.id).finish()
    }
}

impl fmt::Debug for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Handle").field(&self.id).finish()
    }
}

impl Telemetry {
    fn publication(self, device: DeviceKey) -> Publication {
        let publication = Publication::telemetry(device, self.payload).qos(self.qos);
        match self.subfolder {
            Some(subfolder) => publication.subfolder(subfolder),
            None => publication,
        }
    }
}

impl ReportedState {
    fn publication(self, device: DeviceKey) -> Publication {
        Publication::state(device, self.payload).qos(self.qos)
    }
}
