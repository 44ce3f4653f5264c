//! A publication that was accepted.

use bytes::Bytes;

use super::list;
use crate::{
    clock::Moment,
    command::{OpId, PublicationTopic},
    id::DeviceId,
    mqtt::{PacketId, QoS},
    topic::{Channel, Subfolder},
};

/// A publication that was accepted and is not yet acknowledged.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) op: OpId,
    pub(crate) device: u32,
    pub(crate) qos: QoS,
    is_state: bool,
    subfolder: Option<Subfolder>,
    pub(crate) payload: Bytes,
    pub(super) place: Place,
    pub(super) previous: u32,
    pub(super) next: u32,
}

/// A publication that was accepted and has not ended well. Cheap to clone: the payload is shared.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Unsent {
    /// Its operation.
    pub op: OpId,
    /// Whom it speaks for.
    pub device: DeviceId,
    /// Where it goes.
    pub topic: PublicationTopic,
    /// At which quality of service.
    pub qos: QoS,
    /// What it says.
    pub payload: Bytes,
}

impl Unsent {
    pub(crate) fn new(entry: &Entry, device: &DeviceId) -> Self {
        Self {
            op: entry.op,
            device: device.clone(),
            topic: entry.topic(),
            qos: entry.qos,
            payload: entry.payload.clone(),
        }
    }
}

/// Where a publication is on its way.
#[derive(Clone, Copy, Debug)]
pub(super) enum Place {
    /// In its device's queue or, a state, in its slot.
    Waiting,
    /// Written at QoS 1, in the lane of its attempt since this listening time.
    InFlight {
        id: PacketId,
        sent: Moment,
        lane: u8,
    },
    /// Written at QoS 0: done once the stream was handed over up to here.
    HandingOver { end: u64 },
}

/// Fixed header, lengths, packet identifier, and the topic with the longest device id.
const PACKET_OVERHEAD: usize = 300;

impl Entry {
    pub(super) fn new(
        op: OpId,
        device: u32,
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
            subfolder,
            payload,
            place: Place::Waiting,
            previous: list::NONE,
            next: list::NONE,
        }
    }

    fn topic(&self) -> PublicationTopic {
        match self.channel() {
            Channel::State => PublicationTopic::State,
            _ => PublicationTopic::Telemetry(self.subfolder.clone()),
        }
    }

    /// Where it goes.
    pub(crate) fn channel(&self) -> Channel<'_> {
        match self.is_state {
            true => Channel::State,
            false => Channel::Events(self.subfolder.as_ref()),
        }
    }

    /// The bytes that its packet takes at most.
    pub(super) fn packet_size(&self) -> usize {
        let subfolder = self.subfolder.as_ref();
        let subfolder = subfolder.map_or(0, |subfolder| subfolder.as_str().len());
        self.payload.len() + subfolder + PACKET_OVERHEAD
    }

    pub(super) fn is_state(&self) -> bool {
        self.is_state
    }

    /// When it was last written, if it has yet to be acknowledged, and its operation.
    pub(super) fn unanswered(&self) -> Option<(Moment, OpId)> {
        match self.place {
            Place::InFlight { sent, .. } => Some((sent, self.op)),
            Place::Waiting | Place::HandingOver { .. } => None,
        }
    }

    /// Its packet identifier, while it is in flight.
    pub(crate) fn packet_id(&self) -> Option<PacketId> {
        match self.place {
            Place::InFlight { id, .. } => Some(id),
            Place::Waiting | Place::HandingOver { .. } => None,
        }
    }
}
