//! A publication that was accepted.

use bytes::Bytes;

use super::super::strikes::Strikes;
use crate::{
    command::{OpId, Priority, PublicationTopic, Slot},
    mqtt::{PacketId, QoS},
    topic::{Channel, Subfolder},
};

/// Identifies an entry while it is in the outbox.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct EntryKey(pub(super) u32);

/// The key of none: beyond either end of a list.
pub(super) const NONE: EntryKey = EntryKey(u32::MAX);

/// A publication that was accepted and is not yet acknowledged.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) op: OpId,
    pub(crate) device: Slot,
    pub(crate) qos: QoS,
    pub(super) is_state: bool,
    pub(super) is_urgent: bool,
    /// Whether the outbox has more about it.
    pub(super) has_extras: bool,
    pub(super) strikes: Strikes,
    pub(super) subfolder: Option<Subfolder>,
    pub(crate) payload: Bytes,
    pub(super) place: Place,
}

/// The progress of a publication.
#[derive(Clone, Copy, Debug)]
pub(super) enum Place {
    /// In its device's queue for its priority or, for a state, in its slot.
    Waiting,
    /// In its device's list of suspects.
    Suspected,
    /// Queued at QoS 1 with this identifier.
    InFlight { id: PacketId },
    /// Queued at QoS 0: done once the stream was handed over up to this offset.
    HandingOver { end: u64 },
}

/// Fixed header, lengths, packet identifier, and the topic with the longest device id.
const PACKET_OVERHEAD: usize = 300;

impl Entry {
    pub(super) fn new(
        op: OpId,
        device: Slot,
        topic: PublicationTopic,
        qos: QoS,
        payload: Bytes,
    ) -> Self {
        let (is_state, subfolder) = match topic {
            PublicationTopic::Telemetry(subfolder) => (false, subfolder),
            PublicationTopic::State => (true, None),
        };
        Self {
            op,
            device,
            qos,
            is_state,
            is_urgent: false,
            has_extras: false,
            strikes: Strikes::default(),
            subfolder,
            payload,
            place: Place::Waiting,
        }
    }

    pub(super) fn priority(&self) -> Priority {
        match self.is_urgent {
            true => Priority::Urgent,
            false => Priority::Ordinary,
        }
    }

    pub(super) fn topic(&self) -> PublicationTopic {
        match self.channel() {
            Channel::State => PublicationTopic::State,
            _ => PublicationTopic::Telemetry(self.subfolder.clone()),
        }
    }

    /// Returns the channel of its topic.
    pub(crate) fn channel(&self) -> Channel<'_> {
        match self.is_state {
            true => Channel::State,
            false => Channel::Events(self.subfolder.as_ref()),
        }
    }

    /// Returns the maximum size of its packet, in bytes.
    pub(crate) fn packet_size(&self) -> usize {
        let subfolder = self.subfolder.as_ref();
        let subfolder = subfolder.map_or(0, |subfolder| subfolder.as_str().len());
        self.payload.len() + subfolder + PACKET_OVERHEAD
    }

    /// Returns whether it is suspected of making the peer close the connection.
    pub(crate) fn is_suspect(&self) -> bool {
        self.strikes.is_suspect()
    }

    pub(super) fn is_state(&self) -> bool {
        self.is_state
    }

    /// Returns whether it is urgent, or needs no place in a window.
    #[inline]
    pub(super) fn is_special(&self) -> bool {
        self.is_urgent || self.qos == QoS::AtMostOnce
    }

    /// Returns its packet identifier, while it is in flight.
    pub(crate) fn packet_id(&self) -> Option<PacketId> {
        match self.place {
            Place::InFlight { id } => Some(id),
            Place::Waiting | Place::Suspected | Place::HandingOver { .. } => None,
        }
    }
}
