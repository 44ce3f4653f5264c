//! The user of a script: issues commands to the gateway, and completes the run.

use core::time::Duration;

use iotcore_gateway::{
    CommandError, DeviceId, DeviceKey, DeviceState, Input, OpId, Publication, PublicationTopic,
    PublishError, PublishErrorKind, QoS, Token, TransportEnd, Unsent,
};

use super::broken::Rule;
use super::run::{CLOSING, RECOVERY, ROUND, Run};
use super::step::{Command, DEVICES, NESTED};
use crate::bridge::faults::FaultKind;
use crate::bridge::settings::NestedGateway;
use crate::link::Network;
use crate::model::{OperationKind, payload};

/// The number of refused attaches of a device after which its user gives up.
const MAX_REFUSALS: u32 = 5;

impl Run {
    pub(super) fn command(&mut self, command: Command) -> String {
        match command {
            Command::Open => {
                let opened = self.link.apply(Input::Open).op();
                self.answer(opened, OperationKind::Open)
            }
            Command::Attach { device, lifetime } => self.attach(device, lifetime),
            Command::Authorize { device, lifetime } => {
                let token = self.link.token(lifetime);
                let unix_now = self.link.unix_now();
                self.with_key(device, OperationKind::Authorize(device), |device| {
                    Input::Authorize {
                        device,
                        token,
                        unix_now,
                    }
                })
            }
            Command::Detach { device } => {
                self.with_key(device, OperationKind::Detach(device), Input::Detach)
            }
            Command::Telemetry { device, qos, size } => self.publish(device, false, qos, size),
            Command::State { device, qos, size } => self.publish(device, true, qos, size),
            Command::Subscribe {
                device,
                subscription,
                qos,
            } => self.with_key(device, OperationKind::Subscribe(device), |device| {
                Input::Subscribe {
                    device,
                    subscription,
                    qos,
                }
            }),
            Command::Unsubscribe {
                device,
                subscription,
            } => self.with_key(device, OperationKind::Unsubscribe(device), |device| {
                Input::Unsubscribe {
                    device,
                    subscription,
                }
            }),
            Command::Acknowledge { delivery } => self.acknowledge(usize::from(delivery)),
            Command::Close => {
                let closed = self.link.apply(Input::Close).op();
                self.answer(closed, OperationKind::Close)
            }
            Command::Restart => self.restart(),
        }
    }

    /// Informs the model of an accepted command.
    fn answer(&mut self, answer: Result<OpId, CommandError>, kind: OperationKind) -> String {
        match answer {
            Ok(op) => {
                let asked = self.model().ask(op, kind);
                self.check(asked);
                op.to_string()
            }
            Err(error) => error.to_string(),
        }
    }

    /// Calls a function with the newest key of a device, which may be invalid.
    fn with_key(
        &mut self,
        device: usize,
        kind: OperationKind,
        command: impl FnOnce(DeviceKey) -> Input<'static>,
    ) -> String {
        match self.keys[device] {
            None => "never attached".to_owned(),
            Some(key) => {
                let answer = self.link.apply(command(key)).op();
                self.answer(answer, kind)
            }
        }
    }

    fn id(device: usize) -> DeviceId {
        DEVICES[device].try_into().expect("a legal id")
    }

    fn device_token(&self, lifetime: Duration) -> Option<Token> {
        self.drafted
            .needs_device_tokens()
            .then(|| self.link.token(lifetime))
    }

    fn attach(&mut self, device: usize, lifetime: Duration) -> String {
        let input = Input::Attach {
            device: Self::id(device),
            token: self.device_token(lifetime),
            unix_now: self.link.unix_now(),
        };
        let attached = self.link.apply(input).attached();
        let attached = attached.map(|(key, op)| {
            self.keys[device] = Some(key);
            self.model().know(key, device);
            op
        });
        self.answer(attached, OperationKind::Attach(device))
    }

    fn publish(&mut self, device: usize, is_state: bool, qos: QoS, size: u16) -> String {
        let number = self.model().draft(device, is_state, qos);
        self.publish_number(device, is_state, qos, number, payload(number, size))
    }

    fn publish_number(
        &mut self,
        device: usize,
        is_state: bool,
        qos: QoS,
        number: u32,
        payload: String,
    ) -> String {
        let Some(key) = self.keys[device] else {
            return "never attached".to_owned();
        };
        let size = payload.len();
        let publication = match is_state {
            true => Publication::state(key, payload),
            false => Publication::telemetry(key, payload),
        };
        match self
            .link
            .apply(Input::Publish(publication.qos(qos)))
            .published()
        {
            Ok(op) => {
                self.link.observer.history.published();
                let accepted = self.model().accept(number, op, size);
                self.check(accepted);
                format!("{op}, number {number}")
            }
            Err(error) => {
                if matches!(
                    error,
                    PublishError {
                        kind: PublishErrorKind::Blocked,
                        ..
                    }
                ) {
                    self.struck("queue full");
                    self.model().block(key);
                }
                error.to_string()
            }
        }
    }

    fn acknowledge(&mut self, nth: usize) -> String {
        if self.deliveries.is_empty() {
            return "nothing to acknowledge".to_owned();
        }
        let delivery = self.deliveries.remove(nth % self.deliveries.len());
        self.model().acknowledge(delivery);
        self.link.apply(Input::Acknowledge(delivery));
        format!("{delivery:?}")
    }

