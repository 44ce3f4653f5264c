//! The end of a connection, and of the gateway with its last one.

#[cfg(feature = "store")]
use super::super::outbox::StorePhase;
use super::super::{
    Gateway,
    devices::OWN,
    online::{Online, Phase},
    outbox::Returned,
    session::Session,
};
use super::{AfterHangUp, State};
use crate::{
    clock::Moment,
    command::OpId,
    error::Failure,
    event::{DisconnectReason, Disconnected, Event, Outcome},
    mqtt::Silence,
    options::{Options, Reconnect},
    time::Duration,
    timers::Schedule,
};

/// Limit on the time until DISCONNECT is handed over.
const HANG_UP_TIMEOUT: Duration = Duration::from_secs(5);

/// What decides on what follows the end of a connection, besides its reason.
struct Ending {
    is_last: bool,
    /// Whether a suspect that was sent alone explains it.
    is_explained: bool,
    accepted_at: Option<Moment>,
}

impl Gateway {
    /// Ends a connection, or the gateway, once it has nothing left to wait for. Never inlined: most messages end nothing.
    #[inline(never)]
    pub(crate) fn end_if_over(&mut self, now: Moment) {
        if self.lifecycle.is_winding_down() {
            self.leave_if_drained(now);
            self.hang_up_if_handed_over(now);
            #[cfg(feature = "store")]
            self.finish_if_saved(now);
        }
    }

    /// Leaves once there is nothing left to wait for.
    fn leave_if_drained(&mut self, now: Moment) {
        let has_refresh_drained = self.lifecycle.online().is_some_and(|online| {
            matches!(online.phase, Phase::Refreshing { .. })
                && online.flight.in_flight() == 0
                && !online.link.awaits_others()
                && online.link.transmit().is_empty()
        });
        if has_refresh_drained || self.has_close_drained() {
            self.leave(now);
        }
    }

    /// Returns whether a close was requested, and nothing is left that can be sent.
    fn has_close_drained(&self) -> bool {
        let online = self.lifecycle.online();
        let has_in_flight = online.is_some_and(|online| online.flight.in_flight() > 0);
        self.lifecycle.close_op.is_some() && !has_in_flight && self.session.has_drained()
    }

    /// Ends the connection with DISCONNECT. Without an open connection it is called only for a close, and cancels the
    /// attempt to connect.
    pub(super) fn leave(&mut self, now: Moment) {
        let lifecycle = &mut self.lifecycle;
        lifecycle.close_by = None;
        match &mut lifecycle.state {
            State::Idle | State::Waiting { .. } | State::Due | State::Dialing => self.end(now),
            State::Online(online) => match &mut online.phase {
                Phase::Connecting => self.end_connection(DisconnectReason::Closed, now),
                Phase::Open | Phase::Refreshing { .. } => {
                    online.link.disconnect();
                    let until = now + HANG_UP_TIMEOUT;
                    online.phase = Phase::Leaving {
                        for_good: lifecycle.close_op.is_some(),
                        until,
                    };
                }
                Phase::Leaving { for_good, .. } => *for_good = true,
            },
            State::HangingUp(then) => *then = AfterHangUp::Close,
            #[cfg(feature = "store")]
            State::Saving { .. } => {}
            State::Closed => {}
        }
    }

    /// Reconnects when no packet identifier is free, because too many wait for late acknowledgements.
    pub(crate) fn reconnect_if_starved(&mut self, now: Moment) {
        let online = self.lifecycle.online();
        if online.is_some_and(|online| online.phase == Phase::Open && online.link.is_starved()) {
            self.end_connection(DisconnectReason::PacketIdsExhausted, now);
        }
    }

    /// Hangs up once DISCONNECT was handed over.
    fn hang_up_if_handed_over(&mut self, now: Moment) {
        let online = self.lifecycle.online();
        if online.is_some_and(|online| online.link.transmit().is_empty()) {
            self.end_leaving(now);
        }
    }

    /// Ends the connection after DISCONNECT was handed over, or could not be.
    pub(super) fn end_leaving(&mut self, now: Moment) {
        let reason = match self.lifecycle.online().map(|online| online.phase) {
            Some(Phase::Leaving { for_good: true, .. }) => DisconnectReason::Closed,
            Some(Phase::Leaving { .. }) => DisconnectReason::TokenRefresh,
            _ => return,
        };
        self.end_connection(reason, now);
    }

    /// Ends the connection because the peer was silent for too long.
    pub(crate) fn on_silence(&mut self, silence: Silence, now: Moment) {
        let reason = match silence {
            Silence::ConnAck(after) => DisconnectReason::ConnAckTimedOut(after),
            Silence::PingResp(after) => DisconnectReason::PingRespTimedOut(after),
            Silence::Packet(after) => DisconnectReason::PacketTimedOut(after),
            Silence::Stall(after) => DisconnectReason::WriteStalled(after),
        };
        self.end_connection(reason, now);
    }

