//! The metrics in Prometheus' text format.

use std::{
    fmt,
    time::{Duration, Instant},
};

use iotcore_gateway_tokio::{Stats, device::DeviceInfo};
use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeGaugeValue, NoLabelSet, prometheus_text},
    metrics::MetricType,
    registry::{Registry, Unit},
};

use crate::{output::device_state, vitals::Open};

/// The media type of the text.
pub(super) use prometheus_client::encoding::prometheus_text::CONTENT_TYPE;

/// What all names begin with, before `_`.
const PREFIX: &str = "iotcore_relay";

/// Everything that the metrics show, at one instant.
#[derive(Debug)]
pub(super) struct Snapshot {
    pub(super) stats: Stats,
    pub(super) is_connected: bool,
    /// The devices, and the gateway itself.
    pub(super) devices: Vec<DeviceInfo>,
    pub(super) open: Open,
    pub(super) output_wait: Duration,
    pub(super) now: Instant,
}

impl Snapshot {
    pub(super) fn text(self) -> String {
        let mut registry = Registry::with_prefix(PREFIX);
        registry.register_collector(Box::new(self));
        let mut text = String::new();
        prometheus_text::encode(&mut text, &registry).expect("a String takes any text");
        text
    }
}

impl Collector for Snapshot {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let mut lines = Lines(encoder);
        self.connection(&mut lines)?;
        self.counters(&mut lines)?;
        self.messages(&mut lines)?;
        self.streams(&mut lines)?;
        self.each_device(&mut lines)
    }
}

impl Snapshot {
    fn connection(&self, lines: &mut Lines<'_>) -> fmt::Result {
        let stats = &self.stats;
        lines.gauge(
            "connected",
            "Whether the connection is open.",
            self.is_connected.into(),
        )?;
        lines.counter(
            "connections",
            "Connections that the bridge accepted.",
            stats.connections,
        )?;
        lines.gauge(
            "devices",
            "Devices attached or to be attached, without the gateway.",
            stats.devices as u64,
        )?;
        if let Some(latency) = stats.latency {
            lines.seconds(
                "latency",
                "Moving average of the time that the bridge takes to acknowledge a message.",
                latency,
            )?;
        }
        if let Some(latency) = stats.worst_latency {
            lines.seconds(
                "worst_latency",
                "Longest such time since the last operation stats, or the start.",
                latency,
            )?;
        }
        Ok(())
    }

    fn counters(&self, lines: &mut Lines<'_>) -> fmt::Result {
        let stats = &self.stats;
        lines.counter(
            "messages_accepted",
            "Messages that the gateway accepted.",
            stats.accepted,
        )?;
        lines.counter(
            "messages_published",
            "Messages that the bridge acknowledged, or were sent at QoS 0.",
            stats.published,
        )?;
        lines.counter(
            "messages_resent",
            "Messages sent again because their acknowledgement was overdue.",
            stats.resent,
        )?;
        lines.counter(
            "messages_dropped",
            "Messages dropped for newer ones.",
            stats.dropped,
        )?;
        lines.counter(
            "probes",
            "Packets sent beyond a window because the bridge answered nothing.",
            stats.probes,
        )?;
        lines.counter(
            "unsolicited_acknowledgements",
            "Acknowledgements from the bridge that matched nothing.",
            stats.unsolicited,
        )?;
        lines.counter(
            "duplicates",
            "Configs and commands that the bridge delivered again.",
            stats.duplicates,
        )?;
        lines.counter(
            "delays",
            "How often messages waited for a rate limit.",
            stats.delays,
        )?;
        lines.counter_of_seconds(
            "delayed",
            "How long messages waited for a rate limit.",
            stats.delayed,
        )
    }

    fn messages(&self, lines: &mut Lines<'_>) -> fmt::Result {
        let stats = &self.stats;
        lines.gauge(
            "open_messages",
            "Messages of the input, and those found in the store, that have not ended.",
            self.open.messages as u64,
        )?;
        lines.gauge(
            "open_bytes",
            "Bytes of their payloads.",
            self.open.bytes as u64,
        )?;
        lines.gauge(
            "queued_messages",
            "Messages that the gateway has accepted and that have not ended.",
            stats.queued as u64,
        )?;
        lines.gauge(
            "queued_bytes",
            "Bytes of their payloads.",
            stats.queued_bytes as u64,
        )?;
        lines.gauge(
            "stored_messages",
            "Messages in the store.",
            stats.stored as u64,
        )?;
        lines.gauge(
            "stored_bytes",
            "Bytes reserved in the store, of --store-limit.",
            stats.stored_bytes as u64,
        )?;
        lines.gauge(
            "in_flight_messages",
            "Messages sent and not acknowledged.",
            stats.in_flight as u64,
        )?;
        lines.gauge(
            "skipped_messages",
            "Messages in flight of which later ones were acknowledged before them.",
            stats.skipped as u64,
        )
    }

