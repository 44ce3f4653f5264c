//! One device: what the user wants of it, and what the bridge has granted.

use super::{awaiting::Awaiting, subscription::Subscriptions};
use crate::{
    clock::{Moment, PeerTime},
    command::OpId,
    id::DeviceId,
    mqtt::TopicName,
    token::Token,
    topic::{self, Channel},
};

/// One device.
#[derive(Debug)]
pub(crate) struct Device {
    pub(crate) id: DeviceId,
    /// The topic of its telemetry events outside any subfolder.
    pub(crate) events_topic: TopicName,
    pub(super) generation: u32,
    pub(crate) life: Life,
    /// The attach that has not ended.
    pub(crate) attach_op: Option<OpId>,
    /// The detach that has not ended.
    pub(crate) detach: Option<Detach>,
    pub(crate) token: Option<Token>,
    /// Attempts to attach that failed, or did not last, in a row.
    pub(crate) attempts: u32,
    pub(crate) subscriptions: Subscriptions,
}

/// Where a device is in its life.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Life {
    /// The gateway itself: attached by the connection.
    Own,
    /// Wants to be attached: its turn, or a connection, has yet to come.
    Waiting,
    /// The attach was written.
    Attaching(Awaiting),
    /// Attached since then.
    Attached(Moment),
    /// The attach failed in a way that may pass; it is tried again then.
    Retrying(Moment),
    /// Its token has expired, and a new one was asked for.
    NeedsToken,
    /// The bridge refused it: nothing is tried, and nothing can be published, until the user says so.
    Refused,
    /// The bridge detached it, and it is not to be attached again until the user says so.
    Dormant,
    /// The detach was written.
    Detaching(Awaiting),
}

impl Life {
    pub(crate) fn state(&self, is_open: bool) -> DeviceState {
        match self {
            Self::Own if is_open => DeviceState::Attached,
            Self::Own | Self::Waiting => DeviceState::Waiting,
            Self::Attaching(_) => DeviceState::Attaching,
            Self::Attached(_) => DeviceState::Attached,
            Self::Retrying(_) => DeviceState::Retrying,
            Self::NeedsToken => DeviceState::TokenNeeded,
            Self::Refused => DeviceState::Refused,
            Self::Dormant => DeviceState::Dormant,
            Self::Detaching(_) => DeviceState::Detaching,
        }
    }
}

/// How a device stands with the bridge.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum DeviceState {
    /// To be attached: a connection, or its turn, has yet to come.
    Waiting,
    /// The attach was sent, and its PUBACK is due.
    Attaching,
    /// It can publish and subscribe.
    Attached,
    /// An attach failed in a way that may pass, or the bridge detached it: it is tried again with backoff.
    Retrying,
    /// Its token has expired; see [`Event::TokenNeeded`](crate::Event::TokenNeeded).
    TokenNeeded,
    /// The bridge refused to attach it: nothing is tried until it is attached or authorized again.
    Refused,
    /// The bridge detached it, and the options say not to attach it again unasked.
    Dormant,
    /// The detach was sent, and its PUBACK is due.
    Detaching,
}

/// A detach that the user asked for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Detach {
    pub(crate) op: OpId,
    /// When what is still queued has timed out; runs only while the device is attached.
    pub(crate) deadline: Option<Moment>,
}

impl Device {
    pub(super) fn new(id: DeviceId, generation: u32, life: Life) -> Self {
        let mut events_topic = TopicName::default();
        topic::make_topic(&mut events_topic, &id, Channel::Events(None));
        Self {
            id,
            events_topic,
            generation,
            life,
            attach_op: None,
            detach: None,
            token: None,
            attempts: 0,
            subscriptions: Subscriptions::default(),
        }
    }

    /// The operations that have not ended, the detach's not among them.
    pub(crate) fn pending_ops(&self) -> impl Iterator<Item = OpId> + '_ {
        let subscriptions = Subscriptions::ALL.into_iter();
        let of_subscriptions = subscriptions.filter_map(|which| self.subscriptions.at(which).op);
        self.attach_op.into_iter().chain(of_subscriptions)
    }

    /// Operations that the bridge has yet to answer, and when each was queued.
    pub(crate) fn unanswered(&self) -> impl Iterator<Item = (PeerTime, OpId)> {
        let of_life = match (self.life, self.attach_op, self.detach) {
            (Life::Attaching(awaiting), Some(op), _) => Some((awaiting.sent, op)),
            (Life::Detaching(awaiting), _, Some(detach)) => Some((awaiting.sent, detach.op)),
            _ => None,
        };
        let subscriptions = Subscriptions::ALL.into_iter();
        let of_subscriptions =
            subscriptions.filter_map(|which| self.subscriptions.at(which).unanswered());
        of_life.into_iter().chain(of_subscriptions)
    }
}
