//! The bridge's answers about attachments: PUBACKs, reports, silence, and the end of a connection.

use std::collections::VecDeque;

use super::super::{
    devices::{AskedAttach, Life, OWN},
    online::{Deadline, Online, STEP},
    session::Session,
};
use crate::{
    clock::Moment,
    command::Slot,
    error::Failure,
    error_report::ErrorReport,
    event::{DetachCause, Event, Outcome},
    mqtt::PacketId,
    options::{Backoff, OnRefusal},
};

impl Session {
    /// Handles the PUBACK of an attach, in time or late.
    pub(crate) fn on_attached(
        &mut self,
        online: &mut Online,
        slot: Slot,
        packet_id: PacketId,
        now: Moment,
    ) {
        self.stop_waiting(online, slot);
        let device = self.devices.at_mut(slot);
        let asked = device.asked.take();
        let is_current = asked.is_none_or(|asked| asked.is_current);
        device.life = Life::Attached {
            since: now,
            packet_id,
            is_current,
        };
        device.strikes.clear();
        let op = device.attach_op.take();
        let device = self.devices.key(slot);
        self.emit(Event::Attached { device });
        if let Some(op) = op {
            self.done(op, Outcome::Attached);
        }
        self.outbox.open(&mut online.flight, slot);
        if self.devices.at(slot).detach.is_some() {
            self.continue_detach(online, slot);
        } else {
            self.resume_subscriptions(online, slot);
        }
    }

    /// Removes a device from the queues and deadlines in which it waits for its next attempt to attach.
    pub(crate) fn stop_waiting(&self, online: &mut Online, slot: Slot) {
        match self.devices.at(slot).life {
            Life::Waiting => online.turns.attach.remove(slot),
            Life::Retrying(at) => online.deadlines.remove(at, Deadline::attach(slot)),
            _ => {}
        }
    }

    /// Ends the unanswered attach that a report is about, or is sure to be about, and returns it.
    fn end_attaching(
        &mut self,
        online: &mut Online,
        slot: Slot,
        now: Moment,
    ) -> Option<AskedAttach> {
        let device = self.devices.at_mut(slot);
        let asked = device.asked.take()?;
        device.strikes.clear();
        online.link.answer_with_report(asked.packet_id, now);
        self.stop_waiting(online, slot);
        Some(asked)
    }

    /// Ends the superseded attach that a report is about: the one that it names, or else the oldest. Returns whether
    /// there is one: then the report says nothing about the device's newer token.
    pub(crate) fn end_superseded(
        &mut self,
        online: &mut Online,
        slot: Slot,
        named: Option<PacketId>,
        now: Moment,
    ) -> bool {
        let device = self.devices.key(slot);
        let at = online.superseded.iter().position(|(other, packet_id)| {
            *other == device && named.is_none_or(|named| named == *packet_id)
        });
        let Some(at) = at else {
            return false;
        };
        let (_, packet_id) = online.superseded.remove(at);
        online.link.answer_with_report(packet_id, now);
        true
    }

    /// Handles a report that the bridge will not attach this device.
    pub(crate) fn on_attach_refused(
        &mut self,
        online: &mut Online,
        slot: Slot,
        report: &ErrorReport,
        now: Moment,
    ) {
        let Some(asked) = self.end_attaching(online, slot, now) else {
            return;
        };
        if self.is_asked_otherwise(online, slot, asked.is_current) {
            return;
        }
        let failure = Failure::Reported(report.clone());
        self.note_failure(slot, &failure);
        if let Some(op) = self.devices.at_mut(slot).attach_op.take() {
            let device = self.devices.key(slot);
            self.fail(op, device, failure);
        }
        self.refuse(Some(online), slot, &Failure::DeviceRefused);
    }

