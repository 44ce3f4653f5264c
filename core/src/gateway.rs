//! The gateway: inputs, commands and outputs. It delegates; each rule of the bridge has its own file below.

mod admission;
mod advance;
mod attachment;
mod detachment;
mod devices;
mod diagnosis;
mod getters;
mod inbox;
mod lifecycle;
mod outbox;
mod send;
mod subscriptions;

use std::collections::VecDeque;

pub use self::{devices::DeviceState, outbox::Unsent};
use self::{
    devices::{Devices, Life, OWN},
    inbox::Inbox,
    lifecycle::{Lifecycle, State},
    outbox::Outbox,
    subscriptions::Turn,
};
use crate::{
    backoff::Jitter,
    clock::{Clock, Moment},
    command::{DeliveryId, DeviceKey, OpId, Publication, Subscription},
    error::{CommandError, Failure, PublishError},
    event::{DisconnectReason, Event, TransportEnd},
    id::{ClientId, DeviceId},
    mqtt::{Connection, QoS, TopicName},
    options::{Options, OptionsError},
    stats::Stats,
    time::Instant,
    timers::Timers,
    token::Token,
};

/// One gateway on the bridge, for itself and up to 1,000 devices: a state machine without I/O.
///
/// Its methods come in four families. **Inputs** (`handle_*`) take what the transport and the clock have to say; they
/// never fail and are legal in any order. **Commands** take what the user wants, each answered at once: refused with a
/// typed error, or accepted with an [`OpId`] that ends in exactly one [`Event::Done`] or [`Event::Failed`]. **Outputs**
/// (`poll_*`, `wants_*`) give what is to be done next and change nothing of the protocol. **Getters** tell how things
/// stand. Every input and command takes the instant at which it happens; an earlier one than before counts as that one.
///
/// See the [crate documentation](crate) for a run loop.
#[derive(Debug)]
pub struct Gateway {
    client_id: ClientId,
    options: Options,
    lifecycle: Lifecycle,
    timers: Timers,
    link: Option<Connection<Ticket>>,
    devices: Devices,
    outbox: Outbox,
    inbox: Inbox,
    events: VecDeque<Event>,
    ops: u64,
    jitter: Jitter,
    clock: Clock,
    /// Reused for topics that no device keeps.
    topic: TopicName,
    stats: Stats,
}

/// What waits behind a packet identifier.
#[derive(Clone, Copy, Debug)]
enum Ticket {
    Publication(u32),
    Attach(u32),
    Detach(u32),
    Subscription(Turn),
    /// The subscription to the errors topic.
    Errors,
}

impl Gateway {
    /// A gateway that has not been opened yet. `seed` is that of the backoff's jitter: give each gateway another one, or
    /// the same one to replay a session.
    ///
    /// # Errors
    ///
    /// [`OptionsError`] names the option that no gateway can work with, and its limit.
    pub fn new(client_id: ClientId, options: Options, seed: u64) -> Result<Self, OptionsError> {
        options.check()?;
        let mut outbox = Outbox::new(&options);
        outbox.add_device(OWN, client_id.gateway());
        Ok(Self {
            lifecycle: Lifecycle::new(),
            timers: Timers::default(),
            link: None,
            devices: Devices::new(client_id.gateway().clone()),
            outbox,
            inbox: Inbox::new(),
            events: VecDeque::new(),
            ops: 0,
            jitter: Jitter::new(seed),
            clock: Clock::default(),
            topic: TopicName::default(),
            stats: Stats::default(),
            client_id,
            options,
        })
    }
}

/// Inputs: what the transport and the clock have to say.
impl Gateway {
    /// The transport is up: queues CONNECT with this token. While [`wants_transport`](Self::wants_transport) is false it
    /// transmits nothing and counts as no attempt. A token that has expired is a failed attempt.
    pub fn handle_connected(&mut self, token: Token, now: Instant) {
        let now = self.tick(now);
        self.start_connection(token, now);
        self.advance(now);
    }

