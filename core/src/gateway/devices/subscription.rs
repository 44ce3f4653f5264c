//! What the user wants of a device's subscriptions, and what this connection has granted.

use super::awaiting::Awaiting;
use crate::{
    clock::{Moment, PeerTime},
    command::{OpId, Slot, Subscription},
    event::Outcome,
    mqtt::QoS,
};

/// Identifies one device's subscription.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct SubscriptionKey {
    pub(crate) device: Slot,
    pub(crate) subscription: Subscription,
}

/// Both subscriptions of a device.
#[derive(Debug, Default)]
pub(crate) struct Subscriptions {
    config: SubscriptionState,
    commands: SubscriptionState,
}

/// One subscription: what is wanted, and what this connection has.
#[derive(Debug, Default)]
pub(crate) struct SubscriptionState {
    pub(crate) wanted: Option<QoS>,
    pub(crate) held: Option<QoS>,
    pub(crate) progress: Progress,
    /// The subscribe or unsubscribe that has not ended.
    pub(crate) op: Option<OpId>,
    /// Attempts that timed out or were refused, in a row.
    pub(crate) attempts: u32,
}

/// What is under way between what is wanted and what is held.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) enum Progress {
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

    pub(crate) fn at(&self, subscription: Subscription) -> &SubscriptionState {
        match subscription {
            Subscription::Config => &self.config,
            Subscription::Commands => &self.commands,
        }
    }

    pub(crate) fn at_mut(&mut self, subscription: Subscription) -> &mut SubscriptionState {
        match subscription {
            Subscription::Config => &mut self.config,
            Subscription::Commands => &mut self.commands,
        }
    }
}

impl SubscriptionState {
    /// Whether a packet would bring what is held closer to what is wanted.
    pub(crate) fn needs_packet(&self) -> bool {
        matches!(self.progress, Progress::Settled) && self.wanted != self.held
    }

    /// Whether what is wanted is the case.
    pub(crate) fn is_as_wanted(&self) -> bool {
        match self.wanted {
            Some(_) => self.held == self.wanted,
            None => self.held.is_none() && !matches!(self.progress, Progress::Asked(..)),
        }
    }

    /// Whether messages of this subscription are expected: also before its SUBACK, and until its UNSUBACK.
    pub(crate) fn is_expected(&self) -> bool {
        self.wanted.is_some() || self.held.is_some() || matches!(self.progress, Progress::Asked(..))
    }

    /// The operation that the bridge has yet to answer, and when it was queued.
    pub(crate) fn unanswered(&self) -> Option<(PeerTime, OpId)> {
        match self.progress {
            Progress::Asked(awaiting, _) => Some((awaiting.sent, self.op?)),
            Progress::Settled | Progress::Retrying(_) | Progress::Refused => None,
        }
    }

    /// Forgets what was granted, because the attachment is gone; returns the operation that this ends, an unsubscribe.
    pub(crate) fn lose(&mut self) -> Option<(OpId, Outcome)> {
        self.held = None;
        self.progress = Progress::Settled;
        if self.wanted.is_some() {
            return None;
        }
        self.op.take().map(|op| (op, Outcome::Unsubscribed))
    }
}
