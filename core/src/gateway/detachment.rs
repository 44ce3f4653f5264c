//! The end of a device's life here: its publications have their time, then the detach goes out behind them.

use super::{
    Gateway,
    attachment::Control,
    devices::{Deadline, Detach, Life},
};
use crate::{
    clock::Moment,
    command::OpId,
    error::{CommandError, Failure},
    event::{DetachCause, Event, Outcome},
};

impl Gateway {
    /// Takes the wish to detach a device in.
    pub(super) fn want_detached(&mut self, index: u32, now: Moment) -> Result<OpId, CommandError> {
        let device = self.devices.at(index);
        if matches!(device.life, Life::Own) {
            return Err(CommandError::OwnDevice(device.id.clone()));
        }
        if let Some(detach) = device.detach {
            return Ok(detach.op);
        }
        let life = device.life;
        let op = self.new_op();
        self.devices.at_mut(index).detach = Some(Detach { op, deadline: None });
        match life {
            Life::Attached(_) => self.start_detach(index, now),
            Life::Attaching(_) => {}
            Life::Waiting if self.outbox.len_of(index) > 0 => {}
            _ => {
                self.fail_publications(index, &Failure::Detached);
                self.forget(index, Ok(Outcome::Detached));
            }
        }
        Ok(op)
    }

    /// Gives an attached device's publications their time, before it is detached.
    pub(super) fn start_detach(&mut self, index: u32, now: Moment) {
        let deadline = now + self.options.drain_timeout;
        if let Some(detach) = &mut self.devices.at_mut(index).detach {
            detach.deadline = Some(deadline);
            self.devices.deadlines.add(deadline, Deadline::Drain(index));
        }
        self.continue_detach(index);
    }

    /// Gives a device that is to be detached its turn, once nothing of its is left.
    pub(super) fn continue_detach(&mut self, index: u32) {
        let device = self.devices.at(index);
        let is_ready = device.detach.is_some() && matches!(device.life, Life::Attached(_));
        if is_ready && self.outbox.len_of(index) == 0 {
            self.devices.detach_turns.push_back(index);
        }
    }

    /// What a detach waited for has had its time. The end of the last publication gives the detach its turn.
    pub(super) fn on_detach_overdue(&mut self, index: u32) {
        if let Some(detach) = &mut self.devices.at_mut(index).detach {
            detach.deadline = None;
        }
        self.fail_publications(index, &Failure::Detached);
    }

    /// Writes the detach of the device whose turn it is; gives whether one was written.
    pub(super) fn send_detach(&mut self, now: Moment) -> bool {
        let Some(&index) = self.devices.detach_turns.front() else {
            return false;
        };
        let Some(awaiting) = self.write_control(index, Control::Detach, now) else {
            return false;
        };
        self.devices.detach_turns.pop_front();
        self.outbox.set_open(index, false);
        self.lose_subscriptions(index);
        self.devices.at_mut(index).life = Life::Detaching(awaiting);
        true
    }

    /// PUBACK of a detach.
    pub(super) fn on_detached(&mut self, index: u32) {
        self.end_detaching(index, Ok(Outcome::Detached));
    }

    /// No answer to a detach came in time, or a bad one. The bridge ends the attachment with the connection at the latest.
    pub(super) fn on_detach_failed(&mut self, index: u32, failure: Failure) {
        if let Life::Detaching(awaiting) = self.devices.at(index).life {
            self.quarantine(awaiting.packet_id);
            self.end_detaching(index, Err(failure));
        }
    }

    fn end_detaching(&mut self, index: u32, result: Result<Outcome, Failure>) {
        let Life::Detaching(awaiting) = self.devices.at(index).life else {
            return;
        };
        self.devices.settle(awaiting);
        let device = self.devices.key(index);
        self.emit(Event::Detached {
            device,
            cause: DetachCause::Requested,
        });
        self.forget(index, result);
    }

    /// Ends all that a device has, and its key with it.
    pub(super) fn forget(&mut self, index: u32, result: Result<Outcome, Failure>) {
        self.lose_subscriptions(index);
        let device = self.devices.remove(index);
        if let Life::Retrying(at) = device.life {
            self.devices.deadlines.remove(at, Deadline::Attach(index));
        }
        if let Some(at) = device.detach.and_then(|detach| detach.deadline) {
            self.devices.deadlines.remove(at, Deadline::Drain(index));
        }
        self.devices.forget_turns(index);
        for op in device.pending_ops() {
            self.fail(op, Failure::Detached);
        }
        self.outbox
            .remove_device(index, device.id, self.clock.now());
        if let Some(detach) = device.detach {
            match result {
                Ok(outcome) => self.done(detach.op, outcome),
                Err(failure) => self.fail(detach.op, failure),
            }
        }
    }
}
