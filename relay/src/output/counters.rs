//! What the operation `stats` shows.

use std::time::Duration;

use iotcore_gateway_tokio::Stats;
use serde::Serialize;

use super::seconds;
use crate::codes::{CertaintyCode, DisconnectCode};

/// How a connection or an attempt at one ended, and how long ago.
#[derive(Debug, Serialize)]
pub(crate) struct PastDisconnect {
    reason: DisconnectCode,
    detail: String,
    certainty: CertaintyCode,
    seconds_ago: f64,
}

/// Counters, which start at 0 with the program, and current values.
#[derive(Debug, Serialize)]
pub(crate) struct Counters {
    connections: u64,
    accepted: u64,
    published: u64,
    resent: u64,
    probes: u64,
    /// How often a message was delayed by a rate limit, and for how long in total.
    delays: u64,
    delayed_ms: u128,
    dropped: u64,
    unsolicited: u64,
    duplicates: u64,
    queued: usize,
    queued_bytes: usize,
    /// How many of them are in the store, and how much is reserved there.
    stored: usize,
    stored_bytes: usize,
    in_flight: usize,
    skipped: usize,
    /// How long the bridge takes to acknowledge a message: on average, and at most since the last `stats`; null if it has
    /// acknowledged none.
    latency_ms: Option<u128>,
    worst_latency_ms: Option<u128>,
    unacknowledged: usize,
    /// How long nothing has been read from the bridge; null while it is read.
    reading_paused_ms: Option<u128>,
    devices: usize,
}

impl PastDisconnect {
    pub(crate) fn new(
        reason: DisconnectCode,
        detail: String,
        certainty: CertaintyCode,
        ago: Duration,
    ) -> Self {
        Self {
            reason,
            detail,
            certainty,
            seconds_ago: seconds(ago),
        }
    }
}

impl Counters {
    pub(crate) fn new(stats: &Stats, now: std::time::Instant) -> Self {
        let paused_since = stats.reading_paused_since;
        let reading_paused = paused_since.map(|since| now.saturating_duration_since(since));
        Self {
            connections: stats.connections,
            accepted: stats.accepted,
            published: stats.published,
            resent: stats.resent,
            probes: stats.probes,
            delays: stats.delays,
            delayed_ms: stats.delayed.as_millis(),
            dropped: stats.dropped,
            unsolicited: stats.unsolicited,
            duplicates: stats.duplicates,
            queued: stats.queued,
            queued_bytes: stats.queued_bytes,
            stored: stats.stored,
            stored_bytes: stats.stored_bytes,
            in_flight: stats.in_flight,
            skipped: stats.skipped,
            latency_ms: stats.latency.map(|latency| latency.as_millis()),
            worst_latency_ms: stats.worst_latency.map(|latency| latency.as_millis()),
            unacknowledged: stats.unacknowledged,
            reading_paused_ms: reading_paused.map(|paused| paused.as_millis()),
            devices: stats.devices,
        }
    }
}
