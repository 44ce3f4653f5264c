//! The worlds of real runtimes: sockets on loopback, through a proxy.

use std::{
    net::Ipv4Addr,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use iotcore_gateway::driver::Runtime;
use iotcore_gateway_testkit::{Bridge, EventKind, Settings, serve::Server};
use rustls::ServerConfig;

use super::{
    dated::Dated,
    others::Other,
    proxy::FaultProxy,
    registry::registry,
    tls,
    world::{At, BoxFuture, Log, Plan, Secured, World, in_time},
};

/// Time limit of a scenario, in real time.
pub(crate) const LIMIT: Duration = Duration::from_secs(60);

/// A real runtime.
pub(crate) trait Executor {
    type Runtime: Runtime + Clone;

    fn runtime() -> Self::Runtime;

    fn block_on<T>(main: impl Future<Output = T>) -> T;

    fn spawn(task: BoxFuture<()>);
}

/// Defines an [`Executor`]: its name, the adapter's runtime, how it runs the test, and how it spawns a task.
macro_rules! executor {
    ($name:ident, $runtime:ident, |$main:ident| $block_on:expr, |$task:ident| $spawn:expr) => {
        pub(crate) struct $name;

        impl $crate::sockets::Executor for $name {
            type Runtime = $runtime;

            fn runtime() -> $runtime {
                $runtime::default()
            }

            fn block_on<T>($main: impl Future<Output = T>) -> T {
                $block_on
            }

            fn spawn($task: $crate::world::BoxFuture<()>) {
                $spawn
            }
        }
    };
}
pub(crate) use executor;

pub(crate) struct Sockets<E: Executor> {
    runtime: Dated<E::Runtime>,
    server: Server,
    proxy: FaultProxy,
    log: Log,
    /// The addresses at which no bridge is.
    others: Mutex<Vec<Other>>,
}

/// Starts a bridge and a proxy to it, and logs the bridge's events.
pub(crate) fn network(tls: Option<Arc<ServerConfig>>) -> (Server, FaultProxy, Log) {
    let log = Log::default();
    let events = log.clone();
    let on_event = move |event: &_| events.add(event);
    let server = Server::start(
        registry(),
        Settings::default(),
        "127.0.0.1:0",
        tls,
        on_event,
    );
    let server = server.expect("a free port");
    let proxy = FaultProxy::start(server.local_addr()).expect("a free port");
    (server, proxy, log)
}

impl<E: Executor> World for Sockets<E> {
    type Runtime = Dated<E::Runtime>;

    fn play(secured: Secured, scenario: impl AsyncFnOnce(&Self, Plan)) {
        let (config, security) = tls::secure(&secured);
        let (server, proxy, log) = network(config);
        let plan = Plan::new(security, proxy.port());
        let world = Self {
            runtime: Dated::new(E::runtime()),
            server,
            proxy,
            log,
            others: Mutex::default(),
        };
        E::block_on(async { in_time(&E::runtime(), LIMIT, scenario(&world, plan)).await });
    }

    fn runtime(&self) -> Self::Runtime {
        self.runtime.clone()
    }

    fn spawn(&self, task: BoxFuture<()>) {
        E::spawn(task);
    }

    fn with<T>(&self, act: impl FnOnce(&mut Bridge, Instant) -> T) -> T {
        self.server.with(act)
    }

    async fn until(&self, condition: impl Fn(&[EventKind]) -> bool) {
        self.log.until(condition).await;
    }

    fn one_byte_per_segment(&self) {
        self.proxy.one_byte_per_segment();
    }

    fn cut(&self) {
        self.proxy.cut();
    }

    fn close_after(&self, bytes: usize) {
        self.proxy.close_after(bytes);
    }

    fn half_open(&self) {
        self.proxy.half_open();
    }

    fn suspend(&self, duration: Duration) {
        self.runtime.suspend(duration);
        self.with(|bridge, now| {
            bridge.skip(duration);
            bridge.handle_timeout(now);
        });
    }

    fn stall(&self, is_stalled: bool) {
        self.proxy.stall(is_stalled);
    }

    fn resolve_to(&self, addresses: &[At]) {
        let mut others = self.others.lock().unwrap();
        let addresses = addresses.iter().map(|at| {
            let other = match at {
                At::Bridge => return (Ipv4Addr::LOCALHOST, self.proxy.port()).into(),
                At::Nothing => Other::nothing(),
                At::Refusing => Other::refusing(),
                At::Silent => Other::silent(),
            };
            let other = other.expect("a free port");
            let address = other.address;
            others.push(other);
            address
        });
        self.runtime.resolve_to(addresses.collect());
    }
}
