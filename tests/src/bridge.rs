//! The cloud's side of the MQTT bridge, without sockets and clocks.
//!
//! Bytes and instants go in, bytes, events and a deadline come out. Whoever holds a [`Bridge`]
//! accepts transports, hands over what they receive, writes what [`Bridge::poll_transmit`] returns,
//! and closes each once [`Bridge::wants_transport`] is false and nothing is left to write.
//!
//! At the code of each behaviour a comment says how well it is known: *Documented* (by the vendor,
//! or captured traffic), *Inferred* (from clients that work), or *Assumed* (somebody had to decide).
//! What could as well be otherwise is one of the [`Settings`].

pub mod auth;
pub mod close;
pub(crate) mod codec;
pub mod errors;
pub mod event;
pub mod faults;
pub mod operator;
pub mod quotas;
pub mod record;
pub mod registry;
mod session;
pub mod settings;
mod topic;
mod wire;
mod world;

#[cfg(test)]
pub(crate) mod tests;

use core::fmt;
use std::collections::BTreeMap;
use std::time::Instant;

use serde::Serialize;

use close::CloseReason;
pub use codec::Malformed;
use event::{DetachCause, Event, EventKind};
use record::DeviceRecord;
use registry::Registry;
use session::{Client, Session};
use settings::Settings;
use world::{Notice, World};

/// The cloud's side of the bridge: a registry, and any number of connections.
///
/// Deterministic: the same calls with the same arguments give the same bytes and events.
/// Memory is bounded per connection (a frame of 1 MiB, 64 MiB unwritten, 10,000 messages in flight
/// of which commands have 16 MiB) and per device (see [`DeviceRecord`]); events that nobody polls
/// are forgotten after 65,536.
#[derive(Debug)]
pub struct Bridge {
    world: World,
    sessions: BTreeMap<ConnectionId, Session>,
    last_id: u64,
}

/// A transport that the bridge has accepted. Never used again for another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct ConnectionId(u64);

impl Bridge {
    /// A bridge that nothing is connected to, at an instant that is also given in seconds since
    /// 1970. Later instants may be given in any order; time never runs back.
    #[must_use]
    pub fn new(registry: Registry, settings: Settings, now: Instant, unix_now: u64) -> Self {
        Self {
            world: World::new(registry, settings, now, unix_now),
            sessions: BTreeMap::new(),
            last_id: 0,
        }
    }

    /// A client's transport is up, TLS included.
    pub fn accept(&mut self, now: Instant) -> ConnectionId {
        let now = self.world.advance_to(now);
        self.last_id += 1;
        let id = ConnectionId(self.last_id);
        self.world.log(Some(id), None, EventKind::Accepted);
        let mut session = Session::new(id, now);
        session.handle_accepted(&mut self.world);
        self.sessions.insert(id, session);
        id
    }

    /// A transport did not come up, for a reason that the operator may want to know.
    pub fn handle_failed_transport(&mut self, reason: String, now: Instant) {
        self.world.advance_to(now);
        self.world
            .log(None, None, EventKind::TransportFailed { reason });
    }

    /// Bytes came, in fragments of any size. Takes all; after the connection's end they are ignored.
    pub fn handle_input(&mut self, connection: ConnectionId, bytes: &[u8], now: Instant) {
        let now = self.world.advance_to(now);
        if let Some(session) = self.sessions.get_mut(&connection) {
            session.handle_input(bytes, &mut self.world, now);
        }
        self.settle(now);
    }

    /// A prefix of [`poll_transmit`](Self::poll_transmit) was handed to the transport.
    pub fn handle_transmitted(&mut self, connection: ConnectionId, len: usize, now: Instant) {
        self.world.advance_to(now);
        if let Some(session) = self.sessions.get_mut(&connection) {
            session.handle_transmitted(len);
        }
    }

    /// The transport ended, by whichever side. Nothing more can be asked about the connection.
    pub fn handle_closed(&mut self, connection: ConnectionId, now: Instant) {
        self.world.advance_to(now);
        if let Some(mut session) = self.sessions.remove(&connection) {
            session.end(CloseReason::ConnectionLost, &mut self.world);
        }
    }