    /// The peer sent these bytes, in any fragments. Takes all of them, and settles what follows after each packet, so that
    /// fragments make no difference. It runs no timers: read first, then report the time, and an answer that has come is
    /// not taken for silence. A peer that breaks the standard ends the connection, through [`Event::Disconnected`].
    pub fn handle_input(&mut self, mut bytes: &[u8], now: Instant) {
        let now = self.tick(now);
        while let Some(link) = &mut self.link {
            match link.next(&mut bytes, &mut self.timers, now) {
                Ok(Some(incoming)) => self.on_incoming(incoming, now),
                Ok(None) => break,
                Err(violation) => {
                    self.end_connection(DisconnectReason::Violation(violation), now);
                }
            }
            self.settle(now);
        }
    }

    /// The first `len` bytes of [`poll_transmit`](Self::poll_transmit) were handed to the transport.
    pub fn handle_transmitted(&mut self, len: usize, now: Instant) {
        let now = self.tick(now);
        if let Some(link) = &mut self.link {
            link.transmitted(len, &mut self.timers, now);
            self.end_handed_over();
        }
        self.advance(now);
    }

    /// The time has come that [`poll_timeout`](Self::poll_timeout) named. Report the time that it is, not the one that was
    /// named. Spurious calls change nothing.
    pub fn handle_timeout(&mut self, now: Instant) {
        let now = self.tick(now);
        self.advance(now);
    }

    /// The transport is down, or could not be had. Whoever ended it, call this once it is. A dial that failed while none
    /// was wanted counts as no attempt.
    pub fn handle_disconnected(&mut self, end: TransportEnd, now: Instant) {
        let now = self.tick(now);
        self.on_transport_end(end, now);
        self.advance(now);
    }
}

/// Commands: what the user wants.
impl Gateway {
    /// Connects, and stays connected until [`close`](Self::close). Ends in [`Outcome::Opened`](crate::Outcome::Opened) with the first accepted
    /// connection.
    ///
    /// # Errors
    ///
    /// [`CommandError::Closed`]: a gateway is closed for good.
    pub fn open(&mut self, now: Instant) -> Result<OpId, CommandError> {
        let now = self.tick(now);
        let op = self.want_open()?;
        self.advance(now);
        Ok(op)
    }

    /// Attaches a device, now and on every later connection, with its token if the gateway authenticates devices by
    /// theirs. Subscribe and publish for it straight away: both wait for the bridge's PUBACK. A device that is attached
    /// is done at once; one that the bridge had refused is tried again.
    ///
    /// # Errors
    ///
    /// [`CommandError`]: the gateway itself, too many devices, an expired token, a device being detached, or closed.
    pub fn attach(
        &mut self,
        device: DeviceId,
        token: Option<Token>,
        now: Instant,
    ) -> Result<(DeviceKey, OpId), CommandError> {
        let now = self.tick(now);
        self.check_open()?;
        let attached = self.want_attached(device, token)?;
        self.advance(now);
        Ok(attached)
    }

    /// Detaches a device once its publications are acknowledged, or have had `drain_timeout`. Its key is valid until the
    /// operation ends.
    ///
    /// # Errors
    ///
    /// [`CommandError`]: no such device, the gateway itself, or closed.
    pub fn detach(&mut self, device: DeviceKey, now: Instant) -> Result<OpId, CommandError> {
        let now = self.tick(now);
        self.check_open()?;
        let index = self.resolve(device)?;
        let op = self.want_detached(index, now)?;
        self.advance(now);
        Ok(op)
    }

