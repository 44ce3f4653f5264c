//! Monitoring counters.

use crate::time::{Duration, Instant};

/// Counters and gauges of a gateway, for monitoring. Counters start at 0 and only grow; gauges, marked "now", are
/// current values.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// Connections that the bridge accepted.
    pub connections: u64,
    /// Publications accepted.
    pub accepted: u64,
    /// Publications acknowledged (QoS 1) or handed over to the transport (QoS 0).
    pub published: u64,
    /// Publications sent again because their acknowledgement was overdue.
    pub resent: u64,
    /// Packets sent beyond a window because the bridge answered nothing for some time. If this grows, the bridge is
    /// slow or ignores packets.
    pub probes: u64,
    /// Acknowledgements from the bridge that matched nothing in flight or in quarantine.
    pub unsolicited: u64,
    /// Duplicates of deliveries that were not yet acknowledged, and configs that came again because they were acknowledged
    /// too late.
    pub duplicates: u64,
    /// How often publications had to wait for a rate of the quota.
    pub delays: u64,
    /// How long these waits were, in total.
    pub delayed: Duration,
    /// Publications dropped for newer ones.
    pub dropped: u64,
    /// Publications accepted and not ended, now.
    pub queued: usize,
    /// Bytes of their payloads, now.
    pub queued_bytes: usize,
    /// Publications in the store, now. Their removal may not be durable yet.
    #[cfg(feature = "store")]
    pub stored: usize,
    /// Bytes that are reserved in the store, now: see
    /// [`Durability::max_bytes`](crate::options::Durability::max_bytes).
    #[cfg(feature = "store")]
    pub stored_bytes: usize,
    /// Publications in flight, now: at most the window, those outside, and one for each probe since the last
    /// acknowledgement.
    pub in_flight: usize,
    /// Publications in flight that have left the window, now, because later ones were acknowledged before them.
    pub skipped: usize,
    /// Smoothed time from the hand-over of a publication at QoS 1 to its acknowledgement (a moving average with a weight of
    /// 1/8), on this connection or the last one; `None` before the first. What was sent again does not count, because it is
    /// not known which copy was acknowledged, nor does time during which reading was paused.
    pub latency: Option<Duration>,
    /// The longest of these times since [`Gateway::reset_worst_latency`](crate::Gateway::reset_worst_latency) was called, or
    /// at all.
    pub worst_latency: Option<Duration>,
    /// Events not yet taken, now. At `max_events` the gateway pauses reading, or wants no transport if it has none.
    pub events: usize,
    /// Configs and commands delivered at QoS 1 and not yet acknowledged to the bridge, now. At `max_unacknowledged` the
    /// gateway pauses reading.
    pub unacknowledged: usize,
    /// Since when reading from the bridge has been paused; `None` while it is not. See
    /// [`Event::ReadingPaused`](crate::Event::ReadingPaused).
    pub reading_paused_since: Option<Instant>,
    /// Bytes received of an incomplete packet, now. Always less than `frame_limit`.
    pub received: usize,
    /// Devices attached or to be attached, not counting the gateway, now.
    pub devices: usize,
}
