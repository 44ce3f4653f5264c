//! What a scenario needs of the world around the gateway, and what it is played with.

use std::{
    future::poll_fn,
    pin::{Pin, pin},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, Waker},
    time::{Duration, Instant},
};

use iotcore_gateway::{
    Algorithm, ClientId, DeviceId, Disconnected, Options, SigningKey, Token,
    driver::{
        BoxError, Client, Closed, Device, KeyTokens, Runtime, Security, Setup, Status,
        StatusChanges, TokenRequest, TokenSource, TransportError,
    },
};
use iotcore_gateway_testkit::{
    AuthMethod, Bridge, Event, EventKind, Registry,
    link::{self, GATEWAY},
};

const GATEWAY_KEY: &[u8] = include_bytes!("../../src/link/gateway.key.pem");

/// Devices `device-0` to `device-999` are bound to the gateway.
pub(crate) const DEVICES: usize = 1_000;

pub(crate) type BoxFuture<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// A bridge, a network that can go wrong, and a runtime for the gateway.
pub(crate) trait World: Sized {
    type Runtime: Runtime;

    /// Plays a scenario in a world of its own, where the bridge is secured like this.
    fn play(secured: Secured, scenario: impl AsyncFnOnce(&Self, Plan));

    fn runtime(&self) -> Self::Runtime;

    fn spawn(&self, task: BoxFuture<()>);

    /// Does something with the bridge.
    fn with<T>(&self, act: impl FnOnce(&mut Bridge, Instant) -> T) -> T;

    /// Waits until this holds of all that has happened at the bridge.
    async fn until(&self, condition: impl Fn(&[EventKind]) -> bool);

    /// From now on bytes go in segments of one, both ways.
    fn one_byte_per_segment(&self);

    /// Cuts all connections.
    fn cut(&self);

    /// Closes all connections once so many more bytes have come to the gateway.
    fn close_after(&self, bytes: usize);

    /// Loses all that is sent on the connections that are up, and tells nobody.
    fn half_open(&self);

    /// Takes no more of what the gateway writes than a few small packets, or takes it again.
    fn stall(&self, is_stalled: bool);

    /// Injects a fault, by its line.
    fn fault(&self, line: &str) {
        let fault = line.parse().expect("a fault");
        self.with(|bridge, now| bridge.inject(fault, now))
            .expect("a fault that fits");
    }

    /// A gateway, running.
    fn start(&self, plan: &Plan) -> (Client, Running) {
        let (client, driver) = plan
            .setup()
            .start(self.runtime())
            .expect("a setup that works");
        let (running, task) = Running::new(driver.run());
        self.spawn(task);
        (client, running)
    }
}

/// How the bridge is secured.
pub(crate) enum Secured {
    Plain,
    /// By a certificate for this name, of an authority that the setup trusts.
    For(&'static str),
}

/// The bridge's registry.
pub(crate) fn registry() -> Registry {
    let mut registry = link::registry(AuthMethod::AssociationOnly);
    for n in 0..DEVICES {
        let id = format!("device-{n}");
        registry.add_device(&id, &[]).expect("a legal id");
        registry.bind(GATEWAY, &id).expect("both are there");
    }
    registry
}

/// How the gateway of a scenario is set up.
pub(crate) struct Plan {
    pub(crate) security: Security,
    pub(crate) port: u16,
    pub(crate) options: Options,
    /// How long the first token lives. Those that follow it live for an hour.
    pub(crate) first_token: Duration,
}

impl Plan {
    /// Waits for nothing longer than it must.
    pub(crate) fn new(security: Security, port: u16) -> Self {
        let mut options = Options::default();
        options.backoff.min = Duration::from_millis(20);
        options.backoff.max = Duration::from_millis(100);
        options.quota.device_bytes_per_second = None;
        Self {
            security,
            port,
            options,
            first_token: Duration::from_secs(3_600),
        }
    }

