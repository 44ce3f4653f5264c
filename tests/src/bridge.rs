//! The cloud's side of the MQTT bridge, without sockets and clocks.
//!
//! Its inputs are bytes and instants; its outputs are bytes, events and a deadline. The owner of a [`Bridge`] accepts
//! transports, passes on what they receive, writes what [`Bridge::poll_transmit`] returns, and closes each transport
//! once [`Bridge::wants_transport`] is false and nothing is left to write.
//!
//! Comments in the code say how well each behaviour is known: *Documented* (by the vendor, or captured traffic),
//! *Inferred* (from clients that work), or *Assumed* (a decision of this emulator). Behaviour that is an open question
//! is configurable in [`Settings`].

pub mod auth;
pub mod close;
pub(crate) mod codec;
mod connection;
pub mod errors;
pub mod event;
pub mod faults;
pub mod operator;
pub mod quotas;
pub mod record;
pub mod registry;
pub mod service;
pub mod settings;
mod topic;
mod wire;
mod world;

#[cfg(test)]
pub(crate) mod tests;

use core::fmt;
use core::time::Duration;
use std::collections::BTreeMap;
use std::time::Instant;

use serde::Serialize;

use close::CloseReason;
pub use codec::Malformed;
use connection::{BridgeConnection, Client};
use event::{DetachCause, Event, EventKind};
use record::DeviceRecord;
use registry::Registry;
use settings::Settings;
use world::{Notice, World};

/// The cloud's side of the bridge: a registry, and any number of connections.
///
/// Deterministic: the same calls with the same arguments produce the same bytes and events. Memory is bounded per
/// connection (a frame of 1 MiB, 64 MiB unwritten, 10,000 messages in flight, of which commands may take 16 MiB) and
/// per device (see [`DeviceRecord`]); beyond 65,536 unpolled events, the oldest are dropped.
#[derive(Debug)]
pub struct Bridge {
    world: World,
    connections: BTreeMap<ConnectionId, BridgeConnection>,
    last_id: u64,
}

/// The id of a transport that the bridge has accepted. It is never reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct ConnectionId(u64);

impl Bridge {
    /// Creates a bridge without connections, at an instant that is also passed in seconds since 1970. Later calls may
    /// pass instants in any order; time never runs backwards.
    #[must_use]
    pub fn new(registry: Registry, settings: Settings, now: Instant, unix_now: u64) -> Self {
        Self {
            world: World::new(registry, settings, now, unix_now),
            connections: BTreeMap::new(),
            last_id: 0,
        }
    }

    /// Accepts a client's transport, which is up, including TLS.
    pub fn accept(&mut self, now: Instant) -> ConnectionId {
        let now = self.world.advance_to(now);
        self.last_id += 1;
        self.world.service.traffic.count_connection();
        let id = ConnectionId(self.last_id);
        self.world.log(Some(id), None, EventKind::Accepted);
        let mut connection = BridgeConnection::new(id, now);
        connection.handle_accepted(&mut self.world);
        self.connections.insert(id, connection);
        id
    }

    /// Records that a transport could not be established, for a reason that may interest the operator.
    pub fn handle_failed_transport(&mut self, reason: String, now: Instant) {
        self.world.advance_to(now);
        self.world
            .log(None, None, EventKind::TransportFailed { reason });
    }

    /// Receives bytes, in fragments of any size. All bytes are consumed; after the connection's end they are ignored.
    pub fn handle_input(&mut self, id: ConnectionId, bytes: &[u8], now: Instant) {
        let now = self.world.advance_to(now);
        self.complete_due(now);
        if let Some(connection) = self.connections.get_mut(&id) {
            connection.handle_input(bytes, &mut self.world, now);
        }
        self.process_notices(now);
    }

    /// Records that a prefix of [`poll_transmit`](Self::poll_transmit) was passed to the transport.
    pub fn handle_transmitted(&mut self, id: ConnectionId, len: usize, now: Instant) {
        self.world.advance_to(now);
        if let Some(connection) = self.connections.get_mut(&id) {
            connection.handle_transmitted(len, &self.world);
        }
    }

    /// Records that the transport ended, by either side. The connection is forgotten.
    pub fn handle_closed(&mut self, id: ConnectionId, now: Instant) {
        self.world.advance_to(now);
        if let Some(mut connection) = self.connections.remove(&id) {
            connection.end(CloseReason::ConnectionLost, &mut self.world);
        }
    }

    /// Ends all connections. The rest of their bytes can still be written.
    pub fn shut_down(&mut self, now: Instant) {
        self.world.advance_to(now);
        for connection in self.connections.values_mut() {
            connection.end(CloseReason::ShutDown, &mut self.world);
        }
    }

    /// Records that time has passed. Nothing changes unless a timer is due.
    pub fn handle_timeout(&mut self, now: Instant) {
        let now = self.world.advance_to(now);
        self.complete_due(now);
        for connection in self.connections.values_mut() {
            connection.carry(&mut self.world, now);
            connection.handle_timeout(&mut self.world, now);
        }
        self.process_notices(now);
    }

