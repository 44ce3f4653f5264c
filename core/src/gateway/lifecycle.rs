//! Connection lifecycle: connecting, backoff, token refresh, leaving, closing. The transitions of [`State`] and of a
//! connection's [`Phase`] are here and in `ending`, and nowhere else.
//!
//! ```text
//!      open      room     handle_connected  ╔═ Online ═════════════════════════════════════════════╗
//!  Idle ──▶ Due ─────▶ Dialing ────────────▶║ Connecting ───────────▶ Open ────────────▶ Refreshing ║
//!           ▲ ▲  for an                     ║             CONNACK 0    │  token expires     │      ║
//!   backoff │ │  event                      ║                   close  │  soon              │      ║
//!   is over │ │ redial                      ║                          ▼                    │      ║
//!           │ │                             ║                       Leaving ◀───────────────┘      ║
//!           │ │                             ║                           acknowledged, or too late  ║
//!           │ │                             ╚═══════════════════╤══════════════════════════════════╝
//!           │ │                                                 │ any end, or DISCONNECT handed over
//!        Waiting ◀───────────────────── HangingUp ◀─────────────┘
//!                  handle_disconnected      │
//!                                           ▼
//!                                         Closed
//! ```

mod ending;
mod refresh;

use self::refresh::{LastToken, Novelty, refresh_after};
#[cfg(feature = "store")]
use super::outbox::StorePhase;
use super::{
    Gateway,
    diagnosis::QuickEnds,
    online::{Online, Phase},
};
use crate::{
    clock::Moment,
    command::OpId,
    error::CommandError,
    event::{DisconnectReason, Event, Outcome, Refusal, TransportEnd},
    mqtt::{AckLimits, Connect, Connection, Timing},
    options::Options,
    token::Token,
};

/// User name of CONNECT. The bridge ignores it, but MQTT requires one with a password [MQTT-3.1.2-22].
const USER_NAME: &str = "unused";

/// The lifecycle state, from creation to close.
#[derive(Debug)]
pub(crate) enum State {
    /// Not opened yet.
    Idle,
    /// Between two attempts.
    Waiting {
        /// When the next attempt begins.
        until: Moment,
    },
    /// An attempt is due, and begins once there is room for the event that its end adds.
    Due,
    /// Requests a transport, which may be coming up.
    Dialing,
    /// Connected or connecting.
    Online(Box<Online>),
    /// Requests that the transport end.
    HangingUp(AfterHangUp),
    /// Waits, without a transport, until the store has what is left.
    #[cfg(feature = "store")]
    Saving {
        /// When it closes at the latest.
        until: Moment,
    },
    Closed,
}

/// What follows the end of a transport.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AfterHangUp {
    /// The next attempt, immediately.
    Redial,
    /// The next attempt, after a delay.
    Wait {
        /// When the attempt begins.
        until: Moment,
    },
    Close,
}

/// The lifecycle, and the current connection if there is one.
#[derive(Debug)]
pub(crate) struct Lifecycle {
    pub(crate) state: State,
    open_op: Option<OpId>,
    close_op: Option<OpId>,
    /// When a close stops waiting for what has yet to be sent.
    close_by: Option<Moment>,
    /// When a close stops waiting for the store, which works while what waits is sent.
    #[cfg(feature = "store")]
    pub(crate) save_by: Option<Moment>,
    /// Consecutive attempts that failed or did not last, refreshes of a token among them.
    attempts: u32,
    quick_ends: QuickEnds,
    last_token: LastToken,
}

impl Lifecycle {
    pub(crate) fn new() -> Self {
        Self {
            state: State::Idle,
            open_op: None,
            close_op: None,
            close_by: None,
            #[cfg(feature = "store")]
            save_by: None,
            attempts: 0,
            quick_ends: QuickEnds::default(),
            last_token: LastToken::default(),
        }
    }

    #[inline]
    pub(crate) fn online(&self) -> Option<&Online> {
        match &self.state {
            State::Online(online) => Some(online),
            _ => None,
        }
    }

    #[inline]
    pub(crate) fn online_mut(&mut self) -> Option<&mut Online> {
        match &mut self.state {
            State::Online(online) => Some(online),
            _ => None,
        }
    }

    pub(crate) fn is_open(&self) -> bool {
        self.online().is_some_and(Online::is_open)
    }

    pub(crate) fn is_closed(&self) -> bool {
        matches!(self.state, State::Closed)
    }

    /// Returns whether the connection, or the gateway, is shutting down gracefully.
    fn is_winding_down(&self) -> bool {
        self.is_closing() || self.online().is_some_and(Online::is_winding_down)
    }

