//! What is kept in the store, and until when. The records of the publications are in `outbox/records`; what is done for
//! them is queued here and in `outbox/storing`, by inputs and commands, and nowhere else.
//!
//! A publication at QoS 1 is put when it has waited `linger` for its acknowledgement, or at once while no connection is
//! open, or the gateway closes. All that is to be put makes the next group, which begins once the last one was answered.
//! What ends before its group begins leaves no trace; when the operations are taken makes no difference.
//!
//! | what happens to a publication | its record |
//! |---|---|
//! | acknowledged before its group begins | never written |
//! | acknowledged later | removed |
//! | acknowledged after its group has begun, and before that is durable | removed, with a later group |
//! | at QoS 0 | never written |
//! | the group is durable | stays; `Stored`, unless it has ended |
//! | the group has failed | put again, with the same number, with the next group; a removal is repeated, too |
//! | dropped for a newer one, refused with its device, given up as suspected, reported | removed |
//! | cancelled, or its device is detached | removed at once |
//! | expired | removed; a deadline is kept as a date, so time counts that passes while the machine is off |
//! | replaced by a newer state | removed once a newer one of its device is durable or delivered, or all newer ones have ended |
//! | replaced by a newer state before its group begins | never written |
//! | a state, while an older one of its device may be in the store | put at once, whether or not there is a connection |
//! | a state has ended, and a newer one of its device is there, or comes | removed at once |
//! | a state in flight, and a newer one of its device is delivered | removed at once, although it has not ended |
//! | urgent | as any other: it is put in the order of acceptance |
//! | the gateway closes, or has given up connecting | put if it was not, committed before `Closed`, and kept |
//! | restored | stays, with its number; what replaces it, or ends it, removes it |
//!
//! A removal is committed with the next group, and by itself after 1 s, or with 1,000 others: otherwise a healthy link,
//! which puts nothing, would never commit one, and a crash would send the whole outage again. One that is lost costs a
//! duplicate, never a loss. Those that have to be done at once begin a group as soon as none is under way: what was taken
//! back, and a state that would replace a newer one, come back only after a crash during a commit, or while the store cannot
//! be written. Sending does not wait for that.
//!
//! Each publication reserves its room in the store when it is accepted, so that a full one refuses it as blocked, and never
//! fails to take it later. With `DropOldest`, the oldest of its device make room, as in a full queue.

use bytes::Bytes;

use super::{
    Gateway,
    devices::Life,
    lifecycle::State,
    online::Online,
    outbox::{EntryKey, Found, NoStoreRoom, RecordOp, StorePhase},
    session::Session,
};
use crate::{
    clock::Moment,
    command::{Extras, OpId, Publication, Slot},
    error::{CommandError, PublishErrorKind},
    event::{Event, PLAUSIBLE},
    id::DeviceId,
    options::Overflow,
    store::{Record, Recovered, StoreFailure, StoreOp, StoreSeq},
    time::{Duration, Instant, UnixTime},
};

/// How long a close waits for the store after [`Options::drain_timeout`](crate::Options), so that it has some time even if
/// that is zero.
const SAVE_TIME: Duration = Duration::from_secs(1);

/// The store: what is to be kept, and what is known of it. Only with [`Durability::linger`](crate::options::Durability).
///
/// ```
/// # use std::time::{Duration, Instant};
/// # use iotcore_gateway::{*, auth::UnixTime, options::Durability, store::StoreOp};
/// # let id = ClientId::new("plant".try_into()?, "us-central1".try_into()?, "sensors".try_into()?, "gateway-1".try_into()?);
/// # let (now, unix_now) = (Instant::now(), UnixTime::from_secs(1_795_374_000));
/// let mut options = Options::default();
/// options.durability = Durability { linger: Some(Duration::from_secs(1)), ..Durability::default() };
/// let mut gateway = Gateway::new(id.clone(), options.clone(), 42)?;
/// let reading = gateway.publish(Publication::telemetry(gateway.own_key(), "71"), now)?;
///
/// // There is no connection, so it is put at once.
/// let Some(StoreOp::Put { seq, record }) = gateway.poll_store() else { panic!() };
/// let (accepted, topic) = (record.accepted, record.topic.clone()); // write it here
/// assert_eq!(gateway.poll_store(), Some(StoreOp::Commit { through: seq })); // and make it durable
/// assert_eq!(gateway.poll_store(), None);
/// gateway.handle_stored(seq, now);
/// assert_eq!(gateway.poll_event(), Some(Event::Stored { op: reading }));
///
/// // After a restart:
/// # use iotcore_gateway::{message::{Priority, QoS}, store::Record};
/// let mut gateway = Gateway::new(id.clone(), options, 42)?;
/// let record = Record {
///     accepted,
///     device: id.gateway(),
///     topic: &topic,
///     qos: QoS::AtLeastOnce,
///     payload: b"71",
///     deadline: None,
///     priority: Priority::Ordinary,
///     tag: None,
/// };
/// gateway.restore(seq, record, unix_now, now)?;
/// assert_eq!(gateway.unsent().next().expect("restored").payload, "71");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
impl Gateway {
    /// Returns whether [`poll_store`](Self::poll_store) has an operation. Deadlines are kept as dates: pass the date with
    /// [`handle_date`](Self::handle_date) before you take it, because it may have been set since.
    pub fn wants_store(&self) -> bool {
        self.session.outbox.has_store_op()
    }

