//! The bridge's behaviours, driven by raw bytes in virtual time.

mod attach;
mod connect;
mod cuts;
mod deliver;
mod faults;
mod operate;
pub(crate) mod packets;
mod publish;
mod service;
mod silence;
mod slowness;
mod subscribe;

use core::time::Duration;
use std::time::Instant;

use packets::{Received, connect, subscribe, token};

use super::close::CloseReason;
use super::event::{Event, EventKind};
use super::registry::{AuthMethod, Registry};
use super::settings::Settings;
use super::{Bridge, ConnectionId};

/// The bridge's clock at the start of each test, in seconds since 1970.
pub(crate) const START: u64 = 1_700_000_000;

pub(crate) const ES256_PRIVATE: &str = include_str!("../../fixtures/es256_private.pem");
pub(crate) const ES256_PUBLIC: &str = include_str!("../../fixtures/es256_public.pem");
pub(crate) const ES256_OTHER_PRIVATE: &str = include_str!("../../fixtures/es256_other_private.pem");
pub(crate) const ES256_OTHER_PUBLIC: &str = include_str!("../../fixtures/es256_other_public.pem");
pub(crate) const RS256_PRIVATE: &str = include_str!("../../fixtures/rs256_private.pem");
pub(crate) const RS256_PUBLIC: &str = include_str!("../../fixtures/rs256_public.pem");

/// A bridge with two gateways, three bound devices, and a device that connects directly.
struct Harness {
    bridge: Bridge,
    now: Instant,
}

impl Harness {
    fn new(auth_method: AuthMethod) -> Self {
        let mut registry = Registry::new("my-project", "us-central1", "my-registry").unwrap();
        for device in ["dev1", "dev2", "dev3", "solo"] {
            registry.add_device(device, &[ES256_PUBLIC]).unwrap();
        }
        for gateway in ["gateway", "gateway2"] {
            registry
                .add_gateway(gateway, &[ES256_PUBLIC], auth_method)
                .unwrap();
            for device in ["dev1", "dev2", "dev3"] {
                registry.bind(gateway, device).unwrap();
            }
        }
        Self::with_registry(registry)
    }

    #[expect(
        clippy::disallowed_methods,
        reason = "an instant has no other beginning"
    )]
    fn with_registry(registry: Registry) -> Self {
        let now = Instant::now();
        Self {
            bridge: Bridge::new(registry, Settings::default(), now, START),
            now,
        }
    }

    fn set(mut self, name: &str, value: &str) -> Self {
        self.bridge.settings_mut().set(name, value).unwrap();
        self
    }

    /// Connects a client with a token valid for one hour, without keep-alive.
    fn connect(&mut self, device: &str) -> ConnectionId {
        let connection = self.bridge.accept(self.now);
        let token = self.token();
        let answer = self.send(connection, &connect(device, &token, 0));
        assert_eq!(answer, [Received::Connack(0)]);
        connection
    }

    /// Connects a gateway that has subscribed to errors, and attaches some devices.
    fn gateway(&mut self, devices: &[&str]) -> ConnectionId {
        let connection = self.connect("gateway");
        let errors = subscribe(1, &[("/devices/gateway/errors", 0)]);
        assert_eq!(
            self.send(connection, &errors),
            [Received::Suback(1, vec![0])]
        );
        for device in devices {
            let attach = packets::publish(&format!("/devices/{device}/attach"), 1, 2, b"{}");
            assert_eq!(self.send(connection, &attach), [Received::Puback(2)]);
        }
        connection
    }

    fn unix(&self) -> u64 {
        self.bridge.world.unix()
    }

    fn token(&self) -> String {
        token(self.unix(), self.unix() + 3600, "my-project", ES256_PRIVATE)
    }

    /// Passes bytes to the bridge and parses its answers.
    fn send(&mut self, connection: ConnectionId, bytes: &[u8]) -> Vec<Received> {
        self.bridge.handle_input(connection, bytes, self.now);
        self.read(connection)
    }

    fn read(&mut self, connection: ConnectionId) -> Vec<Received> {
        let bytes = self.bridge.poll_transmit(connection).to_vec();
        self.bridge
            .handle_transmitted(connection, bytes.len(), self.now);
        packets::parse(&bytes)
    }

    /// Advances time, timer by timer.
    fn pass(&mut self, duration: Duration) {
        let end = self.now + duration;
        while let Some(due) = self.bridge.poll_timeout().filter(|due| *due <= end) {
            self.tick(due);
        }
        self.tick(end);
    }

    fn tick(&mut self, now: Instant) {
        self.now = now;
        self.bridge.handle_timeout(now);
        assert!(self.bridge.poll_timeout().is_none_or(|due| due > now));
    }

    fn is_up(&self, connection: ConnectionId) -> bool {
        self.bridge.wants_transport(connection)
    }

    fn events(&mut self) -> Vec<EventKind> {
        let events = core::iter::from_fn(|| self.bridge.poll_event());
        events.map(|Event { kind, .. }| kind).collect()
    }

    /// Returns the reason of the latest end of a connection.
    fn close_reason(&mut self) -> CloseReason {
        let reason = self
            .events()
            .into_iter()
            .rev()
            .find_map(|event| match event {
                EventKind::Closed { reason, .. } => Some(reason),
                _ => None,
            });
        reason.expect("a connection has ended")
    }
}

/// Returns a duration in seconds.
const fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}