    /// Gives a device's new token, for its next attach; answers [`Event::TokenNeeded`]. A device that was refused is
    /// tried again with it.
    ///
    /// # Errors
    ///
    /// [`CommandError`]: no such device, the gateway itself, an expired token, a device being detached, or closed.
    pub fn authorize(
        &mut self,
        device: DeviceKey,
        token: Token,
        now: Instant,
    ) -> Result<OpId, CommandError> {
        let now = self.tick(now);
        self.check_open()?;
        let index = self.resolve_staying(device)?;
        if matches!(self.devices.at(index).life, Life::Own) {
            return Err(CommandError::OwnDevice(self.devices.at(index).id.clone()));
        }
        if self.clock.is_past(token.expires_at()) {
            return Err(CommandError::TokenExpired);
        }
        let op = self.take_token(index, token);
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
        let now = self.tick(now);
        if let Err(refused) = self.admit(publication.device) {
            return Err(refused(publication));
        }
        let limit = self.payload_limit(&publication.topic);
        if publication.payload.len() > limit {
            return Err(PublishError::TooLarge { limit, publication });
        }
        if !self.make_room(&publication) {
            let bytes = publication.payload.len();
            self.outbox.block(publication.device.index, bytes);
            return Err(PublishError::Blocked(publication));
        }
        let op = self.new_op();
        self.stats.accepted += 1;
        if let Some(replaced) = self.outbox.accept(op, publication) {
            self.fail(replaced, Failure::Superseded);
        }
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
        let now = self.tick(now);
        self.give_acknowledgement(delivery);
        self.advance(now);
    }

    /// Closes for good: sends what can still be sent within `drain_timeout`, disconnects, and ends every operation. A
    /// gateway closes once: repeated, also after its end, this gives the same operation.
    pub fn close(&mut self, now: Instant) -> OpId {
        let now = self.tick(now);
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
        let now = self.tick(now);
        self.check_open()?;
        let device = self.resolve_staying(device)?;
        let op = self.want(
            Turn {
                device,
                subscription,
            },
            qos,
        );
        self.advance(now);
        Ok(op)
    }
}

/// Outputs: what is to be done next.
impl Gateway {
    /// The bytes to hand to the transport next; [`handle_transmitted`](Self::handle_transmitted) tells how many it took.
    /// They stay here until then. Every input and command can change them.
    pub fn poll_transmit(&self) -> &[u8] {
        self.link.as_ref().map_or(&[], |link| link.transmit())
    }

    /// The oldest event that was not taken yet.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// When to call [`handle_timeout`](Self::handle_timeout) next. After that call it is later, or `None`: bytes that wait
    /// are no reason to wake up. Every input and command can change it, and so can taking the events that had stopped
    /// the reading: then it is due at once, to learn since when the peer is heard again.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.clock.instant(self.next_deadline()?)
    }

    fn next_deadline(&self) -> Option<Moment> {
        let listening = &self.timers.listening;
        // Since the last call the events were taken, without a word of the time.
        if self.link.is_some()
            && self.wants_input()
            && let Some(since) = listening.deaf_since()
        {
            return Some(since);
        }
        let silence = self
            .devices
            .silences
            .next()
            .and_then(|at| listening.wall(at));
        [
            self.timers.next(),
            silence,
            self.overdue_at(),
            self.devices.deadlines.next(),
            self.outbox.paced_until(),
        ]
        .into_iter()
        .flatten()
        .min()
    }

    /// Whether there should be a transport. Level, not edge: dial when it is true and there is none; when it is false
    /// and there is one, hang up and call [`handle_disconnected`](Self::handle_disconnected). No attempt begins while
    /// `max_events` events wait to be taken: each one's end is one more.
    pub fn wants_transport(&self) -> bool {
        let may_begin = self.lifecycle.state != State::Dialing || self.has_room_for_events();
        may_begin && self.lifecycle.wants_transport()
    }

    /// Whether to read from the transport now. False is back-pressure: events, or acknowledgements that the user or a
    /// slow peer holds back, have reached their bound.
    pub fn wants_input(&self) -> bool {
        self.has_room_for_events() && self.inbox.len() < self.options.max_unacknowledged
    }

    fn has_room_for_events(&self) -> bool {
        self.events.len() < self.options.max_events
    }
}
