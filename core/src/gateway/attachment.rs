//! Device lifecycle: from the command to attach it, through the bridge's answers, to its detach. The transitions of
//! [`Life`] are here and in `detachment`, and nowhere else.
//!
//! | event | attached? | the attach operation | afterwards |
//! |---|---|---|---|
//! | PUBACK | yes | `Done` | subscriptions, then its queue |
//! | report `GATEWAY_ATTACHMENT_ERROR` | no | `Failed(Reported)` | refused until the user attaches or authorizes it; its publications fail |
//! | report `UNKNOWN` | no | stays pending | tried again with backoff |
//! | no answer in time | no | `Failed(TimedOut)` | stays wanted, tried again with backoff; a late PUBACK attaches it |
//! | connection lost | no | stays pending | again after the next CONNACK |
//! | report that it is detached | no longer | – | its queue stays; attached again with backoff |
//! | attach of an attached device | yes | `Done`, no packet | – |
//! | detach | until its PUBACK | – | sent after its publications; those that cannot be sent fail |

use std::collections::VecDeque;

use super::{
    control::Control,
    devices::{AskedAttach, Life, OWN},
    online::{Choice, Deadline, Online, PacketOwner, STEP},
    session::Session,
};
use crate::{
    clock::Moment,
    command::{DeviceKey, OpId, Slot},
    error::{CommandError, Failure},
    error_report::ErrorReport,
    event::{DetachCause, Event, Outcome},
    id::DeviceId,
    mqtt::Kind,
    token::Token,
};

impl Session {
    /// Records the request to attach a device.
    pub(super) fn want_attached(
        &mut self,
        mut online: Option<&mut Online>,
        id: DeviceId,
        token: Option<Token>,
    ) -> Result<(DeviceKey, OpId), CommandError> {
        if let Some(token) = &token {
            self.check_token(token)?;
        }
        let slot = self.admit_device(online.as_deref_mut(), id)?;
        let device = self.devices.at_mut(slot);
        device.renew_token(token);
        let op = match device.attach_op {
            Some(pending) => pending,
            None => self.new_op(),
        };
        if matches!(self.devices.at(slot).life, Life::Attached(_)) {
            self.done(op, Outcome::Attached);
        } else {
            self.devices.at_mut(slot).attach_op = Some(op);
            self.retry_attach(online, slot);
        }
        Ok((self.devices.key(slot), op))
    }

    /// Returns the slot of a device that may be attached, a new slot for a new device.
    fn admit_device(
        &mut self,
        online: Option<&mut Online>,
        id: DeviceId,
    ) -> Result<Slot, CommandError> {
        match self.devices.find(id.as_str()) {
            Some(OWN) => Err(CommandError::OwnDevice(id)),
            Some(slot) if self.devices.at(slot).detach.is_some() => Err(CommandError::Detaching),
            Some(slot) => Ok(slot),
            None if self.devices.len() >= self.options.quota.max_devices => {
                Err(CommandError::TooManyDevices(self.options.quota.max_devices))
            }
            None => {
                let slot = self.devices.insert(id, Life::Waiting);
                self.outbox.add_device(slot, &self.devices.at(slot).id);
                if let Some(online) = online {
                    online.turns.attach.push_first(slot);
                }
                Ok(slot)
            }
        }
    }

    pub(super) fn check_token(&self, token: &Token) -> Result<(), CommandError> {
        match self.clock.is_past(token.expires_at()) {
            true => Err(CommandError::TokenExpired),
            false => Ok(()),
        }
    }

    /// Records a device's new token: the next attach uses it. If the device waited for it, the attach follows at once.
    pub(super) fn authorize(
        &mut self,
        online: Option<&mut Online>,
        slot: Slot,
        token: Token,
    ) -> Result<OpId, CommandError> {
        if slot == OWN {
            return Err(CommandError::OwnDevice(self.devices.at(slot).id.clone()));
        }
        self.check_token(&token)?;
        let op = self.new_op();
        let device = self.devices.at_mut(slot);
        device.renew_token(Some(token));
        match device.life {
            Life::Refused => {
                device.attach_op = Some(op);
                self.retry_attach(online, slot);
            }
            life => {
                if matches!(life, Life::NeedsToken) {
                    self.retry_attach(online, slot);
                }
                self.done(op, Outcome::Authorized);
            }
        }
        Ok(op)
    }

    /// Makes a device that has stopped waiting for its attach wait again, and queues it for its turn if there is a
    /// connection.
    pub(super) fn retry_attach(&mut self, online: Option<&mut Online>, slot: Slot) {
        let life = self.devices.at(slot).life;
        match life {
            Life::Retrying(_) | Life::Refused | Life::NeedsToken | Life::Dormant => {}
            Life::Own
            | Life::Waiting
            | Life::Attaching
            | Life::Attached(_)
            | Life::Detaching(_) => return,
        }
        self.devices.at_mut(slot).life = Life::Waiting;
        if let Some(online) = online {
            if let Life::Retrying(at) = life {
                online.deadlines.remove(at, Deadline::attach(slot));
            }
            self.queue_attach(online, slot);
        }
    }