    fn setup(&self) -> Setup<Tokens> {
        let id = ClientId::new(
            "my-project".parse().unwrap(),
            "us-central1".parse().unwrap(),
            "my-registry".parse().unwrap(),
            GATEWAY.parse().unwrap(),
        );
        let key = || SigningKey::from_pem(GATEWAY_KEY, Algorithm::Es256).unwrap();
        let first = KeyTokens::new(key());
        let tokens = Tokens {
            first: first.lifetime(self.first_token).unwrap(),
            later: KeyTokens::new(key()),
            was_asked: AtomicBool::new(false),
        };
        Setup::new("localhost", self.security.clone(), id, tokens)
            .port(self.port)
            .options(self.options.clone())
            .seed(1)
    }
}

/// However slow the machine is, the second token outlives its scenario.
struct Tokens {
    first: KeyTokens,
    later: KeyTokens,
    was_asked: AtomicBool,
}

impl TokenSource for Tokens {
    async fn gateway(&self, request: TokenRequest<'_>) -> Result<Token, BoxError> {
        let source = match self.was_asked.swap(true, Ordering::Relaxed) {
            false => &self.first,
            true => &self.later,
        };
        source.gateway(request).await
    }
}

pub(crate) fn id(id: &str) -> DeviceId {
    id.parse().unwrap()
}

/// Attaches this device, which must succeed.
pub(crate) async fn attach(client: &Client, device: &str) -> Device {
    client.attach(id(device)).await.unwrap()
}

/// Closes the gateway, which must leave nothing unsent, and waits for the end of its driver.
pub(crate) async fn close(client: Client, running: Running) {
    let closed = client.close().await;
    assert_eq!(closed.unsent, []);
    assert_eq!(running.closed().await, Some(closed));
}

/// The end of the next connection, or of an attempt at one.
pub(crate) async fn disconnection(
    status: &mut StatusChanges,
) -> (Disconnected, Option<Arc<TransportError>>) {
    loop {
        match status.next().await.expect("the driver runs") {
            Status::Disconnected { ended, error } => return (ended, error),
            _ => continue,
        }
    }
}

/// The telemetry payloads among these events, in order.
pub(crate) fn telemetry(events: &[EventKind]) -> Vec<String> {
    let payloads = events.iter().filter_map(|event| match event {
        EventKind::Telemetry { payload, .. } => {
            Some(String::from_utf8_lossy(&payload.0).into_owned())
        }
        _ => None,
    });
    payloads.collect()
}

/// How many of these events are so.
pub(crate) fn count(events: &[EventKind], is_so: impl Fn(&EventKind) -> bool) -> usize {
    events.iter().filter(|event| is_so(event)).count()
}

/// Lets all of these run at once, and gives what they gave, in order.
pub(crate) async fn all<F: Future>(futures: impl IntoIterator<Item = F>) -> Vec<F::Output> {
    let mut futures: Vec<_> = futures.into_iter().map(Box::pin).collect();
    let mut outputs: Vec<_> = futures.iter().map(|_| None).collect();
    poll_fn(|cx| {
        let mut is_pending = false;
        for (future, output) in futures.iter_mut().zip(&mut outputs) {
            if output.is_none() {
                match future.as_mut().poll(cx) {
                    Poll::Ready(ready) => *output = Some(ready),
                    Poll::Pending => is_pending = true,
                }
            }
        }
        if is_pending {
            Poll::Pending
        } else {
            Poll::Ready(())
        }
    })
    .await;
    outputs.into_iter().flatten().collect()
}

/// Runs a future that must end within a time of the runtime's.
pub(crate) async fn in_time<T>(
    runtime: &impl Runtime,
    limit: Duration,
    future: impl Future<Output = T>,
) -> T {
    let mut future = pin!(future);
    let mut sleep = pin!(runtime.sleep_until(runtime.now() + limit));
    poll_fn(|cx| {
        if let Poll::Ready(output) = future.as_mut().poll(cx) {
            return Poll::Ready(output);
        }
        assert!(
            sleep.as_mut().poll(cx).is_pending(),
            "not ended in {limit:?}"
        );
        Poll::Pending
    })
    .await
}

/// A driver that runs, is counted, and can be dropped, on whatever spawns.
pub(crate) struct Running(Arc<Mutex<Slot>>);

#[derive(Default)]
struct Slot {
    driver: Option<BoxFuture<Closed>>,
    polls: usize,
    closed: Option<Closed>,
    /// The task of the driver, and whoever waits for its end.
    wakers: [Option<Waker>; 2],
}

impl Running {
    fn new(driver: impl Future<Output = Closed> + Send + 'static) -> (Self, BoxFuture<()>) {
        let slot = Arc::new(Mutex::new(Slot {
            driver: Some(Box::pin(driver)),
            ..Slot::default()
        }));
        let task = Arc::clone(&slot);
        let task = poll_fn(move |cx| {
            let polled = lock(&task).poll(cx);
            if polled.is_ready() {
                wake(&task);
            }
            polled
        });
        (Self(slot), Box::pin(task))
    }

    /// How often the driver was polled.
    pub(crate) fn polls(&self) -> usize {
        lock(&self.0).polls
    }

    /// Drops the driver.
    pub(crate) fn stop(&self) {
        let driver = lock(&self.0).driver.take();
        drop(driver);
        wake(&self.0);
    }

    /// How it ended, unless it was dropped.
    pub(crate) async fn closed(self) -> Option<Closed> {
        poll_fn(|cx| {
            let mut slot = lock(&self.0);
            if slot.driver.is_none() {
                return Poll::Ready(slot.closed.take());
            }
            slot.wakers[1] = Some(cx.waker().clone());
            Poll::Pending
        })
        .await
    }
}

impl Slot {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Some(driver) = &mut self.driver else {
            return Poll::Ready(());
        };
        self.polls += 1;
        let Poll::Ready(closed) = driver.as_mut().poll(cx) else {
            self.wakers[0] = Some(cx.waker().clone());
            return Poll::Pending;
        };
        self.closed = Some(closed);
        self.driver = None;
        Poll::Ready(())
    }
}

fn lock<T>(slot: &Mutex<T>) -> MutexGuard<'_, T> {
    slot.lock().unwrap_or_else(PoisonError::into_inner)
}

fn wake(slot: &Mutex<Slot>) {
    let wakers = std::mem::take(&mut lock(slot).wakers);
    for waker in wakers.into_iter().flatten() {
        waker.wake();
    }
}

/// All that has happened at a bridge, and who waits for more. Cheap to clone; all clones are one.
#[derive(Clone, Default)]
pub(crate) struct Log(Arc<Mutex<(Vec<EventKind>, Vec<Waker>)>>);

impl Log {
    pub(crate) fn add(&self, event: &Event) {
        let wakers = {
            let mut log = lock(&self.0);
            log.0.push(event.kind.clone());
            std::mem::take(&mut log.1)
        };
        for waker in wakers {
            waker.wake();
        }
    }

    pub(crate) fn holds(&self, condition: impl Fn(&[EventKind]) -> bool) -> bool {
        condition(&lock(&self.0).0)
    }

    pub(crate) async fn until(&self, condition: impl Fn(&[EventKind]) -> bool) {
        poll_fn(|cx| {
            let mut log = lock(&self.0);
            if condition(&log.0) {
                return Poll::Ready(());
            }
            log.1.push(cx.waker().clone());
            Poll::Pending
        })
        .await;
    }
}
