//! The reference model: what must hold for any gateway on any bridge, derived from the user's commands and from what
//! the bridge and the wire observed. It does not know how the gateway works.
//!
//! Liveness rules are checked at the end of a run, when nothing prevents progress any more; all other rules after every
//! step. Once a bridge or a network has sent false information (a stray packet, a flipped bit), the model cannot know
//! whether what the gateway received is true: from then on, only the rules that do not depend on it are checked.

mod cloud;
mod device;
mod device_info;
mod hang_ups;
mod latency;
mod least;
mod memory;
mod operations;
mod outgoing;
mod owed;
mod publications;
mod speed;
mod terms;
#[cfg(test)]
mod tests;
mod tokens;
mod wire;

use std::collections::BTreeMap;
use std::time::Instant;

use iotcore_gateway::{DeliveryId, DeviceKey, Event, Gateway, Options, options::Acknowledge};

use self::device::Device;
use self::device_info::LastFailure;
use self::hang_ups::HangUps;
use self::latency::Latency;
pub(crate) use self::least::{Pace, Work};
pub use self::operations::OperationKind;
use self::operations::Operations;
use self::outgoing::Outgoing;
pub(crate) use self::owed::owed;
use self::publications::Publications;
pub(crate) use self::publications::{payload, tag};
use self::tokens::Dates;
use self::wire::Wire;
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
    /// The last failure of each that was reported, unless its user has caused it.
    last_failures: BTreeMap<DeviceKey, LastFailure>,
    /// Deliveries that the user has not acknowledged yet, if acknowledgement is manual.
    deliveries: BTreeMap<DeliveryId, Delivered>,
    wire: Wire,
    outgoing: Outgoing,
    latency: Latency,
    hang_ups: HangUps,
    dates: Dates,
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
    /// The number of operations that failed.
    failures: u64,
    longest_config: usize,
    /// Publications and subscriptions that the bridge rejected because their device is not attached.
    rejected: u64,
    /// Topic filters that the bridge refuses because of a fault, and of which the refusal follows.
    refused_filters: u32,
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
            last_failures: BTreeMap::new(),
            deliveries: BTreeMap::new(),
            wire: Wire::new(drafted.options.acknowledge == Acknowledge::Manual),
            outgoing: Outgoing::default(),
            latency: Latency::default(),
            hang_ups: HangUps::default(),
            dates: Dates::default(),
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
            self.devices[device].given = None;
        }
    }

    /// Records a restart of the process: what had not ended is lost, or published again.
    pub(crate) fn restart(&mut self) {
        self.operations = Operations::default();
        self.publications.restart();
        self.latency.restart();
        self.keys.clear();
        self.last_failures.clear();
        self.deliveries.clear();
        self.hang_ups.restart();
        self.dates.forget();
        self.is_closed = false;
        self.is_calm = false;
        for device in &mut self.devices {
            device.is_blocked = false;
            device.is_detached = false;
            device.attached_by_gateway = 0;
            device.given = None;
        }
    }

    /// Checks an input, output or event, after the gateway has handled it.
    pub(crate) fn observe(
        &mut self,
        observation: Observation<'_>,
        gateway: &Gateway,
        now: Instant,
    ) -> Result<(), Finding> {
        if matches!(
            observation,
            Observation::Dialed(_) | Observation::Disconnected(_)
        ) {
            self.outgoing.begin_connection();
        }
        self.look(gateway, now)?;
        match observation {
            Observation::Dialed(_) => {
                self.dates.learn(now);
                self.wire = self.wire.next();
            }
            Observation::Received(bytes) => {
                self.largest_read = self.largest_read.max(bytes.len());
                self.wire.read(bytes);
                for answered in self.wire.take_answered() {
                    self.hang_ups.answer(&answered.sent);
                    self.measure(&answered, now);
                }
                self.check_latency(gateway)?;
            }
            Observation::Transmitted(bytes) => {
                self.outgoing.written(bytes.len());
                self.wire.write(bytes, self.is_deceived, now)?;
            }
            Observation::TimedOut if gateway.poll_timeout().is_some_and(|at| at <= now) => {
                let what = "a timeout that is due again at once".to_owned();
                return Err(Finding::new(Rule::Progress, what));
            }
            Observation::TimedOut => self.check_expired(gateway, now)?,
            Observation::Struck(_) => {}
            Observation::Disconnected(end) => {
                self.note_hang_up(end);
                self.check_silence(gateway)?;
            }
            Observation::Event(event) => self.on_event(event, now)?,
            Observation::Bridge(event) => {
                self.latency.note_report(event);
                self.on_bridge_event(event)?;
            }
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

    fn on_event(&mut self, event: &Event, now: Instant) -> Result<(), Finding> {
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
            Event::Failed {
                op,
                device,
                failure,
                unsent,
            } => {
                self.failures += 1;
                self.note_failure(*device, failure);
                if let Some(unsent) = unsent {
                    self.check_handed_back(unsent, now)?;
                }
                let kind = self.operations.end(*op)?;
                self.check_failure(kind, failure, now)
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
            Event::TokenNeeded { device } => self.check_need(*device, now),
            Event::ReadingPaused { .. } | Event::TokenUnchanged => Ok(()),
            Event::Disconnected(_)
            | Event::SubscriptionLost { .. }
            | Event::ErrorsTopicUnavailable { .. } => {
                self.note_loss(event);
                self.check_suspicion(event)
            }
            caused => {
                self.note_loss(caused);
                self.check_burst()?;
                self.check_suspicion(caused)?;
                self.on_caused_event(caused)
            }
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
