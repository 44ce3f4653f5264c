//! A publication that was accepted, and the lists that it is linked into.

use bytes::Bytes;
use slab::Slab;

use crate::{
    command::{OpId, PublicationTopic},
    id::DeviceId,
    mqtt::{PacketId, QoS},
    time::Instant,
};

/// A publication that was accepted and is not yet acknowledged.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) op: OpId,
    pub(crate) device: u32,
    pub(crate) topic: PublicationTopic,
    pub(crate) qos: QoS,
    pub(crate) payload: Bytes,
    pub(super) place: Place,
    previous: u32,
    next: u32,
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
            topic: entry.topic.clone(),
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
        sent: Instant,
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
        Self {
            op,
            device,
            topic,
            qos,
            payload,
            place: Place::Waiting,
            previous: NONE,
            next: NONE,
        }
    }

    /// The bytes that its packet takes at most.
    pub(super) fn packet_size(&self) -> usize {
        let subfolder = match &self.topic {
            PublicationTopic::Telemetry(Some(subfolder)) => subfolder.as_str().len(),
            PublicationTopic::Telemetry(None) | PublicationTopic::State => 0,
        };
        self.payload.len() + subfolder + PACKET_OVERHEAD
    }

    pub(super) fn is_state(&self) -> bool {
        matches!(self.topic, PublicationTopic::State)
    }

    /// When it was last written, if it has yet to be acknowledged, and its operation.
    pub(super) fn unanswered(&self) -> Option<(Instant, OpId)> {
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

/// All entries, by key.
#[derive(Debug, Default)]
pub(super) struct Entries {
    slab: Slab<Entry>,
}

/// A key leaves every list, lane and ticket before its entry is removed.
const KEYED_WHILE_HERE: &str = "a key is kept only while its entry is here";

impl Entries {
    pub(super) fn insert(&mut self, entry: Entry) -> u32 {
        self.slab.insert(entry) as u32
    }

    pub(super) fn remove(&mut self, key: u32) {
        self.slab.remove(key as usize);
    }

    pub(super) fn at(&self, key: u32) -> &Entry {
        self.slab.get(key as usize).expect(KEYED_WHILE_HERE)
    }

    pub(super) fn at_mut(&mut self, key: u32) -> &mut Entry {
        self.slab.get_mut(key as usize).expect(KEYED_WHILE_HERE)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (u32, &Entry)> {
        self.slab.iter().map(|(key, entry)| (key as u32, entry))
    }
}

const NONE: u32 = u32::MAX;

/// A doubly linked list through the entries: every operation is O(1) and allocates nothing.
#[derive(Clone, Debug)]
pub(super) struct List {
    head: u32,
    tail: u32,
}

impl Default for List {
    fn default() -> Self {
        Self {
            head: NONE,
            tail: NONE,
        }
    }
}

impl List {
    pub(super) fn head(&self) -> Option<u32> {
        (self.head != NONE).then_some(self.head)
    }

    pub(super) fn tail(&self) -> Option<u32> {
        (self.tail != NONE).then_some(self.tail)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.head == NONE
    }

    pub(super) fn push_back(&mut self, entries: &mut Entries, key: u32) {
        let entry = entries.at_mut(key);
        entry.previous = self.tail;
        entry.next = NONE;
        match self.tail() {
            Some(tail) => entries.at_mut(tail).next = key,
            None => self.head = key,
        }
        self.tail = key;
    }

    /// Puts an entry before the first one that was accepted later: in O(1) unless older ones are at the head.
    pub(super) fn insert(&mut self, entries: &mut Entries, key: u32) {
        let op = entries.at(key).op;
        let later = self.iter(entries).find(|&other| entries.at(other).op > op);
        let Some(next) = later else {
            return self.push_back(entries, key);
        };
        let previous = core::mem::replace(&mut entries.at_mut(next).previous, key);
        match previous {
            NONE => self.head = key,
            previous => entries.at_mut(previous).next = key,
        }
        let entry = entries.at_mut(key);
        entry.previous = previous;
        entry.next = next;
    }

    pub(super) fn remove(&mut self, entries: &mut Entries, key: u32) {
        let Entry { previous, next, .. } = *entries.at(key);
        match previous {
            NONE => self.head = next,
            previous => entries.at_mut(previous).next = next,
        }
        match next {
            NONE => self.tail = previous,
            next => entries.at_mut(next).previous = previous,
        }
    }

    /// From the head to the tail.
    pub(super) fn iter<'a>(&self, entries: &'a Entries) -> impl Iterator<Item = u32> + 'a {
        core::iter::successors(self.head(), |&key| {
            let next = entries.at(key).next;
            (next != NONE).then_some(next)
        })
    }

    /// From the tail to the head.
    pub(super) fn iter_back<'a>(&self, entries: &'a Entries) -> impl Iterator<Item = u32> + 'a {
        core::iter::successors(self.tail(), |&key| {
            let previous = entries.at(key).previous;
            (previous != NONE).then_some(previous)
        })
    }
}
