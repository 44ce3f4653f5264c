//! The requested subscriptions of a device, and those that are granted on this connection.

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

/// One subscription: what is requested, and what is granted on this connection.
#[derive(Debug, Default)]
pub(crate) struct SubscriptionState {
    pub(crate) wanted: Option<QoS>,
    pub(crate) held: Option<QoS>,
    pub(crate) progress: Progress,
    /// The pending subscribe or unsubscribe.
    pub(crate) op: Option<OpId>,
    /// Consecutive attempts that timed out or were refused.
    pub(crate) attempts: u32,
}

/// The progress from what is held to what is wanted.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) enum Progress {
    #[default]
    Settled,
    /// SUBSCRIBE was queued for this quality of service, or UNSUBSCRIBE for none.
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
    /// Returns whether a packet is needed to get from what is held to what is wanted.
    pub(crate) fn needs_packet(&self) -> bool {
        matches!(self.progress, Progress::Settled) && self.wanted != self.held
    }

    /// Returns whether what is held is what is wanted.
    pub(crate) fn is_as_wanted(&self) -> bool {
        match self.wanted {
            Some(_) => self.held == self.wanted,
            None => self.held.is_none() && !matches!(self.progress, Progress::Asked(..)),
        }
    }

    /// Returns whether messages of this subscription are expected: even before its SUBACK, and until its UNSUBACK.
    pub(crate) fn is_expected(&self) -> bool {
        self.wanted.is_some() || self.held.is_some() || matches!(self.progress, Progress::Asked(..))
    }

    /// Returns the operation that the bridge has yet to answer, and when it was queued.
    pub(crate) fn unanswered(&self) -> Option<(PeerTime, OpId)> {
        match self.progress {
            Progress::Asked(awaiting, _) => Some((awaiting.sent, self.op?)),
            Progress::Settled | Progress::Retrying(_) | Progress::Refused => None,
        }
    }

    /// Clears what was granted, because the attachment has ended. Returns the operation that this completes, an
    /// unsubscribe.
    pub(crate) fn lose(&mut self) -> Option<(OpId, Outcome)> {
        self.held = None;
        self.progress = Progress::Settled;
        if self.wanted.is_some() {
            return None;
        }
        self.op.take().map(|op| (op, Outcome::Unsubscribed))
    }
}