    /// Queues a device that waits for its turn.
    fn queue_attach(&self, online: &mut Online, slot: Slot) {
        let device = self.devices.at(slot);
        let turns = &mut online.turns.attach;
        match device.asked {
            None if device.attempts == 0 => turns.push_first(slot),
            Some(asked) if asked.is_current && !online.link.is_released(asked.packet_id) => {
                turns.push_late(slot);
            }
            _ => turns.push_again(slot),
        }
    }

    /// Queues the attach of the next device in turn, within the window; returns whether it did.
    pub(super) fn send_attach(&mut self, online: &mut Online, now: Moment) -> bool {
        while let Some(choice) = self.next_attach(online) {
            let Some(slot) = online.turns.attach.at(choice) else {
                return false;
            };
            // Nothing is checked before it can be sent, so that a spurious timeout changes nothing.
            if !self.has_room_for_control(online, slot) {
                return false;
            }
            online.turns.attach.take(choice);
            let token = self.devices.at(slot).token.as_ref();
            if !token.is_some_and(|token| self.clock.is_past(token.expires_at())) {
                if choice.is_probe {
                    self.probed(online, Kind::Control, now);
                }
                self.queue_attach_packet(online, slot, now);
                return true;
            }
            self.ask_for_token(online, slot);
        }
        false
    }

    fn next_attach(&self, online: &Online) -> Option<Choice> {
        let turns = &online.turns.attach;
        let next = turns.next(&online.link, Kind::Control);
        if next.is_some() || !online.may_probe(Kind::Control) {
            return next;
        }
        if !turns.has_first() && !online.turns.detach.is_empty() {
            return None;
        }
        turns.probe(online.probes.place())
    }

    /// Requests a new token, because the device's own expired before its attach. A device that is to be detached needs
    /// none.
    fn ask_for_token(&mut self, online: &mut Online, slot: Slot) {
        self.devices.at_mut(slot).life = Life::NeedsToken;
        if self.devices.at(slot).detach.is_some() {
            self.fail_publications_of(Some(online), slot, &Failure::Detached);
            self.forget(Some(online), slot, Ok(Outcome::Detached));
        } else {
            let device = self.devices.key(slot);
            self.emit(Event::TokenNeeded { device });
        }
    }

    /// Queues an attach: the same packet again, if one with the same token is unanswered.
    fn queue_attach_packet(&mut self, online: &mut Online, slot: Slot, now: Moment) {
        let asked = self.devices.at(slot).asked;
        let again = asked.filter(|asked| asked.is_current);
        if again.is_none() {
            self.forget_asked(online, slot);
        }
        let again = again.map(|asked| asked.packet_id);
        let packet_id = self.queue_control(online, slot, Control::Attach, again, now);
        let device = self.devices.at_mut(slot);
        device.life = Life::Attaching;
        device.asked = Some(AskedAttach {
            packet_id,
            is_current: true,
        });
    }

    /// Stops waiting for the answer to an attach: a late one does not count.
    pub(super) fn forget_asked(&mut self, online: &mut Online, slot: Slot) {
        if let Some(asked) = self.devices.at_mut(slot).asked.take() {
            online.link.disown(asked.packet_id, PacketOwner::Nobody);
        }
    }

    /// Handles the PUBACK of an attach, in time or late.
    pub(super) fn on_attached(&mut self, online: &mut Online, slot: Slot, now: Moment) {
        self.stop_waiting(online, slot);
        let device = self.devices.at_mut(slot);
        device.asked = None;
        let device = self.devices.at_mut(slot);
        device.life = Life::Attached(now);
        let op = device.attach_op.take();
        let device = self.devices.key(slot);
        self.emit(Event::Attached { device });
        if let Some(op) = op {
            self.done(op, Outcome::Attached);
        }
        self.outbox.open(&mut online.flight, slot);
        if self.devices.at(slot).detach.is_some() {
            self.start_detach(online, slot, now);
        } else {
            self.resume_subscriptions(online, slot);
        }
    }

    /// Removes a device from the queues and deadlines in which it waits for its next attempt to attach.
    fn stop_waiting(&self, online: &mut Online, slot: Slot) {
        match self.devices.at(slot).life {
            Life::Waiting => online.turns.attach.remove(slot),
            Life::Retrying(at) => online.deadlines.remove(at, Deadline::attach(slot)),
            _ => {}
        }
    }

