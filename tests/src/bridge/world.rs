//! What all connections share: the registry, the settings, the clock, who is where, and the events.

use core::time::Duration;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Instant;

use super::ConnectionId;
use super::event::{Event, EventKind};
use super::faults::standing::Standing;
use super::record::DeviceRecord;
use super::registry::Registry;
use super::settings::Settings;

/// How many events wait to be polled; beyond it the oldest are forgotten.
const MAX_EVENTS: usize = 65_536;

/// What all connections share.
#[derive(Debug)]
pub(crate) struct World {
    pub(crate) registry: Registry,
    pub(crate) settings: Settings,
    pub(crate) faults: Standing,
    pub(crate) records: BTreeMap<String, DeviceRecord>,
    /// Which connection a device has made itself.
    pub(crate) connected: BTreeMap<String, ConnectionId>,
    /// Which connections a device is attached on.
    pub(crate) attached: BTreeMap<String, BTreeSet<ConnectionId>>,
    /// What connections ask of others; empty between two inputs.
    pub(crate) notices: Vec<Notice>,
    pub(crate) events: VecDeque<Event>,
    origin: Instant,
    origin_unix: u64,
    now: Instant,
}

/// Something that one connection asks of another.
#[derive(Debug)]
pub(crate) enum Notice {
    /// The other has to end, for its client has connected anew.
    TakeOver { older: ConnectionId },
    /// The other loses a device, which was attached anew.
    LoseDevice { older: ConnectionId, device: String },
}

impl World {
    pub(crate) fn new(registry: Registry, settings: Settings, now: Instant, unix_now: u64) -> Self {
        let records = registry.devices().map(str::to_owned);
        Self {
            records: records.map(|id| (id, DeviceRecord::default())).collect(),
            registry,
            settings,
            faults: Standing::default(),
            connected: BTreeMap::new(),
            attached: BTreeMap::new(),
            notices: Vec::new(),
            events: VecDeque::new(),
            origin: now,
            origin_unix: unix_now,
            now,
        }
    }

    /// The latest instant that was given; time never runs back.
    pub(crate) fn advance_to(&mut self, now: Instant) -> Instant {
        self.now = self.now.max(now);
        self.now
    }

    /// Seconds since 1970.
    pub(crate) fn unix(&self) -> u64 {
        self.origin_unix + (self.now - self.origin).as_secs()
    }

    /// The instant of a second since 1970, or the bridge's start if it lies before that.
    pub(crate) fn instant(&self, unix: u64) -> Instant {
        self.origin + Duration::from_secs(unix.saturating_sub(self.origin_unix))
    }

    /// The record of a device of the registry; every one has one.
    pub(crate) fn record(&mut self, device: &str) -> &mut DeviceRecord {
        self.records.entry(device.to_owned()).or_default()
    }

    pub(crate) fn log(
        &mut self,
        connection: Option<ConnectionId>,
        client: Option<String>,
        kind: EventKind,
    ) {
        if self.events.len() == MAX_EVENTS {
            self.events.pop_front();
        }
        self.events.push_back(Event {
            at: self.now - self.origin,
            connection,
            client,
            kind,
        });
    }

    pub(crate) fn add_attachment(&mut self, device: &str, connection: ConnectionId) {
        let connections = self.attached.entry(device.to_owned()).or_default();
        connections.insert(connection);
    }

    pub(crate) fn remove_attachment(&mut self, device: &str, connection: ConnectionId) {
        if let Some(connections) = self.attached.get_mut(device) {
            connections.remove(&connection);
            if connections.is_empty() {
                self.attached.remove(device);
            }
        }
    }
}
