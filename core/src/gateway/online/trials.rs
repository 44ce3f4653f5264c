//! The trials of suspects on one connection: packets at which the peer may close it are sent last and alone.

use super::super::devices::Feed;
use crate::{clock::PeerTime, command::Slot, mqtt::PacketId};

/// Progress of the trials.
#[derive(Debug)]
pub(crate) struct Trials {
    pub(crate) stage: Stage,
    /// Since when suspects wait for quiet: CONNACK, or the end of the last trials.
    pub(crate) since: PeerTime,
    /// When a publication at QoS 0, which is not answered, was last handed over.
    pub(crate) last_unanswerable: PeerTime,
}

/// The stage of the trials.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    /// Waits until nothing else was sent for a while.
    Waiting,
    /// Does the same, and holds everything else back, because others never stop.
    Holding,
    /// The next suspect is sent as soon as there is room.
    Next {
        /// Since when everything else is held back for trials.
        since: PeerTime,
    },
    /// A suspect was queued and is not answered.
    Trying {
        /// The same.
        since: PeerTime,
        packet_id: PacketId,
    },
}

/// A packet that waits for its trial, in the order of turns.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Suspect {
    pub(crate) device: Slot,
    pub(crate) packet: SuspectPacket,
}

/// What is suspected of a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum SuspectPacket {
    Attach,
    /// The suspected publication that was accepted first.
    Publication,
    Subscription(Feed),
}

impl Trials {
    /// Starts with a connection that was just accepted.
    pub(crate) fn new(now: PeerTime) -> Self {
        Self {
            stage: Stage::Waiting,
            since: now,
            last_unanswerable: now,
        }
    }

    /// Lets everything else go on, until there is quiet again.
    pub(crate) fn pause(&mut self, now: PeerTime) {
        self.stage = Stage::Waiting;
        self.since = now;
    }

    /// Returns whether this packet was sent alone and is not answered.
    pub(crate) fn is_trying(&self, id: PacketId) -> bool {
        matches!(self.stage, Stage::Trying { packet_id, .. } if packet_id == id)
    }
}
