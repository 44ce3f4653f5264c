//! The reference model: what must hold for any gateway on any bridge, derived from the user's commands and from what
//! the bridge and the wire observed. It does not know how the gateway works.
//!
//! Liveness rules are checked at the end of a run, when nothing prevents progress any more; all other rules after every
//! step. Once a bridge or a network has sent false information (a stray packet, a flipped bit), the model cannot know
//! whether what the gateway received is true: from then on, only the rules that do not depend on it are checked.

mod cloud;
mod least;
mod operations;
mod owed;
mod publications;
mod speed;
#[cfg(test)]
mod tests;
mod wire;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use iotcore_gateway::{
    Acknowledge, DeliveryId, DetachCause, DeviceKey, Event, Gateway, Options, TransportEnd,
};

pub(crate) use self::least::{Pace, Work};
pub use self::operations::OperationKind;
use self::operations::Operations;
pub(crate) use self::owed::owed;
use self::publications::Publications;
pub(crate) use self::publications::payload;
use self::wire::Wire;
use crate::ConnectionId;
use crate::bridge::settings::FailedPuback;
use crate::link::Observation;
use crate::script::{DEVICES, Drafted, Rule};

/// The user's commands, the bridge's observations, and the resulting expectations of a gateway.
#[derive(Debug)]
pub struct Model {
    options: Options,
    /// Whether a refused packet may be acknowledged.
    refusals_are_acknowledged: bool,
    operations: Operations,
    publications: Publications,
    devices: [Device; DEVICES.len()],
    keys: BTreeMap<DeviceKey, usize>,
    /// Deliveries that the user has not acknowledged yet, if acknowledgement is manual.
    deliveries: BTreeMap<DeliveryId, Delivered>,
    wire: Wire,
    is_deceived: bool,
    is_calm: bool,
    /// Whether the bridge completes everything that a device sends, in the order of its arrival.
    is_orderly: bool,
    /// Whether a slow bridge answers in time everything that is asked.
    is_in_time: bool,
    /// Whether what the bridge sends is always read at once.
    is_heard: bool,
    /// The size of the largest packet of any publication so far.
    largest_packet: usize,
    /// The number of probes when no more publications were in the window than it holds.
    probes_within_window: u64,
    largest_read: usize,
    /// The number of consecutive events caused by the peer.
    burst: usize,
    is_closed: bool,
    /// The number of connections that the peer has closed.
    hang_ups: u32,
    /// The number of operations that failed.
    failures: u64,
    longest_config: usize,
    /// Publications and subscriptions that the bridge rejected because their device is not attached.
    rejected: u64,
    /// Topic filters that the bridge refuses because of a fault, and of which the refusal follows.
    refused_filters: u32,
}

/// The state of a device.
#[derive(Debug, Default)]
struct Device {
    /// How often the bridge attached it.
    attached_by_bridge: u32,
    /// How often the gateway reported it attached.
    attached_by_gateway: u32,
    /// Attaches that the bridge refused, but may have acknowledged.
    refused_attaches: u32,
    /// Publications that the bridge refused, but may have acknowledged.
    refused_publications: u32,
    /// How often the bridge refused its attach.
    refusals: u32,
    /// Connections on which the bridge detached it, or acknowledged an attach that it refused.
    lost_on: BTreeSet<ConnectionId>,
    /// Whether an error about it was ever reported.
    is_reported: bool,
    /// Whether its user has ever requested its detach.
    is_detached: bool,
    /// Whether a publication was refused for lack of room, without a notification since that there is room.
    is_blocked: bool,
    /// The number of its newest telemetry event that has arrived.
    newest_arrival: Option<u32>,
    /// The number of its state that has arrived last.
    newest_state: Option<u32>,
    /// Configs and commands that were sent to it, by their identifying marks.
    sent: BTreeSet<String>,
    /// Those that were delivered.
    delivered: BTreeSet<String>,
    /// Those whose acknowledgement the bridge received, but which the user has not received yet.
    acknowledged: BTreeSet<String>,
    /// Payloads of its configs, by version.
    configs: BTreeMap<u64, String>,
}