    /// Refuses a command once the gateway is closing.
    pub(crate) fn check_not_closing(&self) -> Result<(), CommandError> {
        match self.is_closing() {
            true => Err(CommandError::Closed),
            false => Ok(()),
        }
    }

    /// Returns whether commands are refused because the gateway is closing.
    pub(crate) fn is_closing(&self) -> bool {
        #[cfg(feature = "store")]
        if matches!(self.state, State::Saving { .. }) {
            return true;
        }
        self.close_op.is_some() || self.is_closed()
    }

    /// Returns when to call [`Gateway::run_lifecycle_timers`] next.
    pub(crate) fn next_deadline(&self) -> Option<Moment> {
        earliest(&self.state, self.close_by)
    }
}

fn ack_limits(options: &Options) -> AckLimits {
    AckLimits {
        control_window: options.attach_window.into(),
        subscription_window: options.subscribe_window.into(),
        publication_window: options.window.into(),
        attach_timeout: options.attach_timeout,
        timeout: options.ack_timeout,
        max_timeout: options.max_ack_timeout,
    }
}

fn earliest(state: &State, close_by: Option<Moment>) -> Option<Moment> {
    let of_state = match state {
        State::Waiting { until } | State::HangingUp(AfterHangUp::Wait { until }) => Some(*until),
        State::Online(online) => online.next_lifecycle_deadline(),
        #[cfg(feature = "store")]
        State::Saving { until } => Some(*until),
        _ => None,
    };
    [of_state, close_by].into_iter().flatten().min()
}

impl Online {
    /// Returns the next lifecycle deadline of this connection.
    #[inline]
    fn next_lifecycle_deadline(&self) -> Option<Moment> {
        let of_phase = match self.phase {
            Phase::Refreshing { until } | Phase::Leaving { until, .. } => Some(until),
            Phase::Connecting | Phase::Open => None,
        };
        [self.stable_at, self.refresh_at, of_phase]
            .into_iter()
            .flatten()
            .min()
    }
}

impl Gateway {
    /// Records the request to connect.
    pub(super) fn want_open(&mut self) -> Result<OpId, CommandError> {
        self.lifecycle.check_not_closing()?;
        if let Some(pending) = self.lifecycle.open_op {
            return Ok(pending);
        }
        let op = self.session.new_op();
        if self.lifecycle.is_open() {
            self.session.done(op, Outcome::Opened);
        } else {
            self.lifecycle.open_op = Some(op);
        }
        if matches!(self.lifecycle.state, State::Idle) {
            self.lifecycle.state = State::Due;
        }
        Ok(op)
    }

    /// Records the request to close: what can still be sent is sent within `drain_timeout`.
    pub(super) fn want_closed(&mut self, now: Moment) -> OpId {
        if let Some(op) = self.lifecycle.close_op {
            return op;
        }
        let op = self.session.new_op();
        self.lifecycle.close_op = Some(op);
        #[cfg(feature = "store")]
        self.begin_saving(now);
        if let State::Online(online) = &mut self.lifecycle.state {
            self.session.end_trials(online);
        }
        match &mut self.lifecycle.state {
            State::Closed => {
                self.session.done(op, Outcome::Closed);
                return op;
            }
            // A close still sends what waits; a refresh would leave it for the next connection.
            State::Online(online) if matches!(online.phase, Phase::Refreshing { .. }) => {
                online.phase = Phase::Open;
            }
            _ => {}
        }
        let close_by = now + self.session.options.drain_timeout;
        self.lifecycle.close_by = Some(close_by);
        op
    }

    /// Returns whether there should be a transport. From then on it is accepted, though the events may fill up while
    /// it is coming up.
    pub(super) fn is_transport_wanted(&self) -> bool {
        match self.lifecycle.state {
            State::Dialing | State::Online(_) => true,
            State::Due => self.session.has_room_for_events(),
            _ => false,
        }
    }

    /// Handles a transport that is up.
    pub(super) fn start_connection(&mut self, token: Token, now: Moment) {
        if !matches!(self.lifecycle.state, State::Dialing) {
            return;
        }
        if self.session.clock.has_expired(&token) {
            self.end_connection(DisconnectReason::TokenExpired, now);
            return;
        }
        let session = &self.session;
        let client_id = session.client_id.to_string();
        let keep_alive = session.options.keep_alive;
        let connect = Connect {
            client_id: &client_id,
            user_name: USER_NAME,
            password: token.expose(),
            keep_alive_secs: keep_alive.as_secs() as u16,
        };
        let timing = Timing {
            keep_alive,
            connack_timeout: session.options.connack_timeout,
        };
        let limits = ack_limits(&session.options);
        let frame_limit = session.options.frame_limit;
        let link = Connection::connect(&connect, timing, &limits, frame_limit, now);
        let online = Online::new(link, token, session.next_delivery, &session.options);
        self.lifecycle.state = State::Online(Box::new(online));
    }

