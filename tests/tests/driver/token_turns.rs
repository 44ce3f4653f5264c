//! Attaches and renewals that wait for tokens: in turn, held up by nobody, and ended with the gateway.

use std::{
    collections::{BTreeMap, BTreeSet},
    future::pending,
    sync::{Arc, Mutex},
    time::Duration,
};

use iotcore_gateway::{
    Options,
    auth::Token,
    command_error::CommandError,
    device::DeviceState,
    driver::{
        Client, Status,
        closed::Closed,
        error::{AttachError, OperationError, TokenFailure},
        token_source::{BoxError, TokenRequest, TokenSource},
    },
};
use iotcore_gateway_testkit::simulation::{SimRuntime, Task};

use super::{Dials, Server, World, id, poll_once, read, setup_with, topics};

const MILLI: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);

/// How many tokens are fetched at once.
const BOUND: usize = 16;

/// What the source does for a device.
#[derive(Clone, Copy)]
enum Act {
    /// Returns a token of one hour, after this time.
    Answer(Duration),
    Hang,
    Fail,
    None,
}

/// Tells what the source does for a device when it is asked for the nth time.
type Plan = Arc<dyn Fn(&str, u32) -> Act + Send + Sync>;

#[derive(Clone)]
struct Source {
    world: SimRuntime,
    log: Arc<Mutex<Log>>,
}

struct Log {
    plan: Plan,
    asked: BTreeMap<String, u32>,
    running: BTreeSet<String>,
}

impl Source {
    fn with<A>(&self, act: impl FnOnce(&mut Log) -> A) -> A {
        act(&mut self.log.lock().unwrap())
    }

    fn asked(&self, device: &str) -> u32 {
        self.with(|log| log.asked.get(device).copied().unwrap_or(0))
    }

    fn token(&self, request: TokenRequest<'_>, lives: Duration) -> Result<Token, BoxError> {
        let elapsed = self.world.elapsed().as_nanos();
        let jwt = format!("{}-{elapsed}", request.device);
        Ok(Token::new(jwt, request.now + lives)?)
    }
}

impl TokenSource for Source {
    async fn gateway(&self, request: TokenRequest<'_>) -> Result<Token, BoxError> {
        self.token(request, 360_000 * SECOND)
    }

    async fn device(&self, request: TokenRequest<'_>) -> Option<Result<Token, BoxError>> {
        let device = request.device.to_string();
        let act = self.with(|log| {
            let asked = log.asked.entry(device.clone()).or_default();
            *asked += 1;
            let is_first = log.running.insert(device.clone());
            assert!(is_first, "{device} is asked for twice at once");
            assert!(log.running.len() <= BOUND);
            (log.plan)(&device, *asked)
        });
        let _running = Running(self, device);
        match act {
            Act::Answer(time) => {
                self.world.sleep(time).await;
                Some(self.token(request, 3_600 * SECOND))
            }
            Act::Hang => pending().await,
            Act::Fail => Some(Err("no key".into())),
            Act::None => None,
        }
    }
}

/// Records that a fetch runs, until it has ended or was dropped.
struct Running<'a>(&'a Source, String);

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.0.with(|log| log.running.remove(&self.1));
    }
}

struct Fleet {
    world: World,
    source: Source,
    client: Client,
    server: Server,
    driver: Task<Closed>,
}

fn open(plan: impl Fn(&str, u32) -> Act + Send + Sync + 'static) -> Fleet {
    let world = World::new();
    let log = Log {
        plan: Arc::new(plan),
        asked: BTreeMap::new(),
        running: BTreeSet::new(),
    };
    let source = Source {
        world: world.net.clone(),
        log: Arc::new(Mutex::new(log)),
    };
    let mut options = Options::default();
    options.attach_window = 1_000;
    let (client, driver) = setup_with(options, source.clone())
        .start(world.net.clone())
        .unwrap();
    let driver = world.spawn(driver.run());
    let server = Server::open(&world);
    Fleet {
        world,
        source,
        client,
        server,
        driver,
    }
}

impl Fleet {
    fn attach(&self, devices: &[String]) {
        let begun: Vec<_> = devices
            .iter()
            .map(|device| self.world.spawn(self.client.attach(id(device))))
            .collect();
        self.attaches(SECOND);
        assert!(begun.iter().all(|attaching| attaching.is_finished()));
    }

