//! The requested subscriptions of a device, and those that are granted on this connection.

use super::{
    super::{fingerprint::Fingerprint, strikes::Strikes},
    OWN,
};
use crate::{
    clock::Moment,
    command::{OpId, Slot, Subscription},
    event::Outcome,
    mqtt::{PacketId, QoS},
};

/// What can be subscribed to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Feed {
    /// The error reports of the gateway: only its own subscriptions include it.
    Errors,
    Config,
    Commands,
}

impl Feed {
    /// Returns the feeds of a device, in the order in which they are subscribed to.
    pub(crate) fn of(device: Slot) -> &'static [Self] {
        match device {
            OWN => &[Self::Errors, Self::Config, Self::Commands],
            _ => &[Self::Config, Self::Commands],
        }
    }

    /// Returns what a user subscribes to; `None` for the error reports.
    pub(crate) fn subscription(self) -> Option<Subscription> {
        match self {
            Self::Errors => None,
            Self::Config => Some(Subscription::Config),
            Self::Commands => Some(Subscription::Commands),
        }
    }
}

impl From<Subscription> for Feed {
    fn from(subscription: Subscription) -> Self {
        match subscription {
            Subscription::Config => Self::Config,
            Subscription::Commands => Self::Commands,
        }
    }
}

/// Identifies one device's subscription.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct SubscriptionKey {
    pub(crate) device: Slot,
    pub(crate) feed: Feed,
}

/// One request for a subscription, or for its end: all attempts until the bridge has answered one, or something else is
/// requested.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SubscriptionRequest {
    device: Slot,
    feed: Feed,
    /// Numbers the requests of a connection; it wraps around.
    number: u16,
}

impl SubscriptionRequest {
    pub(crate) fn new(key: SubscriptionKey, number: u16) -> Self {
        let SubscriptionKey { device, feed } = key;
        Self {
            device,
            feed,
            number,
        }
    }

    pub(crate) fn key(self) -> SubscriptionKey {
        let Self { device, feed, .. } = self;
        SubscriptionKey { device, feed }
    }
}

/// One subscription: what is requested, and what is granted on this connection.
#[derive(Debug, Default)]
pub(crate) struct SubscriptionState {
    pub(crate) wanted: Option<QoS>,
    pub(crate) held: Option<Held>,
    pub(crate) progress: Progress,
    /// The packets of which one answer is still to come. They may be overdue.
    pub(crate) asked: Option<Asked>,
    /// The pending subscribe or unsubscribe.
    pub(crate) op: Option<OpId>,
    /// Consecutive attempts that timed out or were refused.
    pub(crate) attempts: u32,
    /// Whether to subscribe again although it is held, because that brings the newest config.
    pub(crate) needs_renewal: bool,
    /// The fingerprint of the config that the user has acknowledged after it was given up, until the next one arrives.
    pub(crate) taken: Option<Fingerprint>,
    /// Refusals by SUBACK since one was granted, at most 255. They outlive connections.
    pub(crate) refusals: u8,
    /// Until when it is not asked for again after a refusal, unless the user asks.
    pub(crate) refused_until: Option<Moment>,
    /// The strikes of its SUBSCRIBE.
    pub(crate) strikes: Strikes,
}

/// A subscription that is granted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Held {
    /// The quality of service that was asked for.
    pub(crate) wish: QoS,
    /// What the bridge has granted, which may be less.
    pub(crate) granted: QoS,
}

/// SUBSCRIBE for a quality of service, or UNSUBSCRIBE for none, sent once or several times.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asked {
    pub(crate) qos: Option<QoS>,
    /// What its packets belong to.
    pub(crate) request: SubscriptionRequest,
    /// The identifier of the last attempt.
    pub(crate) packet_id: PacketId,
}

/// The progress from what is held to what is wanted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Progress {
    #[default]
    Settled,
    /// A packet was queued and is not overdue.
    Asking,
    Retrying(Moment),
    /// The bridge reported that it is not possible, on this connection.
    Refused,
}

impl Held {
    pub(crate) fn as_wished(wish: QoS) -> Self {
        let granted = wish;
        Self { wish, granted }
    }

    /// Returns whether the bridge has granted less than was asked for.
    pub(crate) fn is_downgraded(self) -> bool {
        self.granted < self.wish
    }
}

impl SubscriptionState {
    /// Returns whether a packet is needed to get from what is held to what is wanted.
    pub(crate) fn needs_packet(&self) -> bool {
        let is_missing = self.wanted != self.wish_held();
        let is_renewed = self.needs_renewal && self.wanted.is_some();
        self.progress == Progress::Settled && (is_missing || is_renewed)
    }

    /// Returns whether it is held as wanted, and no packet is needed or under way.
    pub(crate) fn is_settled(&self) -> bool {
        let is_held = self.held.is_some() && self.is_as_wanted();
        is_held && self.progress == Progress::Settled && !self.needs_packet()
    }

    /// Returns whether its next packet is a SUBSCRIBE that is suspected of ending connections.
    pub(crate) fn is_suspect(&self) -> bool {
        self.wanted.is_some() && self.strikes.is_suspect()
    }

    /// Returns whether what is held is what is wanted.
    pub(crate) fn is_as_wanted(&self) -> bool {
        match self.wanted {
            Some(_) => self.wish_held() == self.wanted,
            None => self.held.is_none() && self.progress != Progress::Asking,
        }
    }

    fn wish_held(&self) -> Option<QoS> {
        self.held.map(|held| held.wish)
    }

    /// Returns whether messages of this subscription are expected: even before its SUBACK, and until its UNSUBACK.
    pub(crate) fn is_expected(&self) -> bool {
        self.wanted.is_some() || self.held.is_some() || self.asked.is_some()
    }

    /// Returns whether the answer to an attempt of this request counts, because it is the current request.
    pub(crate) fn is_asked(&self, request: SubscriptionRequest) -> bool {
        self.asked.is_some_and(|asked| asked.request == request)
    }

    /// Stops waiting for an overdue answer, because something else may be wanted by now. The peer may still do what was
    /// asked for: unless it is what is wanted, that has to be asked for in any case.
    pub(crate) fn drop_asked(&mut self) {
        if let Some(asked) = self.asked.take()
            && asked.qos != self.wanted
        {
            self.held = match self.wanted {
                Some(_) => None,
                None => asked.qos.map(Held::as_wished),
            };
        }
    }

    /// Clears what was granted, because the attachment has ended. Returns the operation that this completes, an
    /// unsubscribe.
    pub(crate) fn lose(&mut self) -> Option<(OpId, Outcome)> {
        self.held = None;
        self.asked = None;
        self.needs_renewal = false;
        self.progress = Progress::Settled;
        if self.wanted.is_some() {
            return None;
        }
        self.op.take().map(|op| (op, Outcome::Unsubscribed))
    }
}
