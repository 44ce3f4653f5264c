//! A gateway and the bridge on a virtual network, in virtual time: no sockets, no threads, no sleeping.
//!
//! ```
//! use core::time::Duration;
//! use iotcore_gateway::{Event, Options, Outcome, Publication};
//! use iotcore_gateway_testkit::link::Link;
//!
//! let mut link = Link::new(Options::default());
//! let now = link.now();
//! link.gateway.open(now)?;
//! let (sensor, _) = link.gateway.attach("sensor-1".try_into()?, None, now)?;
//! let op = link.gateway.publish(Publication::telemetry(sensor, "21.5"), now)?;
//! link.run(Duration::from_millis(500));
//! link.cut();
//! link.run(Duration::from_secs(10));
//! assert!(link.events().contains(&Event::Done { op, outcome: Outcome::Acknowledged }));
//! assert_eq!(link.bridge.device("sensor-1").unwrap().telemetry_total(), 1);
//! # Ok::<(), Box<dyn core::error::Error>>(())
//! ```

use core::fmt;
use core::time::Duration;
use std::collections::VecDeque;
use std::time::Instant;

use iotcore_gateway::{
    Algorithm, ClientId, Event, Gateway, Options, SigningKey, Token, TransportEnd, UnixTime,
};

use crate::bridge::event::Event as BridgeEvent;
use crate::{AuthMethod, Bridge, ConnectionId, Registry, Settings};

/// The gateway that [`Link::new`] makes.
pub const GATEWAY: &str = "gateway-1";

/// Devices that [`Link::new`] binds to the gateway.
pub const BOUND: [&str; 3] = ["sensor-1", "sensor-2", "sensor-3"];

/// A device of the registry that is not bound to the gateway.
pub const UNBOUND: &str = "stranger-1";

/// 2026-01-01: when virtual time begins.
const START: UnixTime = UnixTime::from_secs(1_767_225_600);

pub(crate) const GATEWAY_KEY: &[u8] = include_bytes!("link/gateway.key.pem");
pub(crate) const GATEWAY_PUBLIC_KEY: &str = include_str!("link/gateway.pub.pem");

/// A [`Gateway`], a [`Bridge`], and the network between them.
#[derive(Debug)]
pub struct Link {
    /// The gateway under test; give it commands as of [`now`](Self::now), then [`run`](Self::run).
    pub gateway: Gateway,
    /// The bridge; the same holds for what its operator does.
    pub bridge: Bridge,
    /// How the network behaves; may be changed at any time, for what is sent from then on.
    pub network: Network,
    key: SigningKey,
    token_lifetime: Duration,
    start: Instant,
    now: Instant,
    transport: Option<Transport>,
    /// Where and after how many more bytes the transport is cut.
    cut: Option<(Side, usize)>,
    events: Vec<Event>,
    bridge_events: Vec<BridgeEvent>,
}

/// How the network behaves.
#[derive(Clone, Copy, Debug)]
pub struct Network {
    /// From the sending of a byte to its arrival.
    pub latency: Duration,
    /// Bytes come in fragments of at most this many, at least 1.
    pub fragment: usize,
}

/// One side of the link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// The gateway.
    Gateway,
    /// The bridge.
    Bridge,
}

/// A transport that is up.
#[derive(Debug)]
struct Transport {
    connection: ConnectionId,
    to_bridge: VecDeque<Segment>,
    to_gateway: VecDeque<Segment>,
}

/// Bytes on their way, or the end of the stream. `Debug` shows none of them, for they may be a token.
struct Segment {
    arrives: Instant,
    content: Option<Vec<u8>>,
}

impl fmt::Debug for Segment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Segment")
            .field("arrives", &self.arrives)
            .field("bytes", &self.content.as_ref().map(Vec::len))
            .finish()
    }
}

impl Link {
    /// A gateway named [`GATEWAY`], which has not been opened, and a bridge that knows it. The gateway authenticates
    /// devices by their association; [`BOUND`] are bound to it.
    pub fn new(options: Options) -> Self {
        Self::with_registry(
            options,
            registry(AuthMethod::AssociationOnly),
            Settings::default(),
        )
    }