    /// Handles CONNACK.
    pub(super) fn on_connack(&mut self, return_code: u8, now: Moment) {
        let (session, lifecycle) = (&mut self.session, &mut self.lifecycle);
        let State::Online(online) = &mut lifecycle.state else {
            return;
        };
        if return_code != 0 {
            let refusal = Refusal {
                return_code,
                client_id: session.client_id.clone(),
                issued_at: online.token.issued_at(),
                expires_at: online.token.expires(),
                unix_now: session.clock.date(),
            };
            self.end_connection(DisconnectReason::Refused(Box::new(refusal)), now);
            return;
        }
        let life = session.clock.moment(online.token.expires_at()).since(now);
        // An unchanged token would only be refreshed with itself.
        let novelty = lifecycle.last_token.observe(&online.token);
        let lasts = match novelty {
            Novelty::New => refresh_after(life, &mut session.jitter),
            Novelty::Unchanged | Novelty::UnchangedAgain => life,
        };
        online.phase = Phase::Open;
        online.accepted_at = Some(now);
        let stable_at = now + session.options.stable_after;
        online.stable_at = Some(stable_at);
        online.refresh_at = Some(now + lasts);
        session.stats.connections += 1;
        #[cfg(feature = "store")]
        session.outbox.set_store_phase(StorePhase::Connected);
        session.emit(Event::Connected);
        if novelty == Novelty::Unchanged {
            session.emit(Event::TokenUnchanged);
        }
        if let Some(op) = lifecycle.open_op.take() {
            session.done(op, Outcome::Opened);
        }
        session.resume_attachments(online);
        if lifecycle.close_op.is_none() {
            session.start_trials(online, now);
        }
    }

    /// Runs the timers that are due. A refresh whose drain timeout is zero leaves in the same pass.
    pub(super) fn run_lifecycle_timers(&mut self, now: Moment) {
        let is_closing = self.lifecycle.is_closing();
        let lifecycle = &mut self.lifecycle;
        let is_due = |at: &mut Option<Moment>| at.take_if(|at| *at <= now).is_some();
        match &mut lifecycle.state {
            State::Online(online) => {
                if is_due(&mut online.stable_at) {
                    lifecycle.attempts = 0;
                    lifecycle.quick_ends = QuickEnds::default();
                }
                if is_due(&mut online.refresh_at) && !is_closing {
                    let drained = now + self.session.options.drain_timeout;
                    let expired = self.session.clock.moment(online.token.expires_at());
                    let until = drained.min(expired);
                    online.phase = Phase::Refreshing { until };
                }
            }
            State::Waiting { until } if *until <= now => lifecycle.state = State::Due,
            State::HangingUp(AfterHangUp::Wait { until }) if *until <= now => {
                lifecycle.state = State::HangingUp(AfterHangUp::Redial);
            }
            _ => {}
        }
        let is_refresh_late = match lifecycle.online().map(|online| online.phase) {
            Some(Phase::Refreshing { until }) => until <= now,
            _ => false,
        };
        if is_refresh_late || is_due(&mut lifecycle.close_by) {
            self.leave(now);
        }
        let phase = self.lifecycle.online().map(|online| online.phase);
        if matches!(phase, Some(Phase::Leaving { until, .. }) if until <= now) {
            self.end_leaving(now);
        }
        #[cfg(feature = "store")]
        self.finish_if_saved(now);
    }

    /// Handles the end of the transport, whichever side ended it.
    pub(super) fn on_transport_end(&mut self, end: TransportEnd, now: Moment) {
        match &self.lifecycle.state {
            State::Idle | State::Waiting { .. } | State::Due | State::Closed => return,
            State::Online(online) if matches!(online.phase, Phase::Leaving { .. }) => {
                self.end_leaving(now);
            }
            State::Dialing | State::Online(_) => {
                self.end_connection(DisconnectReason::Transport(end), now);
            }
            State::HangingUp(_) => {}
            #[cfg(feature = "store")]
            State::Saving { .. } => return,
        }
        match self.lifecycle.state {
            State::HangingUp(AfterHangUp::Redial) => self.lifecycle.state = State::Due,
            State::HangingUp(AfterHangUp::Wait { until }) => {
                self.lifecycle.state = State::Waiting { until };
            }
            State::HangingUp(AfterHangUp::Close) => self.end(now),
            _ => {}
        }
    }
}
