//! What the model knows and checks about the speed of the bridge and of the gateway.

use core::time::Duration;
use std::time::Instant;

use super::{Model, OperationKind};
use crate::bridge::service::Service;
use crate::script::world::keeps_order;

/// For how long a packet may be overdue before it no longer counts as what the peer is busy with.
const PATIENCE: Duration = Duration::from_secs(5);

impl Model {
    /// Records that the bridge takes its time from now on. One that has several queues or workers completes packets in
    /// another order than they arrived in, and one that drops some gets the copies later.
    pub fn slow_down(&mut self, service: &Service) {
        self.is_calm = false;
        self.is_orderly &= keeps_order(service);
    }

    /// Records that, from now on, the bridge and the link are fast enough for the gateway's timeouts: no operation may
    /// time out.
    pub fn expect_answers_in_time(&mut self) {
        self.is_in_time = true;
    }

    /// Returns whether publications of these devices have not ended.
    pub(crate) fn has_unfinished(&self, devices: &[usize]) -> bool {
        self.pending().any(|(_, kind)| match kind {
            OperationKind::Publish(number) => {
                devices.contains(&self.publications.at(number).device)
            }
            _ => false,
        })
    }

    /// Returns whether a packet is unanswered for less than any timeout, and no later one of its kind is answered.
    pub(crate) fn awaits_answers(&self, now: Instant) -> bool {
        let timeout = self.options.ack_timeout.max(self.options.attach_timeout);
        let since = now.checked_sub(timeout + PATIENCE);
        since.is_some_and(|since| self.wire.awaits(since))
    }

    /// Returns how many operations have failed.
    pub(crate) fn failures(&self) -> u64 {
        self.failures
    }

    /// Returns how many packets the bridge has rejected because their device is not attached.
    pub(crate) fn rejected(&self) -> u64 {
        self.rejected
    }

    /// Returns how many publications the gateway has written, copies included.
    pub(crate) fn written_publications(&self) -> u64 {
        self.wire.publications()
    }

    /// Returns the size of the largest packet so far.
    pub(crate) fn largest_packet(&self) -> usize {
        self.largest_packet
    }

    /// Returns the length of the longest config so far.
    pub(crate) fn longest_config(&self) -> usize {
        self.longest_config
    }
}
