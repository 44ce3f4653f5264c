//! What every input and command ends in: timers that are due, packets that came, operations that end.

use super::{
    Gateway, Ticket,
    devices::{Awaiting, Deadline},
    lifecycle::State,
};
use crate::{
    clock::Moment,
    command::OpId,
    error::Failure,
    event::{Event, Outcome},
    mqtt::{Found, Incoming, PacketId},
    time::{Duration, Instant},
};

impl Gateway {
    /// The moment of an input or command.
    pub(super) fn tick(&mut self, now: Instant) -> Moment {
        let now = self.clock.tick(now);
        self.timers.listening.update(self.wants_input(), now);
        now
    }

    /// The end of every input and command: runs what is due, then settles what follows.
    pub(super) fn advance(&mut self, now: Moment) {
        if self.timers.may_be_due(now) {
            if let Some(link) = &mut self.link
                && let Some(silence) = link.advance(&mut self.timers, now)
            {
                self.on_silence(silence, now);
            }
            self.run_lifecycle_timers(now);
        }
        if self.devices.has_deadlines() || self.outbox.is_pacing() {
            self.run_device_timers(now);
        }
        self.settle(now);
    }

    /// Writes what may be written now, and tells what has room again.
    pub(super) fn settle(&mut self, now: Moment) {
        self.fill(now);
        if self.lifecycle.is_winding_down() {
            self.leave_if_drained(now);
            self.hang_up_if_handed_over(now);
        }
        if let Some(link) = &self.link {
            link.watch_progress(&mut self.timers, now);
        }
        while !self.is_closed()
            && let Some(index) = self.outbox.take_writable()
        {
            let device = self.devices.key(index);
            self.emit(Event::Writable { device });
        }
        self.timers.listening.update(self.wants_input(), now);
    }

    /// Runs what is due of the devices. Never inlined: most messages find nothing here.
    #[inline(never)]
    fn run_device_timers(&mut self, now: Moment) {
        while let Some(listening) = self.timers.listening.heard(now)
            && let Some(packet_id) = self.devices.silences.pop_due(listening)
        {
            self.on_no_answer(packet_id, now);
        }
        while let Some(deadline) = self.devices.deadlines.pop_due(now) {
            match deadline {
                Deadline::Attach(device) => self.retry_attach(device),
                Deadline::Subscribe(turn) => self.retry_subscription(turn),
                Deadline::Drain(device) => self.on_detach_overdue(device),
            }
        }
        self.outbox.release_paced(now);
    }

    pub(super) fn on_incoming(&mut self, incoming: Incoming<Ticket>, now: Moment) {
        match incoming {
            Incoming::ConnAck(return_code) => self.on_connack(return_code, now),
            Incoming::Publish => self.on_publish(now),
            Incoming::PubAck(Ticket::Publication(key)) => {
                self.end_publication(key, Ok(Outcome::Acknowledged))
            }
            Incoming::PubAck(Ticket::Attach(device)) => self.on_attached(device, now),
            Incoming::PubAck(Ticket::Detach(device)) => self.on_detached(device),
            Incoming::SubAck(Ticket::Subscription(turn), code) => self.on_suback(turn, code, now),
            Incoming::SubAck(Ticket::Errors, code) => self.on_errors_suback(code),
            Incoming::UnsubAck(Ticket::Subscription(turn)) => self.on_subscription_answer(turn),
            // The table of identifiers matches each acknowledgement with its kind of packet.
            Incoming::PubAck(_) | Incoming::SubAck(..) | Incoming::UnsubAck(_) => {}
        }
    }

    /// An acknowledgement did not come in time.
    pub(super) fn on_no_answer(&mut self, packet_id: PacketId, now: Moment) {
        let timed_out = Failure::TimedOut(self.options.ack_timeout);
        match self.link.as_ref().map(|link| link.find(packet_id)) {
            Some(Found::InFlight(_, Ticket::Attach(device))) => {
                self.on_attach_timed_out(device, now)
            }
            Some(Found::InFlight(_, Ticket::Detach(device))) => {
                self.on_detach_failed(device, timed_out)
            }
            Some(Found::InFlight(_, Ticket::Subscription(turn))) => {
                self.fail_subscription(turn, timed_out, now)
            }
            Some(Found::InFlight(_, Ticket::Errors)) => self.on_errors_timed_out(),
            _ => {}
        }
    }

    /// Expects the acknowledgement of a packet that was just written.
    pub(super) fn await_answer(
        &mut self,
        packet_id: PacketId,
        timeout: Duration,
        now: Moment,
    ) -> Awaiting {
        let deadline = self.timers.listening.time(now) + timeout;
        self.devices.silences.add(deadline, packet_id);
        Awaiting {
            packet_id,
            deadline,
        }
    }

    /// Keeps an identifier from use until its acknowledgement comes late.
    pub(super) fn quarantine(&mut self, packet_id: PacketId) {
        if let Some(link) = &mut self.link {
            link.quarantine(packet_id);
        }
    }

    /// Puts back what was in flight, of one device or of all.
    pub(super) fn put_back(&mut self, device: Option<u32>) {
        let returned = self.outbox.put_back(device);
        for packet_id in returned.packet_ids {
            self.quarantine(packet_id);
        }
        for op in returned.superseded {
            self.fail(op, Failure::Superseded);
        }
    }

    pub(super) fn end_publication(&mut self, key: u32, result: Result<Outcome, Failure>) {
        let (op, device) = self.outbox.finish(key);
        match result {
            Ok(outcome) => {
                self.stats.published += 1;
                self.done(op, outcome);
            }
            Err(failure) => self.fail(op, failure),
        }
        self.continue_detach(device);
    }

    /// Ends everything that a device has in the outbox.
    pub(super) fn fail_publications(&mut self, device: u32, failure: &Failure) {
        for key in self.outbox.all(Some(device)) {
            self.fail_publication(key, failure.clone());
        }
    }

    /// Ends a publication before its acknowledgement, which may still come.
    pub(super) fn fail_publication(&mut self, key: u32, failure: Failure) {
        if let Some(packet_id) = self.outbox.entry(key).packet_id() {
            self.quarantine(packet_id);
        }
        self.end_publication(key, Err(failure));
    }

    /// When the next publication is to be sent again.
    pub(super) fn overdue_at(&self) -> Option<Moment> {
        let link = self
            .link
            .as_ref()
            .filter(|_| self.lifecycle.state == State::Open)?;
        let deadline = self.outbox.overdue_at(|size| link.has_room(size))?;
        self.timers.listening.wall(deadline)
    }

    pub(super) fn new_op(&mut self) -> OpId {
        self.ops += 1;
        OpId(self.ops)
    }

    pub(super) fn done(&mut self, op: OpId, outcome: Outcome) {
        self.emit(Event::Done { op, outcome });
    }

    pub(super) fn fail(&mut self, op: OpId, failure: Failure) {
        self.emit(Event::Failed { op, failure });
    }

    pub(super) fn emit(&mut self, event: Event) {
        self.events.push_back(event);
    }
}
