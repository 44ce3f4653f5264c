//! The state that all connections share: the registry, the settings, the clock, the connected devices, and the events.

use core::time::Duration;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Instant;

use super::ConnectionId;
use super::event::{Event, EventKind};
use super::faults::standing::Standing;
use super::record::DeviceRecord;
use super::registry::Registry;
use super::service::ServiceState;
use super::settings::Settings;

/// The maximum number of unpolled events; beyond it, the oldest are dropped.
const MAX_EVENTS: usize = 65_536;

/// The state that all connections share.
#[derive(Debug)]
pub(crate) struct World {
    pub(crate) registry: Registry,
    pub(crate) settings: Settings,
    pub(crate) faults: Standing,
    pub(crate) service: ServiceState,
    pub(crate) records: BTreeMap<String, DeviceRecord>,
    /// The connection that each device has made itself.
    pub(crate) connected: BTreeMap<String, ConnectionId>,
    /// The connections on which each device is attached.
    pub(crate) attached: BTreeMap<String, BTreeSet<ConnectionId>>,
    /// Notices between connections; empty between two inputs.
    pub(crate) notices: Vec<Notice>,
    pub(crate) events: VecDeque<Event>,
    origin: Instant,
    origin_unix: u64,
    now: Instant,
    /// How far the clock is ahead of the instants that are passed.
    ahead: Duration,
}

/// A request from one connection to another.
#[derive(Debug)]
pub(crate) enum Notice {
    /// The other connection has to end, because its client has connected again.
    TakeOver { older: ConnectionId },
    /// The other connection has to detach a device, which was attached elsewhere.
    LoseDevice { older: ConnectionId, device: String },
}

impl World {
    pub(crate) fn new(registry: Registry, settings: Settings, now: Instant, unix_now: u64) -> Self {
        Self {
            records: registry.records(),
            registry,
            settings,
            faults: Standing::default(),
            service: ServiceState::new(now),
            connected: BTreeMap::new(),
            attached: BTreeMap::new(),
            notices: Vec::new(),
            events: VecDeque::new(),
            origin: now,
            origin_unix: unix_now,
            now,
            ahead: Duration::ZERO,
        }
    }

    /// Advances the clock to this instant, unless it is in the past; time never runs backwards. Returns the current
    /// time.
    pub(crate) fn advance_to(&mut self, now: Instant) -> Instant {
        self.now = self.clock(now);
        self.now
    }

    /// Returns the time at this instant.
    pub(crate) fn clock(&self, now: Instant) -> Instant {
        self.now.max(now + self.ahead)
    }

    /// Moves the clock ahead of the instants that are passed.
    pub(crate) fn skip(&mut self, duration: Duration) {
        self.ahead += duration;
    }

    /// Returns the instant at which a caller's clock is when the bridge's reaches this one.
    pub(crate) fn as_passed(&self, instant: Instant) -> Instant {
        instant - self.ahead
    }

    /// Returns the current time.
    pub(crate) fn now(&self) -> Instant {
        self.now
    }

    /// Returns the time in seconds since 1970.
    pub(crate) fn unix(&self) -> u64 {
        self.origin_unix + (self.now - self.origin).as_secs()
    }

    /// Returns the instant of a time in seconds since 1970, at least the bridge's start.
    pub(crate) fn instant(&self, unix: u64) -> Instant {
        self.origin + Duration::from_secs(unix.saturating_sub(self.origin_unix))
    }

    /// Returns the record of a device of the registry; every device has one.
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