    /// Handles a refusal of what an attach has carried, if it is not that of the device: it has something newer, which is
    /// tried next, or gets a new token. Returns whether that is so.
    fn is_asked_otherwise(&mut self, online: &mut Online, slot: Slot, is_current: bool) -> bool {
        let device = self.devices.at_mut(slot);
        if !is_current {
            device.life = Life::Waiting;
            self.queue_attach(online, slot);
            return true;
        }
        let asks = device.auth.refuse();
        if asks {
            self.ask_for_token(online, slot);
        }
        asks
    }

    /// Handles a report that the attach by which a device is attached was refused, as if it had come before the PUBACK.
    pub(crate) fn on_attachment_refused(
        &mut self,
        online: &mut Online,
        slot: Slot,
        report: &ErrorReport,
        now: Moment,
    ) {
        let Life::Attached { is_current, .. } = self.devices.at(slot).life else {
            return;
        };
        self.end_attachment(online, slot, report, now);
        if !self.is_asked_otherwise(online, slot, is_current) {
            self.refuse(Some(online), slot, &Failure::DeviceRefused);
        }
    }

    /// Gives a device up until the user asks for it again.
    pub(crate) fn refuse(
        &mut self,
        mut online: Option<&mut Online>,
        slot: Slot,
        failure: &Failure,
    ) {
        let device = self.devices.at_mut(slot);
        device.life = Life::Refused;
        let is_leaving = device.detach.is_some();
        if is_leaving || self.options.on_refusal == OnRefusal::FailQueue {
            self.fail_publications_of(online.as_deref_mut(), slot, failure);
        }
        match is_leaving {
            true => self.forget(online, slot, Ok(Outcome::Detached)),
            false => self.fail_subscriptions_of(slot, failure),
        }
    }

    /// Handles a report that the attach failed for a reason that may be temporary.
    pub(crate) fn on_attach_failed(
        &mut self,
        online: &mut Online,
        slot: Slot,
        report: &ErrorReport,
        now: Moment,
    ) {
        if self.end_attaching(online, slot, now).is_some() {
            self.note_failure(slot, &Failure::Reported(report.clone()));
            self.back_off(online, slot, self.options.backoff, now);
        }
    }

    /// Handles an attach that is overdue. The connection stays up, and a late PUBACK still attaches the device.
    pub(crate) fn on_attach_overdue(&mut self, online: &mut Online, slot: Slot, now: Moment) {
        if !matches!(self.devices.at(slot).life, Life::Attaching) {
            return;
        }
        let failure = Failure::TimedOut(self.options.attach_timeout);
        self.note_failure(slot, &failure);
        if let Some(op) = self.devices.at_mut(slot).attach_op.take() {
            let device = self.devices.key(slot);
            self.fail(op, device, failure);
        }
        self.back_off(online, slot, self.options.backoff, now);
    }

    /// Schedules the next attempt to attach; if the user has asked for a detach meanwhile, sends that instead, to be
    /// safe.
    fn back_off(&mut self, online: &mut Online, slot: Slot, backoff: Backoff, now: Moment) {
        let attempts = self.devices.at(slot).attempts;
        let is_leaving = self.devices.at(slot).detach.is_some();
        self.devices.at_mut(slot).attempts += 1;
        if is_leaving {
            self.fail_publications_of(Some(online), slot, &Failure::Detached);
            self.queue_detach(online, slot);
        } else {
            let at = now + backoff.wait(attempts, &mut self.jitter);
            online.deadlines.add(at, Deadline::attach(slot));
            self.devices.at_mut(slot).life = Life::Retrying(at);
        }
    }

    /// Handles a report that an attached device is not attached any more, or never was.
    pub(crate) fn on_detached_by_bridge(
        &mut self,
        online: &mut Online,
        slot: Slot,
        report: &ErrorReport,
        now: Moment,
    ) {
        if !self.end_attachment(online, slot, report, now) {
            return;
        }
        self.devices.at_mut(slot).life = Life::Dormant;
        if self.devices.at(slot).detach.is_some() {
            self.fail_publications_of(Some(online), slot, &Failure::Detached);
            self.forget(Some(online), slot, Ok(Outcome::Detached));
        } else if self.options.reattach {
            self.back_off(online, slot, self.options.refusal_backoff(), now);
        } else {
            self.fail_subscriptions_of(slot, &Failure::NotAttached);
        }
    }

