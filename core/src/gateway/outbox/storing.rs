//! What the outbox does because of a store. Without one, none of it.

use core::num::NonZeroU64;

use super::{
    Flight, Outbox,
    accepting::is_state,
    entry::{Entry, EntryKey},
    records::{Accepted, Ending, Found, Phase, RecordOp, Records, bytes_in_store, record_bytes},
};
use crate::{
    clock::Moment,
    command::{OpId, Publication, PublicationTopic, Slot},
    error::Failure,
    id::DeviceId,
    mqtt::QoS,
    options::Options,
    store::{Record, Recovered, StoreFailure, StoreSeq},
    time::UnixTime,
};

/// What has changed because a group was made durable.
pub(crate) struct Confirmed {
    /// Whether the store could not be written before.
    pub(crate) has_recovered: bool,
}

/// Why there is no room in the store for a publication, and what would make some.
pub(crate) enum NoStoreRoom {
    /// It has to wait.
    Blocked,
    /// These may be dropped for it.
    Droppable(Vec<EntryKey>),
}

impl Outbox {
    /// Creates the records, if there is a store.
    pub(super) fn records_of(options: &Options) -> Option<Box<Records>> {
        let linger = options.durability.linger?;
        let largest = options.largest_record();
        Some(Box::new(Records::new(&options.durability, linger, largest)))
    }

    /// Returns whether there is a store.
    pub(crate) fn has_store(&self) -> bool {
        self.records.is_some()
    }

    /// Returns whether a publication is in the store, and that is there.
    pub(super) fn is_stored(&self, key: EntryKey) -> bool {
        let records = self.records.as_ref();
        records.is_some_and(|records| records.is_stored(key) && !records.is_gone())
    }

    /// Adds a publication to the records.
    pub(super) fn record(&mut self, key: EntryKey, accepted: &Accepted, now: Moment) {
        if let Some(records) = &mut self.records {
            self.is_look_due |= records.add(key, accepted, now);
        }
        // What is added only takes room.
        if self.admitted.is_open() {
            self.judge_store();
        }
    }

    /// Removes a publication from the records.
    pub(super) fn forget_record(&mut self, key: EntryKey, op: OpId, device: Slot) {
        if let Some(records) = &mut self.records {
            self.is_look_due |= records.end(key, op, device);
        }
        // What ends only makes room.
        if !self.admitted.is_open() {
            self.judge_store();
        }
    }

    /// Records how a publication fails that is about to be removed.
    pub(crate) fn note_failure(&mut self, key: EntryKey, failure: &Failure) {
        if let Some(records) = &mut self.records {
            let ending = match failure {
                Failure::Superseded => Ending::Superseded,
                Failure::Cancelled | Failure::Detached => Ending::Withdrawn,
                _ => Ending::Failed,
            };
            records.note_ending(key, ending);
        }
    }

    /// Decides whether publications are admitted without a look at the store.
    #[inline]
    fn judge_store(&mut self) {
        let Some(records) = &self.records else {
            return;
        };
        let is_open = records.room.has_plenty() && !records.is_refusing();
        if is_open != self.admitted.is_open() {
            self.admitted.set(is_open);
        }
    }

    /// Returns whether a publication is refused because the store cannot be written.
    pub(crate) fn is_refused_by_store(&self, publication: &Publication) -> bool {
        let records = self.records.as_ref();
        let is_refusing = records.is_some_and(|records| records.is_refusing());
        is_refusing && publication.qos == QoS::AtLeastOnce
    }

    /// Returns whether what was found in a store can be added: until something else is.
    pub(crate) fn is_restorable(&self) -> bool {
        let records = self.records.as_ref();
        records.is_some_and(|records| records.is_restorable())
    }

    /// Numbers what is accepted from now on above what a store ever held.
    pub(crate) fn number_above(&mut self, recovered: &Recovered) {
        if let Some(records) = &mut self.records
            && records.is_restorable()
        {
            let place = recovered.highest_accepted.map_or(0, NonZeroU64::get);
            records.number_above(recovered.highest_seq, place);
        }
    }

    /// Takes in what was found in a store, with its number there; returns a state that it replaced, as `accept` does.
    pub(crate) fn restore(
        &mut self,
        flight: Option<&mut Flight>,
        op: OpId,
        publication: Publication,
        found: Found,
        now: Moment,
    ) -> Option<EntryKey> {
        let accepted = Accepted {
            found: Some(found),
            bytes: Some(bytes_in_store(&publication)),
            ..Accepted::new(op, &publication)
        };
        let (key, replaced) = self.take_in_followed(flight, op, publication, now);
        self.record(key, &accepted, now);
        replaced
    }

