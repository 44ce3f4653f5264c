//! A device's life: from the wish to attach it, through the bridge's answers, to its detach. The transitions of
//! [`Life`] are here and nowhere else.
//!
//! | event | attached? | the attach operation | afterwards |
//! |---|---|---|---|
//! | PUBACK | yes | `Done` | subscriptions, then its queue |
//! | report `GATEWAY_ATTACHMENT_ERROR` | no | `Failed(Reported)` | refused until the user attaches or authorizes it; its publications fail |
//! | report `UNKNOWN` | no | stays pending | tried again with backoff |
//! | no answer in time | no | `Failed(TimedOut)` | stays wanted, tried again with backoff |
//! | connection lost | no | stays pending | again after the next CONNACK |
//! | report that it is gone | no longer | – | its queue stays; attached again with backoff |
//! | attach of an attached device | yes | `Done`, no packet | – |
//! | detach | until its PUBACK | – | goes out behind its publications; what cannot go fails |

use bytes::Bytes;

use super::{
    Gateway, Ticket,
    devices::{Awaiting, Deadline, Life, OWN},
};
use crate::{
    clock::Moment,
    command::{DeviceKey, OpId},
    error::{CommandError, Failure},
    error_report::ErrorReport,
    event::{DetachCause, Event, Outcome},
    id::DeviceId,
    token::Token,
    topic::{self, Channel},
};

impl Gateway {
    /// Takes the wish to attach a device in.
    pub(super) fn want_attached(
        &mut self,
        id: DeviceId,
        token: Option<Token>,
    ) -> Result<(DeviceKey, OpId), CommandError> {
        if token
            .as_ref()
            .is_some_and(|token| self.clock.is_past(token.expires_at()))
        {
            return Err(CommandError::TokenExpired);
        }
        let index = match self.devices.find(id.as_str()) {
            Some(index) if matches!(self.devices.at(index).life, Life::Own) => {
                return Err(CommandError::OwnDevice(id));
            }
            Some(index) if self.devices.at(index).detach.is_some() => {
                return Err(CommandError::Detaching);
            }
            Some(index) => index,
            None if self.devices.len() >= self.options.quota.max_devices => {
                return Err(CommandError::TooManyDevices(self.options.quota.max_devices));
            }
            None => {
                let index = self.devices.insert(id, Life::Waiting);
                self.outbox.add_device(index, &self.devices.at(index).id);
                self.devices.attach_turns.push_back(index);
                index
            }
        };
        let device = self.devices.at_mut(index);
        device.token = token.or(device.token.take());
        let op = match device.attach_op {
            Some(pending) => pending,
            None => self.new_op(),
        };
        if matches!(self.devices.at(index).life, Life::Attached(_)) {
            self.done(op, Outcome::Attached);
        } else {
            self.devices.at_mut(index).attach_op = Some(op);
            self.retry_attach(index);
        }
        Ok((self.devices.key(index), op))
    }

    /// Takes a device's new token in: the next attach uses it, and one that waited for it follows at once.
    pub(super) fn take_token(&mut self, index: u32, token: Token) -> OpId {
        let device = self.devices.at_mut(index);
        device.token = Some(token);
        match device.life {
            Life::Refused => {
                let op = self.new_op();
                self.devices.at_mut(index).attach_op = Some(op);
                self.retry_attach(index);
                op
            }
            life => {
                if matches!(life, Life::NeedsToken) {
                    self.retry_attach(index);
                }
                let op = self.new_op();
                self.done(op, Outcome::Authorized);
                op
            }
        }
    }

    /// Gives a device that is not attached, nor on its way, a turn to be attached.
    pub(super) fn retry_attach(&mut self, index: u32) {
        match self.devices.at(index).life {
            Life::Retrying(at) => self.devices.deadlines.remove(at, Deadline::Attach(index)),
            Life::Refused | Life::NeedsToken | Life::Dormant => {}
            Life::Own
            | Life::Waiting
            | Life::Attaching(_)
            | Life::Attached(_)
            | Life::Detaching(_) => return,
        }
        self.devices.at_mut(index).life = Life::Waiting;
        self.devices.attach_turns.push_back(index);
    }

