//! What every input and command ends in: timers that are due, and what may be written now.

use super::{Gateway, lifecycle::State};
use crate::{clock::Moment, time::Instant};

impl Gateway {
    /// Clamps `now` and updates the peer clock.
    pub(super) fn observe_time(&mut self, now: Instant) -> Moment {
        let now = self.session.clock.observe(now);
        self.observe_reading(now);
        now
    }

    /// Tells the connection whether it is read from now on.
    fn observe_reading(&mut self, now: Moment) {
        if let State::Online(online) = &mut self.lifecycle.state {
            let is_reading = self.session.wants_input(online);
            online.link.observe_reading(is_reading, now);
        }
    }

    /// Runs what is due, then flushes. Every input and command ends here, but for
    /// [`handle_input`](Self::handle_input), which runs no timers.
    pub(super) fn advance(&mut self, now: Moment) {
        if let State::Online(online) = &mut self.lifecycle.state
            && let Some(silence) = online.link.run_timers(now)
        {
            self.on_silence(silence, now);
        }
        self.run_lifecycle_timers(now);
        let (session, lifecycle) = (&mut self.session, &mut self.lifecycle);
        if let State::Online(online) = &mut lifecycle.state
            && online.has_deadlines()
        {
            session.run_device_timers(online, now);
        }
        if session.outbox.is_pacing() {
            let flight = lifecycle.online_mut().map(|online| &mut online.flight);
            session.outbox.release_paced(flight, now);
        }
        self.flush(now);
    }

    /// Writes what may be written now, and announces what has room again.
    pub(super) fn flush(&mut self, now: Moment) {
        self.reconnect_if_starved(now);
        if let State::Online(online) = &mut self.lifecycle.state {
            self.session.fill(online, now);
        }
        if self.lifecycle.is_winding_down() {
            self.leave_if_drained(now);
            self.hang_up_if_handed_over(now);
        }
        if let State::Online(online) = &mut self.lifecycle.state {
            online.link.watch_progress(now);
        }
        if !self.is_closed() {
            self.session.announce_room();
        }
        self.observe_reading(now);
    }
}
