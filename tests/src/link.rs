//! A gateway and the bridge on a virtual network in virtual time: no sockets, no threads, no sleeping.
//!
//! ```
//! use core::time::Duration;
//! use iotcore_gateway::{DeviceAuth, Event, Options, Outcome, Publication};
//! use iotcore_gateway_testkit::link::Link;
//!
//! let mut link = Link::new(Options::default());
//! let (now, unix_now) = (link.now(), link.unix_now());
//! link.gateway.open(now)?;
//! let (sensor, _) = link.gateway.attach("sensor-1".try_into()?, DeviceAuth::ByAssociation, unix_now, now)?;
//! let op = link.gateway.publish(Publication::telemetry(sensor, "21.5"), now)?;
//! link.run(Duration::from_millis(500));
//! link.cut();
//! link.run(Duration::from_secs(10));
//! assert!(link.events().contains(&Event::Done { op, outcome: Outcome::Acknowledged }));
//! assert_eq!(link.bridge.device("sensor-1").unwrap().telemetry_total(), 1);
//! # Ok::<(), Box<dyn core::error::Error>>(())
//! ```

mod lane;
mod many;
mod network;
mod observer;
mod run;
mod sleep;
pub(crate) mod tokens;

use core::time::Duration;
use std::time::Instant;

use iotcore_gateway::{
    ClientId, Event, Gateway, Options,
    auth::{Token, UnixTime},
    cause::TransportEnd,
};

pub use self::many::{device_id, registry_of};
use self::network::Transport;
pub use self::network::{Network, Rate};
pub use self::observer::{Disturbance, Observation, Observer};
use crate::bridge::event::Event as BridgeEvent;
use crate::pipe::Damage;
pub use crate::pipe::Side;
use crate::{AuthMethod, Bridge, Registry, Settings};

/// The id of the gateway that [`Link::new`] creates.
pub const GATEWAY: &str = "gateway-1";

/// Devices that [`Link::new`] binds to the gateway.
pub const BOUND: [&str; 3] = ["sensor-1", "sensor-2", "sensor-3"];

/// A device of the registry that is not bound to the gateway.
pub const UNBOUND: &str = "stranger-1";

/// The start of virtual time: 2026-01-01.
const START: UnixTime = UnixTime::from_secs(1_767_225_600);

/// The public keys that the gateway and the devices have in [`registry`]: for ES256 and for RS256.
pub(crate) const PUBLIC_KEYS: [&str; 2] = [
    include_str!("link/gateway.pub.pem"),
    include_str!("link/rsa.pub.pem"),
];

/// A [`Gateway`], a [`Bridge`], and the network between them. An [`Observer`] can record what happens.
#[derive(Debug)]
pub struct Link<O = ()> {
    /// The gateway under test; call its methods with the time [`now`](Self::now), then [`run`](Self::run).
    pub gateway: Gateway,
    /// The bridge; operator calls also take the time [`now`](Self::now).
    pub bridge: Bridge,
    /// The behaviour of the network; may be changed at any time and applies to what is sent from then on.
    pub network: Network,
    /// How the gateway is driven; this must not affect a correct gateway.
    pub call_pattern: CallPattern,
    /// The observer.
    pub observer: O,
    token_lifetime: Duration,
    /// How far the gateway's clock is ahead, in seconds.
    clock_error: i64,
    start: Instant,
    /// The clock of the gateway's machine.
    now: Instant,
    /// How far the clocks of the bridge and the network are ahead of it.
    slept: Duration,
    transport: Option<Transport>,
    /// Transports that the gateway closed while the bridge has not noticed yet.
    closing: Vec<Transport>,
    damage: Damage,
    failing_dials: u32,
    dial_failure: TransportEnd,
    /// By the network's clock.
    stalled_until: Instant,
    unpolled_until: Instant,
    events: Vec<Event>,
    bridge_events: Vec<BridgeEvent>,
}

/// How the gateway is driven, which must not affect the results.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CallPattern {
    /// Received bytes are passed on in pieces of at most this many bytes, at least 1.
    pub split: usize,
    /// Whether all outputs are polled, and timeouts that are not due are reported, between any two inputs.
    pub makes_redundant_calls: bool,
}

