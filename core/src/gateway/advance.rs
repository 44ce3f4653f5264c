//! The last step of every input and command: queues what may be sent now. Only a reported timeout runs timers, so that
//! nobody is judged before what has arrived was read.

use super::{
    Gateway, lifecycle::State, online::Online, send::send_acknowledgements, session::Session,
};
use crate::{clock::Moment, time::Instant};

impl Gateway {
    /// Clamps `now`, and records what the last outputs requested: whether to read from the peer, and whether to dial.
    #[inline(always)]
    pub(super) fn observe_time(&mut self, now: Instant) -> Moment {
        let now = self.session.clock.observe(now);
        match &mut self.lifecycle.state {
            State::Online(online) => {
                let is_reading = self.session.wants_input(online);
                online.link.observe_reading(is_reading, now);
            }
            State::Due if self.session.has_room_for_events() => {
                self.lifecycle.state = State::Dialing;
            }
            _ => {}
        }
        now
    }

    /// Runs the timers that are due.
    pub(super) fn run_due(&mut self, now: Moment) {
        // First, because it may end a pause of reading, and the peer's time goes on with it.
        if let State::Online(online) = &mut self.lifecycle.state {
            self.session.judge_back_pressure(online, now);
            send_acknowledgements(online);
            let is_reading = self.session.wants_input(online);
            online.link.observe_reading(is_reading, now);
        }
        if let State::Online(online) = &mut self.lifecycle.state
            && let Some(silence) = online.link.judge_silence(now)
        {
            self.on_silence(silence, now);
        }
        self.run_lifecycle_timers(now);
        let (session, mut online) = (&mut self.session, self.lifecycle.online_mut());
        if let Some(online) = online.as_deref_mut() {
            session.run_device_timers(online, now);
        }
        session.expire(online.as_deref_mut(), now);
        #[cfg(feature = "store")]
        session.outbox.run_store(now);
        session.run_drains(online.as_deref_mut(), now);
        // After the drains, during which there are no trials.
        if let Some(online) = online.as_deref_mut() {
            session.run_trials(online, now);
        }
        let flight = online.map(|online| &mut online.flight);
        session.outbox.release_paced(flight, now);
    }

    /// Queues the probes that are due now, after everything that needs none.
    pub(super) fn flush_probes(&mut self, now: Moment) {
        let (session, online) = (&self.session, self.lifecycle.online_mut());
        if online.is_some_and(|online| session.note_due_probes(online, now)) {
            self.flush(now);
            // What has ended instead of being sent again may want another probe.
            self.flush_probes(now);
        }
    }

    /// Queues what may be sent now, and reports the queues that have room again.
    #[inline(always)]
    pub(super) fn flush(&mut self, now: Moment) {
        let is_closing = self.lifecycle.is_closing();
        match &mut self.lifecycle.state {
            State::Online(online) if !is_closing && online.has_nothing_to_send() => {
                self.session.end_flush(online, now);
            }
            _ => self.fill_and_flush(now),
        }
    }

    #[inline(never)]
    fn fill_and_flush(&mut self, now: Moment) {
        let is_closing = self.lifecycle.is_closing();
        if let State::Online(online) = &mut self.lifecycle.state {
            match self.session.fill(online, now) {
                true if !is_closing => return self.session.end_flush(online, now),
                true => {}
                false => self.reconnect_if_starved(now),
            }
        }
        self.end_if_over(now);
        match &mut self.lifecycle.state {
            State::Online(online) => self.session.end_flush(online, now),
            State::Closed => self.session.outbox.pack(None, |_, _| {}),
            _ => self.session.do_chores(None),
        }
    }
}

impl Session {
    /// Completes a flush after which the connection goes on.
    #[inline]
    fn end_flush(&mut self, online: &mut Online, now: Moment) {
        if self.outbox.has_chores() {
            self.do_chores(Some(online));
        }
        online.link.watch_progress(now);
        let is_reading = self.wants_input(online);
        online.link.observe_reading(is_reading, now);
    }
}
