//! The async driver on a virtual clock and network: your gateway's code, against the bridge, in no time.
//!
//! A [`Simulation`] runs futures on the thread of the test. Whenever all of them wait, its clock jumps to the next thing
//! that happens, so an hour of keep alives takes milliseconds, and every run is the same. [`SimRuntime`] is the
//! [`Runtime`] to start the driver with, and the handle of all that surrounds it: the
//! [`Bridge`], the clock, and a network that is slow, cut or silent when a test says so.
//!
//! This is for code that uses the driver. What the machine itself has to stand is in [`script`](crate::script), which
//! drives the bare [`Gateway`](iotcore_gateway::Gateway) by the thousand.
//!
//! # Your own code in virtual time
//!
//! Code that takes its [`Client`](iotcore_gateway::driver::Client) and its runtime as arguments runs here as it does on
//! Tokio:
//!
//! ```
//! use core::time::Duration;
//! use iotcore_gateway::{DeviceId, driver::{AttachError, Client, Runtime}};
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
//!     world.half_open(); // as when a cable is pulled somewhere on the way
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
//! A test that has to say itself when what is answered, and with which bytes, plays the bridge:
//! [`SimRuntime::play_bridge`].
//!
//! The gateway of [`Simulation::setup`] is the one of [`link`]; for other devices, limits or TLS there is
//! [`Simulation::with_bridge`].

mod executor;
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
use iotcore_gateway::{Algorithm, ClientId, SigningKey, UnixTime};
use rustls::ServerConfig;

use self::executor::Executor;
pub use self::executor::Task;
pub use self::network::{Dials, Network};
pub use self::peer::{GatewayEnd, Peer};
pub use self::stream::SimStream;
use self::wire::Wire;
use self::world::World;
use crate::link::{self, Side};
use crate::pipe::Content;
use crate::{AuthMethod, Bridge, Registry, Settings};

/// 2026-01-01: when virtual time begins.
const START: UnixTime = UnixTime::from_secs(1_767_225_600);

/// The key of [`link::GATEWAY`].
const GATEWAY_KEY: &[u8] = include_bytes!("link/gateway.key.pem");

/// Tasks, a clock, a network, and a bridge at its other end.
pub struct Simulation {
    executor: Rc<Executor>,
    runtime: SimRuntime,
}

impl Simulation {
    /// The bridge of [`link::registry`], which authenticates devices by their association with the gateway, without TLS.
    #[must_use]
    pub fn new() -> Self {
        let registry = link::registry(AuthMethod::AssociationOnly);
        Self::with_bridge(registry, Settings::default(), None)
    }

    /// The bridge of this registry, behind TLS if there is a configuration for it.
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

    /// The runtime to start the driver with, and the handle of everything else.
    #[must_use]
    pub fn runtime(&self) -> SimRuntime {
        self.runtime.clone()
    }

    /// The gateway [`link::GATEWAY`] with its key, without TLS, and with the same jitter each time.
    ///
    /// With a registry of the test's own, it must hold this gateway with the key of [`link::registry`].
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

    /// Runs a future beside the one that [`run`](Self::run) waits for.
    pub fn spawn<T: 'static>(&self, future: impl Future<Output = T> + 'static) -> Task<T> {
        self.executor.spawn(future)
    }

    /// Runs this future to its end, and what was spawned beside it. Afterwards the other tasks stand where they are, until
    /// the next call.
    ///
    /// # Panics
    ///
    /// If a future panics, if nothing is left that could ever wake one (a deadlock), or if one wakes itself for ever
    /// without letting time pass (a busy loop).
    pub fn run<T>(&self, future: impl Future<Output = T>) -> T {
        let idle = || self.runtime.with_world(World::advance);
        self.executor.run(pin!(future), idle)
    }

    /// Lets this much virtual time pass, and all happen that can happen by then.
    ///
    /// # Panics
    ///
    /// As [`run`](Self::run).
    pub fn pass(&self, time: Duration) {
        self.run(self.runtime.sleep(time));
        self.settle();
    }

    /// Runs what was spawned until all of it waits; no time passes.
    ///
    /// # Panics
    ///
    /// As [`run`](Self::run), but for the deadlock, which is what this waits for.
    pub fn settle(&self) {
        self.executor.settle();
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

/// A virtual clock and a network with the bridge on it. Cheap to clone; all clones are one.
///
/// Its futures end only within [`Simulation::run`], which moves the clock.
#[derive(Clone)]
pub struct SimRuntime(Arc<Mutex<World>>);

impl SimRuntime {
    /// Does something with the bridge between two inputs: an operator's command, a fault, or a look at it. Must not use
    /// the simulation itself.
    pub fn with<T>(&self, act: impl FnOnce(&mut Bridge, Instant) -> T) -> T {
        self.with_world(|world| {
            let now = world.now;
            let result = act(&mut world.bridge, now);
            world.settle();
            result
        })
    }

    /// Waits until this holds of the bridge. Must not use the simulation itself.
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

    /// Waits until the clock moves to the next thing that happens: an arrival, or a timer.
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

    /// Lets virtual time pass.
    pub async fn sleep(&self, time: Duration) {
        self.sleep_until(self.now() + time).await;
    }

    /// How much virtual time has passed.
    #[must_use]
    pub fn elapsed(&self) -> Duration {
        self.with_world(|world| world.elapsed())
    }

    /// Changes how the network behaves, for what is sent from now on.
    pub fn shape(&self, change: impl FnOnce(&mut Network)) {
        self.with_world(|world| {
            change(&mut world.network);
            world.settle();
        });
    }

    /// Resets all connections: what is on its way is lost, and both sides notice at once.
    pub fn cut(&self) {
        let reset = || Content::Broken(io::ErrorKind::ConnectionReset);
        self.with_world(|world| world.sever(reset));
    }

    /// Ends all connections once so many more bytes have arrived at this side, in the middle of a packet or not. With TLS
    /// it is its bytes that count.
    pub fn cut_after(&self, side: Side, bytes: usize) {
        self.with_world(|world| {
            world.damage.cut = Some((side, bytes));
            world.cut_if_reached();
        });
    }

    /// Flips a bit, 0 to 7, of the byte that arrives at this side after so many others. With TLS it is its bytes that count.
    pub fn flip_after(&self, side: Side, bytes: usize, bit: u8) {
        self.with_world(|world| world.damage.flip = Some((side, bytes, bit)));
    }

    /// Loses all that is on its way, or sent, on the connections that are up, both ways, and tells nobody. It takes up the
    /// [`buffer`](Network::buffer) as before.
    pub fn half_open(&self) {
        self.with_world(|world| {
            for wire in world.wires.values_mut() {
                wire.go_half_open();
            }
            world.settle();
        });
    }

    /// From now on, the bridge does not hear of a new connection: the test [accepts](Self::accept) it, and answers.
    pub fn play_bridge(&self) {
        self.with_world(|world| world.is_bridge_played = true);
    }

    /// The far end of the oldest connection that was made since [`play_bridge`](Self::play_bridge) and not accepted yet.
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
            world.settle();
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
