//! All that lives and dies with one connection: to end a connection is to drop its [`Online`].

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

/// One connection, from CONNECT until it is given up; its transport may end later.
#[derive(Debug)]
pub(crate) struct Online {
    pub(super) phase: Phase,
    pub(super) link: Connection<PacketOwner>,
    pub(super) flight: Flight,
    pub(super) owed: OwedAcks,
    pub(super) turns: ControlTurns,
    /// Attaches written and not yet answered.
    pub(super) attaching: usize,
    /// Deadlines on the peer, of all packets but publications.
    pub(super) ack_deadlines: Schedule<PeerTime, PacketId>,
    pub(super) deadlines: Schedule<Moment, Deadline>,
    /// The SUBACK of the errors topic that is due.
    pub(super) errors_suback: Option<Awaiting>,
    /// The token of its CONNECT.
    pub(super) token: Token,
    /// When CONNACK 0 came.
    pub(super) accepted_at: Option<Moment>,
    /// When it has lasted long enough for the backoff to start anew.
    pub(super) stable_at: Option<Moment>,
    /// When the token is to be refreshed.
    pub(super) refresh_at: Option<Moment>,
}

/// Where a connection is between CONNECT and its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// CONNECT was queued.
    Connecting,
    /// CONNACK 0 came.
    Open,
    /// Sends nothing new and waits for acknowledgements, to leave and come back with a fresh token.
    Refreshing {
        /// When it leaves in any case.
        until: Moment,
    },
    /// DISCONNECT was queued.
    Leaving {
        /// Whether the gateway closes then, or connects again.
        for_good: bool,
        /// By when DISCONNECT is to be handed over.
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

/// Something that is to be done for a device at some moment of this connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Deadline {
    pub(crate) device: Slot,
    pub(crate) due: Due,
}

/// What a [`Deadline`] is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Due {
    /// The next attempt to attach.
    Attach,
    /// The next attempt to subscribe.
    Subscribe(Subscription),
    /// What a detach waits for has timed out.
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
    /// A connection whose CONNECT was queued.
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

    /// Whether the bridge has accepted the connection, and we have not left it.
    pub(super) fn is_open(&self) -> bool {
        matches!(self.phase, Phase::Open | Phase::Refreshing { .. })
    }

    /// Whether the connection is about to end in order.
    pub(super) fn is_winding_down(&self) -> bool {
        matches!(self.phase, Phase::Refreshing { .. } | Phase::Leaving { .. })
    }

    /// Whether anything of a device, or an acknowledgement, has a deadline.
    pub(super) fn has_deadlines(&self) -> bool {
        !(self.ack_deadlines.is_empty() && self.deadlines.is_empty())
    }

    /// Expects the acknowledgement of a packet that was just written.
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

    /// Removes the deadline of an acknowledgement that came.
    pub(super) fn stop_awaiting(&mut self, awaiting: Awaiting) {
        self.ack_deadlines
            .remove(awaiting.deadline, awaiting.packet_id);
    }

    /// Gives an acknowledgement up: its identifier is not used again before it comes late.
    pub(super) fn abandon(&mut self, awaiting: Awaiting) {
        self.stop_awaiting(awaiting);
        self.link.quarantine(awaiting.packet_id);
    }
}
