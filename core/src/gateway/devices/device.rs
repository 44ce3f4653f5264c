//! One device: what the user has requested for it, and what the bridge has granted.

use super::{super::strikes::Strikes, auth::Auth, subscription::SubscriptionState};
use crate::{
    clock::{Clock, Moment},
    command::{DeviceAuth, OpId},
    error::Failure,
    id::DeviceId,
    mqtt::{PacketId, TopicName},
    token::Token,
    topic::{self, Channel},
};

/// One device.
#[derive(Debug)]
pub(crate) struct Device {
    pub(crate) id: DeviceId,
    /// The topic of its telemetry events without a subfolder.
    pub(crate) events_topic: TopicName,
    pub(super) generation: u32,
    pub(crate) life: Life,
    /// The pending attach.
    pub(crate) attach_op: Option<OpId>,
    /// The attach that this connection has yet to answer. It may be overdue.
    pub(crate) asked: Option<AskedAttach>,
    /// The pending detach.
    pub(crate) detach: Option<Detach>,
    pub(crate) auth: Auth,
    /// Consecutive attempts to attach that failed or did not last.
    pub(crate) attempts: u32,
    /// The strikes of its attach.
    pub(crate) strikes: Strikes,
    /// Its deliveries were not acknowledged in time, and none has been since: it holds up nobody.
    pub(crate) is_deaf: bool,
    /// Its last failure, and when it was reported.
    pub(crate) last_failure: Option<(Box<Failure>, Moment)>,
    pub(super) config: SubscriptionState,
    pub(super) commands: SubscriptionState,
}

/// An attach that was queued, once or several times with the same identifier.
#[derive(Clone, Copy, Debug)]
pub(crate) struct AskedAttach {
    pub(crate) packet_id: PacketId,
    /// Whether it carries the device's current token.
    pub(crate) is_current: bool,
}

/// The lifecycle state of a device.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Life {
    /// The gateway itself: attached by the connection.
    Own,
    /// To be attached: waits for its turn or for a connection.
    Waiting,
    /// To be attached, but its attach is suspected of ending connections: waits for its trial.
    Suspected,
    /// The attach was queued and is not overdue.
    Attaching,
    Attached {
        since: Moment,
        /// The identifier of the attach that the bridge has acknowledged. It may be in use again by now.
        packet_id: PacketId,
        /// Whether that carried the device's current token.
        is_current: bool,
    },
    /// The attach failed for a reason that may be temporary; it is tried again at this time.
    Retrying(Moment),
    /// It has no token that is good for its attach, and a new one was requested.
    NeedsToken,
    /// The bridge refused it, or its attach ended connections: it is not attached again, and cannot publish, until the user attaches or authorizes it.
    Refused,
    /// The bridge detached it, and it is not attached again until the user asks for it.
    Dormant,
    /// Something was restored for it, and the user has not asked for it yet.
    #[cfg(feature = "store")]
    Unclaimed,
    /// It may be attached, and is to be detached: waits for its turn.
    Leaving,
    /// The detach was queued and waits for its PUBACK.
    Detaching(PacketId),
}

impl Life {
    /// Returns whether it is not attached before the user asks for it, although the bridge has not refused it.
    pub(crate) fn is_left_to_user(&self) -> bool {
        #[cfg(feature = "store")]
        if matches!(self, Self::Unclaimed) {
            return true;
        }
        matches!(self, Self::Dormant)
    }

    pub(crate) fn state(&self, is_open: bool) -> DeviceState {
        match self {
            Self::Own if is_open => DeviceState::Attached,
            Self::Own | Self::Waiting | Self::Suspected => DeviceState::Waiting,
            Self::Attaching => DeviceState::Attaching,
            Self::Attached { .. } => DeviceState::Attached,
            Self::Retrying(_) => DeviceState::Retrying,
            Self::NeedsToken => DeviceState::TokenNeeded,
            Self::Refused => DeviceState::Refused,
            Self::Dormant => DeviceState::Dormant,
            #[cfg(feature = "store")]
            Self::Unclaimed => DeviceState::Unclaimed,
            Self::Leaving | Self::Detaching(_) => DeviceState::Detaching,
        }
    }
}

/// The state of a device's attachment to the bridge.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum DeviceState {
    /// To be attached: waits for its turn or for a connection.
    Waiting,
    /// The attach was sent and waits for its PUBACK.
    Attaching,
    /// The device can publish and subscribe.
    Attached,
    /// An attach failed for a reason that may be temporary, or the bridge detached the device: it is attached again
    /// with backoff.
    Retrying,
    /// It has no token that is good for its attach; see [`Event::TokenNeeded`](crate::Event::TokenNeeded).
    TokenNeeded,
    /// The bridge refused to attach it, or closed the connection at each attempt: it is not tried again until it is attached or authorized again.
    Refused,
    /// The bridge detached it, and the options say not to attach it again automatically.
    Dormant,
    /// Something was restored for it, and waits until it is attached, or dropped by a detach.
    #[cfg(feature = "store")]
    Unclaimed,
    /// The detach waits for its turn, or was sent and waits for its PUBACK.
    Detaching,
}

/// A detach requested by the user.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Detach {
    pub(crate) op: OpId,
    /// When the publications that are still queued fail; `None` without any.
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
            asked: None,
            detach: None,
            auth: Auth::new(),
            attempts: 0,
            strikes: Strikes::default(),
            is_deaf: false,
            last_failure: None,
            config: SubscriptionState::default(),
            commands: SubscriptionState::default(),
        }
    }

    /// Returns whether the user has asked for it.
    pub(crate) fn is_claimed(&self) -> bool {
        #[cfg(feature = "store")]
        return !matches!(self.life, Life::Unclaimed);
        #[cfg(not(feature = "store"))]
        true
    }

    /// Returns the state of a device that is to be attached: suspects wait apart.
    pub(crate) fn to_be_attached(&self) -> Life {
        match self.strikes.is_suspect() {
            true => Life::Suspected,
            false => Life::Waiting,
        }
    }

    /// Records how the user wants the device to prove itself.
    pub(crate) fn set_auth(&mut self, auth: DeviceAuth, clock: &Clock) {
        let is_other = self.auth.replace(auth, clock);
        self.outdate(is_other);
    }

    /// Records a new token.
    pub(crate) fn renew_token(&mut self, token: Token, clock: &Clock) {
        let is_other = self.auth.renew(token, clock);
        self.outdate(is_other);
    }

    /// Records whether an unanswered attach does not carry any more what the next one would.
    fn outdate(&mut self, is_other: bool) {
        if let Some(asked) = &mut self.asked {
            asked.is_current &= !is_other;
        }
        if let Life::Attached { is_current, .. } = &mut self.life {
            *is_current &= !is_other;
        }
    }

    /// Returns whether its publications may still be sent without a command of the user.
    pub(crate) fn may_send(&self) -> bool {
        match self.life {
            Life::Refused | Life::Dormant => false,
            #[cfg(feature = "store")]
            Life::Unclaimed => false,
            Life::NeedsToken => self.asked.is_some(),
            Life::Own
            | Life::Waiting
            | Life::Suspected
            | Life::Attaching
            | Life::Attached { .. }
            | Life::Retrying(_)
            | Life::Leaving
            | Life::Detaching(_) => true,
        }
    }

    /// Returns the pending operations, except the detach.
    pub(crate) fn pending_ops(&self) -> impl Iterator<Item = OpId> + '_ {
        [self.attach_op, self.config.op, self.commands.op]
            .into_iter()
            .flatten()
    }
}
