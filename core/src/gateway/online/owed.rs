//! The acknowledgements owed to the bridge.

use std::collections::VecDeque;

use crate::{
    command::DeliveryId,
    mqtt::{PacketId, Publish},
};

/// The deliveries of one connection that are not yet acknowledged, oldest first.
#[derive(Debug)]
pub(crate) struct OwedAcks {
    owed: VecDeque<Owed>,
    /// The number of the delivery at the front of `owed`.
    front: u64,
}

/// One delivery.
#[derive(Debug)]
struct Owed {
    /// The packet to acknowledge; `None` at QoS 0.
    packet_id: Option<PacketId>,
    is_given: bool,
}

impl OwedAcks {
    /// Creates an empty list. The first delivery gets the number `next`.
    pub(super) fn new(next: u64) -> Self {
        Self {
            owed: VecDeque::new(),
            front: next,
        }
    }

    /// Returns the number of deliveries not yet acknowledged.
    #[inline]
    pub(crate) fn len(&self) -> usize {
        self.owed.len()
    }

    /// Returns the number of the next delivery. The numbering continues with the next connection.
    pub(crate) fn next(&self) -> u64 {
        self.front + self.owed.len() as u64
    }

    pub(crate) fn deliver(&mut self, packet_id: Option<PacketId>, is_given: bool) -> DeliveryId {
        let delivery = DeliveryId(self.next());
        self.owed.push_back(Owed {
            packet_id,
            is_given,
        });
        delivery
    }

    /// Returns whether this is a duplicate of a delivery that is not yet acknowledged.
    pub(crate) fn is_copy(&self, publish: &Publish) -> bool {
        publish.dup
            && publish.packet_id.is_some()
            && self
                .owed
                .iter()
                .any(|owed| owed.packet_id == publish.packet_id)
    }

    /// Records the user's acknowledgement of this delivery. One for an earlier connection changes nothing.
    pub(crate) fn give(&mut self, delivery: DeliveryId) {
        let owed = delivery
            .0
            .checked_sub(self.front)
            .and_then(|at| usize::try_from(at).ok());
        if let Some(owed) = owed.and_then(|at| self.owed.get_mut(at)) {
            owed.is_given = true;
        }
    }

    /// Returns whether to acknowledge the oldest delivery: acknowledgements are sent in the order of the messages
    /// [MQTT-4.6.0-2].
    #[inline]
    pub(crate) fn has_given(&self) -> bool {
        self.owed.front().is_some_and(|owed| owed.is_given)
    }

    pub(crate) fn pop_given(&mut self) -> Option<PacketId> {
        let owed = self.owed.pop_front()?;
        self.front += 1;
        owed.packet_id
    }
}