    /// Time has passed. Without a due timer nothing changes.
    pub fn handle_timeout(&mut self, now: Instant) {
        let now = self.world.advance_to(now);
        for session in self.sessions.values_mut() {
            session.handle_timeout(&mut self.world, now);
        }
        self.settle(now);
    }

    /// The bytes that wait to be written to a client; while a fault has them written in segments, the
    /// next segment of them.
    #[must_use]
    pub fn poll_transmit(&self, connection: ConnectionId) -> &[u8] {
        let Some(session) = self.sessions.get(&connection) else {
            return &[];
        };
        let bytes = session.unwritten();
        let segment = self.world.faults.segment(session.client_name());
        segment
            .and_then(|length| bytes.get(..length.get()))
            .unwrap_or(bytes)
    }

    /// The oldest event that was not polled.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.world.events.pop_front()
    }

    /// When [`handle_timeout`](Self::handle_timeout) is due: after it was called with an instant,
    /// always later than that.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        let settings = &self.world.settings;
        let sessions = self.sessions.values();
        sessions
            .filter_map(|session| session.deadline(settings))
            .min()
    }

    /// Whether the bridge keeps the connection. If not: write what is left, close, and say so by
    /// [`handle_closed`](Self::handle_closed).
    #[must_use]
    pub fn wants_transport(&self, connection: ConnectionId) -> bool {
        let session = self.sessions.get(&connection);
        session.is_some_and(|session| !session.is_over())
    }

    /// Whether a connection that the bridge no longer wants is to be reset (RST) rather than closed.
    /// Only a fault asks for it; nothing is left to write then.
    #[must_use]
    pub fn wants_reset(&self, connection: ConnectionId) -> bool {
        let session = self.sessions.get(&connection);
        session.is_some_and(Session::is_reset)
    }

    /// Whether the bridge would read more from a client now; false while a MiB waits to be written
    /// to it. Input is taken all the same.
    #[must_use]
    pub fn wants_input(&self, connection: ConnectionId) -> bool {
        let session = self.sessions.get(&connection);
        session.is_some_and(Session::wants_input)
    }

    /// The registry, as it is now.
    #[must_use]
    pub fn registry(&self) -> &Registry {
        &self.world.registry
    }

    /// The answers to the open questions.
    #[must_use]
    pub fn settings(&self) -> &Settings {
        &self.world.settings
    }

    /// The same, to change from now on.
    pub fn settings_mut(&mut self) -> &mut Settings {
        &mut self.world.settings
    }

    /// What the cloud knows of a device, or `None` if the registry has none of that name.
    #[must_use]
    pub fn device(&self, id: &str) -> Option<&DeviceRecord> {
        self.world.records.get(id)
    }

    /// The devices and gateways that have connected themselves, in order.
    pub fn connected(&self) -> impl Iterator<Item = (&str, ConnectionId)> {
        let connected = self.world.connected.iter();
        connected.map(|(device, connection)| (device.as_str(), *connection))
    }

    /// Whether a client is a gateway, by the name it connected with.
    #[must_use]
    pub fn is_gateway(&self, client: &str) -> bool {
        self.client(client).is_some_and(Client::is_gateway)
    }

    /// The devices that a gateway has attached, in order; none if it is not connected.
    pub fn attached(&self, gateway: &str) -> impl Iterator<Item = &str> {
        self.client(gateway).into_iter().flat_map(Client::attached)
    }

    /// The topic filters that a client has subscribed with the QoS granted, in order.
    pub fn subscriptions(&self, client: &str) -> impl Iterator<Item = (String, u8)> {
        self.client(client)
            .into_iter()
            .flat_map(Client::subscriptions)
    }

    fn client(&self, device: &str) -> Option<&Client> {
        let connection = self.world.connected.get(device)?;
        self.sessions.get(connection)?.client()
    }

    /// Does what connections have asked of each other.
    fn settle(&mut self, now: Instant) {
        for notice in core::mem::take(&mut self.world.notices) {
            match notice {
                Notice::TakeOver { older } => {
                    if let Some(session) = self.sessions.get_mut(&older) {
                        session.end(CloseReason::TakenOver, &mut self.world);
                    }
                }
                Notice::LoseDevice { older, device } => {
                    if let Some(session) = self.sessions.get_mut(&older) {
                        session.serve(&mut self.world, now, |client, cx| {
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