    /// Ends the attachment that a report is about; returns whether there is one. What the device had in flight is put
    /// back.
    fn end_attachment(
        &mut self,
        online: &mut Online,
        slot: Slot,
        report: &ErrorReport,
        now: Moment,
    ) -> bool {
        let Life::Attached { since, .. } = self.devices.at(slot).life else {
            return false;
        };
        self.note_duration(slot, since, now);
        let device = self.devices.key(slot);
        let cause = DetachCause::Reported(report.clone());
        self.emit(Event::Detached { device, cause });
        self.note_failure(slot, &Failure::Reported(report.clone()));
        self.outbox.close(&mut online.flight, slot);
        self.lose_subscriptions(Some(online), slot);
        self.put_back(online, slot);
        true
    }

    /// Resets the backoff of a device whose attachment has lasted long enough, and ends now: what it carried was good.
    fn note_duration(&mut self, slot: Slot, since: Moment, now: Moment) {
        if now.since(since) >= self.options.stable_after {
            let device = self.devices.at_mut(slot);
            device.attempts = 0;
            device.auth.accept();
        }
    }

    /// Ends every attachment, because the connection has ended.
    pub(crate) fn lose_attachments(&mut self) {
        let now = self.clock.now();
        for slot in self.devices.slots() {
            if let Life::Attached { since, .. } = self.devices.at(slot).life {
                self.note_duration(slot, since, now);
            }
            self.lose_subscriptions(None, slot);
            let has_nothing_left = self.outbox.len_of(slot) == 0;
            let device = self.devices.at_mut(slot);
            device.asked = None;
            match (device.detach, device.life) {
                (_, Life::Own) => {}
                (Some(_), _) if has_nothing_left => {
                    self.forget(None, slot, Ok(Outcome::Detached));
                }
                (Some(_), _) => device.life = device.to_be_attached(),
                (None, Life::NeedsToken | Life::Refused) => {}
                (None, life) if life.is_left_to_user() => {}
                (None, _) => device.life = device.to_be_attached(),
            }
        }
    }

    /// Starts attaching on a newly accepted connection: the gateway itself may publish, and every other device that
    /// waits is queued to be attached. Those that need a renewable token are asked for it first, so that it is there
    /// when it is their turn; those that have been asked for one are asked again.
    pub(crate) fn resume_attachments(&mut self, online: &mut Online) {
        self.ask_for_renewable_tokens(online);
        let devices = self.devices.iter();
        let waiting = devices.filter(|(_, device)| matches!(device.life, Life::Waiting));
        let mut waiting: VecDeque<_> = waiting.map(|(slot, _)| slot).collect();
        // Begins elsewhere on each connection, so that one that ends early does not always leave out the same devices.
        let place = (self.stats.connections as u32).wrapping_sub(1);
        let place = u64::from(place.wrapping_mul(STEP)) * waiting.len() as u64;
        waiting.rotate_left((place >> 32) as usize);
        online.turns.attach = waiting.into();
        self.outbox.open(&mut online.flight, OWN);
        self.resume_subscriptions(online, OWN);
    }

    fn ask_for_renewable_tokens(&mut self, online: &mut Online) {
        for slot in self.devices.slots() {
            let device = self.devices.at_mut(slot);
            let needs_token = device.auth.needs_token(&self.clock);
            match device.life {
                Life::Waiting if needs_token && device.auth.is_renewable() => {}
                Life::NeedsToken if needs_token => {}
                Life::NeedsToken => {
                    // By the date that came with this connection, its token is good.
                    device.life = device.to_be_attached();
                    continue;
                }
                _ => continue,
            }
            self.ask_for_token(online, slot);
        }
    }
}