    /// Ends a connection, or an attempt at one, and decides what follows. The only place where an [`Online`] is
    /// dropped. The transport may still be up.
    pub(crate) fn end_connection(&mut self, reason: DisconnectReason, now: Moment) {
        // The suspects are in flight, and known only until `take_back`.
        let online = self.lifecycle.online();
        let (suspects, certainty) = self.session.suspects(online, &reason);
        let mut ending = Ending {
            is_last: online.is_some_and(leaves_for_good),
            is_explained: false,
            accepted_at: online.and_then(|online| online.accepted_at),
        };
        let mut quick_ends = self.lifecycle.quick_ends;
        let has_suspects = !suspects.is_empty() || self.session.has_suspects();
        quick_ends.count(online, &reason, has_suspects, now);
        self.lifecycle.quick_ends = quick_ends;

        // The next state is decided after the devices and publications are detached from the connection.
        let hanging_up = State::HangingUp(AfterHangUp::Close);
        let ended = core::mem::replace(&mut self.lifecycle.state, hanging_up);
        if let State::Online(online) = ended {
            ending.is_explained = self.session.add_strikes(&online, &reason, now);
            self.session.take_back(*online);
            self.session.end_trial();
        }
        let (then, retry_in) = self.next_attempt(&reason, &ending, now);
        self.lifecycle.state = State::HangingUp(then);
        self.session.emit(Event::Disconnected(Disconnected {
            reason,
            certainty,
            retry_in,
            suspects,
            takeover_suspected: quick_ends.suggest_takeover(),
        }));
    }

    /// Decides what follows. The backoff of a refresh runs from CONNACK: it delays only what follows a connection that
    /// was shorter. A refresh is no failure: it never makes the gateway give up. Nor is an end that a suspect explains: the
    /// suspects have a backoff of their own.
    fn next_attempt(
        &mut self,
        reason: &DisconnectReason,
        ending: &Ending,
        now: Moment,
    ) -> (AfterHangUp, Option<Duration>) {
        let is_over = ending.is_last || self.has_close_drained();
        let never = (AfterHangUp::Close, None);
        let at_once = (AfterHangUp::Redial, Some(Duration::ZERO));
        let attempts = self.lifecycle.attempts;
        let session = &mut self.session;
        let since = match reason {
            _ if is_over || *reason == DisconnectReason::Closed => return never,
            DisconnectReason::PacketIdsExhausted => return at_once,
            DisconnectReason::TokenRefresh => ending.accepted_at.unwrap_or(now),
            _ if ending.is_explained => now,
            _ => match session.options.reconnect {
                Reconnect::Attempts(most) if attempts >= most => return never,
                _ => now,
            },
        };
        if now.since(since) >= lasting(&session.options) {
            return at_once;
        }
        let attempts = match ending.is_explained {
            true => 0,
            false => {
                self.lifecycle.attempts += 1;
                attempts
            }
        };
        let until = since + session.options.backoff.wait(attempts, &mut session.jitter);
        if until <= now {
            return at_once;
        }
        (AfterHangUp::Wait { until }, Some(until.since(now)))
    }

    /// Closes the gateway, now that it has no transport: once the store has what is left, if there is one.
    pub(super) fn end(&mut self, now: Moment) {
        #[cfg(feature = "store")]
        self.save_and_finish(now);
        #[cfg(not(feature = "store"))]
        {
            let _ = now;
            self.finish();
        }
    }

    /// Closes the gateway: ends every pending operation.
    pub(in crate::gateway) fn finish(&mut self) {
        let is_closing = self.lifecycle.close_op.is_some();
        let failure = if is_closing {
            Failure::Closed
        } else {
            Failure::GaveUp
        };
        self.lifecycle.state = State::Closed;
        self.lifecycle.close_by = None;
        let open_op = self.lifecycle.open_op.take();
        self.session
            .finish(open_op, self.lifecycle.close_op, &failure);
    }
}

impl Session {
    /// Recovers the state of a connection that has ended.
    fn take_back(&mut self, online: Online) {
        let in_flight = online.publications().collect();
        let Online {
            link, flight, owed, ..
        } = online;
        #[cfg(feature = "store")]
        self.outbox.set_store_phase(StorePhase::Offline);
        self.stats.unsolicited += link.unsolicited();
        self.latency = self.latency.followed_by(link.round_trip());
        self.next_delivery = owed.next();
        let Returned { superseded, .. } = self.outbox.take_back(flight, in_flight);
        self.fail_all_superseded(superseded);
        for slot in self.devices.slots() {
            self.outbox.settle_strikes(slot, self.clock.now());
        }
        self.lose_attachments();
    }

    /// Returns whether no device is to be detached, and what waits belongs to devices that cannot send it.
    fn has_drained(&self) -> bool {
        let mut sendable = self.outbox.len();
        for (slot, device) in self.devices.iter() {
            if device.detach.is_some() {
                return false;
            }
            sendable -= match device.may_send() {
                true => self.outbox.suspected_of(slot),
                false => self.outbox.len_of(slot),
            };
        }
        sendable == 0
    }

    /// Ends every pending operation, the close last.
    fn finish(&mut self, open_op: Option<OpId>, close_op: Option<OpId>, failure: &Failure) {
        self.drains = Schedule::default();
        #[cfg(feature = "store")]
        self.outbox.set_store_phase(StorePhase::Closed);
        let unsent = self.unsent().collect();
        for key in self.outbox.all() {
            self.fail_waiting(key, failure.clone());
        }
        let open = open_op.map(|op| (op, self.devices.key(OWN)));
        for (op, device) in self.devices.pending_ops().into_iter().chain(open) {
            self.fail(op, device, failure.clone());
        }
        if let Some(op) = close_op {
            self.done(op, Outcome::Closed);
        }
        self.emit(Event::Closed { unsent });
    }
}

/// Returns how long a connection has to last so that its refresh is not counted as an attempt.
fn lasting(options: &Options) -> Duration {
    let backoff = options.backoff;
    options.stable_after.clamp(backoff.min, backoff.max)
}

/// Returns whether a connection ends because the gateway closes.
fn leaves_for_good(online: &Online) -> bool {
    matches!(online.phase, Phase::Leaving { for_good: true, .. })
}
