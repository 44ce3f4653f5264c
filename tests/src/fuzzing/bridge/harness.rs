//! A bridge, its clients' transports and its operator; checks all invariants after every call.

use core::time::Duration;
use std::collections::BTreeMap;
use std::sync::LazyLock;
use std::time::Instant;

use crate::bridge::event::Event;
use crate::fuzzing::differential::server_packet::{self, Malformed, ServerPacket};
use crate::fuzzing::start;
use crate::link::{BOUND, GATEWAY, PUBLIC_KEYS, UNBOUND, registry};
use crate::{AuthMethod, Bridge, ConnectionId, Registry, Settings};

/// The start of virtual time: 2026-01-01.
pub(super) const START: u64 = 1_767_225_600;

const SECOND_GATEWAY: &str = "gateway-2";

/// The devices of the registry, and one that is not in it.
pub(super) const DEVICES: [&str; 7] = [
    GATEWAY,
    SECOND_GATEWAY,
    BOUND[0],
    BOUND[1],
    BOUND[2],
    UNBOUND,
    "nobody-1",
];

/// The maximum number of open transports.
const MOST_CONNECTIONS: usize = 4;

/// The number of unwritten bytes at which the bridge ends a connection, plus the largest packet that it sends.
const MOST_UNWRITTEN: usize = 64 * 1024 * 1024 + 512 * 1024;

/// The maximum number of unpolled events that the bridge keeps.
const MOST_EVENTS: usize = 65_536;

/// An output of a bridge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Output {
    Bytes(ConnectionId, Vec<u8>),
    Event(Event),
}

/// Two gateways and their devices, by the gateways' method; built once, because parsing keys takes longer than a run.
static REGISTRIES: LazyLock<[Registry; 4]> = LazyLock::new(|| {
    let methods = [
        AuthMethod::AssociationOnly,
        AuthMethod::DeviceAuthTokenOnly,
        AuthMethod::AssociationAndDeviceAuthToken,
        AuthMethod::Unspecified,
    ];
    methods.map(|method| {
        let mut registry = registry(method);
        let added = registry.add_gateway(SECOND_GATEWAY, &PUBLIC_KEYS, method);
        let bound = added.and_then(|()| registry.bind(SECOND_GATEWAY, BOUND[0]));
        bound.expect("a second gateway");
        registry
    })
});

/// A bridge and its environment.
#[derive(Debug)]
pub(super) struct Harness {
    bridge: Bridge,
    now: Instant,
    connections: BTreeMap<ConnectionId, Transport>,
    current: Option<ConnectionId>,
    history: Vec<Output>,
}

/// What a client has received.
#[derive(Debug, Default)]
struct Transport {
    received: Vec<u8>,
    has_connack: bool,
    /// The number of bytes that were unwritten when the bridge ended the connection.
    left: Option<usize>,
}

impl Harness {
    /// Creates a bridge with the registry of this index, in the order of the authentication methods.
    pub(super) fn new(registry: usize, settings: Settings) -> Self {
        let registry = REGISTRIES[registry % REGISTRIES.len()].clone();
        let now = start();
        let mut harness = Self {
            bridge: Bridge::new(registry, settings, now, START),
            now,
            connections: BTreeMap::new(),
            current: None,
            history: Vec::new(),
        };
        harness.accept();
        harness
    }

    /// Accepts a client's transport and makes it the current one.
    pub(super) fn accept(&mut self) {
        if self.connections.len() < MOST_CONNECTIONS {
            let id = self.bridge.accept(self.now);
            self.connections.insert(id, Transport::default());
            self.current = Some(id);
            self.check();
        }
    }

    /// Makes another transport the current one.
    pub(super) fn select(&mut self, index: usize) {
        let index = index % self.connections.len().max(1);
        self.current = self.connections.keys().nth(index).copied();
    }

    /// Receives bytes from the current client, in fragments of this length, or of 1/256 of the bytes if that is longer.
    pub(super) fn input(&mut self, bytes: &[u8], fragment: usize) {
        if let Some(id) = self.current {
            for fragment in bytes.chunks(fragment.max(bytes.len() / 256).max(1)) {
                self.bridge.handle_input(id, fragment, self.now);
            }
            self.check();
        }
    }

    /// Transmits this many of the pending bytes on the current transport.
    pub(super) fn transmit(&mut self, length: usize) {
        let Some(id) = self.current else {
            return;
        };
        let waiting = self.bridge.poll_transmit(id);
        let taken = waiting[..length.min(waiting.len())].to_vec();
        self.bridge.handle_transmitted(id, taken.len(), self.now);
        if let Some(transport) = self.connections.get_mut(&id)
            && !taken.is_empty()
        {
            transport.receive(&taken);
            self.history.push(Output::Bytes(id, taken));
        }
        self.check();
    }

