//! Detaching a device: its publications are sent first, within `drain_timeout`, then the detach. Transitions of
//! [`Life`].

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
        online: Option<&mut Online>,
        slot: Slot,
        now: Moment,
    ) -> Result<OpId, CommandError> {
        let device = self.devices.at(slot);
        let life = device.life;
        let will_be_attached = match life {
            Life::Attached { .. } | Life::Attaching | Life::Waiting | Life::Suspected => true,
            Life::Retrying(_) => device.asked.is_none(),
            _ => false,
        };
        if matches!(life, Life::Own) {
            return Err(CommandError::OwnDevice(device.id.clone()));
        }
        if let Some(detach) = device.detach {
            return Ok(detach.op);
        }
        let op = self.new_op();
        self.devices.at_mut(slot).detach = Some(Detach { op, deadline: None });
        let has_queue = self.outbox.len_of(slot) > 0;
        match (life, online) {
            _ if will_be_attached && has_queue => self.start_drain(slot, now),
            (Life::Attached { .. }, Some(online)) => self.continue_detach(online, slot),
            (Life::Attaching, _) => {}
            (_, online) => self.leave(online, slot),
        }
        Ok(op)
    }

    /// Starts `drain_timeout`, during which a device's publications are sent before it is detached. It passes whether
    /// there is a connection or not.
    fn start_drain(&mut self, slot: Slot, now: Moment) {
        let deadline = now + self.options.drain_timeout;
        if let Some(detach) = &mut self.devices.at_mut(slot).detach {
            detach.deadline = Some(deadline);
            self.drains.add(deadline, slot);
        }
    }

    /// Handles the detaches whose `drain_timeout` has passed.
    pub(super) fn run_drains(&mut self, mut online: Option<&mut Online>, now: Moment) {
        while let Some(slot) = self.drains.pop_due(now) {
            self.on_drain_over(online.as_deref_mut(), slot);
        }
    }

    /// Fails the publications that a device could not send in time. Then a device that is attached is detached: the end
    /// of its last publication queues the detach. One whose attach has yet to be answered waits for that.
    fn on_drain_over(&mut self, mut online: Option<&mut Online>, slot: Slot) {
        if let Some(detach) = &mut self.devices.at_mut(slot).detach {
            detach.deadline = None;
        }
        self.fail_publications_of(online.as_deref_mut(), slot, &Failure::Detached);
        match self.devices.at(slot).life {
            Life::Own
            | Life::Attaching
            | Life::Attached { .. }
            | Life::Leaving
            | Life::Detaching(_) => {}
            Life::Waiting
            | Life::Suspected
            | Life::Retrying(_)
            | Life::NeedsToken
            | Life::Refused
            | Life::Dormant => self.leave(online, slot),
            #[cfg(feature = "store")]
            Life::Unclaimed => self.leave(online, slot),
        }
    }

    /// Ends the stay of a device that is not known to be attached: with a detach if an attach of this connection has not
    /// been answered, because the bridge may have attached it.
    pub(super) fn leave(&mut self, mut online: Option<&mut Online>, slot: Slot) {
        self.fail_publications_of(online.as_deref_mut(), slot, &Failure::Detached);
        match online {
            Some(online) if self.devices.at(slot).asked.is_some() => {
                self.queue_detach(online, slot);
            }
            online => self.forget(online, slot, Ok(Outcome::Detached)),
        }
    }

    /// Queues the detach of a device that may be attached. An answer to its attach does not count any more.
    pub(super) fn queue_detach(&mut self, online: &mut Online, slot: Slot) {
        self.stop_waiting(online, slot);
        self.forget_asked(online, slot);
        self.devices.at_mut(slot).life = Life::Leaving;
        online.turns.detach.push_back(slot);
    }

    /// Queues the detach of a device that is to be detached, once its queue is empty.
    #[inline(always)]
    pub(super) fn continue_detach(&mut self, online: &mut Online, slot: Slot) {
        let device = self.devices.at(slot);
        let is_ready = device.detach.is_some() && matches!(device.life, Life::Attached { .. });
        if is_ready && self.outbox.len_of(slot) == 0 {
            online.turns.detach.push_back(slot);
        }
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
            online.turns.remove(slot);
        }
        if let Some(at) = device.detach.and_then(|detach| detach.deadline) {
            self.drains.remove(at, slot);
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
