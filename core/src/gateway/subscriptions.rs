//! A device's subscriptions: what the user wants, what this connection has granted, and the way from one to the other.

use super::{
    Gateway, Ticket,
    devices::{Awaiting, Deadline, Life},
};
use crate::{
    clock::Moment,
    command::{OpId, Subscription},
    error::Failure,
    event::{Event, Outcome},
    mqtt::{QoS, SubAckCode},
    topic,
};

/// Whose subscription to what.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Turn {
    pub(crate) device: u32,
    pub(crate) subscription: Subscription,
}

/// Both subscriptions of a device.
#[derive(Debug, Default)]
pub(crate) struct Subscriptions {
    config: Wish,
    commands: Wish,
}

/// One subscription: what is wanted, and what this connection has.
#[derive(Debug, Default)]
pub(crate) struct Wish {
    wanted: Option<QoS>,
    held: Option<QoS>,
    progress: Progress,
    /// The subscribe or unsubscribe that has not ended.
    op: Option<OpId>,
    attempts: u32,
}

#[derive(Clone, Copy, Debug, Default)]
enum Progress {
    #[default]
    Settled,
    /// SUBSCRIBE was written for this quality of service, or UNSUBSCRIBE for none.
    Asked(Awaiting, Option<QoS>),
    Retrying(Moment),
    /// The bridge refused it on this connection.
    Refused,
}

impl Subscriptions {
    pub(crate) const ALL: [Subscription; 2] = [Subscription::Config, Subscription::Commands];

    pub(crate) fn at(&self, subscription: Subscription) -> &Wish {
        match subscription {
            Subscription::Config => &self.config,
            Subscription::Commands => &self.commands,
        }
    }

    pub(crate) fn at_mut(&mut self, subscription: Subscription) -> &mut Wish {
        match subscription {
            Subscription::Config => &mut self.config,
            Subscription::Commands => &mut self.commands,
        }
    }
}

impl Wish {
    /// Whether a packet would bring what is held closer to what is wanted.
    fn is_unfulfilled(&self) -> bool {
        matches!(self.progress, Progress::Settled) && self.wanted != self.held
    }

    /// Whether messages of this subscription are expected: also before its SUBACK, and until its UNSUBACK.
    pub(crate) fn is_expected(&self) -> bool {
        self.wanted.is_some() || self.held.is_some() || matches!(self.progress, Progress::Asked(..))
    }

    pub(crate) fn op(&self) -> Option<OpId> {
        self.op
    }

    /// The operation that the bridge has yet to answer, and by when it is to.
    pub(crate) fn unanswered(&self) -> Option<(Moment, OpId)> {
        match self.progress {
            Progress::Asked(awaiting, _) => Some((awaiting.deadline, self.op?)),
            Progress::Settled | Progress::Retrying(_) | Progress::Refused => None,
        }
    }

    /// What ends the operation of a subscription whose attachment is gone: a wish to unsubscribe has come true.
    pub(crate) fn lose(&mut self) -> Option<(OpId, Outcome)> {
        self.held = None;
        self.progress = Progress::Settled;
        if self.wanted.is_some() {
            return None;
        }
        self.op.take().map(|op| (op, Outcome::Unsubscribed))
    }
}

impl Gateway {
    /// Sets what is wanted; `None` ends the subscription. Gives the operation that ends with it.
    pub(super) fn want(&mut self, turn: Turn, qos: Option<QoS>) -> OpId {
        let wish = self.wish(turn);
        if wish.wanted == qos
            && let Some(op) = wish.op
        {
            return op;
        }
        wish.wanted = qos;
        wish.attempts = 0;
        let overtaken = wish.op.take();
        if let Progress::Retrying(at) = wish.progress {
            self.devices.deadlines.remove(at, Deadline::Subscribe(turn));
        }
        let wish = self.wish(turn);
        if matches!(wish.progress, Progress::Retrying(_) | Progress::Refused) {
            wish.progress = Progress::Settled;
        }
        if let Some(op) = overtaken {
            self.fail(op, Failure::Superseded);
        }
        let op = self.new_op();
        self.wish(turn).op = Some(op);
        self.settle_wish(turn);
        op
    }

    fn wish(&mut self, turn: Turn) -> &mut Wish {
        self.devices
            .at_mut(turn.device)
            .subscriptions
            .at_mut(turn.subscription)
    }

    /// Ends the operation of a wish that has come true, or gives it a turn.
    fn settle_wish(&mut self, turn: Turn) {
        let is_attached = self.is_attached(turn.device);
        let wish = self.wish(turn);
        if is_attached && wish.is_unfulfilled() {
            self.devices.subscribe_turns.push_back(turn);
            return;
        }
        let is_true = match wish.wanted {
            Some(_) => wish.held == wish.wanted,
            None => wish.held.is_none() && !matches!(wish.progress, Progress::Asked(..)),
        };
        if is_true && let Some(op) = wish.op.take() {
            let outcome = wish
                .wanted
                .map_or(Outcome::Unsubscribed, Outcome::Subscribed);
            self.done(op, outcome);
        }
    }

