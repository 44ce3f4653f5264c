//! Device lifecycle: from the command to attach it, through the bridge's answers, to its detach. The transitions of
//! [`Life`] are here, in `attachment/answers` and in `detachment`, and nowhere else.
//!
//! | event | attached? | the attach operation | afterwards |
//! |---|---|---|---|
//! | PUBACK | yes | `Done` | subscriptions, then its queue |
//! | report `GATEWAY_ATTACHMENT_ERROR`, before or after the PUBACK of that attach | no | `Failed(Reported)` if it is pending | refused until the user attaches or authorizes it; its publications and subscriptions fail |
//! | the same, about a renewable token, once | no | stays pending | a new token is asked for; its queue stays |
//! | the same, about an attach that carried an older token | no | stays pending | attached with the newer one |
//! | report `UNKNOWN` | no | stays pending | tried again with backoff |
//! | no answer in time | no | `Failed(TimedOut)` | stays wanted, tried again with backoff; a late PUBACK attaches it |
//! | connection lost | no | stays pending | again after the next CONNACK |
//! | report that it is detached, or refused without an identifier | no longer | – | its queue stays; attached again with backoff |
//! | attach of an attached device | yes | `Done`, no packet | – |
//! | peer closes at each attempt (`suspects`) | no | `Failed(Suspected)` | as refused |
//! | detach | until its PUBACK | – | sent after its publications; those that cannot be sent fail |

mod answers;

use super::{
    control::Control,
    devices::{AskedAttach, Life, OWN},
    online::{Choice, Deadline, Online, PacketOwner},
    session::Session,
};
use crate::{
    clock::Moment,
    command::{DeviceAuth, DeviceKey, OpId, Slot},
    error::CommandError,
    event::{Event, Outcome},
    id::DeviceId,
    mqtt::{Kind, PacketId},
    token::Token,
};

impl Session {
    /// Records the request to attach a device.
    pub(super) fn want_attached(
        &mut self,
        mut online: Option<&mut Online>,
        id: DeviceId,
        auth: DeviceAuth,
    ) -> Result<(DeviceKey, OpId), CommandError> {
        if let DeviceAuth::Token(token) | DeviceAuth::Renewable(Some(token)) = &auth {
            self.check_token(token)?;
        }
        let slot = self.admit_device(online.as_deref_mut(), id)?;
        let device = self.devices.at_mut(slot);
        device.set_auth(auth, &self.clock);
        let op = match device.attach_op {
            Some(pending) => pending,
            None => self.new_op(),
        };
        if matches!(self.devices.at(slot).life, Life::Attached { .. }) {
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
            Some(slot) if self.devices.at(slot).is_claimed() => Ok(slot),
            _ if self.has_all_devices() => {
                Err(CommandError::TooManyDevices(self.options.quota.max_devices))
            }
            Some(slot) => Ok(slot),
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

    /// Returns whether there are as many devices as there may be. Those that something was restored for do not count before
    /// the user has attached them.
    fn has_all_devices(&self) -> bool {
        let most = self.options.quota.max_devices;
        self.devices.len() >= most && self.devices.claimed() >= most
    }

    pub(super) fn check_token(&self, token: &Token) -> Result<(), CommandError> {
        match self.clock.has_expired(token) {
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
        device.renew_token(token, &self.clock);
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
            #[cfg(feature = "store")]
            Life::Unclaimed => {}
            Life::Own
            | Life::Waiting
            | Life::Suspected
            | Life::Attaching
            | Life::Attached { .. }
            | Life::Leaving
            | Life::Detaching(_) => return,
        }
        let device = self.devices.at_mut(slot);
        device.life = device.to_be_attached();
        if let Some(online) = online {
            if let Life::Retrying(at) = life {
                online.deadlines.remove(at, Deadline::attach(slot));
            }
            if matches!(self.devices.at(slot).life, Life::Waiting) {
                self.queue_attach(online, slot);
            }
        }
    }

    /// Queues a device that waits for its turn.
    pub(super) fn queue_attach(&self, online: &mut Online, slot: Slot) {
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
            if self.attach_or_ask(online, slot, now).is_some() {
                if choice.is_probe {
                    self.probed(online, Kind::Control, now);
                }
                return true;
            }
        }
        false
    }

    /// Queues the attach of a device, and returns its packet identifier; or requests a new token, if it has none that
    /// is good.
    pub(super) fn attach_or_ask(
        &mut self,
        online: &mut Online,
        slot: Slot,
        now: Moment,
    ) -> Option<PacketId> {
        if self.devices.at(slot).auth.needs_token(&self.clock) {
            self.ask_for_token(online, slot);
            return None;
        }
        Some(self.queue_attach_packet(online, slot, now))
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

    /// Requests a new token, because the device has none that is good for its attach. A device that is to be detached
    /// needs none.
    fn ask_for_token(&mut self, online: &mut Online, slot: Slot) {
        self.devices.at_mut(slot).life = Life::NeedsToken;
        if self.devices.at(slot).detach.is_some() {
            self.leave(Some(online), slot);
        } else {
            let device = self.devices.key(slot);
            self.emit(Event::TokenNeeded { device });
        }
    }

    /// Queues an attach: the same packet again, if one with the same token is unanswered.
    fn queue_attach_packet(&mut self, online: &mut Online, slot: Slot, now: Moment) -> PacketId {
        let again = match self.devices.at_mut(slot).asked.take() {
            Some(asked) if asked.is_current => Some(asked.packet_id),
            Some(asked) => {
                let device = self.devices.key(slot);
                online.superseded.push((device, asked.packet_id));
                None
            }
            None => None,
        };
        let packet_id = self.queue_control(online, slot, Control::Attach, again, now);
        let device = self.devices.at_mut(slot);
        device.life = Life::Attaching;
        device.asked = Some(AskedAttach {
            packet_id,
            is_current: true,
        });
        packet_id
    }

    /// Stops waiting for the answer to an attach: a late one does not count.
    pub(super) fn forget_asked(&mut self, online: &mut Online, slot: Slot) {
        if let Some(asked) = self.devices.at_mut(slot).asked.take() {
            online.link.disown(asked.packet_id, PacketOwner::Nobody);
        }
    }
}