    /// Moves the bridge's clock and date ahead of the instants that are passed: what a client sees whose machine, and whose
    /// monotonic clock with it, slept for this long. What is due then happens at the next
    /// [`handle_timeout`](Self::handle_timeout).
    pub fn skip(&mut self, duration: Duration) {
        self.world.skip(duration);
    }

    /// Returns the bytes to be written to a client; under a segmenting fault, only the next segment, and under a fault
    /// that limits the rate, only those that can be written as of the last call.
    #[must_use]
    pub fn poll_transmit(&self, id: ConnectionId) -> &[u8] {
        let Some(connection) = self.connections.get(&id) else {
            return &[];
        };
        let bytes = connection.writable(&self.world);
        let segment = self.world.faults.segment(connection.client_name());
        segment
            .and_then(|length| bytes.get(..length.get()))
            .unwrap_or(bytes)
    }

    /// Returns the oldest unpolled event.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.world.events.pop_front()
    }

    /// Returns when [`handle_timeout`](Self::handle_timeout) is due: always later than the instant of the last call.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        let settings = &self.world.settings;
        let connections = self.connections.values();
        connections
            .flat_map(|connection| {
                [
                    connection.deadline(settings),
                    connection.rate_deadline(&self.world),
                ]
            })
            .flatten()
            .chain(self.next_completion())
            .min()
            .map(|due| self.world.as_passed(due))
    }

    /// Returns whether the bridge keeps the connection. If not: write what is left, close, and report it with
    /// [`handle_closed`](Self::handle_closed).
    #[must_use]
    pub fn wants_transport(&self, id: ConnectionId) -> bool {
        let connection = self.connections.get(&id);
        connection
            .is_some_and(|connection| !connection.is_over() || connection.is_held_up(&self.world))
    }

    /// Returns whether a connection that the bridge no longer wants is to be reset (RST) rather than closed. This
    /// happens only under a fault; nothing is left to write then.
    #[must_use]
    pub fn wants_reset(&self, id: ConnectionId) -> bool {
        let connection = self.connections.get(&id);
        connection.is_some_and(BridgeConnection::is_reset)
    }

    /// Returns whether the bridge wants more input from a client now; false while a MiB waits to be written to it, and
    /// while a fault that limits the rate holds back what has arrived.
    /// Input is accepted anyway.
    #[must_use]
    pub fn wants_input(&self, id: ConnectionId) -> bool {
        let connection = self.connections.get(&id);
        connection.is_some_and(BridgeConnection::wants_input)
    }

    /// Returns the current registry.
    #[must_use]
    pub fn registry(&self) -> &Registry {
        &self.world.registry
    }

    /// Returns the settings.
    #[must_use]
    pub fn settings(&self) -> &Settings {
        &self.world.settings
    }

    /// Returns the settings, which may be changed from now on.
    pub fn settings_mut(&mut self) -> &mut Settings {
        &mut self.world.settings
    }

    /// Returns what the cloud knows about a device, or `None` if it is not in the registry.
    #[must_use]
    pub fn device(&self, id: &str) -> Option<&DeviceRecord> {
        self.world.records.get(id)
    }

    /// Returns the devices and gateways that have a connection of their own, in order.
    pub fn connected(&self) -> impl Iterator<Item = (&str, ConnectionId)> {
        let connected = self.world.connected.iter();
        connected.map(|(device, connection)| (device.as_str(), *connection))
    }

    /// Returns whether a client is a gateway, by the name with which it connected.
    #[must_use]
    pub fn is_gateway(&self, client: &str) -> bool {
        self.client(client).is_some_and(Client::is_gateway)
    }

    /// Returns the devices that a gateway has attached, in order; none if it is not connected.
    pub fn attached(&self, gateway: &str) -> impl Iterator<Item = &str> {
        self.client(gateway).into_iter().flat_map(Client::attached)
    }

    /// Returns the topic filters that a client has subscribed to, with the granted QoS, in order.
    pub fn subscriptions(&self, client: &str) -> impl Iterator<Item = (String, u8)> {
        self.client(client)
            .into_iter()
            .flat_map(Client::subscriptions)
    }

    fn client(&self, device: &str) -> Option<&Client> {
        let id = self.world.connected.get(device)?;
        self.connections.get(id)?.client()
    }

    /// Processes the notices that connections have sent to each other.
    fn process_notices(&mut self, now: Instant) {
        for notice in core::mem::take(&mut self.world.notices) {
            match notice {
                Notice::TakeOver { older } => {
                    if let Some(connection) = self.connections.get_mut(&older) {
                        connection.end(CloseReason::TakenOver, &mut self.world);
                    }
                }
                Notice::LoseDevice { older, device } => {
                    if let Some(connection) = self.connections.get_mut(&older) {
                        connection.serve(&mut self.world, now, |client, cx| {
                            client.lose(&device, DetachCause::AttachedElsewhere, cx);
                            Ok(())
                        });
                    }
                }
            }
        }
    }
}

impl fmt::Display for ConnectionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "#{}", self.0)
    }
}
