//! Pending acknowledgements.

use crate::{clock::PeerTime, mqtt::PacketId};

/// A pending acknowledgement: its packet and its deadline.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Awaiting {
    pub(crate) packet_id: PacketId,
    /// When the packet was queued.
    pub(crate) sent: PeerTime,
    pub(crate) deadline: PeerTime,
}