    /// Polls an attach of each of these devices once.
    fn begin(&self, devices: &[String]) -> Vec<impl Sized + use<>> {
        let begin = |device| {
            let mut attaching = Box::pin(self.client.attach(id(device)));
            assert!(poll_once(attaching.as_mut()).is_none());
            attaching
        };
        devices.iter().map(|device| begin(device)).collect()
    }

    /// Ends the connection until all tokens have expired, and opens the next one. The source follows this plan from then
    /// on.
    fn let_expire(&mut self, plan: impl Fn(&str, u32) -> Act + Send + Sync + 'static) {
        self.server.close(&self.world);
        self.world.dials(Dials::Fail);
        self.world.pass(3_700 * SECOND);
        self.source.with(|log| {
            log.plan = Arc::new(plan);
            log.asked.clear();
        });
        self.world.dials(Dials::Succeed);
        self.server = Server::accept_again(&self.world);
    }

    fn reconnect(&mut self) {
        self.server.close(&self.world);
        self.server = Server::accept_again(&self.world);
        self.server.serve(&self.world);
    }

    /// Lets this much time pass, and returns which devices were attached.
    fn attaches(&self, time: Duration) -> BTreeSet<String> {
        let until = self.world.net.elapsed() + time;
        let mut attached = BTreeSet::new();
        loop {
            for topic in topics(&self.server.serve(&self.world)) {
                let path = topic.strip_suffix("/attach");
                let device = path.and_then(|path| path.strip_prefix("/devices/"));
                attached.extend(device.map(str::to_owned));
            }
            if self.world.net.elapsed() >= until {
                return attached;
            }
            self.world.pass(10 * MILLI);
        }
    }
}

fn answer(_device: &str, _time: u32) -> Act {
    Act::Answer(50 * MILLI)
}

fn named(kind: &str, count: usize) -> Vec<String> {
    (0..count)
        .map(|number| format!("{kind}-{number}"))
        .collect()
}

#[test]
fn a_close_ends_an_attach_that_waits_for_its_token() {
    let fleet = open(|_, _| Act::Hang);
    // The last one's fetch has not begun.
    let begun: Vec<_> = named("device", BOUND + 1)
        .iter()
        .map(|device| fleet.world.spawn(fleet.client.attach(id(device))))
        .collect();
    let client = fleet.client.clone();
    let closing = fleet.world.spawn(async move { client.close().await });
    let late = fleet.world.spawn(fleet.client.attach(id("late")));
    for attaching in begun.into_iter().chain([late]) {
        let error = attaching.ended().unwrap_err();
        let closed = OperationError::Refused(CommandError::Closed);
        assert!(
            matches!(&error, AttachError::Attach(error, None) if *error == closed),
            "{error:?}"
        );
    }
    assert_eq!(fleet.source.asked("late"), 0);
    assert!(fleet.source.with(|log| log.running.is_empty()));
    fleet.server.serve(&fleet.world);
    fleet.server.close(&fleet.world);
    fleet.world.pass(3 * SECOND);
    assert!(closing.is_finished());
}

#[test]
fn a_dropped_driver_ends_an_attach_that_waits_for_its_token() {
    let fleet = open(|_, _| Act::Hang);
    let attaching = fleet.world.spawn(fleet.client.attach(id("device-1")));
    fleet.world.cancel(fleet.driver);
    let late = fleet.world.spawn(fleet.client.attach(id("device-2")));
    for attaching in [attaching, late] {
        let error = attaching.ended().unwrap_err();
        assert!(
            matches!(
                error,
                AttachError::Attach(OperationError::DriverStopped, None)
            ),
            "{error:?}"
        );
    }
}

#[test]
fn a_fetch_that_hangs_fails_its_own_attach_after_the_limit_and_no_other() {
    let fleet = open(|device, _| match device.starts_with("hanging") {
        true => Act::Hang,
        false => Act::Answer(50 * MILLI),
    });
    let hanging = fleet.world.spawn(fleet.client.attach(id("hanging-0")));
    fleet.attach(&named("healthy", 2 * BOUND));
    fleet.world.pass(18 * SECOND);
    assert!(!hanging.is_finished());
    fleet.world.pass(2 * SECOND);
    let error = hanging.ended().unwrap_err();
    assert!(matches!(
        error,
        AttachError::Token(TokenFailure::TimedOut(_))
    ));
}

#[test]
fn attaches_that_are_kept_while_they_fetch_hold_up_no_renewal() {
    let mut fleet = open(answer);
    fleet.attach(&named("healthy", 1));
    let _kept = fleet.begin(&named("kept", 2 * BOUND));
    fleet.let_expire(answer);
    assert_eq!(fleet.attaches(SECOND).len(), 1);
}

