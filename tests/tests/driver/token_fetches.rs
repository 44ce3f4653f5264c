//! Tokens of many devices: several are fetched at once, and a source that fails or hangs for one holds up no other.

use std::{
    collections::BTreeMap,
    future::pending,
    sync::{Arc, Mutex},
    time::Duration,
};

use iotcore_gateway::{
    Options,
    auth::Token,
    driver::{
        Client, Status,
        error::TokenFailure,
        token_source::{BoxError, TokenRequest, TokenSource},
    },
};
use iotcore_gateway_testkit::simulation::SimRuntime;

use super::{Dials, Server, World, id, read, setup_with, topics};

const MILLI: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);

/// How long the source takes for a token.
const FETCH: Duration = Duration::from_millis(50);

/// How many tokens are fetched at once.
const BOUND: usize = 16;

/// A source of tokens of one hour. Once there is trouble, it fails for devices whose names begin with `failing`, hands out
/// expired tokens for `stale`, and never answers for `hanging`.
#[derive(Clone)]
struct Source {
    world: SimRuntime,
    log: Arc<Mutex<Log>>,
}

#[derive(Default)]
struct Log {
    is_trouble: bool,
    running: usize,
    /// The most that ran at once.
    most: usize,
    asked: BTreeMap<String, u32>,
}

impl Source {
    fn with<A>(&self, act: impl FnOnce(&mut Log) -> A) -> A {
        act(&mut self.log.lock().unwrap())
    }

    fn token(&self, request: TokenRequest<'_>, lives: Duration) -> Result<Token, BoxError> {
        let elapsed = self.world.elapsed().as_nanos();
        let jwt = format!("{}-{elapsed}", request.device);
        Ok(Token::new(jwt, request.now + lives)?)
    }
}

impl TokenSource for Source {
    async fn gateway(&self, request: TokenRequest<'_>) -> Result<Token, BoxError> {
        self.token(request, 3_600 * SECOND)
    }

    async fn device(&self, request: TokenRequest<'_>) -> Option<Result<Token, BoxError>> {
        let kind = request.device.as_str().split('-').next().unwrap();
        let is_trouble = self.with(|log| {
            *log.asked.entry(request.device.to_string()).or_default() += 1;
            log.running += 1;
            log.most = log.most.max(log.running);
            log.is_trouble
        });
        let running = Running(self);
        match kind {
            "failing" if is_trouble => return Some(Err("no key".into())),
            "hanging" if is_trouble => pending().await,
            "stale" if is_trouble => return Some(self.token(request, Duration::ZERO)),
            _ => self.world.sleep(FETCH).await,
        }
        drop(running);
        Some(self.token(request, 3_600 * SECOND))
    }
}

/// Counts a fetch as running until it has ended or was dropped.
struct Running<'a>(&'a Source);

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.0.with(|log| log.running -= 1);
    }
}

struct Fleet {
    world: World,
    source: Source,
    client: Client,
    server: Server,
}

/// Opens a gateway; the source answers for everyone.
fn open() -> Fleet {
    let world = World::new();
    let source = Source {
        world: world.net.clone(),
        log: Arc::default(),
    };
    let mut options = Options::default();
    options.attach_window = 1_000;
    let (client, driver) = setup_with(options, source.clone())
        .start(world.net.clone())
        .unwrap();
    drop(world.spawn(driver.run()));
    let server = Server::open(&world);
    Fleet {
        world,
        source,
        client,
        server,
    }
}

impl Fleet {
    /// Attaches these devices, all at once, and returns how long that took.
    fn attach(&self, devices: &[String]) -> Duration {
        let started = self.world.net.elapsed();
        let attaching: Vec<_> = devices
            .iter()
            .map(|device| self.world.spawn(self.client.attach(id(device))))
            .collect();
        self.server.serve(&self.world);
        while attaching.iter().any(|attaching| !attaching.is_finished()) {
            assert!(self.world.net.elapsed() - started < 60 * SECOND);
            self.world.pass(10 * MILLI);
            self.server.serve(&self.world);
        }
        self.world.net.elapsed() - started
    }

    /// Ends the connection until the tokens of all devices have expired, and opens the next one. The source has trouble
    /// from then on.
    fn let_expire(&mut self) {
        self.server.close(&self.world);
        self.world.dials(Dials::Fail);
        self.world.pass(3_700 * SECOND);
        self.source.with(|log| {
            *log = Log {
                is_trouble: true,
                running: log.running,
                ..Log::default()
            };
        });
        self.world.dials(Dials::Succeed);
        self.server = Server::accept_again(&self.world);
    }

