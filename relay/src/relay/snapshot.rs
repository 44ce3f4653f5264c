//! Answers questions about the gateway: its counters, its devices, and the messages that have not ended.

use std::{collections::BTreeSet, io};

use tokio::time::Instant;

use super::{Relay, lanes::Lane, load::Load};
use crate::output::{Counters, DeviceLine, Event, Message};

impl Relay {
    /// Writes the counters and current values.
    pub(super) async fn report_stats(&mut self) -> io::Result<()> {
        let counters = Counters::new(&self.client.stats(), Instant::now().into_std());
        self.write(&Event::Stats(counters)).await
    }

    /// Writes all devices, the gateway itself among them.
    pub(super) async fn report_devices(&mut self) -> io::Result<()> {
        let now = Instant::now().into_std();
        let devices = self.client.devices().into_iter();
        let devices = devices.map(|mut device| {
            // The gateway does not know those that wait here.
            let held = self.lanes.get(&device.id).map(Lane::held);
            let Load { messages, bytes } = held.unwrap_or_default();
            device.queued += messages;
            device.queued_bytes += bytes;
            DeviceLine::new(device, now)
        });
        let devices = devices.collect();
        self.write(&Event::Devices { devices }).await
    }

    /// Writes every message that has not ended, in input order, as an operation that can be submitted again. One that the
    /// gateway has just ended is left out.
    pub(super) async fn report_unsent(&mut self) -> io::Result<()> {
        let now = Instant::now();
        let accepted = self.client.unsent();
        let accepted: BTreeSet<_> = accepted.iter().map(|unsent| unsent.op).collect();
        let messages = self.open.all_messages().into_iter();
        let unsent = messages.filter(|(_, op)| op.is_none_or(|op| accepted.contains(&op)));
        let operations = unsent.filter_map(|(request, _)| Message::of(request, now));
        let operations = operations.collect();
        self.write(&Event::Unsent { operations }).await
    }
}