    /// Writes the attach of the device whose turn it is, within the window; gives whether one was written.
    pub(super) fn send_attach(&mut self, now: Moment) -> bool {
        while let Some(&index) = self.devices.attach_turns.front() {
            let device = self.devices.at(index);
            if !matches!(device.life, Life::Waiting) {
                self.devices.attach_turns.pop_front();
                continue;
            }
            // Nothing is looked at before it can be sent, lest it mattered when somebody reports the time.
            if self.devices.attaching >= usize::from(self.options.attach_window)
                || !self.has_room_for_control(index)
            {
                return false;
            }
            let device = self.devices.at(index);
            let is_expired = |token: &Token| self.clock.is_past(token.expires_at());
            if !device.token.as_ref().is_some_and(is_expired) {
                return self.write_attach(index, now);
            }
            self.devices.attach_turns.pop_front();
            self.ask_for_token(index);
        }
        false
    }

    /// A device's token has expired before its attach. One that is to be detached needs none any more.
    fn ask_for_token(&mut self, index: u32) {
        self.devices.at_mut(index).life = Life::NeedsToken;
        if self.devices.at(index).detach.is_some() {
            self.fail_publications(index, &Failure::Detached);
            self.forget(index, Ok(Outcome::Detached));
        } else {
            let device = self.devices.key(index);
            self.emit(Event::TokenNeeded { device });
        }
    }

    fn write_attach(&mut self, index: u32, now: Moment) -> bool {
        let Some(awaiting) = self.write_control(index, Control::Attach, now) else {
            return false;
        };
        self.devices.attach_turns.pop_front();
        self.devices.attaching += 1;
        self.devices.at_mut(index).life = Life::Attaching(awaiting);
        true
    }

    /// Writes an attach or a detach, both at QoS 1.
    pub(super) fn write_control(
        &mut self,
        index: u32,
        control: Control,
        now: Moment,
    ) -> Option<Awaiting> {
        if !self.has_room_for_control(index) {
            return None;
        }
        let device = self.devices.at(index);
        let (channel, ticket, timeout, payload) = match control {
            Control::Attach => {
                let payload = attach_payload(device.token.as_ref());
                (
                    Channel::Attach,
                    Ticket::Attach(index),
                    self.options.attach_timeout,
                    payload,
                )
            }
            Control::Detach => {
                let payload = Bytes::from_static(b"{}");
                (
                    Channel::Detach,
                    Ticket::Detach(index),
                    self.options.ack_timeout,
                    payload,
                )
            }
        };
        topic::make_topic(&mut self.topic, &device.id, channel);
        let link = self.link.as_mut()?;
        let packet_id = link.publish(&self.topic, &payload, ticket);
        Some(self.await_answer(packet_id, timeout, now))
    }

    /// Whether the packet of an attach or a detach has room.
    fn has_room_for_control(&self, index: u32) -> bool {
        let device = self.devices.at(index);
        let token = device
            .token
            .as_ref()
            .map_or(0, |token| token.expose().len());
        let size = device.id.as_str().len() + token + CONTROL_OVERHEAD;
        self.link.as_ref().is_some_and(|link| link.can_send(size))
    }

    /// PUBACK of an attach.
    pub(super) fn on_attached(&mut self, index: u32, now: Moment) {
        if self.end_attaching(index).is_none() {
            return;
        }
        let device = self.devices.at_mut(index);
        device.life = Life::Attached(now);
        let op = device.attach_op.take();
        let device = self.devices.key(index);
        self.emit(Event::Attached { device });
        if let Some(op) = op {
            self.done(op, Outcome::Attached);
        }
        self.outbox.set_open(index, true);
        if self.devices.at(index).detach.is_some() {
            self.start_detach(index, now);
        } else {
            self.resume_subscriptions(index);
        }
    }

    /// The bridge reported that it will not attach this device.
    pub(super) fn on_attach_refused(&mut self, index: u32, report: &ErrorReport) {
        let Some(awaiting) = self.end_attaching(index) else {
            return;
        };
        self.quarantine(awaiting.packet_id);
        let device = self.devices.at_mut(index);
        device.life = Life::Refused;
        // A refused token is never used again.
        device.token = None;
        if let Some(op) = device.attach_op.take() {
            self.fail(op, Failure::Reported(report.clone()));
        }
        self.fail_publications(index, &Failure::DeviceRefused);
        if self.devices.at(index).detach.is_some() {
            self.forget(index, Ok(Outcome::Detached));
        }
    }

    /// The bridge reported a failure of the attach that may pass.
    pub(super) fn on_attach_failed(&mut self, index: u32, now: Moment) {
        if let Some(awaiting) = self.end_attaching(index) {
            self.quarantine(awaiting.packet_id);
            self.back_off(index, now);
        }
    }

