//! The async driver on a virtual clock and network: runs your gateway's code against the bridge without real waiting.
//!
//! A [`Simulation`] runs futures on the thread of the test. Whenever all of them wait, its clock jumps to the next
//! event, so that an hour of keep-alives takes milliseconds and every run is identical. [`SimRuntime`] is the
//! [`Runtime`] for the driver, and the handle of its environment: the [`Bridge`], the clock, and a network that is
//! slow, cut or silent as a test requires.
//!
//! This module is for code that uses the driver. The machine itself is tested in [`script`](crate::script), which runs
//! thousands of sessions on the bare [`Gateway`](iotcore_gateway::Gateway).
//!
//! # Your own code in virtual time
//!
//! Code that takes its [`Client`](iotcore_gateway::driver::Client) and its runtime as arguments runs here as it does on
//! Tokio:
//!
//! ```
//! use core::time::Duration;
//! use iotcore_gateway::{DeviceId, driver::{Client, Runtime, error::AttachError}};
//! use iotcore_gateway_testkit::simulation::Simulation;
//!
//! /// The code under test: a reading every minute, for an hour.
//! async fn report(client: Client, runtime: impl Runtime) -> Result<(), AttachError> {
//!     let sensor = client.attach("sensor-1".parse::<DeviceId>().expect("legal")).await?;
//!     for minute in 0..60 {
//!         // Accepted is enough: what the bridge has not acknowledged is kept over lost connections.
//!         drop(sensor.telemetry(format!("reading {minute}")).await);
//!         runtime.sleep_until(runtime.now() + Duration::from_secs(60)).await;
//!     }
//!     Ok(())
//! }
//!
//! let simulation = Simulation::new();
//! let world = simulation.runtime();
//! let (client, driver) = simulation.setup().start(world.clone())?;
//! let driver = simulation.spawn(driver.run());
//! let reporting = simulation.spawn(report(client.clone(), world.clone()));
//! simulation.run(async {
//!     world.sleep(Duration::from_secs(20 * 60)).await;
//!     world.half_open(); // as if a cable was unplugged
//!     reporting.await.expect("attached");
//!     assert!(client.close().await.unsent.is_empty());
//!     driver.await;
//! });
//! world.with(|bridge, _| {
//!     let readings = bridge.device("sensor-1").expect("in the registry").telemetry();
//!     let readings: std::collections::BTreeSet<_> = readings.map(|reading| &reading.payload).collect();
//!     assert_eq!(readings.len(), 60);
//! });
//! # Ok::<(), Box<dyn core::error::Error>>(())
//! ```
//!
//! A test that has to control when and with which bytes the gateway is answered can act as the bridge:
//! [`SimRuntime::play_bridge`].
//!
//! The gateway of [`Simulation::setup`] is that of [`link`]; for other devices, limits or TLS use
//! [`Simulation::with_bridge`].

mod clock;
mod disk;
mod executor;
mod jobs;
mod names;
mod network;
mod peer;
mod runtime;
mod stream;
#[cfg(test)]
mod tests;
mod tls;
mod wire;
mod world;

use core::fmt;
use core::future::poll_fn;
use core::pin::pin;
use core::task::Poll;
use core::time::Duration;
use std::io;
use std::rc::Rc;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use iotcore_gateway::driver::{KeyTokens, Runtime, Security, Setup};
use iotcore_gateway::{
    Algorithm, ClientId,
    auth::{SigningKey, UnixTime},
};
use rustls::ServerConfig;

pub use self::disk::SimDisk;
use self::executor::Executor;
pub use self::executor::Task;
pub use self::jobs::JobTime;
pub use self::network::{Dials, Lookups, Network};
pub use self::peer::{GatewayEnd, Peer};
pub use self::stream::SimStream;
use self::wire::Wire;
use self::world::World;
use crate::link::{self, Side};
use crate::pipe::Content;
use crate::{AuthMethod, Bridge, Registry, Settings};

/// The start of virtual time: 2026-01-01.
const START: UnixTime = UnixTime::from_secs(1_767_225_600);

/// The private key of [`link::GATEWAY`].
const GATEWAY_KEY: &[u8] = include_bytes!("link/gateway.key.pem");

/// Tasks, a clock, a network, and a bridge connected to it.
pub struct Simulation {
    executor: Rc<Executor>,
    runtime: SimRuntime,
}