impl Default for CallPattern {
    /// Passes on everything that was read at once, and makes no unnecessary calls.
    fn default() -> Self {
        Self {
            split: usize::MAX,
            makes_redundant_calls: false,
        }
    }
}

impl Link {
    /// Creates a gateway named [`GATEWAY`], which has not been opened, and a bridge with it in the registry. The
    /// gateway authenticates devices by their association; [`BOUND`] are bound to it.
    pub fn new(options: Options) -> Self {
        Self::with_registry(
            options,
            registry(AuthMethod::AssociationOnly),
            Settings::default(),
        )
    }

    /// Does the same with the caller's registry, which must contain [`GATEWAY`] with the keys of [`registry`].
    pub fn with_registry(options: Options, registry: Registry, settings: Settings) -> Self {
        Self::observed(options, 1, registry, settings, |_| ())
    }
}

/// Setup and fault injection.
impl<O: Observer> Link<O> {
    /// Does the same with an observer, which is constructed at the start time; `seed` is that of the gateway's jitter.
    pub fn observed(
        options: Options,
        seed: u64,
        registry: Registry,
        settings: Settings,
        observer: impl FnOnce(Instant) -> O,
    ) -> Self {
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
            gateway: Gateway::new(client_id, options, seed).expect("options that work"),
            bridge: Bridge::new(registry, settings, start, START.as_secs()),
            network: Network::default(),
            call_pattern: CallPattern::default(),
            observer: observer(start),
            token_lifetime: Duration::from_secs(3_600),
            clock_error: 0,
            start,
            now: start,
            slept: Duration::ZERO,
            transport: None,
            closing: Vec::new(),
            damage: Damage::default(),
            failing_dials: 0,
            dial_failure: TransportEnd::DialFailed,
            stalled_until: start,
            unpolled_until: start,
            events: Vec::new(),
            bridge_events: Vec::new(),
        }
    }

    /// Returns the virtual instant, by the clock of the gateway's machine. The bridge's is ahead by what that machine has
    /// [slept](Self::sleep); it takes earlier instants for its own.
    pub fn now(&self) -> Instant {
        self.now
    }

    /// Returns how much virtual time has passed, including what the gateway's machine has slept.
    pub fn elapsed(&self) -> Duration {
        self.now - self.start + self.slept
    }

    /// Returns the instant by the clock of the bridge and the network.
    fn world_now(&self) -> Instant {
        self.now + self.slept
    }

    /// Returns the virtual time of day according to the gateway's machine.
    pub fn unix_now(&self) -> UnixTime {
        UnixTime::from_secs(self.since_1970().as_secs())
    }

    /// Returns the same in fractions of seconds.
    pub(crate) fn since_1970(&self) -> Duration {
        let right = Duration::from_secs(START.as_secs()) + self.elapsed();
        let error = Duration::from_secs(self.clock_error.unsigned_abs());
        match self.clock_error < 0 {
            true => right.saturating_sub(error),
            false => right + error,
        }
    }

    /// Sets the clock of the gateway's machine this many seconds ahead of the bridge's, or behind it if negative.
    /// Instants do not jump.
    pub fn set_clock_error(&mut self, seconds: i64) {
        self.clock_error = seconds;
    }

    /// Sets the lifetime of the gateway's tokens, starting with the next connection (default 1 h).
    pub fn set_token_lifetime(&mut self, lifetime: Duration) {
        self.token_lifetime = lifetime;
    }

    /// Returns a token that the bridge accepts for the gateway and its devices, if the clock is right. At most 24 h.
    pub fn token(&self, lifetime: Duration) -> Token {
        let project = self.gateway.client_id().project();
        tokens::mint(project, lifetime, self.now, self.unix_now())
    }

    /// Cuts the transport: data in transit is lost, and both sides notice at once.
    pub fn cut(&mut self) {
        if let Some(transport) = self.transport.take() {
            self.observe(Observation::Struck(Disturbance::Cut));
            let now = self.world_now();
            self.bridge.handle_closed(transport.connection, now);
            self.disconnected(TransportEnd::Broken);
        }
    }

    /// Simulates a restart of the gateway's process: the transport is cut, and the gateway's state is lost.
    pub fn restart(&mut self, options: Options) {
        self.cut();
        let client_id = self.gateway.client_id().clone();
        self.gateway = Gateway::new(client_id, options, 2).expect("options that work");
        self.events.clear();
    }

    /// Cuts the transport after this many more bytes have arrived at this side, possibly in the middle of a packet.
    pub fn cut_after(&mut self, side: Side, bytes: usize) {
        self.damage.cut = Some((side, bytes));
        self.cut_if_reached();
    }

    /// Returns whether a cut is pending.
    pub fn awaits_cut(&self) -> bool {
        self.damage.cut.is_some()
    }

    /// Flips a bit, 0 to 7, of the byte that arrives at this side after this many others.
    pub fn flip_after(&mut self, side: Side, bytes: usize, bit: u8) {
        self.damage.flip = Some((side, bytes, bit));
    }

    /// Cancels the pending cut and the pending bit flip.
    pub fn spare(&mut self) {
        self.damage = Damage::default();
    }

    /// Makes the peer vanish: data in transit and data sent from now on is lost, and neither side is notified. Returns
    /// whether there was a transport.
    pub fn go_half_open(&mut self) -> bool {
        let Some(transport) = &mut self.transport else {
            return false;
        };
        transport.go_half_open();
        self.observe(Observation::Struck(Disturbance::HalfOpen));
        true
    }

    /// Makes this many connection attempts fail with this result.
    pub fn fail_dials(&mut self, count: u32, end: TransportEnd) {
        self.failing_dials = count;
        self.dial_failure = end;
    }

    /// Delays all arrivals for this long; nothing is lost. With a [rate](Rate), nothing leaves the buffers either.
    pub fn stall(&mut self, duration: Duration) {
        let now = self.world_now();
        self.stalled_until = now + duration;
        for transport in self.transport.iter_mut().chain(&mut self.closing) {
            transport.stall(self.stalled_until, now);
        }
        if self.transport.is_some() && !duration.is_zero() {
            self.observe(Observation::Struck(Disturbance::Stalled));
        }
    }

    /// Returns how many bytes wait in the kernel buffer towards a side: those that have not left it, at the
    /// [rate](Rate) of the link. Without a rate, none do.
    pub fn buffered(&mut self, to: Side) -> usize {
        let now = self.world_now();
        let transport = self.transport.as_mut();
        transport.map_or(0, |transport| transport.buffered(to, now))
    }

    /// Returns how long the link takes to carry all that is in its buffers, in both directions.
    pub(crate) fn carries_for(&self) -> Duration {
        let transports = self.transport.iter().chain(&self.closing);
        let last = transports.filter_map(Transport::carries_until).max();
        let now = self.world_now();
        last.map_or(Duration::ZERO, |last| last.saturating_duration_since(now))
    }

    /// Leaves the gateway's events unpolled for this long.
    pub fn leave_unpolled(&mut self, duration: Duration) {
        self.unpolled_until = self.now + duration;
    }

    /// Returns whether the gateway's events are currently polled.
    pub fn is_polled(&self) -> bool {
        self.unpolled_until <= self.now
    }

    /// Returns whether there is a transport.
    pub fn is_up(&self) -> bool {
        self.transport.is_some()
    }

    fn cut_if_reached(&mut self) {
        if self.damage.is_cut_due() && self.transport.is_some() {
            self.damage.cut = None;
            self.cut();
        }
    }
}

/// Returns the registry of [`Link::new`], with a different method to authenticate devices.
pub fn registry(method: AuthMethod) -> Registry {
    let build = || {
        let mut registry = Registry::new("my-project", "us-central1", "my-registry")?;
        registry.add_gateway(GATEWAY, &PUBLIC_KEYS, method)?;
        for device in BOUND {
            registry.add_device(device, &PUBLIC_KEYS)?;
            registry.bind(GATEWAY, device)?;
        }
        registry.add_device(UNBOUND, &PUBLIC_KEYS)?;
        Ok::<_, crate::RegistryError>(registry)
    };
    build().expect("legal ids and a key for ES256")
}
