//! Packets that the peer has not answered: what their identifiers stand for, and how their operations end otherwise.

use super::{Connection, PacketId, packet_ids};
use crate::{
    clock::{Moment, PeerTime},
    time::Duration,
};

/// What a packet identifier stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Found<T> {
    InFlight(T),
    /// Its operation has ended; its acknowledgement may still arrive.
    Quarantined,
    Free,
}

impl<T: Copy> Connection<T> {
    /// Ends the operation of an unanswered packet without its acknowledgement: its tag is `nobody` from now on. Its
    /// identifier is not reused until that arrives. Returns whether it is in the window.
    pub(crate) fn disown(&mut self, id: PacketId, nobody: T) -> bool {
        let key = self.ids.find_in_flight(id);
        key.is_some_and(|key| self.acks.disown(key, nobody))
    }

    /// Gives an unanswered packet another tag.
    pub(crate) fn rename(&mut self, id: PacketId, tag: T) {
        if let Some(key) = self.ids.find_in_flight(id) {
            self.acks.rename(key, tag);
        }
    }

    /// Ends the operation of an unanswered packet that the peer has given up, with others: it has left the peer's queue.
    pub(crate) fn quarantine(&mut self, id: PacketId) {
        if let Some(key) = self.ids.quarantine(id) {
            self.acks.forget(key);
        }
    }

    /// Ends the operation of a packet that the peer has answered otherwise, with an error report.
    pub(crate) fn answer_with_report(&mut self, id: PacketId, now: Moment) {
        if let Some(key) = self.ids.quarantine(id) {
            self.acks.answer(key, self.peer_clock.time(now));
        }
    }

    /// Returns the tags of the unanswered packets.
    pub(crate) fn owners(&self) -> impl Iterator<Item = T> {
        self.acks.owners()
    }

    /// Returns the unanswered packets that were handed over to the transport at most `within` ago, or a part of them, oldest
    /// first. None of those before a pause of reading: the peer may have answered them long ago.
    pub(crate) fn handed_over_within(&self, within: Duration, now: Moment) -> Vec<(PacketId, T)> {
        let cut = self.cut_within(within, now);
        let since = self.since(within, now);
        since.map_or_else(Vec::new, |since| self.acks.handed_since(since, cut))
    }

    /// Returns the offset in the stream at which the packet ends of which a part was handed over to the transport, and not
    /// all.
    pub(crate) fn cut(&self) -> Option<u64> {
        self.transmit.cut()
    }

    /// Returns the offset in the stream at which the packet ends of which a part was handed over to the transport at most
    /// `within` ago, and not all; not if that was before a pause of reading.
    pub(crate) fn cut_within(&self, within: Duration, now: Moment) -> Option<u64> {
        let since = self.since(within, now)?;
        self.cut().filter(|_| self.last_written >= since)
    }

    /// Returns the peer time of `within` ago, or that of the end of the last pause of reading; `None` during one.
    fn since(&self, within: Duration, now: Moment) -> Option<PeerTime> {
        let earliest = self.peer_clock.time_if_running(now)? - within;
        // Peer time stands still during a pause: what was handed over just before it is left out, too.
        let resumed = self.peer_clock.resumed();
        let after_pause = resumed.map(|resumed| resumed + Duration::from_nanos(1));
        Some(after_pause.map_or(earliest, |after| after.max(earliest)))
    }

    /// Returns the unanswered packets that were handed over to the transport, or a part of them, newest first.
    pub(crate) fn newest_handed_over(&self) -> Vec<(PacketId, T)> {
        self.acks.newest_handed_over(self.cut())
    }

    /// Returns when an unanswered packet was completely handed over to the transport.
    pub(crate) fn handed_over_at(&self, id: PacketId) -> Option<PeerTime> {
        self.acks.handed(self.ids.find_in_flight(id)?)
    }

    /// Returns when a packet that the peer answers was last handed over to the transport.
    pub(crate) fn last_handed_over(&self) -> PeerTime {
        self.acks.last_handed()
    }

    /// Returns whether the peer has yet to answer any packet.
    pub(crate) fn has_unanswered(&self) -> bool {
        self.ids.in_flight() > 0
    }

    pub(crate) fn find(&self, id: PacketId) -> Found<T> {
        match self.ids.find(id) {
            packet_ids::Found::InFlight(_, key) => Found::InFlight(self.acks.owner(key)),
            packet_ids::Found::Quarantined => Found::Quarantined,
            packet_ids::Found::Free => Found::Free,
        }
    }
}