    /// Takes the next operation on the store. Operations are queued by inputs and commands; polls change neither the events
    /// nor what is transmitted. Carry them out in this order, and answer each [`StoreOp::Commit`] with
    /// [`handle_stored`](Self::handle_stored) or [`handle_store_failed`](Self::handle_store_failed); until then there are no
    /// more.
    pub fn poll_store(&mut self) -> Option<StoreOp<'_>> {
        self.session.poll_store()
    }

    /// Records that all operations through a [`StoreOp::Commit`] are durable: its `through`. Anything else is ignored. As a
    /// poll changes nothing, it is not checked whether that commit was taken.
    pub fn handle_stored(&mut self, through: StoreSeq, now: Instant) {
        let now = self.observe_time(now);
        self.session.on_stored(through);
        self.flush(now);
    }

    /// Records that the operations since the last answer could not be made durable: all of them are queued again after a
    /// backoff. Ignored if there were none.
    pub fn handle_store_failed(&mut self, failure: StoreFailure, now: Instant) {
        let now = self.observe_time(now);
        self.session.on_store_failed(failure, now);
        self.flush(now);
    }

    /// Accepts what was found in the store, in the order of its acceptance, before anything is published. It is in the
    /// store already: no [`Event::Stored`] follows. The limits of the queues do not count. A device that is not attached
    /// yet is [unclaimed](crate::device::DeviceState::Unclaimed): its publications wait for [`attach`](Self::attach), or are
    /// dropped by [`detach`](Self::detach).
    ///
    /// `unix_now` is as for [`handle_connected`](Self::handle_connected). What has expired by it fails with
    /// [`Failure::Expired`](crate::Failure::Expired).
    ///
    /// # Errors
    ///
    /// [`CommandError::NotRestorable`]: something was published before, or there is no store: an error of the caller.
    /// [`CommandError::Closed`]: the gateway is closed.
    pub fn restore(
        &mut self,
        seq: StoreSeq,
        record: Record<'_>,
        unix_now: UnixTime,
        now: Instant,
    ) -> Result<OpId, CommandError> {
        let now = self.observe_time(now);
        self.session.clock.observe_date(unix_now);
        self.lifecycle.check_not_closing()?;
        let online = self.lifecycle.online_mut();
        let op = self.session.restore(online, seq, record, unix_now)?;
        self.flush(now);
        Ok(op)
    }

    /// Puts all that is left at once, because the gateway closes.
    pub(super) fn begin_saving(&mut self, now: Moment) {
        self.session.outbox.set_store_phase(StorePhase::Closing);
        self.lifecycle.save_by = Some(now + self.session.options.drain_timeout + SAVE_TIME);
    }

    /// Records what the store held besides what was [restored](Self::restore): new publications are numbered above all that it
    /// ever numbered, also above what it could not read, which may come back. Call it before anything is published; later it
    /// is ignored. A store that has returned all that it holds need not say anything.
    pub fn handle_recovered(&mut self, recovered: &Recovered) {
        self.session.outbox.number_above(recovered);
    }

    /// Closes the gateway, once the store has what is left.
    pub(super) fn save_and_finish(&mut self, now: Moment) {
        if self.lifecycle.save_by.is_none() {
            // It has given up connecting.
            self.begin_saving(now);
        }
        let until = self.lifecycle.save_by.unwrap_or(now);
        self.lifecycle.state = State::Saving { until };
        self.finish_if_saved(now);
    }

    /// Closes a gateway that waits for the store, if that is done or took too long.
    pub(super) fn finish_if_saved(&mut self, now: Moment) {
        if let State::Saving { until } = self.lifecycle.state
            && (until <= now || self.session.outbox.is_store_settled())
        {
            self.finish();
        }
    }
}

