//! The gateway and its commands. This file only delegates; each rule of the bridge has its own file below.
//!
//! | state | module |
//! |---|---|
//! | of one connection | `online` |
//! | that outlives connections | `session`, with the data of `devices` and `outbox` |
//! | of the connection lifecycle | `lifecycle` |

mod admission;
mod advance;
mod attachment;
mod back_pressure;
mod control;
mod deadlines;
mod detachment;
mod devices;
mod diagnosis;
mod events;
mod fingerprint;
mod getters;
mod inbox;
mod incoming;
mod inputs;
mod lifecycle;
mod online;
mod outbox;
mod outputs;
mod publications;
mod reports;
mod send;
mod session;
#[cfg(feature = "store")]
mod store;
mod strikes;
mod subscriptions;
mod suspects;
mod trials;

pub use self::devices::{DeviceInfo, DeviceState, LastFailure};
use self::{devices::SubscriptionKey, lifecycle::Lifecycle, session::Session};
#[cfg(doc)]
use crate::event::Event;
use crate::{
    command::{DeliveryId, DeviceAuth, DeviceKey, OpId, Publication, Subscription},
    error::{CommandError, PublishError, PublishErrorKind},
    id::{ClientId, DeviceId},
    mqtt::QoS,
    options::{Options, OptionsError},
    time::{Instant, UnixTime},
    token::Token,
};

/// One gateway on the bridge, for itself and up to 1,000 devices: a state machine without I/O.
///
/// Its methods come in four families. **Inputs** (`handle_*`) record what the transport and the clock report; they
/// never fail and may be called in any order. **Commands** record what the user wants and return at once: either a
/// typed error, or an [`OpId`] that ends in exactly one [`Event::Done`] or [`Event::Failed`]. **Outputs** (`poll_*`,
/// `wants_*`) return what to do next and do not change the protocol state. **Getters** return the current state. Every
/// input and command takes the current instant; an instant earlier than a previous one is replaced by the latest.
/// [`apply`](Self::apply) takes each of them as plain data.
///
/// See the [crate documentation](crate) for a run loop.
#[derive(Debug)]
pub struct Gateway {
    lifecycle: Lifecycle,
    session: Session,
}

impl Gateway {
    /// Creates a gateway that has not been opened yet. `seed` and the client id seed the jitter of the delays: gateways
    /// with one seed still wait differently, and with the same seed and client id, a session can be replayed.
    ///
    /// # Errors
    ///
    /// [`OptionsError`] names the invalid option and its limit.
    pub fn new(client_id: ClientId, options: Options, seed: u64) -> Result<Self, OptionsError> {
        options.check()?;
        Ok(Self {
            lifecycle: Lifecycle::new(),
            session: Session::new(client_id, options, seed),
        })
    }
}

/// Commands: what the user wants.
///
/// ```
/// # use std::time::{Duration, Instant};
/// # use iotcore_gateway::{*, auth::UnixTime, message::{QoS, Subscription}};
/// # let id = ClientId::new("plant".try_into()?, "us-central1".try_into()?, "sensors".try_into()?, "gateway-1".try_into()?);
/// # let (now, unix_now) = (Instant::now(), UnixTime::from_secs(1_795_374_000));
/// let mut gateway = Gateway::new(id, Options::default(), 42)?;
/// gateway.open(now)?;
///
/// // All of these are legal at any time. What needs a connection, or the attach of the device, waits for it.
/// let (boiler, _) = gateway.attach("boiler-7".try_into()?, DeviceAuth::ByAssociation, unix_now, now)?;
/// gateway.subscribe(boiler, Subscription::Config, QoS::AtLeastOnce, now)?;
/// let reading = gateway.publish(Publication::telemetry(boiler, "71"), now)?;
///
/// gateway.cancel(reading, now)?;
/// let Some(Event::Failed { op, failure, .. }) = gateway.poll_event() else { panic!() };
/// assert_eq!((op, failure), (reading, Failure::Cancelled));
///
/// let error = gateway.attach("gateway-1".try_into()?, DeviceAuth::ByAssociation, unix_now, now).unwrap_err();
/// assert_eq!(error.to_string(), "`gateway-1` is the gateway itself, which needs no attach or detach");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
impl Gateway {
    /// Connects, and stays connected until [`close`](Self::close). Ends in [`Outcome::Opened`](crate::Outcome::Opened)
    /// with the first accepted connection. Returns the same operation if called again before that.
    ///
    /// # Errors
    ///
    /// [`CommandError::Closed`]: a closed gateway cannot be opened again.
    pub fn open(&mut self, now: Instant) -> Result<OpId, CommandError> {
        let now = self.observe_time(now);
        let op = self.want_open()?;
        self.flush(now);
        Ok(op)
    }