impl Simulation {
    /// Creates the bridge of [`link::registry`], which authenticates devices by their association with the gateway,
    /// without TLS.
    #[must_use]
    pub fn new() -> Self {
        let registry = link::registry(AuthMethod::AssociationOnly);
        Self::with_bridge(registry, Settings::default(), None)
    }

    /// Creates a bridge with this registry, behind TLS if there is a configuration for it.
    #[must_use]
    pub fn with_bridge(
        registry: Registry,
        settings: Settings,
        tls: Option<Arc<ServerConfig>>,
    ) -> Self {
        #[expect(
            clippy::disallowed_methods,
            reason = "virtual time has to start somewhere"
        )]
        let start = Instant::now();
        let bridge = Bridge::new(registry, settings, start, START.as_secs());
        Self {
            executor: Rc::default(),
            runtime: SimRuntime(Arc::new(Mutex::new(World::new(bridge, tls, start)))),
        }
    }

    /// Returns the runtime to start the driver with, which is also the handle of everything else.
    #[must_use]
    pub fn runtime(&self) -> SimRuntime {
        self.runtime.clone()
    }

    /// Returns the setup of the gateway [`link::GATEWAY`] with its key, without TLS, and with the same jitter each
    /// time.
    ///
    /// A custom registry must contain this gateway with the key of [`link::registry`].
    pub fn setup(&self) -> Setup<KeyTokens> {
        let registry = self.runtime.with(|bridge, _| {
            let registry = bridge.registry();
            ClientId::new(
                registry
                    .project()
                    .try_into()
                    .expect("a registry's ids are legal"),
                "us-central1".try_into().expect("legal"),
                "my-registry".try_into().expect("legal"),
                link::GATEWAY.try_into().expect("legal"),
            )
        });
        let key = SigningKey::from_pem(GATEWAY_KEY, Algorithm::Es256).expect("a key for ES256");
        Setup::new(
            "localhost",
            Security::PlainOnLoopback,
            registry,
            KeyTokens::new(key),
        )
        .seed(1)
    }

    /// Runs a future concurrently with the one passed to [`run`](Self::run).
    pub fn spawn<T: 'static>(&self, future: impl Future<Output = T> + 'static) -> Task<T> {
        self.executor.spawn(future)
    }

    /// Runs this future, and the spawned tasks concurrently, until it ends. The other tasks are then suspended until
    /// the next call.
    ///
    /// # Panics
    ///
    /// If a future panics, if nothing can wake the remaining tasks (a deadlock), or if one wakes itself for ever
    /// without letting time pass (a busy loop).
    pub fn run<T>(&self, future: impl Future<Output = T>) -> T {
        let idle = || self.runtime.do_jobs() || self.runtime.with_world(World::advance);
        self.executor.run(pin!(future), idle)
    }

    /// Advances virtual time by this much, with everything that happens in it.
    ///
    /// # Panics
    ///
    /// As [`run`](Self::run).
    pub fn pass(&self, time: Duration) {
        self.run(self.runtime.sleep(time));
        self.run_until_idle();
    }

    /// Runs the spawned tasks until all of them wait; no time passes.
    ///
    /// # Panics
    ///
    /// As [`run`](Self::run), except for the deadlock, which is the state that this waits for.
    pub fn run_until_idle(&self) {
        self.executor.run_until_idle();
        while self.runtime.do_jobs() {
            self.executor.run_until_idle();
        }
    }
}

impl Default for Simulation {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Simulation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Simulation").field(&self.runtime).finish()
    }
}

/// A virtual clock and a network with the bridge on it. Cheap to clone; all clones share their state.
///
/// Its futures complete only within [`Simulation::run`], which advances the clock.
#[derive(Clone)]
pub struct SimRuntime(Arc<Mutex<World>>);

impl SimRuntime {
    /// Accesses the bridge between two inputs: for an operator's command, a fault, or an inspection. The closure must
    /// not use the simulation itself.
    pub fn with<T>(&self, act: impl FnOnce(&mut Bridge, Instant) -> T) -> T {
        self.with_world(|world| {
            let now = world.now;
            let result = act(&mut world.bridge, now);
            world.transfer_and_wake();
            result
        })
    }

