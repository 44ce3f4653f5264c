//! The gateway: inputs, commands and outputs. It delegates; each rule of the bridge has its own file below.
//!
//! | state that | is in |
//! |---|---|
//! | lives and dies with one connection | `online` |
//! | outlives connections | `session`, with the data of `devices` and `outbox` |
//! | says what becomes of connections | `lifecycle` |

mod admission;
mod advance;
mod attachment;
mod control;
mod deadlines;
mod detachment;
mod devices;
mod diagnosis;
mod events;
mod getters;
mod inbox;
mod incoming;
mod lifecycle;
mod online;
mod outbox;
mod publications;
mod reports;
mod send;
mod session;
mod subscriptions;

pub use self::devices::DeviceState;
use self::{
    devices::SubscriptionKey,
    lifecycle::{Lifecycle, State},
    session::Session,
};
use crate::{
    clock::Moment,
    command::{DeliveryId, DeviceKey, OpId, Publication, Subscription},
    error::{CommandError, PublishError, PublishErrorKind},
    event::{DisconnectReason, Event, TransportEnd},
    id::{ClientId, DeviceId},
    mqtt::{Incoming, QoS},
    options::{Options, OptionsError},
    time::{Instant, UnixTime},
    token::Token,
};

/// One gateway on the bridge, for itself and up to 1,000 devices: a state machine without I/O.
///
/// Its methods come in four families. **Inputs** (`handle_*`) record what the transport and the clock report; they never
/// fail and are legal in any order. **Commands** record what the user wants, each answered at once: refused with a typed
/// error, or accepted with an [`OpId`] that ends in exactly one [`Event::Done`] or [`Event::Failed`]. **Outputs**
/// (`poll_*`, `wants_*`) return what is to be done next and change nothing of the protocol. **Getters** return how things
/// stand. Every input and command takes the instant at which it happens; an earlier one than before counts as that one.
/// [`apply`](Self::apply) takes each of them as plain data.
///
/// See the [crate documentation](crate) for a run loop.
#[derive(Debug)]
pub struct Gateway {
    lifecycle: Lifecycle,
    session: Session,
}

impl Gateway {
    /// A gateway that has not been opened yet. `seed` is that of the backoff's jitter: use a different seed for each
    /// gateway, or the same one to replay a session.
    ///
    /// # Errors
    ///
    /// [`OptionsError`] names the option that no gateway can work with, and its limit.
    pub fn new(client_id: ClientId, options: Options, seed: u64) -> Result<Self, OptionsError> {
        options.check()?;
        Ok(Self {
            lifecycle: Lifecycle::new(),
            session: Session::new(client_id, options, seed),
        })
    }
}

/// Inputs: what the transport and the clock report.
impl Gateway {
    /// Records that the transport is up: queues CONNECT with this token. While
    /// [`wants_transport`](Self::wants_transport) is false it transmits nothing and counts as no attempt. A token that has
    /// expired is a failed attempt.
    ///
    /// `unix_now` is what the machine's wall clock shows, for people to read in a [`Refusal`](crate::Refusal): it decides
    /// nothing, and may jump.
    pub fn handle_connected(&mut self, token: Token, unix_now: UnixTime, now: Instant) {
        let now = self.observe_time(now);
        self.session.clock.observe_date(unix_now);
        self.start_connection(token, now);
        self.advance(now);
    }

    /// Records bytes from the peer, in any fragments. Takes all of them, and sends what follows after each packet, so that
    /// fragments make no difference. It runs no timers: read first, then report the time, and an answer that has come is
    /// not taken for silence. A peer that breaks the standard ends the connection, through [`Event::Disconnected`].
    pub fn handle_input(&mut self, mut bytes: &[u8], now: Instant) {
        let now = self.observe_time(now);
        while let State::Online(online) = &mut self.lifecycle.state {
            match online.link.next(&mut bytes, now) {
                Ok(Some(Incoming::ConnAck(return_code))) => self.on_connack(return_code, now),
                Ok(Some(incoming)) => self.session.on_incoming(online, incoming, now),
                Ok(None) => break,
                Err(violation) => {
                    self.end_connection(DisconnectReason::Violation(violation), now);
                }
            }
            self.flush(now);
        }
    }

