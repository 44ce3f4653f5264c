//! The life of a publication: accepted, then acknowledged, put back, or failed.

use super::{
    online::{Online, PacketOwner},
    outbox::{EntryKey, Returned},
    session::Session,
};
use crate::{
    clock::Moment,
    command::{OpId, Publication, Slot},
    error::Failure,
    event::{Event, Outcome},
    options::Overflow,
};

impl Session {
    /// Accepts a publication that was admitted.
    pub(super) fn accept(
        &mut self,
        online: Option<&mut Online>,
        publication: Publication,
        now: Moment,
    ) -> OpId {
        let op = self.new_op();
        self.stats.accepted += 1;
        if self.devices.are_followed() {
            self.note_publication(publication.device.slot);
        }
        let flight = online.map(|online| &mut online.flight);
        if let Some(replaced) = self.outbox.accept(flight, op, publication, now) {
            self.fail_superseded(replaced);
        }
        op
    }

    /// Records that a device that is suspected gets a publication. Never inlined: usually nothing is suspected.
    #[inline(never)]
    fn note_publication(&mut self, device: Slot) {
        if self.outbox.is_suspected(device) {
            self.devices.note_change(device);
        }
    }

    /// Makes room for a publication by dropping older ones, if the options say so.
    pub(super) fn make_room(&mut self, publication: &Publication) -> bool {
        self.outbox.has_room(publication) || self.drop_oldest_for(publication)
    }

    /// Drops as many older publications of a device as a new one needs; none if it has no room even so, or the options
    /// say so.
    #[inline(never)]
    fn drop_oldest_for(&mut self, publication: &Publication) -> bool {
        let oldest = match self.options.overflow {
            Overflow::DropOldest => self.outbox.droppable(publication),
            Overflow::Reject => None,
        };
        self.drop_all(oldest.as_deref().unwrap_or_default());
        oldest.is_some()
    }

    /// Drops publications that wait, for a newer one.
    pub(super) fn drop_all(&mut self, keys: &[EntryKey]) {
        for &key in keys {
            self.fail_waiting(key, Failure::Dropped);
            self.stats.dropped += 1;
        }
    }

    /// Ends a publication on a connection well: it was acknowledged, or handed over at QoS 0.
    pub(super) fn complete_publication(
        &mut self,
        online: &mut Online,
        key: EntryKey,
        outcome: Outcome,
    ) {
        let is_acknowledged = outcome == Outcome::Acknowledged;
        let (op, device) = self.outbox.finish(&mut online.flight, key, is_acknowledged);
        self.stats.published += 1;
        self.done(op, outcome);
        self.continue_detach(online, device);
    }

    /// Ends a publication on a connection without success, wherever it is. Its acknowledgement may still come.
    pub(super) fn fail_publication(
        &mut self,
        online: &mut Online,
        key: EntryKey,
        failure: Failure,
    ) {
        if let Some(packet_id) = self.outbox.entry(key).packet_id()
            && online.link.disown(packet_id, PacketOwner::Nobody)
        {
            let flight = &mut online.flight;
            self.outbox.end_in_flight(flight, key, packet_id);
        }
        self.fail_unsent(key, failure);
        let (_, device) = self.outbox.finish(&mut online.flight, key, false);
        self.continue_detach(online, device);
    }

    /// Ends the publication of an operation at the user's request. Returns whether there is one that has not ended.
    pub(super) fn cancel(&mut self, online: Option<&mut Online>, op: OpId) -> bool {
        let key = self.outbox.find(op);
        if let Some(key) = key {
            self.give_up(online, key, Failure::Cancelled);
        }
        key.is_some()
    }

    /// Ends the publications that have expired and are not in flight.
    pub(super) fn expire(&mut self, mut online: Option<&mut Online>, now: Moment) {
        while let Some(key) = self.outbox.pop_expired(now) {
            self.give_up(online.as_deref_mut(), key, Failure::Expired);
        }
    }