/// A config or command that the user has not acknowledged.
#[derive(Debug)]
struct Delivered {
    device: usize,
    mark: String,
    is_command: bool,
}

/// A violation of a rule, and what was observed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The rule.
    pub rule: Rule,
    /// The observation.
    pub what: String,
}

impl Finding {
    fn new(rule: Rule, what: String) -> Self {
        Self { rule, what }
    }
}

/// The maximum number of bytes in a packet besides payload and subfolder.
const PACKET_OVERHEAD: usize = 400;

/// The number of bytes that the gateway keeps ready to be written, if no packet is larger.
const TRANSMIT_TARGET: usize = 64 * 1024;

/// The size of packets that are written beyond the target: CONNECT with its token, DISCONNECT, and the errors topic's
/// SUBSCRIBE.
const TRANSMIT_SLACK: usize = 2 * 1024;

/// The maximum number of events that one packet causes, not counting those that end operations.
const EVENTS_PER_PACKET: usize = 2;

impl Model {
    /// Creates a model of a gateway that has not received any command.
    pub fn new(drafted: &Drafted) -> Self {
        let mut model = Self {
            options: drafted.options.clone(),
            refusals_are_acknowledged: drafted.settings.failed_puback != FailedPuback::None,
            operations: Operations::default(),
            publications: Publications::default(),
            devices: Default::default(),
            keys: BTreeMap::new(),
            deliveries: BTreeMap::new(),
            wire: Wire::new(drafted.options.acknowledge == Acknowledge::Manual),
            is_deceived: false,
            is_calm: true,
            is_orderly: true,
            is_in_time: false,
            is_heard: drafted.options.acknowledge == Acknowledge::Automatic,
            largest_packet: 0,
            probes_within_window: 0,
            largest_read: 0,
            burst: 0,
            is_closed: false,
            hang_ups: 0,
            failures: 0,
            longest_config: 0,
            rejected: 0,
            refused_filters: 0,
        };
        for device in &mut model.devices {
            device.configs.insert(1, String::new());
            device.sent.insert(String::new());
        }
        model
    }

    /// Records that the network no longer carries data at an even pace, or that a clock is wrong.
    pub fn end_calm(&mut self) {
        self.is_calm = false;
    }

    /// Records that the user no longer polls the gateway's events at once.
    pub fn stop_hearing(&mut self) {
        self.is_heard = false;
    }

    /// Records that the peer may have sent false information to the gateway.
    pub fn deceive(&mut self) {
        self.is_deceived = true;
    }

    /// Returns whether the peer may have sent false information.
    pub fn is_deceived(&self) -> bool {
        self.is_deceived
    }

    /// Records the key of a device.
    pub(crate) fn know(&mut self, key: DeviceKey, device: usize) {
        if self.keys.insert(key, device).is_none() {
            self.devices[device].is_blocked = false;
        }
    }

    /// Records a restart of the process: what had not ended is lost, or published again.
    pub(crate) fn restart(&mut self) {
        self.operations = Operations::default();
        self.keys.clear();
        self.deliveries.clear();
        self.is_closed = false;
        self.is_calm = false;
        for device in &mut self.devices {
            device.is_blocked = false;
            device.is_detached = false;
            device.attached_by_gateway = 0;
        }
    }