    /// Gives a turn to what an attached device wants.
    pub(super) fn resume_subscriptions(&mut self, device: u32) {
        for subscription in Subscriptions::ALL {
            self.settle_wish(Turn {
                device,
                subscription,
            });
        }
    }

    /// Forgets what was granted: the attachment is gone.
    pub(super) fn lose_subscriptions(&mut self, device: u32) {
        for subscription in Subscriptions::ALL {
            let turn = Turn {
                device,
                subscription,
            };
            match self.wish(turn).progress {
                Progress::Asked(awaiting, _) => {
                    self.devices.settle(awaiting);
                    self.quarantine(awaiting.packet_id);
                }
                Progress::Retrying(at) => {
                    self.devices.deadlines.remove(at, Deadline::Subscribe(turn));
                }
                Progress::Settled | Progress::Refused => {}
            }
            if let Some((op, outcome)) = self.wish(turn).lose() {
                self.done(op, outcome);
            }
        }
    }

    /// Writes the SUBSCRIBE or UNSUBSCRIBE that is next, if one is; gives whether it was.
    pub(super) fn send_subscription(&mut self, now: Moment) -> bool {
        while let Some(&turn) = self.devices.subscribe_turns.front() {
            let is_attached = self.is_attached(turn.device);
            let wish = self.wish(turn);
            if is_attached && wish.is_unfulfilled() {
                let qos = wish.wanted;
                return self.write_subscription(turn, qos, now);
            }
            self.devices.subscribe_turns.pop_front();
        }
        false
    }

    fn write_subscription(&mut self, turn: Turn, qos: Option<QoS>, now: Moment) -> bool {
        let id = &self.devices.at(turn.device).id;
        let filter = match turn.subscription {
            Subscription::Config => topic::config_filter(id),
            Subscription::Commands => topic::commands_filter(id),
        };
        let Some(link) = self
            .link
            .as_mut()
            .filter(|link| link.can_send(filter.len() + 16))
        else {
            return false;
        };
        let ticket = Ticket::Subscription(turn);
        let packet_id = match qos {
            Some(qos) => link.subscribe(&filter, qos, ticket),
            None => link.unsubscribe(&filter, ticket),
        };
        self.devices.subscribe_turns.pop_front();
        let awaiting = self.await_answer(packet_id, self.options.ack_timeout, now);
        self.wish(turn).progress = Progress::Asked(awaiting, qos);
        true
    }

    pub(super) fn on_suback(&mut self, turn: Turn, code: SubAckCode, now: Moment) {
        if code == SubAckCode::Failure {
            self.fail_subscription(turn, Failure::SubscriptionRefused(turn.subscription), now);
        } else {
            self.on_subscription_answer(turn);
        }
    }

    /// SUBACK granted, or UNSUBACK.
    pub(super) fn on_subscription_answer(&mut self, turn: Turn) {
        let Progress::Asked(awaiting, qos) = self.wish(turn).progress else {
            return;
        };
        self.devices.settle(awaiting);
        let wish = self.wish(turn);
        wish.progress = Progress::Settled;
        wish.held = qos;
        wish.attempts = 0;
        self.settle_wish(turn);
    }

    /// No answer came in time, or a bad one. A timeout is tried again with backoff, a refusal on the next connection.
    pub(super) fn fail_subscription(&mut self, turn: Turn, failure: Failure, now: Moment) {
        let Progress::Asked(awaiting, asked) = self.wish(turn).progress else {
            return;
        };
        self.devices.settle(awaiting);
        // If it was a report that failed it, the answer may still come, and is none to the next attempt.
        self.quarantine(awaiting.packet_id);
        let attempts = self.wish(turn).attempts;
        let progress = match failure {
            Failure::TimedOut(_) => {
                let at = now + self.options.backoff.wait(attempts, &mut self.jitter);
                self.devices.deadlines.add(at, Deadline::Subscribe(turn));
                Progress::Retrying(at)
            }
            _ => Progress::Refused,
        };
        let wish = self.wish(turn);
        wish.progress = progress;
        wish.attempts += 1;
        if wish.wanted != asked {
            // The wish changed while this was under way: its own attempt has yet to come.
            self.retry_subscription(turn);
            return;
        }
        match wish.op.take() {
            Some(op) => self.fail(op, failure),
            None if asked.is_none() => {}
            None => {
                let device = self.devices.key(turn.device);
                let subscription = turn.subscription;
                self.emit(Event::SubscriptionLost {
                    device,
                    subscription,
                    failure,
                });
            }
        }
    }

    pub(super) fn retry_subscription(&mut self, turn: Turn) {
        if let Progress::Retrying(at) = self.wish(turn).progress {
            self.devices.deadlines.remove(at, Deadline::Subscribe(turn));
        }
        self.wish(turn).progress = Progress::Settled;
        self.settle_wish(turn);
    }

    /// Whether the device can publish and subscribe now.
    pub(super) fn is_attached(&self, device: u32) -> bool {
        match self.devices.at(device).life {
            Life::Own => self.is_open(),
            Life::Attached(_) => true,
            _ => false,
        }
    }
}
