//! The handle of the gateway as a whole.

use core::fmt;
use std::sync::Arc;

use crate::{
    driver::{
        Attach, Attaching, Device, OperationError, StatusChanges,
        delivery::{Closing, Completion},
        shared::Shared,
    },
    gateway::Unsent,
    stats::Stats,
};

/// The gateway's handle: attaches devices, tells how things stand, and closes. Cheap to clone.
///
/// Its futures are `Send` and cancel safe: one that is dropped has either been accepted, and goes on without its caller,
/// or has not and changes nothing. When the last `Client` and the last [`Device`] are dropped, the gateway closes as if
/// [`close`](Self::close) had been called.
#[derive(Clone)]
pub struct Client {
    shared: Arc<Shared>,
    own: Device,
}

/// How a gateway ended.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Closed {
    /// Why.
    pub cause: CloseCause,
    /// Messages that had been accepted and were not acknowledged, in the order of acceptance: send them again with the
    /// next gateway.
    pub unsent: Vec<Unsent>,
}

/// Why a gateway ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CloseCause {
    /// [`Client::close`] was called, or every handle dropped.
    Requested,
    /// It could not connect, as often as its options allow; the last
    /// [`Status::Disconnected`](crate::driver::Status::Disconnected) tells why.
    GaveUp,
    /// The driver was dropped.
    DriverStopped,
}

impl Client {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        let (key, id) = shared.lock(|state| {
            let key = state.gateway.own_key();
            let id = state.gateway.client_id().gateway().clone();
            state.add_handle(key, &id);
            (key, id)
        });
        let own = Device::new(Arc::clone(&shared), key, id);
        Self { shared, own }
    }

    /// Waits until the bridge has accepted a connection; at once while one is open.
    ///
    /// # Errors
    ///
    /// [`OperationError`]: it gave up, was closed, or the driver was dropped.
    pub async fn connected(&self) -> Result<(), OperationError> {
        let op = self.shared.with(|state, now| {
            state.check_running()?;
            let op = state.gateway.open(now)?;
            Ok::<_, OperationError>(state.accepted(op))
        })?;
        Completion::new(Arc::clone(&self.shared), op).await?;
        Ok(())
    }

    /// Attaches a device, now and on every later connection, and makes its subscriptions. Ends once the bridge has
    /// acknowledged all of it.
    ///
    /// A device that is attached already gets another handle.
    ///
    /// # Errors
    ///
    /// [`AttachError`](crate::driver::AttachError): no token, refused, or not answered in time.
    pub fn attach(&self, attach: impl Into<Attach>) -> Attaching {
        Attaching::new(Arc::clone(&self.shared), attach.into())
    }

    /// The gateway itself, which is a device too: it has telemetry, state, config and commands of its own, and needs no
    /// attach.
    pub fn gateway(&self) -> Device {
        self.own.clone()
    }

    /// Changes of the connection and of devices, from now on. Subscribe before the driver runs to miss none.
    pub fn status(&self) -> StatusChanges {
        StatusChanges::new(Arc::clone(&self.shared))
    }

    /// Whether the bridge has accepted the connection, and it has not ended.
    pub fn is_connected(&self) -> bool {
        self.shared.lock(|state| state.gateway.is_open())
    }

    /// What the gateway has done and holds.
    pub fn stats(&self) -> Stats {
        self.shared.lock(|state| state.gateway.stats())
    }

    /// Every message that is accepted and not acknowledged, in the order of acceptance: what to keep across a restart of
    /// the process.
    pub fn unsent(&self) -> Vec<Unsent> {
        self.shared.lock(|state| state.gateway.unsent().collect())
    }

    /// Closes for good: what is accepted has `drain_timeout` to be sent, then the gateway disconnects. Ends once it has,
    /// and tells what was left unsent. Every other future has ended by then.
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
