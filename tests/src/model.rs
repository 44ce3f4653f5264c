//! The reference model: what must hold of any gateway on any bridge, from what its user asked and what the bridge and
//! the wire saw. It knows nothing of how the gateway works.
//!
//! A model that says "sooner or later" is checked at the end of a run, when nothing is in the way any more; all else
//! after everything that happens. While a bridge or a network that lies has been at work (a stray packet, a flipped
//! bit), nobody can tell whether what the gateway was told is true: then only those rules hold that do not depend on it.

mod cloud;
mod operations;
mod publications;
#[cfg(test)]
mod tests;
mod wire;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use iotcore_gateway::{Acknowledge, DeliveryId, DeviceKey, Event, Gateway, Options};

use self::operations::Operations;
pub use self::operations::Wish;
use self::publications::Publications;
pub(crate) use self::publications::payload;
use self::wire::Wire;
use crate::ConnectionId;
use crate::bridge::settings::FailedPuback;
use crate::link::Observation;
use crate::script::{DEVICES, Drafted, Rule};

/// What a user asked, what the bridge saw, and what follows for a gateway.
#[derive(Debug)]
pub struct Model {
    options: Options,
    /// Whether a refused packet may be acknowledged.
    refusals_are_acknowledged: bool,
    operations: Operations,
    publications: Publications,
    devices: [Device; DEVICES.len()],
    keys: BTreeMap<DeviceKey, usize>,
    /// Deliveries that the user has yet to acknowledge, if that is left to the user.
    deliveries: BTreeMap<DeliveryId, (usize, String)>,
    wire: Wire,
    is_deceived: bool,
    is_calm: bool,
    /// Whether what the bridge says is always read at once.
    is_heard: bool,
    /// The largest packet that a publication can make, so far.
    largest_packet: usize,
    largest_read: usize,
    /// Events in a row that the peer has caused.
    burst: usize,
    is_closed: bool,
}

/// What is known of a device.
#[derive(Debug, Default)]
struct Device {
    /// How often the bridge has attached it.
    attached_by_bridge: u32,
    /// How often the gateway said so.
    attached_by_gateway: u32,
    /// Attaches that the bridge refused, and may have acknowledged all the same.
    refused_attaches: u32,
    /// Publications that the bridge refused, and may have acknowledged all the same.
    refused_publications: u32,
    /// How often the bridge has refused its attach.
    refusals: u32,
    /// Connections on which the bridge took it from the gateway, or acknowledged an attach that it refused.
    lost_on: BTreeSet<ConnectionId>,
    /// Whether an error was ever reported of it.
    is_reported: bool,
    /// Whether its user has ever asked for its detach.
    is_detached: bool,
    /// Whether a publication was handed back, and no word came since that there is room.
    is_blocked: bool,
    /// The newest telemetry event of it that has arrived.
    newest_arrival: Option<u32>,
    /// The state of it that has arrived last.
    newest_state: Option<u32>,
    /// Configs and commands that were sent to it, by what tells them apart.
    sent: BTreeSet<String>,
    /// What of it was delivered.
    delivered: BTreeSet<String>,
    /// What of it the bridge saw acknowledged, but the user has not yet seen.
    acknowledged: BTreeSet<String>,
    /// Payloads of its configs, by version.
    configs: BTreeMap<u64, String>,
}

/// A rule that does not hold, and what was seen of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The rule.
    pub rule: Rule,
    /// What was seen.
    pub what: String,
}

impl Finding {
    fn new(rule: Rule, what: String) -> Self {
        Self { rule, what }
    }
}

/// Bytes of a packet beside payload and subfolder, at most.
const PACKET_OVERHEAD: usize = 400;

/// What the gateway keeps ready to be written, if no packet is larger.
const TRANSMIT_TARGET: usize = 64 * 1024;

/// Packets that are written beyond the target: CONNECT with its token, DISCONNECT, and the errors topic's SUBSCRIBE.
const TRANSMIT_SLACK: usize = 2 * 1024;