    /// Checks an input, output or event, after the gateway has handled it.
    pub(crate) fn observe(
        &mut self,
        observation: Observation<'_>,
        gateway: &Gateway,
        now: Instant,
    ) -> Result<(), Finding> {
        match observation {
            Observation::Dialed(_) => self.wire = self.wire.next(),
            Observation::Received(bytes) => {
                self.largest_read = self.largest_read.max(bytes.len());
                self.wire.read(bytes);
            }
            Observation::Transmitted(bytes) => self.wire.write(bytes, self.is_deceived)?,
            Observation::TimedOut if gateway.poll_timeout().is_some_and(|at| at <= now) => {
                let what = "a timeout that is due again at once".to_owned();
                return Err(Finding::new(Rule::Progress, what));
            }
            Observation::TimedOut | Observation::Struck(_) => {}
            Observation::Disconnected(end) => {
                self.hang_ups += u32::from(end == TransportEnd::PeerClosed);
                self.check_silence(gateway)?;
            }
            Observation::Event(event) => self.on_event(event)?,
            Observation::Bridge(event) => self.on_bridge_event(event)?,
        }
        if !matches!(observation, Observation::Event(_)) {
            self.burst = 0;
        }
        self.check_memory(gateway)
    }

    /// Checks that nothing is transmitted without a transport.
    fn check_silence(&self, gateway: &Gateway) -> Result<(), Finding> {
        match gateway.poll_transmit().len() {
            0 => Ok(()),
            bytes => Err(Finding::new(
                Rule::Wire,
                format!("{bytes} bytes for a transport that is down"),
            )),
        }
    }

    fn check_memory(&mut self, gateway: &Gateway) -> Result<(), Finding> {
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

    fn on_event(&mut self, event: &Event) -> Result<(), Finding> {
        let is_end = matches!(event, Event::Done { .. });
        if self.is_closed && !is_end {
            return Err(Finding::new(
                Rule::OneEnd,
                format!("after Closed: {event:?}"),
            ));
        }
        match event {
            Event::Done { op, outcome } => {
                let kind = self.operations.end(*op)?;
                self.check_outcome(kind, *outcome)
            }
            Event::Failed { op, failure, .. } => {
                self.failures += 1;
                let kind = self.operations.end(*op)?;
                self.check_failure(kind, failure)
            }
            Event::Closed { unsent } => {
                self.is_closed = true;
                self.check_unsent(unsent.iter().map(|unsent| unsent.op))
            }
            Event::Writable { device } => {
                if let Some(device) = self.device(*device) {
                    device.is_blocked = false;
                }
                Ok(())
            }
            Event::AcknowledgementsOverdue { device, .. } => {
                self.on_overdue(*device);
                Ok(())
            }
            Event::Detached {
                device,
                cause: DetachCause::Suspected { connections },
            } => {
                if let Some(device) = self.device(*device) {
                    device.is_reported = true;
                }
                self.check_suspicion(*connections)
            }
            Event::Disconnected(_)
            | Event::ReadingPaused { .. }
            | Event::TokenNeeded { .. }
            | Event::TokenUnchanged
            | Event::SubscriptionLost { .. }
            | Event::ErrorsTopicUnavailable { .. } => Ok(()),
            caused => {
                self.check_burst()?;
                self.on_caused_event(caused)
            }
        }
    }

    /// Checks that the number of events caused by the peer is bounded, however long they are not polled: by the limit
    /// at which the gateway stops reading, plus one read.
    fn check_burst(&mut self) -> Result<(), Finding> {
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

    fn on_caused_event(&mut self, event: &Event) -> Result<(), Finding> {
        match event {
            Event::Attached { device: key } => self.on_attached(*key),
            Event::Config {
                device,
                payload,
                delivery,
            } => self.on_delivery(*device, cloud::config_mark(payload), false, *delivery),
            Event::Command {
                device,
                subfolder,
                delivery,
                ..
            } => {
                let mark = cloud::command_mark(subfolder.as_deref());
                self.on_delivery(*device, mark, true, *delivery)
            }
            Event::Unrequested { topic, payload } => {
                self.on_unrequested(topic, payload);
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn device(&mut self, key: DeviceKey) -> Option<&mut Device> {
        let index = *self.keys.get(&key)?;
        self.devices.get_mut(index)
    }
}