    /// No answer to an attach came in time. The connection lives on.
    pub(super) fn on_attach_timed_out(&mut self, index: u32, now: Moment) {
        let Some(awaiting) = self.end_attaching(index) else {
            return;
        };
        self.quarantine(awaiting.packet_id);
        if let Some(op) = self.devices.at_mut(index).attach_op.take() {
            self.fail(op, Failure::TimedOut(self.options.attach_timeout));
        }
        self.back_off(index, now);
    }

    /// Ends the wait for an attach's answer, if there is one.
    fn end_attaching(&mut self, index: u32) -> Option<Awaiting> {
        let Life::Attaching(awaiting) = self.devices.at(index).life else {
            return None;
        };
        self.devices.attaching -= 1;
        self.devices.settle(awaiting);
        Some(awaiting)
    }

    /// Tries to attach later, or detaches to be sure if that is what the user wants by now.
    fn back_off(&mut self, index: u32, now: Moment) {
        let attempts = self.devices.at(index).attempts;
        let is_leaving = self.devices.at(index).detach.is_some();
        self.devices.at_mut(index).attempts += 1;
        if is_leaving {
            self.devices.at_mut(index).life = Life::Dormant;
            self.fail_publications(index, &Failure::Detached);
            self.devices.detach_turns.push_back(index);
        } else {
            let at = now + self.options.backoff.wait(attempts, &mut self.jitter);
            self.devices.deadlines.add(at, Deadline::Attach(index));
            self.devices.at_mut(index).life = Life::Retrying(at);
        }
    }

    /// The bridge reported that an attached device no longer is, or never was.
    pub(super) fn on_detached_by_bridge(&mut self, index: u32, report: &ErrorReport, now: Moment) {
        let Life::Attached(since) = self.devices.at(index).life else {
            return;
        };
        if now.since(since) >= self.options.stable_after {
            self.devices.at_mut(index).attempts = 0;
        }
        let device = self.devices.key(index);
        let cause = DetachCause::Reported(report.clone());
        self.emit(Event::Detached { device, cause });
        self.outbox.set_open(index, false);
        self.lose_subscriptions(index);
        self.put_back(Some(index));
        self.devices.at_mut(index).life = Life::Dormant;
        if self.devices.at(index).detach.is_some() {
            self.fail_publications(index, &Failure::Detached);
            self.forget(index, Ok(Outcome::Detached));
        } else if self.options.reattach {
            self.back_off(index, now);
        }
    }

    /// Every attachment ended with the connection.
    pub(super) fn lose_attachments(&mut self) {
        for index in self.devices.slots() {
            self.outbox.set_open(index, false);
            self.lose_subscriptions(index);
            let has_nothing_left = self.outbox.len_of(index) == 0;
            let device = self.devices.at_mut(index);
            match (&mut device.detach, device.life) {
                (_, Life::Own) => {}
                (Some(_), _) if has_nothing_left => self.forget(index, Ok(Outcome::Detached)),
                (Some(detach), _) => {
                    detach.deadline = None;
                    device.life = Life::Waiting;
                }
                (None, Life::NeedsToken | Life::Refused | Life::Dormant) => {}
                (None, _) => device.life = Life::Waiting,
            }
        }
        self.devices.forget_connection();
    }

    /// A new connection: the gateway may publish, and every other device that waits has its turn to be attached.
    pub(super) fn resume_attachments(&mut self) {
        let is_waiting = |index: &u32| matches!(self.devices.at(*index).life, Life::Waiting);
        let waiting: Vec<_> = self
            .devices
            .slots()
            .into_iter()
            .filter(is_waiting)
            .collect();
        self.devices.attach_turns = waiting.into();
        self.outbox.set_open(OWN, true);
        self.resume_subscriptions(OWN);
    }
}

/// Everything in the packet of an attach or a detach but the device's id and its token.
const CONTROL_OVERHEAD: usize = 64;

/// The two control messages of a gateway.
#[derive(Clone, Copy, Debug)]
pub(super) enum Control {
    Attach,
    Detach,
}

/// `{}` or `{"authorization":"<token>"}`.
fn attach_payload(token: Option<&Token>) -> Bytes {
    match token {
        None => Bytes::from_static(b"{}"),
        Some(token) => {
            let payload = serde_json::json!({ "authorization": token.expose() });
            payload.to_string().into()
        }
    }
}
