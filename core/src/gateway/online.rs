//! The state of one connection: dropping its [`Online`] ends it.

mod asks;
mod classes;
mod control_turns;
mod owed;
mod probes;
mod trials;

pub(crate) use self::{
    asks::Choice,
    classes::{Class, Classes},
    control_turns::ControlTurns,
    owed::{OwedAcks, Recipient},
    probes::{Probes, STEP},
    trials::{Stage, Suspect, SuspectPacket, Trials},
};
use super::{
    devices::{Feed, SubscriptionKey, SubscriptionRequest},
    outbox::{EntryKey, Flight},
};
use crate::{
    clock::Moment,
    command::{DeviceKey, Slot},
    mqtt::{Connection, Kind, PacketId},
    options::Options,
    timers::Schedule,
    token::Token,
};

/// One connection, from CONNECT until the gateway ends it; its transport may end later.
#[derive(Debug)]
pub(crate) struct Online {
    pub(super) phase: Phase,
    pub(super) link: Connection<PacketOwner>,
    pub(super) flight: Flight,
    pub(super) owed: OwedAcks,
    /// The beginning of the last pause of reading that was reported.
    pub(super) reported_pause: Option<Moment>,
    pub(super) turns: ControlTurns,
    pub(super) probes: Probes,
    /// The trials of suspects, if there are any.
    pub(super) trials: Option<Trials>,
    /// Whose turn it is when the pace of the connection lets one packet go.
    pub(super) classes: Classes,
    /// The number of requests for subscriptions so far; it wraps around.
    pub(super) requests: u16,
    /// Attaches that the bridge has yet to answer, and that another one with another token followed, oldest first: only
    /// their reports count.
    pub(super) superseded: Vec<(DeviceKey, PacketId)>,
    pub(super) deadlines: Schedule<Moment, Deadline>,
    /// The token of its CONNECT.
    pub(super) token: Token,
    /// When CONNACK 0 arrived.
    pub(super) accepted_at: Option<Moment>,
    /// When the connection has lasted long enough to reset the backoff.
    pub(super) stable_at: Option<Moment>,
    /// When to refresh the token.
    pub(super) refresh_at: Option<Moment>,
}

/// The phase of a connection, between CONNECT and its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// CONNECT was queued.
    Connecting,
    /// CONNACK 0 arrived.
    Open,
    /// Sends nothing new and waits for acknowledgements, to reconnect with a fresh token. Sends overdue publications
    /// again.
    Refreshing {
        /// When it disconnects at the latest: its token has not expired before.
        until: Moment,
    },
    /// DISCONNECT was queued.
    Leaving {
        /// Whether the gateway closes afterwards; otherwise it reconnects.
        for_good: bool,
        /// When DISCONNECT has to be handed over at the latest.
        until: Moment,
    },
}

/// The operation that a packet identifier belongs to.
#[derive(Clone, Copy, Debug)]
pub(crate) enum PacketOwner {
    /// Its operation has ended.
    Nobody,
    Publication(EntryKey),
    Attach(Slot),
    Detach(Slot),
    Subscription(SubscriptionRequest),
}

/// An action for a device that is due at a set time on this connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Deadline {
    pub(crate) device: Slot,
    pub(crate) due: Due,
}

/// The action of a [`Deadline`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Due {
    /// The next attempt to attach.
    Attach,
    /// The next attempt to subscribe.
    Subscribe(Feed),
}

impl Deadline {
    pub(super) fn attach(device: Slot) -> Self {
        let due = Due::Attach;
        Self { device, due }
    }

    pub(super) fn subscribe(key: SubscriptionKey) -> Self {
        let due = Due::Subscribe(key.feed);
        Self {
            device: key.device,
            due,
        }
    }
}

impl Online {
    /// Creates a connection whose CONNECT was queued.
    pub(super) fn new(
        link: Connection<PacketOwner>,
        token: Token,
        next_delivery: u64,
        options: &Options,
    ) -> Self {
        Self {
            phase: Phase::Connecting,
            link,
            flight: Flight::new(options),
            owed: OwedAcks::new(next_delivery, options.max_unacknowledged),
            reported_pause: None,
            turns: ControlTurns::default(),
            probes: Probes::default(),
            trials: None,
            classes: Classes::default(),
            requests: 0,
            superseded: Vec::new(),
            deadlines: Schedule::default(),
            token,
            accepted_at: None,
            stable_at: None,
            refresh_at: None,
        }
    }

    /// Returns whether the bridge has accepted the connection, and the gateway is not leaving it.
    pub(super) fn is_open(&self) -> bool {
        matches!(self.phase, Phase::Open | Phase::Refreshing { .. })
    }

    /// Returns whether the connection is ending gracefully.
    pub(super) fn is_winding_down(&self) -> bool {
        matches!(self.phase, Phase::Refreshing { .. } | Phase::Leaving { .. })
    }

    /// Returns the publications in flight at QoS 1.
    pub(super) fn publications(&self) -> impl Iterator<Item = EntryKey> {
        self.link.owners().filter_map(|owner| match owner {
            PacketOwner::Publication(key) => Some(key),
            _ => None,
        })
    }

    /// Returns whether a probe of a kind is due, and nothing has moved since.
    #[inline]
    pub(super) fn may_probe(&self, kind: Kind) -> bool {
        let since = self.probes.due_since(kind);
        since.is_some() && self.link.probe_at(kind) == since
    }
}