impl Session {
    #[inline]
    fn poll_store(&mut self) -> Option<StoreOp<'_>> {
        let (key, seq) = match self.outbox.next_store_op()? {
            RecordOp::Put(key, seq) => (key, seq),
            RecordOp::Remove(seq) => return Some(StoreOp::Remove { seq }),
            RecordOp::Commit(through) => return Some(StoreOp::Commit { through }),
        };
        let record = self.record_of(key)?;
        Some(StoreOp::Put { seq, record })
    }

    /// Begins a group of operations if it is time for one, and notifies the users for whose publications there is room
    /// again.
    pub(super) fn do_store_chores(&mut self) {
        self.outbox.begin_store_group(self.clock.now());
        for slot in self.outbox.take_store_writable() {
            let device = self.devices.key(slot);
            self.emit(Event::Writable { device });
        }
    }

    fn on_stored(&mut self, through: StoreSeq) {
        let Some(confirmed) = self.outbox.confirm_store(through) else {
            return;
        };
        while let Some(op) = self.outbox.next_stored() {
            self.emit(Event::Stored { op });
        }
        if confirmed.has_recovered {
            self.emit(Event::StoreRecovered);
        }
    }

    fn on_store_failed(&mut self, failure: StoreFailure, now: Moment) {
        let Some(attempts) = self.outbox.failed_store_attempts() else {
            return;
        };
        let wait = self.options.backoff.wait(attempts, &mut self.jitter);
        if self.outbox.fail_store(&failure, now + wait) {
            self.emit(Event::StoreFailed { failure });
        }
    }
}

impl Session {
    /// Checks whether the store lets a publication be accepted. Makes room for it by dropping older ones, if the options
    /// say so, and nothing else is in the way.
    pub(super) fn admit_to_store(
        &mut self,
        publication: &Publication,
    ) -> Result<(), PublishErrorKind> {
        if self.outbox.is_refused_by_store(publication) {
            return Err(PublishErrorKind::StoreFailed);
        }
        let outbox = &self.outbox;
        let may_drop = self.options.overflow == Overflow::DropOldest
            && (outbox.has_room(publication) || outbox.droppable(publication).is_some());
        match outbox.lacks_store_room(publication, may_drop) {
            None => Ok(()),
            Some(NoStoreRoom::Droppable(oldest)) => {
                self.drop_all(&oldest);
                Ok(())
            }
            Some(NoStoreRoom::Blocked) => {
                if self.outbox.block_for_store(publication) {
                    self.report_full_store();
                }
                Err(PublishErrorKind::Blocked)
            }
        }
    }

    fn report_full_store(&mut self) {
        let (_, reserved) = self.outbox.stored();
        let unclaimed = self
            .devices
            .iter()
            .filter(|(_, device)| !device.is_claimed());
        let unclaimed = unclaimed
            .map(|(slot, _)| self.outbox.reserved_by(slot))
            .sum();
        self.emit(Event::StoreFull {
            reserved,
            unclaimed,
        });
    }

    /// Returns the record of a publication. Its deadline becomes a date, unless the date is not known: a machine without a
    /// clock battery boots in 1970.
    #[inline]
    fn record_of(&mut self, key: EntryKey) -> Option<Record<'_>> {
        let clock = &self.clock;
        let date_of = |at: Moment| {
            let date = clock.date().filter(|date| *date >= PLAUSIBLE)?;
            Some(date.saturating_add(at.since(clock.now())))
        };
        let device = self.outbox.entry(key).device;
        let device = &self.devices.at(device).id;
        self.outbox.record_of(key, device, date_of)
    }

    fn restore(
        &mut self,
        online: Option<&mut Online>,
        seq: StoreSeq,
        record: Record<'_>,
        unix_now: UnixTime,
    ) -> Result<OpId, CommandError> {
        if !self.outbox.is_restorable() {
            return Err(CommandError::NotRestorable(seq));
        }
        let left = |deadline: UnixTime| deadline.as_secs().saturating_sub(unix_now.as_secs());
        let extras = Extras {
            priority: record.priority,
            expires_after: record.deadline.map(left).map(Duration::from_secs),
            tag: record.tag.cloned(),
        };
        let slot = self.slot_of_restored(record.device);
        let publication = Publication {
            device: self.devices.key(slot),
            topic: record.topic.clone(),
            qos: record.qos,
            payload: Bytes::copy_from_slice(record.payload),
            extras: extras.kept(),
        };
        let found = Found {
            seq,
            accepted: record.accepted,
        };
        let op = self.new_op();
        self.stats.accepted += 1;
        let flight = online.map(|online| &mut online.flight);
        let now = self.clock.now();
        if let Some(replaced) = self.outbox.restore(flight, op, publication, found, now) {
            self.fail_superseded(replaced);
        }
        Ok(op)
    }

    /// Returns the slot of a device that something is restored for: a new one, if it is not attached yet.
    fn slot_of_restored(&mut self, device: &DeviceId) -> Slot {
        if let Some(slot) = self.devices.find(device.as_str()) {
            return slot;
        }
        let slot = self.devices.insert(device.clone(), Life::Unclaimed);
        self.outbox.add_device(slot, device);
        slot
    }
}