    fn streams(&self, lines: &mut Lines<'_>) -> fmt::Result {
        let stats = &self.stats;
        let paused_since = stats.reading_paused_since;
        let paused = paused_since.map(|since| self.now.saturating_duration_since(since));
        lines.gauge(
            "unacknowledged_messages",
            "Configs and commands not yet acknowledged to the bridge.",
            stats.unacknowledged as u64,
        )?;
        lines.seconds(
            "reading_paused",
            "How long nothing has been read from the bridge, 0 while it is read.",
            paused.unwrap_or_default(),
        )?;
        lines.seconds(
            "output_waiting",
            "How long standard output has not taken an event, 0 while none is written.",
            self.output_wait,
        )
    }

    fn each_device(&self, lines: &mut Lines<'_>) -> fmt::Result {
        let labels = |device: &DeviceInfo| [("device", device.id.to_string())];
        let values = |value: fn(&DeviceInfo) -> usize| {
            let devices = self.devices.iter();
            devices.map(move |device| (labels(device), value(device) as u64))
        };
        let states = self.devices.iter().map(|device| {
            let state = ("state", device_state(device.state).as_str().to_owned());
            ([("device", device.id.to_string()), state], 1)
        });
        lines.gauges(
            "device_state",
            "1 for the state of each device, and of the gateway.",
            states,
        )?;
        lines.gauges(
            "device_queued_messages",
            "Messages of the device that the gateway has accepted and that have not ended.",
            values(|device| device.queued),
        )?;
        lines.gauges(
            "device_queued_bytes",
            "Bytes of their payloads.",
            values(|device| device.queued_bytes),
        )?;
        lines.gauges(
            "device_in_flight_messages",
            "Messages of the device sent and not acknowledged.",
            values(|device| device.in_flight),
        )
    }
}

/// Writes metrics of the kinds that are used.
struct Lines<'a>(DescriptorEncoder<'a>);

impl Lines<'_> {
    fn counter(&mut self, name: &str, help: &str, value: u64) -> fmt::Result {
        let mut metric = self
            .0
            .encode_descriptor(name, help, None, MetricType::Counter)?;
        metric.encode_counter::<NoLabelSet, _, u64>(&value, None)
    }

    fn counter_of_seconds(&mut self, name: &str, help: &str, value: Duration) -> fmt::Result {
        let unit = Some(&Unit::Seconds);
        let mut metric = self
            .0
            .encode_descriptor(name, help, unit, MetricType::Counter)?;
        metric.encode_counter::<NoLabelSet, _, u64>(&value.as_secs_f64(), None)
    }

    fn gauge(&mut self, name: &str, help: &str, value: u64) -> fmt::Result {
        self.one_gauge(name, help, None, &value)
    }

    fn seconds(&mut self, name: &str, help: &str, value: Duration) -> fmt::Result {
        self.one_gauge(name, help, Some(&Unit::Seconds), &value.as_secs_f64())
    }

    fn one_gauge(
        &mut self,
        name: &str,
        help: &str,
        unit: Option<&Unit>,
        value: &impl EncodeGaugeValue,
    ) -> fmt::Result {
        let mut metric = self
            .0
            .encode_descriptor(name, help, unit, MetricType::Gauge)?;
        metric.encode_gauge(value)
    }

    /// Writes a gauge for each set of labels.
    fn gauges<const N: usize>(
        &mut self,
        name: &str,
        help: &str,
        values: impl Iterator<Item = ([(&'static str, String); N], u64)>,
    ) -> fmt::Result {
        let mut metric = self
            .0
            .encode_descriptor(name, help, None, MetricType::Gauge)?;
        for (labels, value) in values {
            metric.encode_family(&labels)?.encode_gauge(&value)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug)]
    struct Odd;

    impl Collector for Odd {
        fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
            let device = ("device", "a\"b\\c\nd\u{e9}".to_owned());
            let values = [([device], 7)];
            Lines(encoder).gauges("odd", "Help.", values.into_iter())
        }
    }

    #[test]
    fn any_text_in_a_label_is_escaped() {
        let mut registry = Registry::with_prefix(PREFIX);
        registry.register_collector(Box::new(Odd));
        let mut text = String::new();
        prometheus_text::encode(&mut text, &registry).unwrap();
        let expected = "iotcore_relay_odd{device=\"a\\\"b\\\\c\\nd\u{e9}\"} 7\n";
        assert!(text.ends_with(expected), "{text}");
    }
}