    /// Shuts the process down cleanly and restarts it with the unsent messages.
    fn restart(&mut self) -> String {
        self.struck("process restarted");
        self.link.leave_unpolled(Duration::ZERO);
        self.process_outputs();
        let unsent: Vec<Unsent> = self.link.gateway.unsent().collect();
        let checked = self
            .model()
            .check_unsent(unsent.iter().map(|unsent| unsent.op));
        self.check(checked);
        let numbers: Vec<_> = unsent
            .iter()
            .map(|unsent| self.model().number_of(unsent.op))
            .collect();
        self.link.restart(self.drafted.options.clone());
        self.model().restart();
        self.deliveries.clear();
        self.meet();
        let opened = self.command(Command::Open);
        for (unsent, number) in unsent.into_iter().zip(numbers) {
            let name = unsent.device.to_string();
            let device = DEVICES.iter().position(|device| *device == name);
            if let (Some(device), Some(number)) = (device, number) {
                if device > 0 && self.keys[device].is_none() {
                    self.attach(device, Duration::from_secs(3_600));
                }
                let is_state = matches!(unsent.topic, PublicationTopic::State);
                let payload = String::from_utf8_lossy(&unsent.payload).into_owned();
                self.publish_number(device, is_state, unsent.qos, number, payload);
            }
        }
        opened
    }

    /// Repairs all faults, waits until everything that can end has ended, and closes.
    pub(super) fn finish(&mut self) {
        self.heal();
        let until = self.link.now() + RECOVERY;
        while !self.is_broken() && self.is_busy() && !self.is_poisoned() {
            if self.link.now() >= until {
                let pending: Vec<_> = self.model().pending().collect();
                let what = format!("after all was healed, {pending:?} did not end");
                self.link.observer.find(Rule::Progress, &what);
                return;
            }
            self.help();
            self.wait(ROUND);
        }
        if !self.is_poisoned() {
            self.check_room();
        }
        self.command(Command::Close);
        self.wait(CLOSING);
        if self.is_broken() {
            return;
        }
        let ended = self.model().check_end();
        self.check(ended);
        if format!("{:?}", self.link.gateway).contains("eyJ") {
            self.link.observer.find(Rule::Secrecy, "a token in Debug");
        }
    }

    fn heal(&mut self) {
        self.link.network = Network::default();
        self.link.spare();
        self.link.stall(Duration::ZERO);
        self.link.fail_dials(0, TransportEnd::DialFailed);
        self.link.leave_unpolled(Duration::ZERO);
        self.link.set_clock_error(0);
        self.link.set_token_lifetime(Duration::from_secs(3_600));
        self.model().end_calm();
        self.inject(&FaultKind::Clear);
        let now = self.link.now();
        for device in DEVICES {
            // A device that is in no registry cannot be unblocked either.
            let _ = self.link.bridge.set_blocked(device, false, now);
        }
        if self.model().is_deceived() {
            self.link.cut();
        }
        self.command(Command::Open);
        self.process_outputs();
    }

    /// Performs the actions of a user that are necessary for progress.
    fn help(&mut self) {
        while !self.deliveries.is_empty() {
            self.acknowledge(0);
        }
        for device in 1..DEVICES.len() {
            let state = self.keys[device].and_then(|key| self.link.gateway.device_state(key));
            let lifetime = Duration::from_secs(3_600);
            match state {
                Some(DeviceState::TokenNeeded) => {
                    self.command(Command::Authorize { device, lifetime });
                }
                Some(DeviceState::Dormant) => {
                    self.attach(device, lifetime);
                }
                _ => {}
            }
            // A refusal after a positive acknowledgement counts as a detachment, and is retried for ever.
            if self.model().refusals(device) > MAX_REFUSALS {
                self.command(Command::Detach { device });
            }
        }
    }

    /// Returns whether something that must end has not ended. A subscription of a device that cannot be attached waits
    /// for the attach.
    fn is_busy(&mut self) -> bool {
        let (gateway, keys) = (&self.link.gateway, &self.keys);
        let is_attached = |device: usize| {
            let state = keys[device].and_then(|key| gateway.device_state(key));
            state == Some(DeviceState::Attached)
        };
        let is_refused = |device: usize| {
            let state = keys[device].and_then(|key| gateway.device_state(key));
            state == Some(DeviceState::Refused)
        };
        self.link
            .observer
            .model
            .pending()
            .any(|(_, kind)| match kind {
                OperationKind::Close => false,
                OperationKind::Subscribe(device) | OperationKind::Unsubscribe(device) => {
                    is_attached(device) || !is_refused(device)
                }
                _ => true,
            })
    }

    /// Returns whether a requested device ends the connection with each attach.
    fn is_poisoned(&self) -> bool {
        let is_wanted =
            self.keys[NESTED].is_some_and(|key| self.link.gateway.device_id(key).is_some());
        is_wanted && self.drafted.settings.nested_gateway == NestedGateway::Close
    }

    /// Checks that every caller that was refused for lack of room was notified when there was room.
    fn check_room(&mut self) {
        for (device, name) in DEVICES.iter().enumerate() {
            let key = self.keys[device];
            let exists = key.is_some_and(|key| self.link.gateway.device_id(key).is_some());
            let is_open = !self.link.gateway.is_closed();
            if exists && is_open && self.model().is_blocked(device) {
                let what = format!("{name} has room, but no Writable event was reported");
                self.link.observer.find(Rule::Progress, &what);
            }
        }
    }
}
