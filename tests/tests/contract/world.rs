//! The environment that a scenario needs, and the gateway's setup.

use std::{
    future::poll_fn,
    pin::{Pin, pin},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker},
    time::{Duration, Instant},
};

use iotcore_gateway::{
    ClientId, DeviceId, Options,
    cause::Disconnected,
    driver::{
        Client, Device, Runtime, Security, Setup, Status, StatusChanges, closed::Closed,
        error::TransportError,
    },
};
use iotcore_gateway_testkit::{Bridge, Event, EventKind, link::GATEWAY};

use super::tokens::Tokens;

pub(crate) type BoxFuture<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// A bridge, a network with fault injection, and a runtime for the gateway.
pub(crate) trait World: Sized {
    type Runtime: Runtime;

    /// Runs a scenario in a new world with a bridge that is secured as given.
    fn play(secured: Secured, scenario: impl AsyncFnOnce(&Self, Plan));

    fn runtime(&self) -> Self::Runtime;

    fn spawn(&self, task: BoxFuture<()>);

    /// Accesses the bridge.
    fn with<T>(&self, act: impl FnOnce(&mut Bridge, Instant) -> T) -> T;

    /// Waits until the bridge's events satisfy the condition.
    async fn until(&self, condition: impl Fn(&[EventKind]) -> bool);

    /// Sends one byte per segment from now on, in both directions.
    fn one_byte_per_segment(&self);

    /// Cuts all connections.
    fn cut(&self);

    /// Closes all connections once this many more bytes have arrived at the gateway.
    fn close_after(&self, bytes: usize);

    /// Drops everything sent on the open connections, without notice to either side.
    fn half_open(&self);

    /// Suspends the gateway's machine: the date and the bridge's clock go on, the monotonic clock does not.
    fn suspend(&self, duration: Duration);

    /// Stops reading from the gateway after a few small packets, or resumes.
    fn stall(&self, is_stalled: bool);

    /// Sets what the bridge's host resolves to.
    fn resolve_to(&self, addresses: &[At]);

    /// Injects a fault, in its text form.
    fn fault(&self, line: &str) {
        let fault = line.parse().expect("a fault");
        self.with(|bridge, now| bridge.inject(fault, now))
            .expect("a valid fault");
    }

    /// Starts a gateway.
    fn start(&self, plan: &Plan) -> (Client, Running) {
        let (client, driver) = plan.setup().start(self.runtime()).expect("a valid setup");
        let (running, task) = Running::new(driver.run());
        self.spawn(task);
        (client, running)
    }
}

/// What is at an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum At {
    Bridge,
    /// Nothing, and no router says so.
    Nothing,
    /// A machine that refuses connections to this port.
    Refusing,
    /// A server that accepts connections and never answers on them.
    Silent,
}

/// The security of the bridge.
pub(crate) enum Secured {
    Plain,
    /// TLS with a certificate for this name, of a CA that the setup trusts.
    For(&'static str),
}

/// The gateway's setup in a scenario.
pub(crate) struct Plan {
    pub(crate) security: Security,
    pub(crate) port: u16,
    pub(crate) options: Options,
    pub(crate) dial_timeout: Duration,
    /// The lifetime of the first token. Later ones are valid for an hour.
    pub(crate) first_token: Duration,
    /// The gateway's id.
    pub(crate) gateway: &'static str,
}

impl Plan {
    /// Keeps all waits as short as possible.
    pub(crate) fn new(security: Security, port: u16) -> Self {
        let mut options = Options::default();
        options.backoff.min = Duration::from_millis(20);
        options.backoff.max = Duration::from_millis(100);
        options.quota.device_bytes_per_second = None;
        Self {
            security,
            port,
            options,
            dial_timeout: Duration::from_secs(20),
            first_token: Duration::from_secs(3_600),
            gateway: GATEWAY,
        }
    }

    fn setup(&self) -> Setup<Tokens> {
        let id = ClientId::new(
            "my-project".parse().unwrap(),
            "us-central1".parse().unwrap(),
            "my-registry".parse().unwrap(),
            self.gateway.parse().unwrap(),
        );
        let tokens = Tokens::new(self.first_token);
        Setup::new("localhost", self.security.clone(), id, tokens)
            .port(self.port)
            .options(self.options.clone())
            .dial_timeout(self.dial_timeout)
            .seed(1)
    }
}

pub(crate) fn id(id: &str) -> DeviceId {
    id.parse().unwrap()
}

/// Attaches this device; this must succeed.
pub(crate) async fn attach(client: &Client, device: &str) -> Device {
    client.attach(id(device)).await.unwrap()
}

/// Closes the gateway, which must leave nothing unsent, and waits until its driver ends.
pub(crate) async fn close(client: Client, running: Running) {
    let closed = client.close().await;
    assert_eq!(closed.unsent, []);
    assert_eq!(running.closed().await, Some(closed));
}

/// Returns the error of the next connection or connection attempt that ends.
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

/// Returns the telemetry payloads among these events, in order.
pub(crate) fn telemetry(events: &[EventKind]) -> Vec<String> {
    let payloads = events.iter().filter_map(|event| match event {
        EventKind::Telemetry { payload, .. } => {
            Some(String::from_utf8_lossy(&payload.0).into_owned())
        }
        _ => None,
    });
    payloads.collect()
}

/// Returns how many of these events satisfy the condition.
pub(crate) fn count(events: &[EventKind], is_so: impl Fn(&EventKind) -> bool) -> usize {
    events.iter().filter(|event| is_so(event)).count()
}

/// Runs all futures concurrently, and returns their outputs in order.
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

/// Runs a future with a time limit on the runtime's clock.
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

/// A running driver on any executor: its polls are counted, and it can be dropped.
pub(crate) struct Running(Arc<Mutex<Slot>>);

#[derive(Default)]
struct Slot {
    driver: Option<BoxFuture<Closed>>,
    polls: usize,
    closed: Option<Closed>,
    /// The driver's task, and the wakers that wait for its end.
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

    /// Returns how often the driver was polled.
    pub(crate) fn polls(&self) -> usize {
        lock(&self.0).polls
    }

    /// Drops the driver.
    pub(crate) fn stop(&self) {
        let driver = lock(&self.0).driver.take();
        drop(driver);
        wake(&self.0);
    }

    /// Returns its result, unless it was dropped.
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

/// The log of a bridge's events, and the wakers that wait for more. Cheap to clone; all clones share their state.
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
