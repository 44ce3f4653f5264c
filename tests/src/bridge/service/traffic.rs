//! Counts what clients send.

use std::time::Instant;

use super::super::codec::Packet;
use super::super::faults::PacketKind;
use super::super::topic::{Data, PublishKind, PublishTopic};
use super::ServiceKind;

const PACKETS: usize = PacketKind::ALL.len();
const KINDS: usize = ServiceKind::ALL.len();

/// How many packets clients have sent, on all connections since the bridge was created.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    received: [u64; PACKETS],
    dup: [u64; PACKETS],
    unanswered: [usize; KINDS],
    most_unanswered: [usize; KINDS],
    completed: [u64; KINDS],
    unserved: [u64; KINDS],
    last_completed: Option<Instant>,
    connections: u64,
}

impl Traffic {
    /// Returns how many packets of a kind have arrived, whether or not they were answered. Those that end a connection
    /// because they are not MQTT are not counted.
    #[must_use]
    pub fn received(&self, kind: PacketKind) -> u64 {
        sum(&self.received, kind)
    }

    /// Returns how many of them were marked as a retransmission (DUP 1).
    #[must_use]
    pub fn received_again(&self, kind: PacketKind) -> u64 {
        sum(&self.dup, kind)
    }

    /// Returns how many packets of a kind have had their effect, and were answered unless a fault withheld that.
    #[must_use]
    pub fn completed(&self, kind: ServiceKind) -> u64 {
        self.completed[kind as usize]
    }

    /// Returns when a packet of any [`ServiceKind`] last had its effect.
    #[must_use]
    pub fn last_completed(&self) -> Option<Instant> {
        self.last_completed
    }

    /// Returns how many packets of a kind wait or are being processed, on all connections.
    #[must_use]
    pub fn unanswered(&self, kind: ServiceKind) -> usize {
        self.unanswered[kind as usize]
    }

    /// Returns the highest number of packets of a kind that waited or were being processed at once. A packet that is
    /// processed the moment it arrives counts for that moment; one that is [never answered](Self::unserved) does not.
    #[must_use]
    pub fn most_unanswered(&self, kind: ServiceKind) -> usize {
        self.most_unanswered[kind as usize]
    }

    /// Returns how many packets of a kind were dropped by the [`Service`](super::Service), and had no effect.
    #[must_use]
    pub fn unserved(&self, kind: ServiceKind) -> u64 {
        self.unserved[kind as usize]
    }

    /// Returns how many connections were accepted.
    #[must_use]
    pub fn connections(&self) -> u64 {
        self.connections
    }

    pub(crate) fn count_arrival(&mut self, packet: &Packet) {
        let kind = PacketKind::of(packet) as usize;
        self.received[kind] += 1;
        if matches!(packet, Packet::Publish(publish) if publish.dup) {
            self.dup[kind] += 1;
        }
    }

    pub(crate) fn count_connection(&mut self) {
        self.connections += 1;
    }

    pub(super) fn count_accepted(&mut self, kind: ServiceKind) {
        let kind = kind as usize;
        self.unanswered[kind] += 1;
        self.most_unanswered[kind] = self.most_unanswered[kind].max(self.unanswered[kind]);
    }

    pub(super) fn count_completed(&mut self, kind: ServiceKind, now: Instant) {
        self.unanswered[kind as usize] -= 1;
        self.completed[kind as usize] += 1;
        self.last_completed = Some(now);
    }

    pub(super) fn count_abandoned(&mut self, kind: ServiceKind) {
        self.unanswered[kind as usize] -= 1;
    }

    pub(super) fn count_unserved(&mut self, kind: ServiceKind) {
        self.unserved[kind as usize] += 1;
    }

    /// Returns whether no packet waits.
    pub(super) fn is_idle(&self) -> bool {
        self.unanswered.iter().all(|waiting| *waiting == 0)
    }
}

impl PacketKind {
    /// Returns the most specific kind of a packet: `Publish` only for one with an illegal topic. PUBREC and the like
    /// count as PUBACK.
    fn of(packet: &Packet) -> Self {
        match packet {
            Packet::Connect(_) | Packet::UnsupportedConnect { .. } => Self::Connect,
            Packet::Publish(publish) => match PublishTopic::parse(&publish.topic) {
                Err(_) => Self::Publish,
                Ok(topic) => match topic.kind {
                    PublishKind::Attach => Self::Attach,
                    PublishKind::Detach => Self::Detach,
                    PublishKind::Data(Data::Events { .. }) => Self::Telemetry,
                    PublishKind::Data(Data::State) => Self::State,
                },
            },
            Packet::Puback { .. } | Packet::QosTwo { .. } => Self::Puback,
            Packet::Subscribe { .. } => Self::Subscribe,
            Packet::Unsubscribe { .. } => Self::Unsubscribe,
            Packet::Pingreq => Self::Pingreq,
            Packet::Disconnect => Self::Disconnect,
        }
    }
}

impl ServiceKind {
    /// Returns the kind of a packet, unless it is always processed at once.
    pub(crate) fn of(packet: &Packet) -> Option<Self> {
        match PacketKind::of(packet) {
            PacketKind::Attach | PacketKind::Detach => Some(Self::Attach),
            PacketKind::Publish | PacketKind::Telemetry | PacketKind::State => Some(Self::Publish),
            PacketKind::Subscribe | PacketKind::Unsubscribe => Some(Self::Subscribe),
            PacketKind::Pingreq => Some(Self::Ping),
            PacketKind::Connect | PacketKind::Puback | PacketKind::Disconnect => None,
        }
    }
}

/// Returns a counter; PUBLISH is the sum of all its kinds.
fn sum(counters: &[u64; PACKETS], kind: PacketKind) -> u64 {
    let kinds: &[PacketKind] = match kind {
        PacketKind::Publish => &[
            PacketKind::Publish,
            PacketKind::Attach,
            PacketKind::Detach,
            PacketKind::Telemetry,
            PacketKind::State,
        ],
        _ => &[kind],
    };
    kinds.iter().map(|kind| counters[*kind as usize]).sum()
}