#[test]
fn attaches_that_are_kept_while_they_wait_for_their_turn_hold_up_no_other() {
    let fleet = open(answer);
    let _kept = fleet.begin(&named("kept", 3 * BOUND));
    fleet.attach(&named("late", 1));
}

#[test]
fn attaches_that_are_dropped_are_fetched_for_no_longer() {
    let fleet = open(|device, _| match device.starts_with("dropped") {
        true => Act::Hang,
        false => Act::Answer(50 * MILLI),
    });
    let dropped = fleet.begin(&named("dropped", 2 * BOUND));
    fleet.world.run_until_idle();
    drop(dropped);
    fleet.attach(&named("healthy", BOUND));
    assert!(fleet.source.with(|log| log.running.is_empty()));
    assert_eq!(
        fleet.source.asked("dropped-31"),
        0,
        "its turn had not come when it was dropped"
    );
}

#[test]
fn a_device_whose_source_failed_once_is_asked_for_again_beside_many_that_hang() {
    let mut fleet = open(answer);
    let devices = [named("hanging", 60), named("healthy", 1)].concat();
    fleet.attach(&devices);
    fleet.let_expire(|device, time| match device.starts_with("hanging") {
        true => Act::Hang,
        false if time == 1 => Act::Fail,
        false => Act::Answer(50 * MILLI),
    });
    // 60 that hang for 20 s each, 16 at once, go before its first turn, and at most as many before its second.
    let attached = fleet.attaches(170 * SECOND);
    assert!(attached.contains("healthy-0"), "{attached:?}");
}

#[test]
fn a_reader_of_the_status_that_applies_back_pressure_pauses_failing_fetches() {
    let mut fleet = open(answer);
    fleet.attach(&named("failing", 100));
    fleet.let_expire(|_, _| Act::Fail);
    let mut status = fleet.client.status().holding();
    for _ in 0..600 {
        fleet.world.pass(60 * SECOND);
        fleet.server.serve(&fleet.world);
    }
    let waiting = core::iter::from_fn(|| poll_once(status.next()).flatten()).count();
    assert!(waiting <= 2_000, "{waiting}");
}

#[test]
fn one_device_is_asked_for_once_at_a_time_by_its_attaches_and_its_renewals() {
    let mut fleet = open(answer);
    let device = named("device", 1);
    fleet.attach(&device);
    fleet.let_expire(|_, time| match time {
        1..=3 => Act::Answer(5 * SECOND),
        _ => Act::None,
    });
    fleet.server.serve(&fleet.world);
    // The source fails the test if it is asked twice at once.
    let attaching = [(); 2].map(|()| fleet.world.spawn(fleet.client.attach(id(&device[0]))));
    fleet.reconnect();
    fleet.reconnect();
    fleet.attaches(20 * SECOND);
    for attaching in attaching {
        assert!(attaching.ended().is_ok());
    }
    assert_eq!(fleet.source.asked("device-0"), 3);
}

#[test]
fn a_new_connection_cuts_no_backoff_of_a_source_short() {
    let mut fleet = open(answer);
    fleet.attach(&named("device", 1));
    fleet.let_expire(|_, _| Act::Fail);
    let until = fleet.world.net.elapsed() + 60 * SECOND;
    while fleet.world.net.elapsed() < until {
        fleet.attaches(SECOND);
        fleet.reconnect();
    }
    // After 1, 2, 4, 8, 16 s and then 24 s to 32 s.
    let asked = fleet.source.asked("device-0");
    assert!((5..=7).contains(&asked), "{asked}");
}

#[test]
fn a_source_that_has_no_token_is_asked_again_and_the_user_told_on_each_connection() {
    let mut fleet = open(answer);
    fleet.attach(&named("device", 1));
    let mut status = fleet.client.status();
    fleet.let_expire(|_, time| match time {
        1..=2 => Act::None,
        _ => Act::Answer(50 * MILLI),
    });
    for _ in 0..2 {
        fleet.attaches(60 * SECOND);
        let changes = read(&fleet.world, &mut status);
        let told = changes
            .iter()
            .filter(|change| matches!(change, Status::TokenNeeded { .. }));
        assert_eq!(told.count(), 1, "{changes:?}");
        let device = fleet.client.device(&id("device-0")).unwrap();
        assert_eq!(device.status(), Some(DeviceState::TokenNeeded));
        fleet.reconnect();
    }
    assert_eq!(fleet.attaches(SECOND).len(), 1);
}