    /// Records that the first `len` bytes of [`poll_transmit`](Self::poll_transmit) were handed to the transport; more than
    /// there are count as all.
    pub fn handle_transmitted(&mut self, len: usize, now: Instant) {
        let now = self.observe_time(now);
        if let State::Online(online) = &mut self.lifecycle.state {
            online.link.transmitted(len, now);
            self.session.end_handed_over(online);
        }
        self.advance(now);
    }

    /// Records that the time has come that [`poll_timeout`](Self::poll_timeout) named. Report the time that it is, not the
    /// one that was named. Spurious calls change nothing.
    pub fn handle_timeout(&mut self, now: Instant) {
        let now = self.observe_time(now);
        self.advance(now);
    }

    /// Records that the transport is down, or could not be had. Whoever ended it, call this once it is. A dial that failed
    /// while none was wanted counts as no attempt.
    pub fn handle_disconnected(&mut self, end: TransportEnd, now: Instant) {
        let now = self.observe_time(now);
        self.on_transport_end(end, now);
        self.advance(now);
    }
}

/// Commands: what the user wants.
impl Gateway {
    /// Connects, and stays connected until [`close`](Self::close). Ends in [`Outcome::Opened`](crate::Outcome::Opened) with
    /// the first accepted connection. Repeated while that is awaited, it returns the same operation.
    ///
    /// # Errors
    ///
    /// [`CommandError::Closed`]: a gateway is closed for good.
    pub fn open(&mut self, now: Instant) -> Result<OpId, CommandError> {
        let now = self.observe_time(now);
        let op = self.want_open()?;
        self.advance(now);
        Ok(op)
    }

    /// Attaches a device, now and on every later connection, with its token if the gateway authenticates devices by
    /// theirs. Subscribe and publish for it straight away: both wait for the bridge's PUBACK. A device that is attached
    /// is done at once; one that the bridge had refused is tried again. Repeated while the attach is under way, it returns
    /// the same operation.
    ///
    /// `unix_now` is what the machine's wall clock shows, for people to read in a [`Refusal`](crate::Refusal): it decides
    /// nothing.
    ///
    /// # Errors
    ///
    /// [`CommandError`]: the gateway itself, too many devices, an expired token, a device being detached, or closed.
    pub fn attach(
        &mut self,
        device: DeviceId,
        token: Option<Token>,
        unix_now: UnixTime,
        now: Instant,
    ) -> Result<(DeviceKey, OpId), CommandError> {
        let now = self.observe_time(now);
        self.session.clock.observe_date(unix_now);
        self.lifecycle.check_not_closing()?;
        let online = self.lifecycle.online_mut();
        let attached = self.session.want_attached(online, device, token)?;
        self.advance(now);
        Ok(attached)
    }

    /// Detaches a device once its publications are acknowledged, or `drain_timeout` has passed. Its key is valid until the
    /// operation ends.
    ///
    /// # Errors
    ///
    /// [`CommandError`]: no such device, the gateway itself, or closed.
    pub fn detach(&mut self, device: DeviceKey, now: Instant) -> Result<OpId, CommandError> {
        let now = self.observe_time(now);
        self.lifecycle.check_not_closing()?;
        let slot = self.session.resolve(device)?;
        let online = self.lifecycle.online_mut();
        let op = self.session.want_detached(online, slot, now)?;
        self.advance(now);
        Ok(op)
    }

