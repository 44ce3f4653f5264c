//! The handle of the gateway.

use core::fmt;
use std::sync::Arc;

use crate::{
    command::OpId,
    driver::{
        attaching::Attaching, closed::Closed, closing::Closing, completion::Completion,
        device::Device, error::OperationError, payloads::Attach, shared::Shared,
        status_changes::StatusChanges,
    },
    gateway::DeviceInfo,
    id::DeviceId,
    stats::Stats,
    unsent::Unsent,
};

/// The gateway's handle: attaches devices, reports the gateway's status, and closes it. Cheap to clone.
///
/// Its futures are `Send` and cancel safe: a future that is dropped has either been accepted, and continues without its
/// caller, or has changed nothing. When the last `Client`, [`Device`] and [`Attaching`] are dropped, the gateway closes as
/// if [`close`](Self::close) had been called.
#[derive(Clone)]
pub struct Client {
    shared: Arc<Shared>,
    own: Device,
}

impl Client {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        let (key, id) = shared.lock(|state| state.add_own_handle());
        let own = Device::new(Arc::clone(&shared), key, id);
        Self { shared, own }
    }

    /// Waits until the bridge has accepted a connection. Returns immediately while one is open.
    ///
    /// # Errors
    ///
    /// [`OperationError`]: the gateway gave up or was closed, or the driver was dropped.
    pub async fn connected(&self) -> Result<(), OperationError> {
        let op = self.shared.with(|state, now| state.open(now))?;
        Completion::new(Arc::clone(&self.shared), op).await?;
        Ok(())
    }

    /// Attaches a device, now and on every later connection, and subscribes it. Completes once the bridge has
    /// acknowledged all of it.
    ///
    /// Attaching a device that is already attached returns another handle of it.
    ///
    /// # Errors
    ///
    /// [`AttachError`](crate::driver::AttachError): no token, refused, not answered in time (then the gateway goes on trying),
    /// the bridge closed the connection at each attempt, or the gateway is closing or was closed, or the driver was dropped.
    pub fn attach(&self, attach: impl Into<Attach>) -> Attaching {
        Attaching::new(Arc::clone(&self.shared), self.own.clone(), attach.into())
    }

    /// Returns the gateway itself as a device: it has its own telemetry, state, config and commands, and needs no
    /// attach.
    pub fn gateway(&self) -> Device {
        self.own.clone()
    }

    /// Returns the device with this id, if the gateway has it: attached, or to be attached. The gateway itself is one.
    pub fn device(&self, id: &DeviceId) -> Option<Device> {
        let key = self.shared.lock(|state| state.add_handle_of(id))?;
        Some(Device::new(Arc::clone(&self.shared), key, id.clone()))
    }

    /// Returns a look at every device that the gateway has, attached or to be attached, all at one instant; the gateway
    /// itself is among them. [`device`](Self::device) returns the handle of one.
    pub fn devices(&self) -> Vec<DeviceInfo> {
        self.shared
            .lock(|state| state.gateway().devices().collect())
    }

    /// Cancels a message that was accepted and has not ended: it is not sent, nor sent again, and its
    /// [`Delivery`](crate::driver::Delivery) returns it with [`Failure::Cancelled`](crate::Failure::Cancelled). If it was in
    /// flight, it may have arrived. [`Delivery::cancel`](crate::driver::Delivery::cancel) does the same.
    ///
    /// # Errors
    ///
    /// [`OperationError`]: the operation has ended, or is no message
    /// ([`CommandError::NotCancellable`](crate::CommandError::NotCancellable)), or the driver was dropped.
    pub fn cancel(&self, op: OpId) -> Result<(), OperationError> {
        self.shared.with(|state, now| state.cancel(op, now))
    }

    /// Returns the changes of the connection and of devices from now on. Call it before the driver runs to miss none.
    pub fn status(&self) -> StatusChanges {
        StatusChanges::new(Arc::clone(&self.shared))
    }

    /// Returns whether the connection is open: accepted by the bridge, and not ended.
    pub fn is_connected(&self) -> bool {
        self.shared.lock(|state| state.gateway().is_open())
    }

    /// Returns the gateway's counters. [`Stats::worst_latency`] is the worst since the last call of this method, on any
    /// clone of the client: let one task read it, and others call [`peek_stats`](Self::peek_stats).
    pub fn stats(&self) -> Stats {
        self.shared.with(|state, now| state.take_stats(now))
    }

    /// Returns the gateway's counters, and begins no new measurement of [`Stats::worst_latency`], which is the worst since
    /// the last call of [`stats`](Self::stats), or at all.
    pub fn peek_stats(&self) -> Stats {
        self.shared.lock(|state| state.gateway().stats())
    }

    /// Returns every message that is accepted and not acknowledged, in the order of acceptance. Store these to keep
    /// them across a restart of the process.
    pub fn unsent(&self) -> Vec<Unsent> {
        self.shared.lock(|state| state.gateway().unsent().collect())
    }

    /// Closes the gateway for good: sends accepted messages for at most `drain_timeout`, then disconnects. Completes
    /// after that and returns the messages left unsent. Every other future has completed by then. If the driver was never
    /// polled, nothing is sent, and it completes all the same; one that was polled has to be polled on, or dropped.
    pub async fn close(&self) -> Closed {
        self.shared.with(|state, now| state.close(now));
        Closing::new(Arc::clone(&self.shared)).await
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Client").field(self.own.id()).finish()
    }
}