    /// Returns the record of a publication. `device` is the id of its device; `date_of` returns the date of a moment, if that
    /// is known.
    #[inline]
    pub(crate) fn record_of<'a>(
        &'a mut self,
        key: EntryKey,
        device: &'a DeviceId,
        date_of: impl FnOnce(Moment) -> Option<UnixTime>,
    ) -> Option<Record<'a>> {
        let records = self.records.as_mut()?;
        let entry = self.entries.at(key);
        let (expires_at, tag) = self.extras.of(entry);
        let accepted = records.acceptance(entry.op);
        let topic = match (entry.is_state, &entry.subfolder) {
            (true, _) => &PublicationTopic::State,
            (false, None) => &PublicationTopic::Telemetry(None),
            (false, Some(_)) => {
                records.topic = entry.topic();
                &records.topic
            }
        };
        Some(Record {
            accepted,
            device,
            topic,
            qos: entry.qos,
            payload: &entry.payload,
            deadline: expires_at.and_then(date_of),
            priority: entry.priority(),
            tag,
        })
    }

    /// Returns whether the store has no room for a publication. A state takes that of one that it replaces and that belongs
    /// to no group yet.
    pub(crate) fn lacks_store_room(
        &self,
        publication: &Publication,
        may_drop: bool,
    ) -> Option<NoStoreRoom> {
        let (records, bytes) = (self.records.as_ref()?, record_bytes(publication)?);
        let queue = self.queues.at(publication.device.slot);
        let replaced = queue.state.filter(|_| is_state(publication));
        let mut room = records.room.left() + replaced.map_or(0, |key| records.ungrouped_bytes(key));
        if bytes <= room {
            return None;
        }
        let mut dropped = Vec::new();
        let droppable = queue.droppable(&self.entries, publication.is_urgent());
        for key in droppable.filter(|key| records.bytes(*key) > 0) {
            room += records.bytes(key);
            dropped.push(key);
            if bytes <= room && may_drop {
                return Some(NoStoreRoom::Droppable(dropped));
            }
        }
        Some(NoStoreRoom::Blocked)
    }

    /// Records that the user of its device waits for room in the store for this publication; returns whether that is news.
    pub(crate) fn block_for_store(&mut self, publication: &Publication) -> bool {
        match (&mut self.records, record_bytes(publication)) {
            (Some(records), Some(bytes)) => records.room.block(publication.device.slot, bytes),
            _ => false,
        }
    }

    /// Returns what a device has reserved in the store for what waits.
    pub(crate) fn reserved_by(&self, device: Slot) -> usize {
        let records = self.records.as_ref();
        let waiting = self.queues.at(device).all(&self.entries);
        waiting
            .map(|key| records.map_or(0, |records| records.bytes(key)))
            .sum()
    }

    /// Takes the devices whose users waited for room in the store and have it.
    pub(crate) fn take_store_writable(&mut self) -> Vec<Slot> {
        let records = self.records.as_mut();
        records.map_or_else(Vec::new, |records| records.room.take_writable())
    }

    /// Records what the gateway does, as far as it matters to the store.
    pub(crate) fn set_store_phase(&mut self, phase: Phase) {
        if let Some(records) = &mut self.records {
            records.set_phase(phase);
            self.is_look_due = true;
        }
    }

    /// Numbers what has waited for its acknowledgement for long enough.
    pub(crate) fn run_store(&mut self, now: Moment) {
        if let Some(records) = &mut self.records
            && records.next_deadline().is_some_and(|at| at <= now)
        {
            records.run_due(now);
            self.is_look_due = true;
        }
    }

    /// Returns when there is something to do for the store without an input.
    #[inline]
    pub(crate) fn next_store_deadline(&self) -> Option<Moment> {
        self.records.as_ref()?.next_deadline()
    }

    /// Begins a group of operations on the store, if it is time for one.
    pub(crate) fn begin_store_group(&mut self, now: Moment) {
        if let Some(records) = &mut self.records {
            records.begin_group(now);
        }
    }

    /// Returns whether there is an operation on the store to be taken.
    pub(crate) fn has_store_op(&self) -> bool {
        let records = self.records.as_ref();
        records.is_some_and(|records| records.has_op())
    }

    /// Takes the next operation on the store.
    pub(crate) fn next_store_op(&mut self) -> Option<RecordOp> {
        self.records.as_mut()?.next_op()
    }

    /// Records that all through this number is durable; `None` if nothing was to be.
    pub(crate) fn confirm_store(&mut self, through: StoreSeq) -> Option<Confirmed> {
        let has_recovered = self.records.as_mut()?.confirm(through)?;
        self.is_look_due = true;
        self.judge_store();
        Some(Confirmed { has_recovered })
    }

    /// Takes the next publication that has become durable.
    pub(crate) fn next_stored(&mut self) -> Option<OpId> {
        let records = self.records.as_mut()?;
        let key = records.next_durable()?;
        let Entry { op, device, .. } = *self.entries.at(key);
        records.store(key, op, device);
        Some(op)
    }

    /// Returns how often the store was tried in vain before the operations that are under way; `None` if none are.
    pub(crate) fn failed_store_attempts(&self) -> Option<u32> {
        let records = self.records.as_ref()?;
        records.is_in_group().then(|| records.attempts())
    }

    /// Records that the store could not be written. Returns whether that is news.
    pub(crate) fn fail_store(&mut self, failure: &StoreFailure, retry_at: Moment) -> bool {
        let records = self.records.as_mut();
        let is_news = records.and_then(|records| records.fail(failure, retry_at));
        self.judge_store();
        is_news.unwrap_or_default()
    }

    /// Returns whether nothing is left that the store has yet to make durable.
    pub(crate) fn is_store_settled(&self) -> bool {
        let records = self.records.as_ref();
        records.is_none_or(|records| records.is_settled())
    }

    /// Returns how many publications are in the store, and what is reserved in it.
    pub(crate) fn stored(&self) -> (usize, usize) {
        let records = self.records.as_ref();
        records.map_or((0, 0), |records| {
            let stored = if records.is_gone() {
                0
            } else {
                records.stored()
            };
            (stored, records.room.reserved())
        })
    }

    /// Forgets a device, all of whose publications have ended.
    pub(super) fn forget_device_records(&mut self, device: Slot) {
        if let Some(records) = &mut self.records {
            records.forget_device(device);
        }
    }

    /// Replaces the key of a publication.
    pub(super) fn rename_record(&mut self, old: EntryKey, new: EntryKey) {
        let device = self.entries.at(new).device;
        if let Some(records) = &mut self.records {
            records.rename(device, old, new);
        }
    }

    /// Frees the memory of the records of what has ended.
    pub(super) fn shrink_records(&mut self) {
        let places = self.entries.places();
        if let Some(records) = &mut self.records {
            records.shrink(places);
        }
    }
}
