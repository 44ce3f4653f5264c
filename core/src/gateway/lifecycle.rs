//! Whether the gateway wants a transport: connecting, backoff, token refresh, leaving, closing. The transitions of
//! [`State`] are here and nowhere else.
//!
//! ```text
//!            open              handle_connected         CONNACK 0
//!  Idle ───────────▶ Dialing ───────────────▶ Connecting ─────────▶ Open ──┐ token expires soon
//!                     ▲   ▲                        │                 │     ▼
//!       backoff over  │   │ redial                 │ any end         │  Refreshing
//!                     │   │                        ▼                 ▼     │ acknowledged, or time is up
//!                  Waiting ◀──────────────── HangingUp ◀───────── Leaving ◀┘
//!                          handle_disconnected    │     DISCONNECT handed over
//!                                                 ▼
//!                                               Closed
//! ```

use super::Gateway;
use crate::{
    clock::Moment,
    command::OpId,
    error::{CommandError, Failure},
    event::{DisconnectReason, Disconnected, Event, Outcome, Refusal, TransportEnd},
    mqtt::{Connect, Connection, Silence, Timing},
    options::Reconnect,
    time::Duration,
    timers::Timer,
    token::Token,
};

/// The bridge ignores the user name, but a password needs one [MQTT-3.1.2-22].
const USER_NAME: &str = "unused";

/// How long DISCONNECT may take to be handed over.
const HANG_UP_TIMEOUT: Duration = Duration::from_secs(5);

/// At most this long before its expiry a token is refreshed; a short-lived one at a fifth of its life.
const MAX_REFRESH_MARGIN: Duration = Duration::from_secs(300);

/// Where the gateway is between its first connection and its last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// Not opened yet.
    Idle,
    /// Between two attempts; [`Timer::Reconnect`] ends it.
    Waiting,
    /// Wants a transport.
    Dialing,
    /// CONNECT was queued.
    Connecting,
    /// CONNACK 0 came.
    Open,
    /// Sends nothing new and waits for acknowledgements, to leave and come back with a fresh token.
    Refreshing,
    /// DISCONNECT was queued.
    Leaving(Then),
    /// Wants the transport to end.
    HangingUp(Then),
    Closed,
}

/// What follows the end of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Then {
    /// The next attempt, at once.
    Redial,
    /// The next attempt, when [`Timer::Reconnect`] says so.
    Wait,
    Close,
}

/// The way from connection to connection.
#[derive(Debug)]
pub(crate) struct Lifecycle {
    pub(crate) state: State,
    open_op: Option<OpId>,
    close_op: Option<OpId>,
    /// Attempts that failed in a row, or did not last.
    attempts: u32,
    token: Option<Token>,
    /// When this connection was accepted.
    pub(crate) open_since: Option<Moment>,
    /// Connections that ended soon after they were accepted, in a row.
    pub(crate) quick_ends: u32,
}

impl Lifecycle {
    pub(crate) fn new() -> Self {
        Self {
            state: State::Idle,
            open_op: None,
            close_op: None,
            attempts: 0,
            token: None,
            open_since: None,
            quick_ends: 0,
        }
    }

    pub(crate) fn wants_transport(&self) -> bool {
        match self.state {
            State::Dialing
            | State::Connecting
            | State::Open
            | State::Refreshing
            | State::Leaving(_) => true,
            State::Idle | State::Waiting | State::HangingUp(_) | State::Closed => false,
        }
    }

    /// Whether the connection, or all of it, is to end in order.
    pub(crate) fn is_winding_down(&self) -> bool {
        self.close_op.is_some() || matches!(self.state, State::Refreshing | State::Leaving(_))
    }

    /// Whether no more commands are taken.
    pub(crate) fn is_closing(&self) -> bool {
        self.close_op.is_some() || matches!(self.state, State::Closed)
    }
}

impl Gateway {
    /// Takes the wish to be connected in.
    pub(super) fn want_open(&mut self) -> Result<OpId, CommandError> {
        if self.lifecycle.is_closing() {
            return Err(CommandError::Closed);
        }
        if let Some(pending) = self.lifecycle.open_op {
            return Ok(pending);
        }
        let op = self.new_op();
        if self.is_open() {
            self.done(op, Outcome::Opened);
        } else {
            self.lifecycle.open_op = Some(op);
        }
        if self.lifecycle.state == State::Idle {
            self.lifecycle.state = State::Dialing;
        }
        Ok(op)
    }

    /// Takes the wish to be closed in: what can still be sent has its time.
    pub(super) fn want_closed(&mut self, now: Moment) -> OpId {
        if let Some(op) = self.lifecycle.close_op {
            return op;
        }
        let op = self.new_op();
        self.lifecycle.close_op = Some(op);
        if self.lifecycle.state == State::Closed {
            self.done(op, Outcome::Closed);
            return op;
        }
        if self.lifecycle.state == State::Refreshing {
            self.lifecycle.state = State::Open;
        }
        self.timers
            .set(Timer::Drain, self.options.drain_timeout, now);
        op
    }

