//! Detaching a device: its publications are sent first, within `drain_timeout`, then the detach.

use super::{
    control::Control,
    devices::{Detach, Life},
    online::{Deadline, Online, PacketOwner},
    session::Session,
};
use crate::{
    clock::Moment,
    command::{OpId, Slot},
    error::{CommandError, Failure},
    event::{DetachCause, Event, Outcome},
    mqtt::Kind,
};

impl Session {
    /// Records the request to detach a device.
    pub(super) fn want_detached(
        &mut self,
        mut online: Option<&mut Online>,
        slot: Slot,
        now: Moment,
    ) -> Result<OpId, CommandError> {
        let device = self.devices.at(slot);
        let life = device.life;
        if matches!(life, Life::Own) {
            return Err(CommandError::OwnDevice(device.id.clone()));
        }
        if let Some(detach) = device.detach {
            return Ok(detach.op);
        }
        let op = self.new_op();
        self.devices.at_mut(slot).detach = Some(Detach { op, deadline: None });
        match (life, online.as_deref_mut()) {
            (Life::Attached(_), Some(online)) => self.start_detach(online, slot, now),
            (Life::Attaching, _) => {}
            (Life::Waiting, _) if self.outbox.len_of(slot) > 0 => {}
            _ => {
                self.fail_publications_of(online.as_deref_mut(), slot, &Failure::Detached);
                self.forget(online, slot, Ok(Outcome::Detached));
            }
        }
        Ok(op)
    }

    /// Starts `drain_timeout`, during which an attached device's publications are sent before it is detached.
    pub(super) fn start_detach(&mut self, online: &mut Online, slot: Slot, now: Moment) {
        let deadline = now + self.options.drain_timeout;
        if let Some(detach) = &mut self.devices.at_mut(slot).detach {
            detach.deadline = Some(deadline);
            online.deadlines.add(deadline, Deadline::drain(slot));
        }
        self.continue_detach(online, slot);
    }

    /// Queues the detach of a device that is to be detached, once its queue is empty.
    #[inline(always)]
    pub(super) fn continue_detach(&mut self, online: &mut Online, slot: Slot) {
        let device = self.devices.at(slot);
        let is_ready = device.detach.is_some() && matches!(device.life, Life::Attached(_));
        if is_ready && self.outbox.len_of(slot) == 0 {
            online.turns.detach.push_back(slot);
        }
    }

    /// Handles a detach whose `drain_timeout` passed: fails the publications that remain. The end of the last one
    /// queues the detach.
    pub(super) fn on_detach_overdue(&mut self, online: &mut Online, slot: Slot) {
        if let Some(detach) = &mut self.devices.at_mut(slot).detach {
            detach.deadline = None;
        }
        self.fail_publications_of(Some(online), slot, &Failure::Detached);
    }

    /// Queues the detach packet of the next device in turn; returns whether it did.
    pub(super) fn send_detach(&mut self, online: &mut Online, now: Moment) -> bool {
        let Some(&slot) = online.turns.detach.front() else {
            return false;
        };
        let has_window = online.link.has_window(Kind::Control, false);
        let may_send = has_window || online.may_probe(Kind::Control);
        if !may_send || !self.has_room_for_control(online, slot) {
            return false;
        }
        online.turns.detach.pop_front();
        if !has_window {
            self.probed(online, Kind::Control, now);
        }
        self.forget_asked(online, slot);
        let packet_id = self.queue_control(online, slot, Control::Detach, None, now);
        self.outbox.close(&mut online.flight, slot);
        self.lose_subscriptions(Some(online), slot);
        self.devices.at_mut(slot).life = Life::Detaching(packet_id);
        true
    }

    /// Handles the PUBACK of a detach.
    pub(super) fn on_detached(&mut self, online: &mut Online, slot: Slot) {
        self.end_detaching(online, slot, Ok(Outcome::Detached));
    }

    /// Handles a detach that timed out or was answered with an error. The bridge ends the attachment with the
    /// connection at the latest.
    pub(super) fn on_detach_failed(&mut self, online: &mut Online, slot: Slot, failure: Failure) {
        self.end_detaching(online, slot, Err(failure));
    }

    fn end_detaching(&mut self, online: &mut Online, slot: Slot, result: Result<Outcome, Failure>) {
        let device = self.devices.key(slot);
        self.emit(Event::Detached {
            device,
            cause: DetachCause::Requested,
        });
        self.forget(Some(online), slot, result);
    }

    /// Removes a device: ends all its operations and invalidates its key.
    pub(super) fn forget(
        &mut self,
        mut online: Option<&mut Online>,
        slot: Slot,
        result: Result<Outcome, Failure>,
    ) {
        self.lose_subscriptions(online.as_deref_mut(), slot);
        let key = self.devices.key(slot);
        let device = self.devices.remove(slot);
        if let Some(online) = online.as_deref_mut() {
            if let Life::Retrying(at) = device.life {
                online.deadlines.remove(at, Deadline::attach(slot));
            }
            if let Some(asked) = device.asked {
                online.link.disown(asked.packet_id, PacketOwner::Nobody);
            }
            if let Some(at) = device.detach.and_then(|detach| detach.deadline) {
                online.deadlines.remove(at, Deadline::drain(slot));
            }
            online.turns.remove(slot);
        }
        for op in device.pending_ops() {
            self.fail(op, key, Failure::Detached);
        }
        let flight = online.map(|online| &mut online.flight);
        let now = self.clock.now();
        self.outbox.remove_device(flight, slot, device.id, now);
        if let Some(detach) = device.detach {
            match result {
                Ok(outcome) => self.done(detach.op, outcome),
                Err(failure) => self.fail(detach.op, key, failure),
            }
        }
    }
}
