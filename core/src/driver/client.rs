//! The handle of the gateway.

use core::fmt;
use std::sync::Arc;

#[cfg(feature = "store")]
use crate::driver::{delivery::Delivery, state::State};
use crate::{
    command::OpId,
    driver::{
        attaching::Attaching, closed::Closed, closing::Closing, completion::Completion,
        device::Device, operation_error::OperationError, payloads::Attach, shared::Shared,
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
///
/// ```
/// # mod bridge { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/doctests/bridge.rs")); }
/// # use iotcore_gateway::{*, driver::*};
/// # bridge::on_bridge(async |client, world| {
/// client.connected().await?; // accepted by the bridge; the first attempt that fails is in the status
/// client.gateway().report_state("running").await?.await?; // the gateway is a device itself
///
/// let boiler = client.attach("boiler-7".parse::<DeviceId>()?).await?;
/// boiler.telemetry("71").await?.await?;
/// for device in client.devices() {
///     println!("{}: {:?}, {} queued", device.id, device.state, device.queued);
/// }
/// println!("acknowledged within {:?}", client.stats().latency);
/// # assert_eq!(world.arrived("/devices/gateway-1/state"), ["running"]);
///
/// let closed = client.close().await;
/// assert!(closed.unsent.is_empty());
/// # Ok(())
/// # });
/// ```
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

    /// Waits until the bridge has accepted a connection, however many attempts fail before; [`status`](Self::status)
    /// reports each of them. Returns immediately while a connection is open.
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
    /// acknowledged all of it, and waits through lost connections and reconnects until then.
    ///
    /// Attaching a device that is already attached returns another handle of it.
    ///
    /// # Errors
    ///
    /// An error ends the wait, and not always the attach:
    ///
    /// | [`AttachError`](crate::driver::error::AttachError) | the device afterwards |
    /// |---|---|
    /// | `NotConnected`: the bridge has not answered anything yet but CONNECT, and an attempt to connect has failed, or a connection has ended | will be attached as soon as there is a connection; the gateway keeps trying |
    /// | `Attach`, [`Failure::TimedOut`](crate::Failure::TimedOut): the bridge did not answer in `attach_timeout` | is asked for again with backoff, and may be attached seconds later |
    /// | `Subscribe`, `Failure::TimedOut` or `SubscriptionRefused` | is attached, and the subscription is tried again with backoff |
    /// | `Attach`, [`Failure::Reported`](crate::Failure::Reported): refused; or [`Failure::Suspected`](crate::Failure::Suspected): the bridge closed the connection at each attempt | is not attached until it is attached or authorized again |
    /// | `Token`, or `Attach` without a device: nothing was sent | is not known to the gateway |
    /// | `Attach`, [`Failure::Closed`](crate::Failure::Closed) or `GaveUp`: the gateway ended | – |
    ///
    /// Where the gateway still has the device, [`AttachError::into_device`](crate::driver::error::AttachError::into_device) returns it:
    /// what it sends waits in its queue until it is attached. [`Status`](crate::driver::Status) reports that, as it reports
    /// every attempt to connect. [`Attach::keep_waiting`] lets the wait outlast attempts that fail before the first
    /// connection.
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
    /// ([`CommandError::NotCancellable`](crate::command_error::CommandError::NotCancellable)), or the driver was dropped.
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

    /// Returns every message that is accepted and not acknowledged, in the order of acceptance. To keep them across a restart
    /// of the process, write those to a file that are not in a store ([`Unsent::is_stored`]).
    pub fn unsent(&self) -> Vec<Unsent> {
        self.shared.lock(|state| state.gateway().unsent().collect())
    }

    /// Returns every message that was found in the store at the start and has not ended, in the order of acceptance, each with
    /// its [`Delivery`], which returns how it ends. Call it before the driver runs to miss none. What has expired meanwhile is
    /// among them, and fails once the driver runs.
    #[cfg(feature = "store")]
    pub fn restored(&self) -> Vec<(Unsent, Delivery)> {
        let restored = self.shared.lock(State::wait_for_restored).into_iter();
        let delivery = |unsent: &Unsent| Delivery::new(&self.shared, unsent.op, unsent.qos);
        restored
            .map(|unsent| {
                let delivery = delivery(&unsent);
                (unsent, delivery)
            })
            .collect()
    }

    /// Closes the gateway for good: sends accepted messages for at most [`drain_timeout`](crate::Options::drain_timeout), then
    /// disconnects, and returns the messages left unsent. Every other future has completed by then.
    ///
    /// Without a connection this takes all of `drain_timeout`, **10 s** by default, if anything is unsent: the network may come
    /// back. With a `drain_timeout` of zero it returns at once. Dropping the [`Driver`](crate::driver::Driver) ends the wait
    /// too, and what was unsent is returned.
    ///
    /// If the driver was never polled, nothing is sent, and it completes all the same; one that was polled has to be polled
    /// on, or dropped.
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