/// Events that one packet causes at most, those that end operations not counted.
const EVENTS_PER_PACKET: usize = 2;

impl Model {
    /// A model of a gateway that nobody has asked anything.
    pub fn new(drafted: &Drafted) -> Self {
        let mut model = Self {
            options: drafted.options.clone(),
            refusals_are_acknowledged: drafted.settings.failed_puback != FailedPuback::None,
            operations: Operations::default(),
            publications: Publications::default(),
            devices: Default::default(),
            keys: BTreeMap::new(),
            deliveries: BTreeMap::new(),
            wire: Wire::default(),
            is_deceived: false,
            is_calm: true,
            is_heard: drafted.options.acknowledge == Acknowledge::Automatic,
            largest_packet: 0,
            largest_read: 0,
            burst: 0,
            is_closed: false,
        };
        for device in &mut model.devices {
            device.configs.insert(1, String::new());
            device.sent.insert(String::new());
        }
        model
    }

    /// The network does not carry what is sent at an even pace any more, or a clock is wrong.
    pub fn end_calm(&mut self) {
        self.is_calm = false;
    }

    /// The user does not take the gateway's events at once any more.
    pub fn stop_hearing(&mut self) {
        self.is_heard = false;
    }

    /// The peer may have lied to the gateway.
    pub fn deceive(&mut self) {
        self.is_deceived = true;
    }

    /// Whether it may have.
    pub fn is_deceived(&self) -> bool {
        self.is_deceived
    }

    /// The key of a device.
    pub(crate) fn know(&mut self, key: DeviceKey, device: usize) {
        if self.keys.insert(key, device).is_none() {
            self.devices[device].is_blocked = false;
        }
    }

    /// The process ends and starts anew: what had not ended is forgotten, or published again.
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

    /// Something happened; the gateway has dealt with it.
    pub(crate) fn observe(
        &mut self,
        observation: Observation<'_>,
        gateway: &Gateway,
        now: Instant,
    ) -> Result<(), Finding> {
        match observation {
            Observation::Dialed(_) => self.wire = Wire::default(),
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
            Observation::Disconnected(_) => self.check_silence(gateway)?,
            Observation::Event(event) => self.on_event(event)?,
            Observation::Bridge(event) => self.on_bridge_event(event)?,
        }
        if !matches!(observation, Observation::Event(_)) {
            self.burst = 0;
        }
        self.check_memory(gateway)
    }

    /// Nothing is transmitted where there is no transport.
    fn check_silence(&self, gateway: &Gateway) -> Result<(), Finding> {
        match gateway.poll_transmit().len() {
            0 => Ok(()),
            bytes => Err(Finding::new(
                Rule::Wire,
                format!("{bytes} bytes for a transport that is down"),
            )),
        }
    }

    fn check_memory(&self, gateway: &Gateway) -> Result<(), Finding> {
        let stats = gateway.stats();
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
                "in flight",
                stats.in_flight,
                usize::from(self.options.window),
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
                let wish = self.operations.end(*op)?;
                self.check_outcome(wish, *outcome)
            }
            Event::Failed { op, failure, .. } => {
                let wish = self.operations.end(*op)?;
                self.check_failure(wish, failure)
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
            Event::Disconnected(_)
            | Event::TokenNeeded { .. }
            | Event::SubscriptionLost { .. }
            | Event::ErrorsTopicUnavailable { .. } => Ok(()),
            caused => {
                self.check_burst()?;
                self.on_caused_event(caused)
            }
        }
    }

    /// Events that the peer causes are bounded, however long nobody polls them: by the limit at which the gateway stops
    /// reading, and one read beyond.
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
            } => self.on_delivery(*device, cloud::config_mark(payload), *delivery),
            Event::Command {
                device,
                subfolder,
                delivery,
                ..
            } => self.on_delivery(
                *device,
                cloud::command_mark(subfolder.as_deref()),
                *delivery,
            ),
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