    /// Records a device's new token, for its next attach; answers [`Event::TokenNeeded`]. A device that was refused is
    /// tried again with it, and the operation ends as that attach does; any other ends in
    /// [`Outcome::Authorized`](crate::Outcome::Authorized) at once.
    ///
    /// `unix_now` is as for [`attach`](Self::attach).
    ///
    /// # Errors
    ///
    /// [`CommandError`]: no such device, the gateway itself, an expired token, a device being detached, or closed.
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
        self.advance(now);
        Ok(op)
    }

    /// Accepts a message to the cloud, and keeps it until the bridge has acknowledged it (QoS 1) or the transport has
    /// taken it (QoS 0), over as many connections as that takes. A state replaces one that still waits.
    ///
    /// # Errors
    ///
    /// [`PublishError`] hands the publication back; nothing was sent.
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
        let op = self.session.accept(online, publication);
        self.advance(now);
        Ok(op)
    }

    /// Subscribes a device to its configs or commands, now and on every later connection, at QoS 0 or 1.
    ///
    /// # Errors
    ///
    /// [`CommandError`]: no such device, a device being detached, or closed.
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
    /// [`CommandError`]: no such device, a device being detached, or closed.
    pub fn unsubscribe(
        &mut self,
        device: DeviceKey,
        subscription: Subscription,
        now: Instant,
    ) -> Result<OpId, CommandError> {
        self.change_subscription(device, subscription, None, now)
    }

    /// Acknowledges a config or command, if the options leave that to the user. One given out of order is held until the
    /// earlier ones are given [MQTT-4.6.0-2]; one from an earlier connection, or given twice, changes nothing.
    pub fn acknowledge(&mut self, delivery: DeliveryId, now: Instant) {
        let now = self.observe_time(now);
        if let Some(online) = self.lifecycle.online_mut() {
            online.owed.give(delivery);
        }
        self.advance(now);
    }

    /// Closes for good: sends what can still be sent within `drain_timeout`, disconnects, and ends every operation. A
    /// gateway closes once: repeated, also after its end, this returns the same operation.
    pub fn close(&mut self, now: Instant) -> OpId {
        let now = self.observe_time(now);
        let op = self.want_closed(now);
        self.advance(now);
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
            device: self.session.resolve_staying(device)?,
            subscription,
        };
        let online = self.lifecycle.online_mut();
        let op = self.session.want_subscription(online, key, qos);
        self.advance(now);
        Ok(op)
    }
}

/// Outputs: what is to be done next.
impl Gateway {
    /// The bytes to hand to the transport next; [`handle_transmitted`](Self::handle_transmitted) records how many it took.
    /// They stay here until then. Every input and command can change them.
    pub fn poll_transmit(&self) -> &[u8] {
        let online = self.lifecycle.online();
        online.map_or(&[], |online| online.link.transmit())
    }

    /// The oldest event that was not taken yet.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.session.events.pop_front()
    }

    /// When to call [`handle_timeout`](Self::handle_timeout) next. After that call it is later, or `None`: bytes that wait
    /// are no reason to wake up. Every input and command can change it, and so can taking the events that had stopped
    /// the reading: then it is due at once, to learn since when the peer is read again.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.session.clock.instant(self.next_deadline()?)
    }

    fn next_deadline(&self) -> Option<Moment> {
        let of_connection = match self.lifecycle.online() {
            Some(online) => match self.session.reading_resumed(online) {
                Some(since) => return Some(since),
                None => self.session.next_deadline(online),
            },
            None => None,
        };
        [
            of_connection,
            self.lifecycle.next_deadline(),
            self.session.outbox.paced_until(),
        ]
        .into_iter()
        .flatten()
        .min()
    }

    /// Whether there should be a transport. Level, not edge: dial when it is true and there is none; when it is false
    /// and there is one, hang up and call [`handle_disconnected`](Self::handle_disconnected). No attempt begins while
    /// `max_events` events wait to be taken: each one's end is one more.
    pub fn wants_transport(&self) -> bool {
        self.lifecycle.online().is_some() || self.may_dial()
    }

    /// Whether to read from the transport now. False is back-pressure: events, or acknowledgements that the user or a
    /// slow peer holds back, have reached their bound.
    pub fn wants_input(&self) -> bool {
        match self.lifecycle.online() {
            Some(online) => self.session.wants_input(online),
            None => self.session.has_room_for_events(),
        }
    }
}
