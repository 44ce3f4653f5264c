//! The driver and its handles on the simulated runtime, with a server implemented by the test.
#![forbid(unsafe_code)]

mod addresses;
mod alarms;
mod cancellation;
mod connecting;
mod deaf;
mod device_tokens;
mod devices;
mod ending;
mod errors;
mod first_connection;
mod flow;
mod given_up;
mod holding;
mod key_files;
mod messages;
mod proxied;
mod refused;
mod restart;
mod server;
mod store;
mod suspects;
mod token_dates;
mod token_fetches;
mod token_turns;
#[cfg(feature = "tracing")]
mod traced;
mod unread;

use std::sync::{
    Arc,
    atomic::{AtomicU32, Ordering},
};
use std::time::Duration;

use iotcore_gateway::{
    ClientId, Options,
    auth::Token,
    driver::{
        Attach, Client, Device, Driver, Security, Setup, Status, StatusChanges,
        closed::Closed,
        token_source::{BoxError, TokenRequest, TokenSource},
    },
};
use iotcore_gateway_testkit::{
    packets::Sent,
    simulation::{Dials, Network, SimRuntime, Simulation, Task},
};

use self::server::Server;

/// A simulation in which only timers take time, and whose bridge is the test.
struct World {
    simulation: Simulation,
    net: SimRuntime,
}

impl World {
    fn new() -> Self {
        let simulation = Simulation::new();
        let net = simulation.runtime();
        net.shape(|network| *network = Network::instant());
        net.play_bridge();
        Self { simulation, net }
    }

    /// Spawns a task, and runs everything until all tasks wait.
    fn spawn<T: 'static>(&self, future: impl Future<Output = T> + 'static) -> Task<T> {
        let task = self.simulation.spawn(future);
        self.run_until_idle();
        task
    }

    /// Drops a task at its current point.
    fn cancel<T>(&self, task: Task<T>) {
        task.cancel();
        self.run_until_idle();
    }

    #[track_caller]
    fn run_until_idle(&self) {
        self.simulation.run_until_idle();
    }

    fn pass(&self, time: Duration) {
        self.simulation.pass(time);
    }

    fn dials(&self, dials: Dials) {
        self.net.shape(|network| network.dials = dials);
    }
}

/// A token source that returns `token-1`, `token-2` and so on for the gateway, and for devices whose name begins with
/// `token-`.
#[derive(Clone, Default)]
struct Tokens {
    given: Arc<AtomicU32>,
    /// The number of requests that still fail.
    failing: Arc<AtomicU32>,
}

impl Tokens {
    fn next(&self, request: TokenRequest<'_>) -> Result<Token, BoxError> {
        if self.failing.load(Ordering::Relaxed) > 0 {
            self.failing.fetch_sub(1, Ordering::Relaxed);
            return Err("the key is unavailable".into());
        }
        let number = self.given.fetch_add(1, Ordering::Relaxed) + 1;
        let expiry = request.now + Duration::from_secs(3_600);
        Ok(Token::new(format!("token-{number}"), expiry)?)
    }
}

impl TokenSource for Tokens {
    async fn gateway(&self, request: TokenRequest<'_>) -> Result<Token, BoxError> {
        self.next(request)
    }

    async fn device(&self, request: TokenRequest<'_>) -> Option<Result<Token, BoxError>> {
        let has_token = request.device.as_str().starts_with("token-");
        has_token.then(|| self.next(request))
    }
}

fn setup(options: Options) -> Setup<Tokens> {
    setup_with(options, Tokens::default())
}

fn setup_with<T: TokenSource>(options: Options, tokens: T) -> Setup<T> {
    Setup::new("localhost", Security::PlainOnLoopback, client_id(), tokens)
        .options(options)
        .seed(7)
}

fn client_id() -> ClientId {
    ClientId::new(
        "plant".try_into().unwrap(),
        "us-central1".try_into().unwrap(),
        "sensors".try_into().unwrap(),
        "gw-1".try_into().unwrap(),
    )
}

fn start(world: &World, options: Options) -> (Client, Driver<SimRuntime, Tokens>) {
    setup(options).start(world.net.clone()).unwrap()
}

/// A gateway with an open connection.
struct Opened {
    world: World,
    client: Client,
    status: StatusChanges,
    server: Server,
    driver: Task<Closed>,
}

fn open(options: Options) -> Opened {
    let world = World::new();
    let (client, driver) = start(&world, options);
    let mut status = client.status();
    let driver = world.spawn(driver.run());
    let server = Server::open(&world);
    assert!(matches!(read(&world, &mut status)[..], [Status::Connected]));
    Opened {
        world,
        client,
        status,
        server,
        driver,
    }
}

impl Opened {
    /// Attaches a device; the server acknowledges everything.
    fn attach(&mut self, attach: impl Into<Attach>) -> Device {
        let attaching = self.world.spawn(self.client.attach(attach));
        self.server.serve(&self.world);
        attaching.ended().unwrap()
    }

    fn changes(&mut self) -> Vec<Status> {
        read(&self.world, &mut self.status)
    }
}

/// Returns the changes that can be read now.
fn read(world: &World, status: &mut StatusChanges) -> Vec<Status> {
    world.run_until_idle();
    let mut changes = Vec::new();
    while let Some(Some(change)) = poll_once(status.next()) {
        changes.push(change);
    }
    changes
}

/// Polls a future once, with a waker that does nothing, and drops it.
fn poll_once<T>(future: impl Future<Output = T>) -> Option<T> {
    let mut future = std::pin::pin!(future);
    let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
    match future.as_mut().poll(&mut cx) {
        std::task::Poll::Ready(output) => Some(output),
        std::task::Poll::Pending => None,
    }
}

/// Returns the topics and filters of the packets that have one.
fn topics(sent: &[Sent]) -> Vec<&str> {
    let topics = sent.iter().filter_map(|packet| match packet {
        Sent::Publish { topic, .. } => Some(topic.as_str()),
        Sent::Subscribe { filter, .. } | Sent::Unsubscribe { filter, .. } => Some(filter.as_str()),
        _ => None,
    });
    topics.collect()
}

fn id(id: &str) -> iotcore_gateway::DeviceId {
    id.try_into().unwrap()
}