    /// The transport is up.
    pub(super) fn start_connection(&mut self, token: Token, now: Moment) {
        if self.lifecycle.state != State::Dialing || !self.has_room_for_events() {
            return;
        }
        self.lifecycle.state = State::Connecting;
        if self.clock.is_past(token.expires_at()) {
            self.end_connection(DisconnectReason::TokenExpired, now);
            return;
        }
        let client_id = self.client_id.to_string();
        let keep_alive = self.options.keep_alive;
        let connect = Connect {
            client_id: &client_id,
            user_name: USER_NAME,
            password: token.expose(),
            keep_alive_secs: keep_alive.as_secs() as u16,
        };
        let timing = Timing {
            keep_alive,
            connack_timeout: self.options.connack_timeout,
        };
        let link = Connection::connect(
            &connect,
            timing,
            self.options.frame_limit,
            &mut self.timers,
            now,
        );
        self.link = Some(link);
        self.lifecycle.token = Some(token);
    }

    /// CONNACK came.
    pub(super) fn on_connack(&mut self, return_code: u8, now: Moment) {
        if return_code != 0 {
            let token = self.lifecycle.token.as_ref();
            let refusal = Refusal {
                return_code,
                client_id: self.client_id.clone(),
                issued_at: token.and_then(Token::issued_at),
                expires_at: token.and_then(Token::expires),
            };
            self.end_connection(DisconnectReason::Refused(Box::new(refusal)), now);
            return;
        }
        self.lifecycle.state = State::Open;
        self.lifecycle.open_since = Some(now);
        self.stats.connections += 1;
        self.timers
            .set(Timer::Stable, self.options.stable_after, now);
        self.start_refresh_timer(now);
        self.emit(Event::Connected);
        if let Some(op) = self.lifecycle.open_op.take() {
            self.done(op, Outcome::Opened);
        }
        self.subscribe_to_errors(now);
        self.resume_attachments();
    }

    fn start_refresh_timer(&mut self, now: Moment) {
        let Some(token) = &self.lifecycle.token else {
            return;
        };
        let life = self.clock.moment(token.expires_at()).since(now);
        let margin = (life / 5).min(MAX_REFRESH_MARGIN);
        let spread = self.jitter.up_to(margin / 10);
        self.timers
            .set(Timer::Refresh, life.saturating_sub(margin + spread), now);
    }

    /// Runs the timers of the way between connections.
    pub(super) fn run_lifecycle_timers(&mut self, now: Moment) {
        if self.timers.expire(Timer::Stable, now) {
            self.lifecycle.attempts = 0;
            self.lifecycle.quick_ends = 0;
        }
        if self.timers.expire(Timer::Refresh, now) && !self.lifecycle.is_closing() {
            self.lifecycle.state = State::Refreshing;
            self.timers
                .set(Timer::Drain, self.options.drain_timeout, now);
        }
        if self.timers.expire(Timer::Reconnect, now) {
            self.lifecycle.state = match self.lifecycle.state {
                State::Waiting => State::Dialing,
                State::HangingUp(Then::Wait) => State::HangingUp(Then::Redial),
                state => state,
            };
        }
        if self.timers.expire(Timer::Drain, now) {
            self.leave(now);
        }
        if self.timers.expire(Timer::HangUp, now) {
            self.end_leaving(now);
        }
    }

    /// Leaves once nothing is left to wait for.
    pub(super) fn leave_if_drained(&mut self, now: Moment) {
        let is_drained = match (self.lifecycle.state, &self.link) {
            (State::Refreshing, Some(link)) => link.in_flight() == 0 && link.transmit().is_empty(),
            _ => false,
        };
        let is_closed = self.lifecycle.close_op.is_some() && self.has_nothing_to_send();
        if is_drained || is_closed {
            self.leave(now);
        }
    }

    fn has_nothing_to_send(&self) -> bool {
        self.outbox.len() == 0
            && !self
                .devices
                .iter()
                .any(|(_, device)| device.detach.is_some())
    }

    /// Ends the connection politely. Where none is open, only a close comes here: it ends the wait for one.
    fn leave(&mut self, now: Moment) {
        self.timers.stop(Timer::Drain);
        match (self.lifecycle.state, &mut self.link) {
            (State::Open | State::Refreshing, Some(link)) => {
                link.disconnect(&mut self.timers);
                self.timers.set(Timer::HangUp, HANG_UP_TIMEOUT, now);
                let then = match self.lifecycle.close_op {
                    Some(_) => Then::Close,
                    None => Then::Redial,
                };
                self.lifecycle.state = State::Leaving(then);
            }
            (State::Connecting, _) => self.end_connection(DisconnectReason::Closed, now),
            (State::Idle | State::Waiting | State::Dialing, _) => self.finish(),
            (State::Leaving(_), _) => self.lifecycle.state = State::Leaving(Then::Close),
            (State::HangingUp(_), _) => self.lifecycle.state = State::HangingUp(Then::Close),
            _ => {}
        }
    }

