//! Counters for whoever watches a gateway.

use crate::time::Duration;

/// What a gateway has done and holds, for monitoring. Counters begin at 0 and only grow; the rest is as of now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// Connections that the bridge accepted.
    pub connections: u64,
    /// Publications taken in.
    pub accepted: u64,
    /// Publications acknowledged (QoS 1) or handed to the transport (QoS 0).
    pub published: u64,
    /// Publications written again because their acknowledgement was overdue.
    pub resent: u64,
    /// Acknowledgements from the bridge that matched nothing in flight or in quarantine.
    pub unsolicited: u64,
    /// Copies of deliveries that were still waiting for their acknowledgement.
    pub duplicates: u64,
    /// How often publications had to wait for a rate of the quota.
    pub delays: u64,
    /// How long these waits were, in all.
    pub delayed: Duration,
    /// Publications dropped for newer ones.
    pub dropped: u64,
    /// Publications accepted and not ended, now.
    pub queued: usize,
    /// Bytes of their payloads.
    pub queued_bytes: usize,
    /// Publications in flight, now.
    pub in_flight: usize,
    /// Events not yet taken, now. At `max_events` the gateway stops wanting input, or a transport if it has none.
    pub events: usize,
    /// Configs and commands delivered and not yet acknowledged to the bridge, now. At `max_unacknowledged` the gateway
    /// stops wanting input.
    pub unacknowledged: usize,
    /// Bytes received of a packet that is not yet whole, now. Always below `frame_limit`.
    pub received: usize,
    /// Devices attached or to be attached, the gateway not counted, now.
    pub devices: usize,
}
