//! The trials of suspects on one connection: packets at which the peer may close it are sent last and alone.

use core::ops::Bound;
use std::collections::BTreeSet;

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
    /// What may be sent, as of when its device last changed.
    ready: BTreeSet<Suspect>,
    /// The devices of which anything was suspected when they last changed.
    suspected: BTreeSet<Slot>,
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
    /// A suspect at QoS 0 was queued and is not wholly handed over; nothing answers it.
    HandingOver {
        /// The same.
        since: PeerTime,
        /// The offset in the stream at which it ends.
        end: u64,
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
            ready: BTreeSet::new(),
            suspected: BTreeSet::new(),
        }
    }

    /// Records what is suspected of a device, and which of that may be sent.
    pub(crate) fn look_at(&mut self, device: Slot, is_suspected: bool, ready: Vec<Suspect>) {
        let first = |device| Suspect {
            device,
            packet: SuspectPacket::Attach,
        };
        let range = first(device)..first(Slot(device.0 + 1));
        for other in self.ready.range(range).copied().collect::<Vec<_>>() {
            self.ready.remove(&other);
        }
        self.ready.extend(ready);
        match is_suspected {
            true => self.suspected.insert(device),
            false => self.suspected.remove(&device),
        };
    }

    /// Returns whether anything is suspected, wherever it is.
    pub(crate) fn has_suspects(&self) -> bool {
        !self.suspected.is_empty()
    }

    /// Returns the first that may be sent after this one, or else the first of all.
    pub(crate) fn next_after(&self, last: Option<Suspect>) -> Option<Suspect> {
        let after = last.map_or(Bound::Unbounded, Bound::Excluded);
        let later = self.ready.range((after, Bound::Unbounded)).next();
        later.or_else(|| self.ready.first()).copied()
    }

    /// Lets everything else go on, until there is quiet again.
    pub(crate) fn pause(&mut self, now: PeerTime) {
        self.stage = Stage::Waiting;
        self.since = now;
    }

    /// Returns whether the packet that ends at this offset in the stream is handed over alone.
    pub(crate) fn is_handing_over(&self, to: u64) -> bool {
        matches!(self.stage, Stage::HandingOver { end, .. } if end == to)
    }

    /// Returns whether this packet was sent alone and is not answered.
    pub(crate) fn is_trying(&self, id: PacketId) -> bool {
        matches!(self.stage, Stage::Trying { packet_id, .. } if packet_id == id)
    }
}