    /// Lets this much time pass, and returns when each of these devices sent its attach.
    fn attaches(&self, time: Duration) -> BTreeMap<String, Duration> {
        let started = self.world.net.elapsed();
        let mut attaches = BTreeMap::new();
        loop {
            let passed = self.world.net.elapsed() - started;
            for topic in topics(&self.server.serve(&self.world)) {
                if let Some(device) = topic.strip_suffix("/attach") {
                    let device = device.strip_prefix("/devices/").unwrap();
                    attaches.entry(device.to_owned()).or_insert(passed);
                }
            }
            if passed >= time {
                return attaches;
            }
            self.world.pass(10 * MILLI);
        }
    }
}

fn named(kind: &str, count: usize) -> Vec<String> {
    (0..count)
        .map(|number| format!("{kind}-{number}"))
        .collect()
}

#[test]
fn devices_whose_source_fails_or_hangs_hold_up_no_healthy_one() {
    let mut fleet = open();
    let healthy = named("healthy", 20);
    let devices = [named("failing", 10), named("hanging", 1), healthy.clone()].concat();
    fleet.attach(&devices);
    let mut status = fleet.client.status();
    fleet.let_expire();
    let attaches = fleet.attaches(SECOND);
    for device in &healthy {
        // At least 15 at once: in two rounds.
        assert!(
            attaches[device] <= 3 * FETCH,
            "{device} after {:?}",
            attaches[device]
        );
    }
    assert_eq!(attaches.len(), healthy.len());

    // 1, 2, 4, 8, 16 s and then 24 s to 32 s after each failure, with up to a second of jitter in the first ones.
    fleet.world.pass(60 * SECOND);
    fleet.source.with(|log| {
        for device in named("failing", 10) {
            assert!(
                (6..=7).contains(&log.asked[&device]),
                "{}",
                log.asked[&device]
            );
        }
        assert!(log.asked["hanging-0"] >= 2, "after its limit of 20 s");
        assert!(log.most <= BOUND);
        log.is_trouble = false;
    });
    let changes = read(&fleet.world, &mut status);
    let has_timed_out = changes.iter().any(|change| {
        matches!(change, Status::TokenFailed { device, error }
            if *device == id("hanging-0") && matches!(**error, TokenFailure::TimedOut(_)))
    });
    assert!(has_timed_out);
    assert_eq!(fleet.attaches(60 * SECOND).len(), 11, "the others follow");
}

#[test]
fn the_backoffs_of_devices_that_failed_at_once_are_spread() {
    let mut fleet = open();
    let devices = named("failing", 10);
    fleet.attach(&devices);
    fleet.let_expire();
    fleet.attaches(SECOND);
    fleet.source.with(|log| log.is_trouble = false);
    let attaches = fleet.attaches(3 * SECOND);
    let mut times: Vec<_> = attaches.values().collect();
    times.sort_unstable();
    times.dedup();
    assert!(times.len() >= 5, "{times:?}");
}

#[test]
fn tokens_are_fetched_sixteen_at_once_for_attaches_and_for_renewals() {
    let mut fleet = open();
    let devices = named("healthy", 300);
    // 300 tokens, 16 at once, 50 ms each: 950 ms.
    let limit = SECOND;
    let took = fleet.attach(&devices);
    assert!(took <= limit, "{took:?}");
    fleet.source.with(|log| assert_eq!(log.most, BOUND));

    fleet.let_expire();
    let attaches = fleet.attaches(limit);
    assert_eq!(attaches.len(), 300);
    fleet.source.with(|log| assert_eq!(log.most, BOUND));
}

#[test]
fn an_expired_answer_is_a_failure_and_the_source_is_asked_again() {
    let mut fleet = open();
    fleet.attach(&named("stale", 1));
    let mut status = fleet.client.status();
    fleet.let_expire();
    assert!(fleet.attaches(5 * SECOND).is_empty());
    fleet.source.with(|log| log.is_trouble = false);
    let changes = read(&fleet.world, &mut status);
    let expired = changes.iter().filter(|change| {
        matches!(change, Status::TokenFailed { error, .. } if matches!(**error, TokenFailure::Expired(_)))
    });
    assert!(expired.count() >= 2, "{changes:?}");
    assert_eq!(fleet.attaches(10 * SECOND).len(), 1);
}

#[test]
fn a_future_that_is_kept_and_not_polled_holds_up_no_other_attach() {
    let fleet = open();
    let mut kept: Vec<_> = named("healthy", 40)
        .iter()
        .map(|device| Box::pin(fleet.client.attach(id(device))))
        .collect();
    // The first 16 are dropped while they are fetched for; the last 24 have their turns before the late ones.
    for attaching in &mut kept {
        assert!(super::poll_once(attaching.as_mut()).is_none());
    }
    kept.drain(..BOUND);
    let took = fleet.attach(&named("late", BOUND));
    assert!(took <= 3 * FETCH, "{took:?}");
    drop(kept);
}