    /// Waits until the bridge satisfies the condition. The closure must not use the simulation itself.
    pub async fn until(&self, mut condition: impl FnMut(&mut Bridge) -> bool) {
        poll_fn(|cx| {
            self.with_world(|world| {
                if condition(&mut world.bridge) {
                    return Poll::Ready(());
                }
                world.watch(cx);
                Poll::Pending
            })
        })
        .await;
    }

    /// Waits until the clock advances to the next event: an arrival or a timer.
    pub async fn step(&self) {
        let begun = self.with_world(|world| world.steps);
        poll_fn(|cx| {
            self.with_world(|world| {
                if world.steps > begun {
                    return Poll::Ready(());
                }
                world.watch(cx);
                Poll::Pending
            })
        })
        .await;
    }

    /// Waits for this much virtual time.
    pub async fn sleep(&self, time: Duration) {
        self.sleep_until(self.now() + time).await;
    }

    /// Lets the machine that the driver runs on sleep: no task runs and its monotonic clock stands still, while its wall
    /// clock, the network and the bridge go on.
    pub fn suspend(&self, time: Duration) {
        self.with_world(|world| world.suspend(time));
    }

    /// Sets the wall clock of the machine that the driver runs on. The bridge's is always right.
    pub fn set_date(&self, date: UnixTime) {
        self.with_world(|world| {
            let now = world.now;
            world.clock.set_date(date, now);
        });
    }

    /// Returns how much virtual time has passed.
    #[must_use]
    pub fn elapsed(&self) -> Duration {
        self.with_world(|world| world.elapsed())
    }

    /// Changes the behaviour of the network for what is sent from now on.
    pub fn shape(&self, change: impl FnOnce(&mut Network)) {
        self.with_world(|world| {
            change(&mut world.network);
            world.transfer_and_wake();
        });
    }

    /// Resets all connections: data in transit is lost, and both sides notice at once.
    pub fn cut(&self) {
        let reset = || Content::Broken(io::ErrorKind::ConnectionReset);
        self.with_world(|world| world.sever(reset));
    }

    /// Ends all connections after this many more bytes have arrived at this side, possibly in the middle of a packet.
    /// With TLS, the encrypted bytes are counted.
    pub fn cut_after(&self, side: Side, bytes: usize) {
        self.with_world(|world| {
            world.damage.cut = Some((side, bytes));
            world.cut_if_reached();
        });
    }

    /// Flips a bit, 0 to 7, of the byte that arrives at this side after this many others. With TLS, the encrypted bytes
    /// are counted.
    pub fn flip_after(&self, side: Side, bytes: usize, bit: u8) {
        self.with_world(|world| world.damage.flip = Some((side, bytes, bit)));
    }

    /// Drops everything in transit, and everything sent later, on the open connections, in both directions and without
    /// notice. It occupies the [`buffer`](Network::buffer) as before.
    pub fn half_open(&self) {
        self.with_world(|world| {
            for wire in world.wires.values_mut() {
                wire.go_half_open();
            }
            world.transfer_and_wake();
        });
    }

    /// Hides new connections from the bridge: the test [accepts](Self::accept) and answers them.
    pub fn play_bridge(&self) {
        self.with_world(|world| world.is_bridge_played = true);
    }

    /// Accepts the oldest connection that was made since [`play_bridge`](Self::play_bridge) and not accepted yet, and
    /// returns its far end.
    #[must_use]
    pub fn accept(&self) -> Option<Peer> {
        let wire = self.with_world(|world| world.unaccepted.pop_front())?;
        Some(Peer {
            runtime: self.clone(),
            wire,
        })
    }

    fn with_wire<T>(&self, id: u64, act: impl FnOnce(&mut World, &mut Wire) -> T) -> T {
        self.with_world(|world| {
            let mut wire = world.wires.remove(&id).expect("kept until its drop");
            let result = act(world, &mut wire);
            world.wires.insert(id, wire);
            world.transfer_and_wake();
            result
        })
    }

    fn with_world<T>(&self, act: impl FnOnce(&mut World) -> T) -> T {
        let mut world = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let result = act(&mut world);
        let woken = core::mem::take(&mut world.woken);
        let retired = core::mem::take(&mut world.retired);
        drop(world);
        drop(retired);
        for waker in woken {
            waker.wake();
        }
        result
    }
}

impl fmt::Debug for SimRuntime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SimRuntime")
            .field("elapsed", &self.elapsed())
            .finish_non_exhaustive()
    }
}
