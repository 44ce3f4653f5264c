//! The state of one connection: dropping its [`Online`] ends it.

mod control_turns;
mod owed;

pub(crate) use self::{control_turns::ControlTurns, owed::OwedAcks};
use super::{
    devices::{Awaiting, SubscriptionKey},
    outbox::{EntryKey, Flight},
};
use crate::{
    clock::{Moment, PeerTime},
    command::{Slot, Subscription},
    mqtt::{Connection, PacketId},
    options::Options,
    time::Duration,
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
    pub(super) turns: ControlTurns,
    /// Attaches queued and not yet answered.
    pub(super) attaching: usize,
    /// Deadlines of the peer's acknowledgements of all packets except publications.
    pub(super) ack_deadlines: Schedule<PeerTime, PacketId>,
    pub(super) deadlines: Schedule<Moment, Deadline>,
    /// The pending SUBACK of the errors topic.
    pub(super) errors_suback: Option<Awaiting>,
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
    /// Sends nothing new and waits for acknowledgements, to reconnect with a fresh token.
    Refreshing {
        /// When it disconnects at the latest.
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
    Publication(EntryKey),
    Attach(Slot),
    Detach(Slot),
    Subscription(SubscriptionKey),
    /// The subscription to the errors topic.
    Errors,
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
    Subscribe(Subscription),
    /// The drain timeout of a detach has passed.
    Drain,
}

impl Deadline {
    pub(super) fn attach(device: Slot) -> Self {
        let due = Due::Attach;
        Self { device, due }
    }

    pub(super) fn subscribe(key: SubscriptionKey) -> Self {
        let due = Due::Subscribe(key.subscription);
        Self {
            device: key.device,
            due,
        }
    }

    pub(super) fn drain(device: Slot) -> Self {
        let due = Due::Drain;
        Self { device, due }
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
            owed: OwedAcks::new(next_delivery),
            turns: ControlTurns::default(),
            attaching: 0,
            ack_deadlines: Schedule::default(),
            deadlines: Schedule::default(),
            errors_suback: None,
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

    /// Returns whether a device or an acknowledgement has a deadline.
    pub(super) fn has_deadlines(&self) -> bool {
        !(self.ack_deadlines.is_empty() && self.deadlines.is_empty())
    }

    /// Starts waiting for the acknowledgement of a packet that was just queued.
    pub(super) fn await_answer(
        &mut self,
        packet_id: PacketId,
        timeout: Duration,
        now: Moment,
    ) -> Awaiting {
        let sent = self.link.peer_clock().time(now);
        let deadline = sent + timeout;
        self.ack_deadlines.add(deadline, packet_id);
        Awaiting {
            packet_id,
            sent,
            deadline,
        }
    }

    /// Removes the deadline of an acknowledgement that arrived.
    pub(super) fn stop_awaiting(&mut self, awaiting: Awaiting) {
        self.ack_deadlines
            .remove(awaiting.deadline, awaiting.packet_id);
    }

    /// Stops waiting for an acknowledgement. Its packet identifier is not reused until it arrives.
    pub(super) fn abandon(&mut self, awaiting: Awaiting) {
        self.stop_awaiting(awaiting);
        self.link.quarantine(awaiting.packet_id);
    }
}