    /// The same with a registry of the caller's, which must hold [`GATEWAY`] with the key of [`registry`].
    pub fn with_registry(options: Options, registry: Registry, settings: Settings) -> Self {
        #[expect(
            clippy::disallowed_methods,
            reason = "virtual time has to start somewhere"
        )]
        let start = Instant::now();
        let client_id = ClientId::new(
            registry
                .project()
                .try_into()
                .expect("the registry has checked its ids"),
            "us-central1".try_into().expect("legal"),
            "my-registry".try_into().expect("legal"),
            GATEWAY.try_into().expect("legal"),
        );
        Self {
            gateway: Gateway::new(client_id, options, 1).expect("options that work"),
            bridge: Bridge::new(registry, settings, start, START.as_secs()),
            network: Network {
                latency: Duration::from_millis(20),
                fragment: 1_400,
            },
            key: SigningKey::from_pem(GATEWAY_KEY, Algorithm::Es256).expect("a key for ES256"),
            token_lifetime: Duration::from_secs(3_600),
            start,
            now: start,
            transport: None,
            cut: None,
            events: Vec::new(),
            bridge_events: Vec::new(),
        }
    }

    /// The virtual instant.
    pub fn now(&self) -> Instant {
        self.now
    }

    /// The virtual time of day.
    pub fn unix_now(&self) -> UnixTime {
        START.saturating_add(self.now - self.start)
    }

    /// For how long the gateway's tokens are valid, from the next connection on (default 1 h).
    pub fn set_token_lifetime(&mut self, lifetime: Duration) {
        self.token_lifetime = lifetime;
    }

    /// Lets virtual time pass: bytes arrive and timers fall due, in order.
    pub fn run(&mut self, duration: Duration) {
        let end = self.now + duration;
        self.settle();
        while let Some(next) = self.next_wake_up().filter(|next| *next <= end) {
            self.now = self.now.max(next);
            self.deliver();
            self.run_timers();
            self.settle();
        }
        self.now = end;
    }

    /// Lets time pass until this holds, and gives whether it did before the time was over.
    pub fn run_until(&mut self, limit: Duration, condition: impl Fn(&Self) -> bool) -> bool {
        let end = self.now + limit;
        self.settle();
        while !condition(self) {
            match self.next_wake_up().filter(|next| *next <= end) {
                Some(next) => self.run(next.saturating_duration_since(self.now)),
                None => return false,
            }
        }
        true
    }

    /// Cuts the transport: what is on its way is lost, and both sides notice at once.
    pub fn cut(&mut self) {
        if let Some(transport) = self.transport.take() {
            self.bridge.handle_closed(transport.connection, self.now);
            self.gateway
                .handle_disconnected(TransportEnd::Broken, self.now);
        }
    }

    /// Ends the gateway's process and starts it anew: the transport is cut, and all that the gateway held is forgotten.
    pub fn restart(&mut self, options: Options) {
        self.cut();
        let client_id = self.gateway.client_id().clone();
        self.gateway = Gateway::new(client_id, options, 2).expect("options that work");
        self.events.clear();
    }

    /// Cuts the transport once so many more bytes have arrived at this side, in the middle of a packet or not.
    pub fn cut_after(&mut self, side: Side, bytes: usize) {
        self.cut = Some((side, bytes));
        self.cut_if_reached();
    }

    /// Whether a cut is still to come.
    pub fn awaits_cut(&self) -> bool {
        self.cut.is_some()
    }

    /// The part of what arrives at a side that arrives before the cut.
    fn before_cut<'a>(&mut self, at: Side, bytes: &'a [u8]) -> &'a [u8] {
        match &mut self.cut {
            Some((side, left)) if *side == at => {
                let arriving = bytes.len().min(*left);
                *left -= arriving;
                &bytes[..arriving]
            }
            _ => bytes,
        }
    }

    fn cut_if_reached(&mut self) {
        if matches!(self.cut, Some((_, 0))) && self.transport.is_some() {
            self.cut = None;
            self.cut();
        }
    }

    /// What the gateway has told since the last call.
    pub fn events(&mut self) -> Vec<Event> {
        self.settle();
        core::mem::take(&mut self.events)
    }

    /// What has happened at the bridge since the last call.
    pub fn bridge_events(&mut self) -> Vec<BridgeEvent> {
        self.settle();
        core::mem::take(&mut self.bridge_events)
    }

    /// Dials, hangs up, and puts on the wire what both sides have to send.
    fn settle(&mut self) {
        if self.gateway.wants_transport() && self.transport.is_none() {
            self.dial();
        }
        self.transmit();
        if !self.gateway.wants_transport() {
            self.hang_up();
        }
        self.events
            .extend(core::iter::from_fn(|| self.gateway.poll_event()));
        self.bridge_events
            .extend(core::iter::from_fn(|| self.bridge.poll_event()));
    }

    fn dial(&mut self) {
        let connection = self.bridge.accept(self.now);
        self.transport = Some(Transport {
            connection,
            to_bridge: VecDeque::new(),
            to_gateway: VecDeque::new(),
        });
        let token = self.mint();
        self.gateway.handle_connected(token, self.now);
    }

    fn mint(&self) -> Token {
        let project = self.gateway.client_id().project();
        let unix_now = self.unix_now();
        let token = self
            .key
            .token(project, self.token_lifetime, self.now, unix_now);
        token.expect("a lifetime within the limits")
    }

    /// The gateway hangs up: the bridge still gets what was sent before.
    fn hang_up(&mut self) {
        if let Some(mut transport) = self.transport.take() {
            for segment in transport.to_bridge.drain(..) {
                let bytes = segment.content.unwrap_or_default();
                self.bridge
                    .handle_input(transport.connection, &bytes, self.now);
            }
            self.bridge.handle_closed(transport.connection, self.now);
            self.gateway
                .handle_disconnected(TransportEnd::PeerClosed, self.now);
        }
    }

    fn transmit(&mut self) {
        let Some(transport) = &mut self.transport else {
            return;
        };
        let (arrives, connection) = (self.now + self.network.latency, transport.connection);
        let send = |queue: &mut VecDeque<Segment>, bytes: &[u8]| {
            let fragments = bytes.chunks(self.network.fragment.max(1));
            queue.extend(fragments.map(|bytes| Segment {
                arrives,
                content: Some(bytes.to_vec()),
            }));
            bytes.len()
        };
        loop {
            let sent = send(&mut transport.to_bridge, self.gateway.poll_transmit());
            self.gateway.handle_transmitted(sent, self.now);
            let answered = send(
                &mut transport.to_gateway,
                self.bridge.poll_transmit(connection),
            );
            self.bridge
                .handle_transmitted(connection, answered, self.now);
            if sent + answered == 0 {
                break;
            }
        }
        let is_ended = transport
            .to_gateway
            .back()
            .is_some_and(|last| last.content.is_none());
        if !self.bridge.wants_transport(connection) && !is_ended {
            transport.to_gateway.push_back(Segment {
                arrives,
                content: None,
            });
        }
    }

    /// Hands over what has arrived.
    fn deliver(&mut self) {
        while let Some(segment) = self.arrived(|transport| &mut transport.to_bridge)
            && let Some(connection) = self.transport.as_ref().map(|up| up.connection)
        {
            let bytes = segment.content.unwrap_or_default();
            let bytes = self.before_cut(Side::Bridge, &bytes);
            self.bridge.handle_input(connection, bytes, self.now);
            self.cut_if_reached();
        }
        while self.gateway.wants_input()
            && let Some(segment) = self.arrived(|transport| &mut transport.to_gateway)
        {
            match segment.content {
                Some(bytes) => {
                    let bytes = self.before_cut(Side::Gateway, &bytes);
                    self.gateway.handle_input(bytes, self.now);
                    self.cut_if_reached();
                }
                None => self.end_of_stream(),
            }
            let gateway = &mut self.gateway;
            self.events
                .extend(core::iter::from_fn(|| gateway.poll_event()));
        }
    }

    fn arrived(&mut self, queue: fn(&mut Transport) -> &mut VecDeque<Segment>) -> Option<Segment> {
        let queue = queue(self.transport.as_mut()?);
        let has_arrived = queue
            .front()
            .is_some_and(|segment| segment.arrives <= self.now);
        if has_arrived { queue.pop_front() } else { None }
    }

    fn end_of_stream(&mut self) {
        if let Some(transport) = self.transport.take() {
            let end = match self.bridge.wants_reset(transport.connection) {
                true => TransportEnd::Broken,
                false => TransportEnd::PeerClosed,
            };
            self.bridge.handle_closed(transport.connection, self.now);
            self.gateway.handle_disconnected(end, self.now);
        }
    }

    fn run_timers(&mut self) {
        if self.gateway.poll_timeout().is_some_and(|at| at <= self.now) {
            self.gateway.handle_timeout(self.now);
        }
        if self.bridge.poll_timeout().is_some_and(|at| at <= self.now) {
            self.bridge.handle_timeout(self.now);
        }
    }

    fn next_wake_up(&self) -> Option<Instant> {
        let queues = self.transport.iter().flat_map(|transport| {
            let to_gateway = self.gateway.wants_input().then_some(&transport.to_gateway);
            [Some(&transport.to_bridge), to_gateway]
                .into_iter()
                .flatten()
        });
        let arrivals = queues.filter_map(|queue| Some(queue.front()?.arrives));
        let timers = [self.gateway.poll_timeout(), self.bridge.poll_timeout()];
        arrivals.chain(timers.into_iter().flatten()).min()
    }
}

/// The registry of [`Link::new`], with another way to authenticate devices.
pub fn registry(method: AuthMethod) -> Registry {
    let build = || {
        let mut registry = Registry::new("my-project", "us-central1", "my-registry")?;
        registry.add_gateway(GATEWAY, &[GATEWAY_PUBLIC_KEY], method)?;
        for device in BOUND {
            registry.add_device(device, &[GATEWAY_PUBLIC_KEY])?;
            registry.bind(GATEWAY, device)?;
        }
        registry.add_device(UNBOUND, &[GATEWAY_PUBLIC_KEY])?;
        Ok::<_, crate::RegistryError>(registry)
    };
    build().expect("legal ids and a key for ES256")
}