    /// Closes the current transport.
    pub(super) fn close(&mut self) {
        if let Some(id) = self.current.take() {
            self.bridge.handle_closed(id, self.now);
            self.connections.remove(&id);
            assert!(!self.bridge.wants_transport(id));
            assert_eq!(self.bridge.poll_transmit(id), b"");
            self.select(0);
            self.check();
        }
    }

    pub(super) fn inject(&mut self, line: &str) {
        let fault = line.parse().expect("a line of a fault");
        let injected = self.bridge.inject(fault, self.now);
        injected.expect("a fault for all clients");
        self.check();
    }

    /// Executes an operator's command for a device; it may be refused.
    pub(super) fn operate(&mut self, kind: u8, which: u8) {
        let (bridge, now) = (&mut self.bridge, self.now);
        let device = DEVICES[usize::from(which) % DEVICES.len()];
        let refused = match kind & 7 {
            0 => bridge.send_config(device, "config", now).err(),
            1 => bridge.send_command(device, None, "command", now).err(),
            2 => bridge.send_command(device, Some("a/b"), "", now).err(),
            3 => bridge.detach_with_error(device, now).err(),
            4 => bridge.drop_connection(device, now).err(),
            5 => bridge.set_blocked(device, which & 1 == 0, now).err(),
            6 => bridge.unbind(GATEWAY, device, now).err(),
            _ => bridge.bind(GATEWAY, device).err(),
        };
        drop(refused);
        self.check();
    }

    /// Advances time, from deadline to deadline.
    pub(super) fn wait(&mut self, duration: Duration) {
        let end = self.now + duration;
        let most = 64 + 64 * duration.as_secs();
        for _ in 0..most {
            match self.bridge.poll_timeout().filter(|at| *at <= end) {
                Some(at) => self.tick(at),
                None => return self.tick(end),
            }
        }
        panic!("{most} timeouts within {duration:?}");
    }

    /// Reports a later time, regardless of deadlines in between.
    pub(super) fn timeout(&mut self, later: Duration) {
        self.tick(self.now + later);
    }

    fn tick(&mut self, at: Instant) {
        self.now = self.now.max(at);
        self.bridge.handle_timeout(self.now);
        let next = self.bridge.poll_timeout();
        assert!(
            next.is_none_or(|next| next > self.now),
            "a deadline that passed stays"
        );
        self.check();
    }

    /// Closes every transport, and returns all outputs.
    pub(super) fn finish(mut self) -> Vec<Output> {
        while self.current.is_some() {
            self.transmit(usize::MAX);
            self.close();
        }
        assert_eq!(self.bridge.connected().count(), 0);
        assert_eq!(
            self.bridge.poll_timeout(),
            None,
            "a deadline without a connection"
        );
        let events: Vec<_> = core::iter::from_fn(|| self.bridge.poll_event()).collect();
        assert!(events.len() <= MOST_EVENTS);
        self.history.extend(events.into_iter().map(Output::Event));
        self.history
    }

    /// Checks the invariants that hold between any two calls.
    fn check(&mut self) {
        let is_segmented = !self.bridge.faults().is_empty();
        for (id, transport) in &mut self.connections {
            let waiting = self.bridge.poll_transmit(*id).len();
            assert!(waiting <= MOST_UNWRITTEN);
            if self.bridge.wants_transport(*id) {
                assert!(!self.bridge.wants_reset(*id));
                continue;
            }
            // A fault may hide a part of the pending bytes.
            if is_segmented || transport.left.is_none() {
                transport.left = (!is_segmented).then_some(waiting);
            }
            if let Some(left) = &mut transport.left {
                assert!(waiting <= *left, "more is sent after the end");
                *left = waiting;
            }
        }
        for (device, id) in self.bridge.connected() {
            assert!(self.bridge.wants_transport(id), "{device} is connected");
        }
        let known = |device: &str| self.bridge.device(device).is_some();
        for gateway in [GATEWAY, SECOND_GATEWAY] {
            assert!(self.bridge.attached(gateway).all(known));
        }
    }
}

impl Transport {
    /// Parses what the bridge has sent.
    fn receive(&mut self, bytes: &[u8]) {
        self.received.extend_from_slice(bytes);
        loop {
            let is_connack = match server_packet::read(&self.received) {
                Ok(None) => return,
                Ok(Some((packet, length))) => {
                    self.received.drain(..length);
                    matches!(packet, ServerPacket::ConnAck { .. })
                }
                // The service uses its own return codes.
                Err(Malformed::ReturnCode(13 | 0x13)) => {
                    self.received.drain(..4);
                    true
                }
                Err(malformed) => panic!("the bridge sends {malformed:?}: {:02x?}", self.received),
            };
            assert_ne!(is_connack, self.has_connack, "CONNACK comes first and once");
            self.has_connack = true;
        }
    }
}
