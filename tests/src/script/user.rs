//! The user of a script: issues commands to the gateway.

use core::time::Duration;

use iotcore_gateway::{
    DeviceAuth, DeviceId, DeviceKey, Input, OpId, Publication,
    auth::Token,
    command_error::{CommandError, PublishError, PublishErrorKind},
    message::{QoS, Unsent},
};

use super::broken::Rule;
use super::run::Run;
use super::step::{Choice, Command, DEVICES, Terms, Tokens};
use crate::model::{OperationKind, payload, tag};

impl Run {
    pub(super) fn command(&mut self, command: Command) -> String {
        self.look_at_queued();
        match command {
            Command::Open => {
                let opened = self.link.apply(Input::Open).op();
                self.answer(opened, OperationKind::Open)
            }
            Command::Attach {
                device,
                lifetime,
                tokens,
            } => self.attach(device, lifetime, tokens),
            Command::Authorize { device, lifetime } => self.authorize(device, lifetime),
            Command::Detach { device } => {
                self.with_key(device, OperationKind::Detach(device), Input::Detach)
            }
            Command::Telemetry {
                device,
                qos,
                size,
                terms,
            } => self.publish(device, false, qos, size, terms),
            Command::State {
                device,
                qos,
                size,
                terms,
            } => self.publish(device, true, qos, size, terms),
            Command::Cancel { choice, nth } => self.cancel(choice, nth.into()),
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
            Command::Postpone { delivery } => self.postpone(usize::from(delivery)),
            Command::ResetWorstLatency => {
                self.link.apply(Input::ResetWorstLatency);
                self.model().reset_worst_latency();
                String::new()
            }
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

    pub(super) fn attach(&mut self, device: usize, lifetime: Duration, tokens: Tokens) -> String {
        let needs_tokens = self.drafted.needs_device_tokens();
        let is_given = needs_tokens && tokens != Tokens::ToCome;
        let token = is_given.then(|| self.link.token(lifetime));
        let input = Input::Attach {
            device: Self::id(device),
            auth: match (needs_tokens, token.clone()) {
                (true, Some(token)) if tokens == Tokens::Fixed => DeviceAuth::Token(token),
                (true, token) => DeviceAuth::Renewable(token),
                (false, _) => DeviceAuth::ByAssociation,
            },
            unix_now: self.link.unix_now(),
        };
        let now = self.link.now();
        self.model().learn_date(now);
        let attached = self.link.apply(input).attached();
        let attached = attached.map(|(key, op)| {
            self.keys[device] = Some(key);
            self.model().know(key, device);
            match needs_tokens {
                true => self.give(device, token, lifetime),
                false => self.model().need_no_token(device),
            }
            op
        });
        self.answer(attached, OperationKind::Attach(device))
    }

    fn authorize(&mut self, device: usize, lifetime: Duration) -> String {
        let Some(key) = self.keys[device] else {
            return "never attached".to_owned();
        };
        let token = self.link.token(lifetime);
        let now = self.link.now();
        self.model().learn_date(now);
        let input = Input::Authorize {
            device: key,
            token: token.clone(),
            unix_now: self.link.unix_now(),
        };
        let answer = self.link.apply(input).op();
        if answer.is_ok() {
            self.give(device, Some(token), lifetime);
        }
        self.answer(answer, OperationKind::Authorize(device))
    }

    /// Informs the model of what a device is attached with.
    fn give(&mut self, device: usize, token: Option<Token>, lifetime: Duration) {
        let now = self.link.now();
        self.model().give(device, token, lifetime, now);
    }

    fn publish(
        &mut self,
        device: usize,
        is_state: bool,
        qos: QoS,
        size: u16,
        terms: Terms,
    ) -> String {
        let number = self.model().draft(device, is_state, qos, terms);
        let Some(key) = self.keys[device] else {
            return "never attached".to_owned();
        };
        let payload = payload(number, size);
        let mut publication = match is_state {
            true => Publication::state(key, payload),
            false => Publication::telemetry(key, payload),
        };
        publication = publication.qos(qos).priority(terms.priority);
        if let Some(time) = terms.expires_after {
            publication = publication.expires_after(time);
        }
        if terms.is_tagged {
            publication = publication.tag(tag(number));
        }
        self.publish_number(number, publication, terms.expires_after)
    }

    fn publish_number(
        &mut self,
        number: u32,
        publication: Publication,
        expires_after: Option<Duration>,
    ) -> String {
        self.look_at_queued();
        let (key, size) = (publication.device(), publication.payload().len());
        match self.link.apply(Input::Publish(publication)).published() {
            Ok(op) => {
                self.link.observer.history.published();
                let expires_at = expires_after.map(|time| self.link.now() + time);
                let accepted = self.model().accept(number, op, size, expires_at);
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

    /// Cancels an operation, which ends at once if it is a publication that has not ended.
    fn cancel(&mut self, choice: Choice, nth: usize) -> String {
        self.link.process_outputs();
        let Some(op) = self.model().choose(choice, nth) else {
            return "nothing to cancel".to_owned();
        };
        let was_unsent = self.is_unsent(op);
        let answer = self.link.apply(Input::Cancel(op)).cancelled();
        let is_polled = self.link.is_polled();
        let cancelled = self.model().cancel(op, &answer, was_unsent, is_polled);
        self.check(cancelled);
        if answer.is_ok() && self.is_unsent(op) {
            let what = format!("{op} was cancelled and is still unsent");
            self.link.observer.find(Rule::OneEnd, &what);
        }
        self.link.process_outputs();
        if is_polled && self.model().pending().any(|(pending, _)| pending == op) && answer.is_ok() {
            let what = format!("{op} was cancelled, and its end was not told");
            self.link.observer.find(Rule::OneEnd, &what);
        }
        match answer {
            Ok(()) => {
                self.struck("cancelled");
                format!("cancelled {op}")
            }
            Err(error) => error.to_string(),
        }
    }

    fn is_unsent(&self, op: OpId) -> bool {
        self.link.gateway.unsent().any(|unsent| unsent.op == op)
    }

    /// Informs the model of what the gateway has queued for transmission since the last time.
    pub(super) fn look_at_queued(&mut self) {
        let now = self.link.now();
        let looked = self.link.observer.model.look(&self.link.gateway, now);
        self.check(looked);
    }

    pub(super) fn acknowledge(&mut self, nth: usize) -> String {
        if self.deliveries.is_empty() {
            return "nothing to acknowledge".to_owned();
        }
        let delivery = self.deliveries.remove(nth % self.deliveries.len());
        self.model().acknowledge(delivery);
        self.link.apply(Input::Acknowledge(delivery));
        format!("{delivery:?}")
    }

    fn postpone(&mut self, nth: usize) -> String {
        if self.deliveries.is_empty() {
            return "nothing to postpone".to_owned();
        }
        let delivery = self.deliveries[nth % self.deliveries.len()];
        self.model().postpone(delivery);
        self.link.apply(Input::Postpone(delivery));
        format!("{delivery:?}")
    }

    /// Shuts the process down cleanly and restarts it with the unsent messages.
    fn restart(&mut self) -> String {
        self.struck("process restarted");
        self.link.leave_unpolled(Duration::ZERO);
        // What is left of a deadline is counted from the last instant that the gateway knows.
        self.link.apply(Input::Timeout);
        self.process_outputs();
        let unsent: Vec<Unsent> = self.link.gateway.unsent().collect();
        let checked = self
            .model()
            .check_unsent(unsent.iter().map(|unsent| unsent.op));
        self.check(checked);
        for unsent in &unsent {
            let now = self.link.now();
            let checked = self.model().check_handed_back(unsent, now);
            self.check(checked);
        }
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
                    self.attach(device, Duration::from_secs(3_600), Tokens::Fixed);
                }
                if let Some(key) = self.keys[device] {
                    let expires_after = unsent.expires_after;
                    self.publish_number(number, unsent.into_publication(key), expires_after);
                }
            }
        }
        opened
    }
}