    /// Ends a publication without success, wherever it is, although the peer has not said anything about it.
    pub(super) fn give_up(&mut self, online: Option<&mut Online>, key: EntryKey, failure: Failure) {
        let strikes = *self.outbox.strikes_mut(key);
        let entry = self.outbox.entry(key);
        let (device, packet_id) = (entry.device, entry.packet_id());
        self.outbox.leave_strikes(key);
        let Some(online) = online else {
            self.fail_waiting(key, failure);
            return self.outbox.settle_strikes(device, self.clock.now());
        };
        if let (Some(trials), Some(packet_id)) = (&mut online.trials, packet_id)
            && trials.is_trying(packet_id)
        {
            // Nothing has shown whether it is to blame.
            trials.pause(online.link.peer_clock().time(self.clock.now()));
        }
        self.fail_publication(online, key, failure);
        if strikes.is_suspect() && self.devices.get(device).is_some() {
            self.outbox.settle_strikes(device, self.clock.now());
            self.devices.note_change(device);
        }
        if self.is_attached(online, device) {
            self.outbox.reopen(&mut online.flight, device);
        }
    }

    /// Ends a publication that waits in its queue without success.
    pub(super) fn fail_waiting(&mut self, key: EntryKey, failure: Failure) {
        self.fail_unsent(key, failure);
        self.outbox.finish_waiting(key);
    }

    /// Ends a state that a newer one has replaced, which is in no queue any more.
    pub(super) fn fail_superseded(&mut self, key: EntryKey) {
        self.fail_unsent(key, Failure::Superseded);
        self.outbox.release(key);
    }

    /// Fails all publications of a device.
    pub(super) fn fail_publications_of(
        &mut self,
        online: Option<&mut Online>,
        device: Slot,
        failure: &Failure,
    ) {
        let keys = self.publications_of(online.as_deref(), device).into_iter();
        match online {
            Some(online) => {
                keys.for_each(|key| self.fail_publication(online, key, failure.clone()));
            }
            None => keys.for_each(|key| self.fail_waiting(key, failure.clone())),
        }
    }

    /// Returns all publications of a device, in the order of acceptance.
    fn publications_of(&self, online: Option<&Online>, device: Slot) -> Vec<EntryKey> {
        let in_flight = online.map(|online| self.in_flight_of(online, device));
        let flight = online.map(|online| &online.flight);
        let outbox = &self.outbox;
        outbox.all_of(device, in_flight.unwrap_or_default(), flight)
    }

    /// Returns the publications of a device that are in flight at QoS 1.
    fn in_flight_of(&self, online: &Online, device: Slot) -> Vec<EntryKey> {
        match self.outbox.in_flight_of(device) {
            0 => Vec::new(),
            count => {
                let all = online.publications();
                let of_device = all.filter(|&key| self.outbox.entry(key).device == device);
                of_device.take(count).collect()
            }
        }
    }

    /// Ends the QoS 0 publications that were completely handed over.
    pub(super) fn end_handed_over(&mut self, online: &mut Online) {
        let offset = online.link.handed_over();
        while let Some(key) = self.outbox.handed_over(&online.flight, offset) {
            let device = self.outbox.entry(key).device;
            self.complete_publication(online, key, Outcome::Transmitted);
            if self.outbox.is_probation_unanswerable(device) {
                self.acquit(online, device);
            }
            if let Some(trials) = &mut online.trials {
                let now = self.clock.now();
                trials.last_unanswerable = online.link.peer_clock().time(now);
            }
        }
    }

    /// Puts back what a device had in flight, because it is no longer attached.
    pub(super) fn put_back(&mut self, online: &mut Online, device: Slot) {
        self.devices.note_change(device);
        let in_flight = self.in_flight_of(online, device);
        let Returned {
            packet_ids,
            superseded,
        } = self.outbox.put_back(&mut online.flight, in_flight);
        for packet_id in packet_ids {
            online.link.quarantine(packet_id);
        }
        self.fail_all_superseded(superseded);
    }

    pub(super) fn fail_all_superseded(&mut self, states: Vec<EntryKey>) {
        for key in states {
            self.fail_superseded(key);
        }
    }

    /// Notifies the users whose publications were refused that there is room again, and frees the memory of what has
    /// ended. Never inlined: usually there is nothing to do.
    #[inline(never)]
    pub(super) fn do_chores(&mut self, online: Option<&mut Online>) {
        if self.outbox.take_look() {
            while let Some(slot) = self.outbox.take_writable() {
                let device = self.devices.key(slot);
                self.emit(Event::Writable { device });
            }
        }
        #[cfg(feature = "store")]
        self.do_store_chores();
        match online {
            Some(Online { flight, link, .. }) => self.outbox.pack(Some(flight), |id, key| {
                link.rename(id, PacketOwner::Publication(key));
            }),
            None => self.outbox.pack(None, |_, _| {}),
        }
    }
}