    /// Attaches a device, now and on every later connection. `auth` replaces how the device proved itself so far. You
    /// can subscribe and publish for the device at once: both wait for the PUBACK of the attach. For a device that is
    /// already attached, the operation is done at once; a device that the bridge has refused is tried again. Returns
    /// the same operation if called again while the attach is pending.
    ///
    /// A [renewable](DeviceAuth::Renewable) device gets [`Event::TokenNeeded`] before its attach if no token is surely
    /// good, and once if the bridge refuses it; a second refusal is final, until it was attached or this is called. While
    /// a device waits for a token, the event is repeated on each connection.
    ///
    /// `unix_now` is as for [`handle_connected`](Self::handle_connected).
    ///
    /// # Errors
    ///
    /// [`CommandError`]: the device is the gateway itself or is being detached, there are too many devices, the token
    /// has expired, or the gateway is closed.
    pub fn attach(
        &mut self,
        device: DeviceId,
        auth: DeviceAuth,
        unix_now: UnixTime,
        now: Instant,
    ) -> Result<(DeviceKey, OpId), CommandError> {
        let now = self.observe_time(now);
        self.session.clock.observe_date(unix_now);
        self.lifecycle.check_not_closing()?;
        let online = self.lifecycle.online_mut();
        let attached = self.session.want_attached(online, device, auth)?;
        self.flush(now);
        Ok(attached)
    }

    /// Detaches a device once its publications are acknowledged, or after `drain_timeout`, also without a connection. Its
    /// key is valid until the operation ends.
    ///
    /// # Errors
    ///
    /// [`CommandError`]: the device is unknown or is the gateway itself, or the gateway is closed.
    pub fn detach(&mut self, device: DeviceKey, now: Instant) -> Result<OpId, CommandError> {
        let now = self.observe_time(now);
        self.lifecycle.check_not_closing()?;
        let slot = self.session.resolve(device)?;
        let online = self.lifecycle.online_mut();
        let op = self.session.want_detached(online, slot, now)?;
        self.flush(now);
        Ok(op)
    }

    /// Records a device's new token for its next attach, in response to [`Event::TokenNeeded`]. A device that the
    /// bridge has refused is attached again with it, and the operation ends with that attach; in all other cases it
    /// ends in [`Outcome::Authorized`](crate::Outcome::Authorized) at once.
    ///
    /// `unix_now` is as for [`handle_connected`](Self::handle_connected).
    ///
    /// # Errors
    ///
    /// [`CommandError`]: the device is unknown, is the gateway itself or is being detached, the token has expired, or
    /// the gateway is closed.
    pub fn authorize(
        &mut self,
        device: DeviceKey,
        token: Token,
        unix_now: UnixTime,
        now: Instant,
    ) -> Result<OpId, CommandError> {
        let now = self.observe_time(now);
        self.session.clock.observe_date(unix_now);
        self.lifecycle.check_not_closing()?;
        let slot = self.session.resolve_staying(device)?;
        let online = self.lifecycle.online_mut();
        let op = self.session.authorize(online, slot, token)?;
        self.flush(now);
        Ok(op)
    }

    /// Accepts a message to the cloud. Keeps it until the bridge has acknowledged it (QoS 1) or it was handed over to
    /// the transport (QoS 0), across reconnects. A state replaces an older state that is still waiting.
    ///
    /// # Errors
    ///
    /// [`PublishError`] returns the publication; nothing was sent.
    pub fn publish(
        &mut self,
        publication: Publication,
        now: Instant,
    ) -> Result<OpId, PublishError> {
        let now = self.observe_time(now);
        let admitted = match self.lifecycle.is_closing() {
            true => Err(PublishErrorKind::Closed),
            false => self.session.admit(&publication),
        };
        if let Err(kind) = admitted {
            return Err(PublishError { kind, publication });
        }
        let online = self.lifecycle.online_mut();
        let op = self.session.accept(online, publication, now);
        self.flush(now);
        Ok(op)
    }

