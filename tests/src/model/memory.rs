//! Bounds of what a gateway holds.

use iotcore_gateway::Gateway;

use super::{Finding, Model};
use crate::script::Rule;

/// The number of bytes that the gateway keeps ready to be written, if no packet is larger.
const TRANSMIT_TARGET: usize = 64 * 1024;

/// The size of packets that are written beyond the target: CONNECT with its token, DISCONNECT, and the errors topic's
/// SUBSCRIBE.
const TRANSMIT_SLACK: usize = 2 * 1024;

/// The maximum number of events that one packet causes, not counting those that end operations.
pub(super) const EVENTS_PER_PACKET: usize = 2;

impl Model {
    /// Checks what the gateway holds.
    pub(super) fn check_memory(&mut self, gateway: &Gateway) -> Result<(), Finding> {
        let stats = gateway.stats();
        let in_window = stats.in_flight - stats.skipped;
        let window = usize::from(self.options.window);
        if in_window <= window {
            self.probes_within_window = stats.probes;
        }
        let probes = stats.probes - self.probes_within_window;
        let transmit = TRANSMIT_TARGET.max(self.largest_packet) + TRANSMIT_SLACK;
        for (what, is, limit) in [
            (
                "publications",
                stats.queued,
                self.options.total_queue.messages,
            ),
            (
                "bytes of payload",
                stats.queued_bytes,
                self.options.total_queue.bytes,
            ),
            (
                "publications in the window and its probes",
                in_window,
                window + usize::try_from(probes).unwrap_or(usize::MAX),
            ),
            ("devices", stats.devices, self.options.quota.max_devices),
            ("bytes to transmit", gateway.poll_transmit().len(), transmit),
        ] {
            if is > limit {
                return Err(Finding::new(
                    Rule::Memory,
                    format!("{is} {what}, of at most {limit}"),
                ));
            }
        }
        Ok(())
    }

    /// Checks that the number of events caused by the peer is bounded, however long they are not polled: by the limit
    /// at which the gateway stops reading, plus one read.
    pub(super) fn check_burst(&mut self) -> Result<(), Finding> {
        self.burst += 1;
        let limit = self.options.max_events + self.largest_read / 2 + EVENTS_PER_PACKET;
        match self.burst > limit {
            true => Err(Finding::new(
                Rule::Memory,
                format!("{} events, of at most {limit}", self.burst),
            )),
            false => Ok(()),
        }
    }
}
