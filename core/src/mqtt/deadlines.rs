//! The deadlines of a connection, and what may be sent of each kind of packet that the peer answers.

use super::{Connection, Kind, PacketId, Phase, Silence, Verdict, codec, keep_alive::Streams};
use crate::clock::{Moment, PeerClock, PeerTime};

impl<T: Copy> Connection<T> {
    /// Returns the clock of the peer's time on this connection.
    #[inline]
    pub(crate) fn peer_clock(&self) -> &PeerClock {
        &self.peer_clock
    }

    /// Returns when to call [`judge_silence`](Self::judge_silence) and [`judge_answers`](Self::judge_answers) next.
    pub(crate) fn next_deadline(&self) -> Option<Moment> {
        let is_open = self.phase == Phase::Open;
        let alive = self
            .keep_alive
            .next_deadline(is_open, self.streams(), &self.peer_clock);
        let answer = self.acks.next_deadline();
        let answer = answer.and_then(|at| self.peer_clock.machine_time(at));
        [alive, answer].into_iter().flatten().min()
    }

    /// Returns how the peer was silent for too long, if it was, or queues PINGREQ if it is due.
    pub(crate) fn judge_silence(&mut self, now: Moment) -> Option<Silence> {
        let streams = self.streams();
        let silence = self.keep_alive.judge(streams, &self.peer_clock, now);
        if silence.is_some() {
            return silence;
        }
        let ping_at = self.keep_alive.ping_at(streams);
        if self.phase == Phase::Open && ping_at.is_some_and(|at| at <= now) {
            codec::pingreq(self.transmit.buffer());
            let peer_now = self.peer_clock.time(now);
            self.keep_alive.pinged(self.transmit.queued_end(), peer_now);
        }
        None
    }

    /// Returns the next unanswered packet about which the time shows something new.
    pub(crate) fn judge_answers(&mut self, now: Moment) -> Option<Verdict<T>> {
        self.acks.judge(self.peer_clock.time_if_running(now)?)
    }

    /// Starts the time limit for handing over queued bytes. To be called once everything that an input causes is
    /// queued.
    #[inline]
    pub(crate) fn watch_progress(&mut self, now: Moment) {
        let is_queued = !self.transmit.is_empty();
        self.keep_alive.watch_progress(is_queued, now);
    }

    fn streams(&self) -> Streams {
        Streams {
            is_queued: !self.transmit.is_empty(),
            proven: self.acks.proven(),
        }
    }

    /// Returns whether the window of a kind has room for one more first packet. While packets `wait` to be sent again, a
    /// tenth of it is kept for them.
    #[inline]
    pub(crate) fn has_window(&self, kind: Kind, wait: bool) -> bool {
        self.window_left(kind, wait) > 0
    }

    /// Returns for how many more first packets the window of a kind has room; `wait` is as above.
    #[inline]
    pub(crate) fn window_left(&self, kind: Kind, wait: bool) -> usize {
        self.acks.room(kind, wait)
    }

    /// Returns whether the window of a kind has room for one more packet that is sent again.
    #[inline]
    pub(crate) fn has_window_again(&self, kind: Kind) -> bool {
        self.acks.has_room_again(kind)
    }

    /// Returns how many unanswered packets of a kind are in its window.
    pub(crate) fn in_window(&self, kind: Kind) -> usize {
        self.acks.in_window(kind)
    }

    /// Returns whether publications wait to be sent again.
    #[inline]
    pub(crate) fn has_again(&self) -> bool {
        self.acks.has_again()
    }

    /// Returns the next publication to be sent again.
    pub(crate) fn next_again(&self) -> Option<T> {
        self.acks.next_again()
    }

    /// Lets an overdue packet wait for its timeout once more.
    pub(crate) fn postpone(&mut self, id: PacketId, now: Moment) {
        if let Some(key) = self.ids.find_in_flight(id) {
            self.acks.postpone(key, self.peer_clock.time(now));
        }
    }

    /// Returns whether a packet is overdue and has left the window, so that it may be sent again.
    pub(crate) fn is_released(&self, id: PacketId) -> bool {
        let key = self.ids.find_in_flight(id);
        key.is_none_or(|key| self.acks.is_released(key))
    }

    /// Takes an unanswered packet out of its window, because another one asks for the same. Its answer still counts.
    pub(crate) fn park(&mut self, id: PacketId) {
        if let Some(key) = self.ids.find_in_flight(id) {
            self.acks.park(key);
        }
    }

    /// Returns the tag of the packet of a kind that was sent first of those that are overdue and in the window.
    pub(crate) fn oldest_late(&self, kind: Kind) -> Option<T> {
        self.acks.oldest_late(kind)
    }

    /// Returns when to probe with a packet of a kind, if its window is full and nothing moves until then.
    pub(crate) fn probe_at(&self, kind: Kind) -> Option<PeerTime> {
        self.acks.probe_at(kind)
    }

    /// Records that a probe of a kind was queued.
    pub(crate) fn probed(&mut self, kind: Kind, now: Moment) {
        self.acks.probed(kind, self.peer_clock.time(now));
    }

    /// Returns whether the deadline of a packet is still to come, of any kind but publications.
    pub(crate) fn awaits_others(&self) -> bool {
        self.acks.awaits_others()
    }
}