    /// Comes back with a new connection when no packet identifier is free, for too many wait for late acknowledgements.
    pub(super) fn reconnect_if_starved(&mut self, now: Moment) {
        if self.link.as_ref().is_some_and(Connection::is_starved) {
            self.end_connection(DisconnectReason::PacketIdsExhausted, now);
        }
    }

    /// Hangs up once DISCONNECT was handed over.
    pub(super) fn hang_up_if_handed_over(&mut self, now: Moment) {
        if self
            .link
            .as_ref()
            .is_some_and(|link| link.transmit().is_empty())
        {
            self.end_leaving(now);
        }
    }

    /// DISCONNECT was handed over, or could not be.
    fn end_leaving(&mut self, now: Moment) {
        match self.lifecycle.state {
            State::Leaving(Then::Close) => self.end_connection(DisconnectReason::Closed, now),
            State::Leaving(_) => self.end_connection(DisconnectReason::TokenRefresh, now),
            _ => {}
        }
    }

    /// The peer has been silent for too long.
    pub(super) fn on_silence(&mut self, silence: Silence, now: Moment) {
        let reason = match silence {
            Silence::ConnAck(after) => DisconnectReason::ConnAckTimedOut(after),
            Silence::PingResp(after) => DisconnectReason::PingRespTimedOut(after),
            Silence::Stall(after) => DisconnectReason::WriteStalled(after),
        };
        self.end_connection(reason, now);
    }

    /// The transport is down, whoever ended it.
    pub(super) fn on_transport_end(&mut self, end: TransportEnd, now: Moment) {
        match self.lifecycle.state {
            State::Idle | State::Waiting | State::Closed => return,
            State::Dialing if !self.has_room_for_events() => return,
            State::Dialing | State::Connecting | State::Open | State::Refreshing => {
                self.end_connection(DisconnectReason::Transport(end), now);
            }
            State::Leaving(_) => self.end_leaving(now),
            State::HangingUp(_) => {}
        }
        match self.lifecycle.state {
            State::HangingUp(Then::Redial) => self.lifecycle.state = State::Dialing,
            State::HangingUp(Then::Wait) => self.lifecycle.state = State::Waiting,
            State::HangingUp(Then::Close) => self.finish(),
            _ => {}
        }
    }

    /// Ends a connection, or an attempt at one, and decides what follows. The transport may still be up.
    pub(super) fn end_connection(&mut self, reason: DisconnectReason, now: Moment) {
        let (suspects, certainty) = self.suspects(&reason);
        let takeover_suspected = self.suspects_takeover(&reason, now);
        self.stats.unsolicited += self.link.take().map_or(0, |link| link.unsolicited());
        self.timers.stop_connection();
        if self.lifecycle.close_op.is_none() {
            self.timers.stop(Timer::Drain);
        }
        self.lifecycle.open_since = None;
        self.lifecycle.token = None;
        self.put_back(None);
        self.inbox.clear();
        self.lose_attachments();
        let (then, retry_in) = self.next_attempt(&reason, now);
        self.lifecycle.state = State::HangingUp(then);
        self.emit(Event::Disconnected(Disconnected {
            reason,
            certainty,
            retry_in,
            suspects,
            takeover_suspected,
        }));
    }

    fn next_attempt(&mut self, reason: &DisconnectReason, now: Moment) -> (Then, Option<Duration>) {
        let is_leaving = self.lifecycle.state == State::Leaving(Then::Close);
        let is_over =
            is_leaving || (self.lifecycle.close_op.is_some() && self.has_nothing_to_send());
        match reason {
            DisconnectReason::Closed => return (Then::Close, None),
            _ if is_over => return (Then::Close, None),
            DisconnectReason::TokenRefresh | DisconnectReason::PacketIdsExhausted => {
                return (Then::Redial, Some(Duration::ZERO));
            }
            _ => {}
        }
        let attempts = self.lifecycle.attempts;
        if matches!(self.options.reconnect, Reconnect::Attempts(most) if attempts >= most) {
            return (Then::Close, None);
        }
        self.lifecycle.attempts += 1;
        let wait = self.options.backoff.wait(attempts, &mut self.jitter);
        self.timers.set(Timer::Reconnect, wait, now);
        (Then::Wait, Some(wait))
    }

    /// Ends for good: every operation that has not ended does now.
    fn finish(&mut self) {
        let is_closing = self.lifecycle.close_op.is_some();
        let failure = if is_closing {
            Failure::Closed
        } else {
            Failure::GaveUp
        };
        self.lifecycle.state = State::Closed;
        self.timers.stop(Timer::Reconnect);
        self.timers.stop(Timer::Drain);
        self.devices.deadlines.clear();
        let unsent = self.unsent().collect();
        for key in self.outbox.all(None) {
            self.end_publication(key, Err(failure.clone()));
        }
        for op in self
            .devices
            .take_ops()
            .into_iter()
            .chain(self.lifecycle.open_op.take())
        {
            self.fail(op, failure.clone());
        }
        if let Some(op) = self.lifecycle.close_op {
            self.done(op, Outcome::Closed);
        }
        self.emit(Event::Closed { unsent });
    }
}