    /// Ends a publication that waits or is in flight: it ends with [`Failure::Cancelled`](crate::Failure::Cancelled), and is
    /// not sent, nor sent again. If it is in flight it may have arrived, and its packet identifier is not used again before
    /// it was acknowledged. The first cancel of many publications that wait takes time in proportion to their number.
    ///
    /// # Errors
    ///
    /// [`CommandError::NotCancellable`]: the operation has ended, or is another command.
    pub fn cancel(&mut self, op: OpId, now: Instant) -> Result<(), CommandError> {
        let now = self.observe_time(now);
        let online = self.lifecycle.online_mut();
        if !self.session.cancel(online, op) {
            return Err(CommandError::NotCancellable(op));
        }
        self.flush(now);
        Ok(())
    }

    /// Subscribes a device to its configs or commands, now and on every later connection, at QoS 0 or 1.
    ///
    /// # Errors
    ///
    /// [`CommandError`]: the device is unknown, refused or being detached, or the gateway is closed.
    pub fn subscribe(
        &mut self,
        device: DeviceKey,
        subscription: Subscription,
        qos: QoS,
        now: Instant,
    ) -> Result<OpId, CommandError> {
        self.change_subscription(device, subscription, Some(qos), now)
    }

    /// Ends a subscription.
    ///
    /// # Errors
    ///
    /// [`CommandError`]: the device is unknown or is being detached, or the gateway is closed.
    pub fn unsubscribe(
        &mut self,
        device: DeviceKey,
        subscription: Subscription,
        now: Instant,
    ) -> Result<OpId, CommandError> {
        self.change_subscription(device, subscription, None, now)
    }

    /// Acknowledges a config or command, if the options leave that to the user. An acknowledgement out of order is held
    /// back until the earlier ones are made [MQTT-4.6.0-2]; one that came too late subscribes to the config again
    /// ([`Event::AcknowledgementsOverdue`]). A repeated one, or one for an earlier connection, shows only that the user
    /// heeds the device.
    pub fn acknowledge(&mut self, delivery: DeliveryId, now: Instant) {
        let now = self.observe_time(now);
        let online = self.lifecycle.online_mut();
        self.session.acknowledge(online, delivery, now);
        self.flush(now);
    }

    /// Keeps a config or command for later, if the options leave its acknowledgement to the user: from now on it holds up
    /// nobody. A command is acknowledged. A config is not, because that would confirm to the cloud that the device has it: if
    /// it is the newest, it can be acknowledged later, as after [`Event::AcknowledgementsOverdue`]. Has no effect on one
    /// that was acknowledged or released, or came on an earlier connection.
    pub fn postpone(&mut self, delivery: DeliveryId, now: Instant) {
        let now = self.observe_time(now);
        if let Some(online) = self.lifecycle.online_mut() {
            online.owed.postpone(delivery.number, now);
        }
        self.flush(now);
    }

    /// Starts a new measurement of [`Stats::worst_latency`](crate::Stats::worst_latency).
    pub fn reset_worst_latency(&mut self) {
        self.session.latency.worst = None;
        if let Some(online) = self.lifecycle.online_mut() {
            online.link.reset_worst_round_trip();
        }
    }

    /// Closes the gateway permanently: sends what can be sent within `drain_timeout`, disconnects, and ends every
    /// operation. Returns the same operation if called again, even after the gateway is closed.
    pub fn close(&mut self, now: Instant) -> OpId {
        let now = self.observe_time(now);
        let op = self.want_closed(now);
        self.flush(now);
        op
    }

    fn change_subscription(
        &mut self,
        device: DeviceKey,
        subscription: Subscription,
        qos: Option<QoS>,
        now: Instant,
    ) -> Result<OpId, CommandError> {
        let now = self.observe_time(now);
        self.lifecycle.check_not_closing()?;
        let key = SubscriptionKey {
            device: self.session.resolve_subscriber(device, qos)?,
            feed: subscription.into(),
        };
        let online = self.lifecycle.online_mut();
        let op = self.session.want_subscription(online, key, qos);
        self.flush(now);
        Ok(op)
    }
}
