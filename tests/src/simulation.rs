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
//! The gateway of [`Simulation::setup`] is the one of [`link`]; for other devices, limits or TLS there is
//! [`Simulation::with_bridge`].

mod executor;
mod stream;
#[cfg(test)]
mod tests;
mod tls;
mod wire;
mod world;

use core::fmt;
use core::future::poll_fn;
use core::pin::{Pin, pin};
use core::task::{Context, Poll};
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
pub use self::stream::SimStream;
use self::wire::Content;
use self::world::World;
use crate::link::{self, Side};
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

/// How the network behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    /// From the sending of a byte to its arrival (default 20 ms). A dial takes twice as long.
    pub latency: Duration,
    /// Bytes come and go in fragments of 1 to so many, in an order that is the same in each run (default 1,400).
    pub fragment: usize,
    /// As many bytes may be on their way in each direction of a connection; then a write has to wait (default 64 KiB).
    pub buffer: usize,
    /// Whether the gateway's writes have to wait, however few bytes are on their way.
    pub is_stalled: bool,
    /// Whether nobody can be reached: dials fail. Connections are not touched.
    pub is_down: bool,
}

impl Default for Network {
    fn default() -> Self {
        Self {
            latency: Duration::from_millis(20),
            fragment: 1_400,
            buffer: 64 * 1024,
            is_stalled: false,
            is_down: false,
        }
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
        self.with_world(|world| world.sever(|| Content::Reset));
    }

    /// Ends all connections once so many more bytes have arrived at this side, in the middle of a packet or not. With TLS
    /// it is its bytes that count.
    pub fn cut_after(&self, side: Side, bytes: usize) {
        self.with_world(|world| {
            world.cut = Some((side, bytes));
            world.cut_if_reached();
        });
    }

    /// Loses all that is sent on the connections that are up, from now on, both ways, and tells nobody.
    pub fn half_open(&self) {
        self.with_world(|world| {
            for wire in world.wires.values_mut() {
                wire.is_half_open = true;
                wire.to_bridge.clear();
                wire.to_gateway.clear();
            }
            world.settle();
        });
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

impl Runtime for SimRuntime {
    type Stream = SimStream;

    async fn connect(&self, _host: &str, _port: u16) -> io::Result<SimStream> {
        let latency = self.with_world(|world| world.network.latency);
        self.sleep(2 * latency).await;
        let wire = self.with_world(|world| match world.network.is_down {
            true => Err(io::ErrorKind::NetworkUnreachable),
            false => Ok(world.connect()),
        })?;
        Ok(SimStream {
            runtime: self.clone(),
            wire,
        })
    }

    fn sleep_until(&self, deadline: Instant) -> impl Future<Output = ()> + Send {
        Sleep {
            timer: self.with_world(|world| world.new_timer(deadline)),
            runtime: self.clone(),
        }
    }

    fn now(&self) -> Instant {
        self.with_world(|world| world.now)
    }

    fn unix_now(&self) -> UnixTime {
        START.saturating_add(self.elapsed())
    }
}

impl fmt::Debug for SimRuntime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SimRuntime")
            .field("elapsed", &self.elapsed())
            .finish_non_exhaustive()
    }
}

struct Sleep {
    runtime: SimRuntime,
    timer: (Instant, u64),
}

impl Future for Sleep {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        self.runtime.with_world(|world| {
            if world.now >= self.timer.0 {
                return Poll::Ready(());
            }
            world.set_timer(self.timer, cx);
            Poll::Pending
        })
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        self.runtime.with_world(|world| world.end_timer(self.timer));
    }
}