    /// Ends the unanswered attach that a report is about, or is sure to be about; returns whether there is one.
    fn end_attaching(&mut self, online: &mut Online, slot: Slot, now: Moment) -> bool {
        let Some(asked) = self.devices.at_mut(slot).asked.take() else {
            return false;
        };
        online.link.answer_with_report(asked.packet_id, now);
        self.stop_waiting(online, slot);
        true
    }

    /// Handles a report that the bridge will not attach this device.
    pub(super) fn on_attach_refused(
        &mut self,
        online: &mut Online,
        slot: Slot,
        report: &ErrorReport,
        now: Moment,
    ) {
        if !self.end_attaching(online, slot, now) {
            return;
        }
        let device = self.devices.at_mut(slot);
        device.life = Life::Refused;
        // A refused token is never used again.
        device.token = None;
        if let Some(op) = device.attach_op.take() {
            let device = self.devices.key(slot);
            self.fail(op, device, Failure::Reported(report.clone()));
        }
        self.fail_publications_of(Some(online), slot, &Failure::DeviceRefused);
        if self.devices.at(slot).detach.is_some() {
            self.forget(Some(online), slot, Ok(Outcome::Detached));
        }
    }

    /// Handles a report that the attach failed for a reason that may be temporary.
    pub(super) fn on_attach_failed(&mut self, online: &mut Online, slot: Slot, now: Moment) {
        if self.end_attaching(online, slot, now) {
            self.back_off(online, slot, now);
        }
    }

    /// Handles an attach that is overdue. The connection stays up, and a late PUBACK still attaches the device.
    pub(super) fn on_attach_overdue(&mut self, online: &mut Online, slot: Slot, now: Moment) {
        if !matches!(self.devices.at(slot).life, Life::Attaching) {
            return;
        }
        if let Some(op) = self.devices.at_mut(slot).attach_op.take() {
            let device = self.devices.key(slot);
            self.fail(op, device, Failure::TimedOut(self.options.attach_timeout));
        }
        self.back_off(online, slot, now);
    }

    /// Schedules the next attempt to attach; if the user has asked for a detach meanwhile, sends that instead, to be
    /// safe.
    fn back_off(&mut self, online: &mut Online, slot: Slot, now: Moment) {
        let attempts = self.devices.at(slot).attempts;
        let is_leaving = self.devices.at(slot).detach.is_some();
        self.devices.at_mut(slot).attempts += 1;
        if is_leaving {
            self.forget_asked(online, slot);
            self.devices.at_mut(slot).life = Life::Dormant;
            self.fail_publications_of(Some(online), slot, &Failure::Detached);
            online.turns.detach.push_back(slot);
        } else {
            let at = now + self.options.backoff.wait(attempts, &mut self.jitter);
            online.deadlines.add(at, Deadline::attach(slot));
            self.devices.at_mut(slot).life = Life::Retrying(at);
        }
    }

    /// Handles a report that an attached device is not attached any more, or never was.
    pub(super) fn on_detached_by_bridge(
        &mut self,
        online: &mut Online,
        slot: Slot,
        report: &ErrorReport,
        now: Moment,
    ) {
        let Life::Attached(since) = self.devices.at(slot).life else {
            return;
        };
        if now.since(since) >= self.options.stable_after {
            self.devices.at_mut(slot).attempts = 0;
        }
        let device = self.devices.key(slot);
        let cause = DetachCause::Reported(report.clone());
        self.emit(Event::Detached { device, cause });
        self.outbox.close(&mut online.flight, slot);
        self.lose_subscriptions(Some(online), slot);
        self.put_back(online, slot);
        self.devices.at_mut(slot).life = Life::Dormant;
        if self.devices.at(slot).detach.is_some() {
            self.fail_publications_of(Some(online), slot, &Failure::Detached);
            self.forget(Some(online), slot, Ok(Outcome::Detached));
        } else if self.options.reattach {
            self.back_off(online, slot, now);
        }
    }

    /// Ends every attachment, because the connection has ended.
    pub(super) fn lose_attachments(&mut self) {
        for slot in self.devices.slots() {
            self.lose_subscriptions(None, slot);
            let has_nothing_left = self.outbox.len_of(slot) == 0;
            let device = self.devices.at_mut(slot);
            device.asked = None;
            match (&mut device.detach, device.life) {
                (_, Life::Own) => {}
                (Some(_), _) if has_nothing_left => {
                    self.forget(None, slot, Ok(Outcome::Detached));
                }
                (Some(detach), _) => {
                    detach.deadline = None;
                    device.life = Life::Waiting;
                }
                (None, Life::NeedsToken | Life::Refused | Life::Dormant) => {}
                (None, _) => device.life = Life::Waiting,
            }
        }
    }

    /// Starts attaching on a newly accepted connection: the gateway itself may publish, and every other device that
    /// waits is queued to be attached.
    pub(super) fn resume_attachments(&mut self, online: &mut Online) {
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
}
