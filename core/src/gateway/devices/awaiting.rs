//! An acknowledgement that is due.

use crate::{clock::PeerTime, mqtt::PacketId};

/// An acknowledgement that is due: of which packet, and by when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Awaiting {
    pub(crate) packet_id: PacketId,
    /// When the packet was queued.
    pub(crate) sent: PeerTime,
    pub(crate) deadline: PeerTime,
}
