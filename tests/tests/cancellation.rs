//! Every public future, dropped at its k-th poll, for every k until it ends by itself: nothing that was accepted is lost
//! or doubled, and neither is what a reader had not taken.
//!
//! A future is polled whenever the clock moves, woken or not, so that it is dropped between any two things that happen.
//! Meanwhile other tasks send, receive and acknowledge, and at the end their books are compared with the bridge's.

use std::{
    cell::RefCell, collections::BTreeMap, future::poll_fn, pin::pin, rc::Rc, task::Poll,
    time::Duration,
};

use iotcore_gateway::{
    Algorithm, CommandError, DeviceId, Options, QoS, SigningKey, Subscription, Token,
    driver::{
        Attach, Client, CloseCause, Closed, Delivery, DeliveryError, Device, MessageKind,
        OperationError, Runtime, StatusChanges,
    },
};
use iotcore_gateway_testkit::{
    AuthMethod, Bridge, EventKind, Settings,
    bridge::event::DetachCause,
    link::{self, BOUND, GATEWAY, UNBOUND},
    simulation::{SimRuntime, Simulation, Task},
};

const DEVICE: &str = BOUND[0];
const OTHER: &str = BOUND[1];

/// What the other tasks send each way.
const CHATTER: usize = 8;

/// No play takes longer, in virtual time, unless something was lost.
const LIMIT: Duration = Duration::from_secs(600);

/// A gateway whose tasks are at work.
struct Stage {
    world: SimRuntime,
    client: Client,
    driver: Task<Closed>,
    reading: Task<()>,
    books: Rc<RefCell<Books>>,
}

/// What was promised, and what was seen.
#[derive(Default)]
struct Books {
    /// Telemetry that was accepted, by device, in order.
    accepted: BTreeMap<String, Vec<String>>,
    deliveries: Vec<Delivery>,
    /// Commands that the bridge took in for [`DEVICE`], and those that were read.
    sent: Vec<String>,
    read: Vec<String>,
    happened: Vec<EventKind>,
}

impl Books {
    fn look(&mut self, bridge: &mut Bridge) -> &[EventKind] {
        let events = std::iter::from_fn(|| bridge.poll_event());
        self.happened.extend(events.map(|event| event.kind));
        &self.happened
    }

    fn accept(&mut self, device: &Device, payload: String, delivery: Delivery) {
        let device = device.id().to_string();
        self.accepted.entry(device).or_default().push(payload);
        self.deliveries.push(delivery);
    }
}

fn count(events: &[EventKind], is_so: impl Fn(&EventKind) -> bool) -> usize {
    events.iter().filter(|event| is_so(event)).count()
}

impl Stage {
    /// Connects, attaches [`DEVICE`], and sets everybody to work.
    async fn start(simulation: &Simulation, options: Options) -> Self {
        let world = simulation.runtime();
        let setup = simulation.setup().options(options);
        let (client, driver) = setup.start(world.clone()).unwrap();
        let driver = simulation.spawn(driver.run());
        let device = client.attach(with_token(&world, DEVICE)).await.unwrap();
        let books = Rc::<RefCell<Books>>::default();
        let sending = send(client.gateway(), world.clone(), Rc::clone(&books));
        drop(simulation.spawn(sending));
        Self {
            reading: simulation.spawn(read(device, Rc::clone(&books))),
            world,
            client,
            driver,
            books,
        }
    }

    /// Polls a future whenever the clock moves, and drops it after so many polls.
    async fn dropped<T>(&self, polls: usize, future: impl Future<Output = T>) -> Option<T> {
        let mut future = pin!(future);
        for _ in 0..polls {
            if let Poll::Ready(output) = poll_fn(|cx| Poll::Ready(future.as_mut().poll(cx))).await {
                return Some(output);
            }
            self.world.step().await;
        }
        None
    }

    async fn attach(&self, device: &str) -> Device {
        let attach = with_token(&self.world, device);
        self.client.attach(attach).await.unwrap()
    }

    /// Has a message accepted, as one of the books.
    async fn publish(&self, device: &Device, payload: String) {
        let delivery = device.telemetry(payload.clone()).await.unwrap();
        self.books.borrow_mut().accept(device, payload, delivery);
    }

    /// Waits until so many things of a kind have happened at the bridge.
    async fn until(&self, number: usize, is_so: impl Fn(&EventKind) -> bool) {
        let happened = |bridge: &mut Bridge| {
            let mut books = self.books.borrow_mut();
            count(books.look(bridge), &is_so) >= number
        };
        self.world.until(happened).await;
    }

    /// How many things of a kind have happened at the bridge.
    fn happened(&self, is_so: impl Fn(&EventKind) -> bool) -> usize {
        let look = |bridge: &mut Bridge, _| count(self.books.borrow_mut().look(bridge), &is_so);
        self.world.with(look)
    }

    /// Waits until all that was sent has arrived, both ways.
    async fn quiet(&self) {
        self.until(CHATTER, is_command_acknowledged).await;
        self.delivered().await;
    }

    async fn delivered(&self) {
        let deliveries = std::mem::take(&mut self.books.borrow_mut().deliveries);
        for delivery in deliveries {
            assert_eq!(delivery.await, Ok(()));
        }
    }

    /// Lets everybody finish, closes, and compares the books.
    async fn finish(self) {
        self.quiet().await;
        let stats = self.client.stats();
        assert_eq!((stats.published, stats.queued), (stats.accepted, 0));
        assert_eq!(self.client.close().await.unsent, []);
        self.compare().await;
    }

    /// Everything accepted has arrived once, in order, and nothing else; every command was read once, in order, and
    /// acknowledged.
    async fn compare(self) {
        let closed = self.driver.await;
        assert_eq!(
            (closed.cause, &closed.unsent[..]),
            (CloseCause::Requested, &[][..])
        );
        self.reading.await;
        let mut books = self.books.borrow_mut();
        self.world.with(|bridge, _| books.look(bridge).len());
        assert_eq!(telemetry(&books.happened), books.accepted);
        assert_eq!((books.sent.len(), &books.read), (CHATTER, &books.sent));
        assert_eq!(count(&books.happened, is_command_acknowledged), CHATTER);
    }
}

/// Sends telemetry of the gateway's own, and commands to the device, until one is not accepted.
async fn send(gateway: Device, world: SimRuntime, books: Rc<RefCell<Books>>) {
    for n in 0..CHATTER {
        let payload = format!("chatter {n}");
        let Ok(delivery) = gateway.telemetry(payload.clone()).await else {
            return;
        };
        books
            .borrow_mut()
            .accept(&gateway, payload.clone(), delivery);
        let command = payload.clone();
        let sent = world.with(|bridge, now| bridge.send_command(DEVICE, None, command, now));
        if sent.is_err() {
            return;
        }
        books.borrow_mut().sent.push(payload);
        world.sleep(Duration::from_millis(13)).await;
    }
}

async fn read(device: Device, books: Rc<RefCell<Books>>) {
    let mut messages = device.messages();
    drop(device);
    while let Some(message) = messages.next().await {
        if message.kind != MessageKind::Config {
            books.borrow_mut().read.push(text(&message.payload));
        }
    }
}

/// Attaches this device with a token of its own, which a bridge that wants none ignores.
fn with_token(world: &SimRuntime, device: &str) -> Attach {
    Attach::new(id(device)).token(token(world))
}

/// A token of any device of the registry: all have the gateway's key.
fn token(world: &SimRuntime) -> Token {
    let key = include_bytes!("../src/link/gateway.key.pem");
    let key = SigningKey::from_pem(key, Algorithm::Es256).unwrap();
    let project = "my-project".parse().unwrap();
    let lifetime = Duration::from_secs(3_600);
    key.token(&project, lifetime, world.now(), world.unix_now())
        .unwrap()
}

fn id(device: &str) -> DeviceId {
    device.parse().unwrap()
}

fn text(payload: &[u8]) -> String {
    String::from_utf8(payload.to_vec()).unwrap()
}

fn telemetry(events: &[EventKind]) -> BTreeMap<String, Vec<String>> {
    let mut taken = BTreeMap::<String, Vec<String>>::new();
    for event in events {
        if let EventKind::Telemetry {
            device, payload, ..
        } = event
        {
            taken
                .entry(device.clone())
                .or_default()
                .push(text(&payload.0));
        }
    }
    taken
}

fn is_command_acknowledged(event: &EventKind) -> bool {
    matches!(event, EventKind::CommandAcknowledged { device, .. } if device == DEVICE)
}

fn is_attached(event: &EventKind, id: &str) -> bool {
    matches!(event, EventKind::Attached { device, .. } if device == id)
}

fn is_subscribed(event: &EventKind) -> bool {
    matches!(event, EventKind::Subscribed { filter, .. } if filter.contains(OTHER))
}

fn is_unsubscribed(event: &EventKind) -> bool {
    matches!(event, EventKind::Unsubscribed { filter, .. } if filter.contains(OTHER))
}

/// Plays this with a future dropped after 0, 1, 2 … polls, until the future has ended by itself, which `play` tells.
fn at_every_poll(play: impl AsyncFn(Stage, usize) -> bool) {
    at_every_poll_with(AuthMethod::AssociationOnly, Options::default(), play);
}

fn at_every_poll_with(
    method: AuthMethod,
    options: Options,
    play: impl AsyncFn(Stage, usize) -> bool,
) {
    for polls in 0..MAX_POLLS {
        let simulation = Simulation::with_bridge(link::registry(method), Settings::default(), None);
        let playing = async {
            let stage = Stage::start(&simulation, options.clone()).await;
            play(stage, polls).await
        };
        let has_ended = simulation.run(in_time(simulation.runtime(), playing));
        if has_ended {
            assert!(polls > 0, "a future that ends without being polled");
            return;
        }
    }
    panic!("a future that never ends");
}

/// No future takes more.
const MAX_POLLS: usize = 1_000;

/// Runs a future that ends unless something was lost.
async fn in_time<T>(world: SimRuntime, future: impl Future<Output = T>) -> T {
    let (mut future, mut limit) = (pin!(future), pin!(world.sleep(LIMIT)));
    poll_fn(|cx| {
        let polled = future.as_mut().poll(cx);
        let is_late = polled.is_pending() && limit.as_mut().poll(cx).is_ready();
        assert!(!is_late, "something never came");
        polled
    })
    .await
}

#[test]
fn connected() {
    at_every_poll(async |stage, polls| {
        stage.quiet().await;
        let mut status = stage.client.status();
        stage.world.cut();
        status.next().await.unwrap();
        let connected = stage.dropped(polls, stage.client.connected()).await;
        stage.attach(DEVICE).await;
        stage.finish().await;
        connected.is_some_and(|connected| connected == Ok(()))
    });
}

#[test]
fn attach() {
    at_every_poll(async |stage, polls| {
        let attach = with_token(&stage.world, OTHER);
        let attached = stage.dropped(polls, stage.client.attach(attach)).await;
        let has_ended = attached.is_some();
        let device = stage.attach(OTHER).await;
        stage.publish(&device, "here".to_owned()).await;
        let attaches = stage.happened(|event| is_attached(event, OTHER));
        assert_eq!((attaches, stage.happened(is_subscribed)), (1, 2));
        stage.finish().await;
        has_ended
    });
}

#[test]
fn telemetry_that_waits_for_room() {
    let mut options = Options::default();
    options.device_queue.messages = 1;
    at_every_poll_with(
        AuthMethod::AssociationOnly,
        options,
        async |stage, polls| {
            let device = stage.attach(OTHER).await;
            let mut has_ended = true;
            for n in 0..6 {
                let payload = n.to_string();
                let accepting = device.telemetry(payload.clone());
                match stage.dropped(polls, accepting).await {
                    Some(delivery) => {
                        stage
                            .books
                            .borrow_mut()
                            .accept(&device, payload, delivery.unwrap())
                    }
                    None => has_ended = false,
                }
            }
            stage.finish().await;
            has_ended
        },
    );
}

#[test]
fn state() {
    at_every_poll(async |stage, polls| {
        let device = stage.attach(OTHER).await;
        let accepted = stage.dropped(polls, device.state("on")).await;
        let has_ended = accepted.is_some();
        if let Some(delivery) = accepted {
            assert_eq!(delivery.unwrap().await, Ok(()));
        }
        let states = stage.happened(|event| matches!(event, EventKind::State { .. }));
        assert_eq!(states, usize::from(has_ended));
        stage.finish().await;
        has_ended
    });
}

#[test]
fn delivery() {
    at_every_poll(async |stage, polls| {
        let device = stage.attach(OTHER).await;
        let delivery = device.telemetry("kept").await.unwrap();
        let accepted = vec!["kept".to_owned()];
        stage
            .books
            .borrow_mut()
            .accepted
            .insert(OTHER.to_owned(), accepted);
        let delivered = stage.dropped(polls, delivery).await;
        stage.finish().await;
        delivered.is_some_and(|delivered| delivered == Ok(()))
    });
}

#[test]
fn subscribe_and_unsubscribe() {
    at_every_poll(async |stage, polls| {
        let attach = with_token(&stage.world, OTHER).config(None).commands(None);
        let device = stage.client.attach(attach).await.unwrap();
        let subscribe = || device.subscribe(Subscription::Commands, QoS::AtLeastOnce);
        let subscribed = stage.dropped(polls, subscribe()).await;
        subscribe().await.unwrap();
        assert_eq!(stage.happened(is_subscribed), 1);
        let send = |bridge: &mut Bridge, now| bridge.send_command(OTHER, None, "once", now);
        let mut messages = device.messages();
        stage.world.with(send).unwrap();
        assert_eq!(messages.next().await.unwrap().payload, "once");

        let unsubscribe = || device.unsubscribe(Subscription::Commands);
        let unsubscribed = stage.dropped(polls, unsubscribe()).await;
        unsubscribe().await.unwrap();
        assert_eq!(stage.happened(is_unsubscribed), 1);
        stage.world.with(send).unwrap_err();
        stage.finish().await;
        subscribed.is_some() && unsubscribed.is_some()
    });
}

#[test]
fn authorize() {
    let method = AuthMethod::DeviceAuthTokenOnly;
    at_every_poll_with(method, Options::default(), async |stage, polls| {
        let refused = stage.client.attach(id(UNBOUND)).await.unwrap_err();
        let device = refused.into_device().unwrap();
        let authorize = || device.authorize(token(&stage.world));
        let authorized = stage.dropped(polls, authorize()).await;
        authorize().await.unwrap();
        stage.publish(&device, "let in".to_owned()).await;
        stage.delivered().await;
        assert_eq!(stage.happened(|event| is_attached(event, UNBOUND)), 1);
        stage.finish().await;
        authorized.is_some()
    });
}

#[test]
fn detach() {
    at_every_poll(async |stage, polls| {
        let device = stage.attach(OTHER).await;
        for n in 0..3 {
            stage.publish(&device, n.to_string()).await;
        }
        let detached = stage.dropped(polls, device.detach()).await;
        match device.detach().await {
            Ok(()) | Err(OperationError::Refused(CommandError::UnknownDevice)) => {}
            Err(error) => panic!("{error}"),
        }
        let requested = |event: &_| matches!(event, EventKind::Detached { device, cause: DetachCause::Requested } if device == OTHER);
        stage.until(1, requested).await;
        assert_eq!(stage.happened(requested), 1);
        stage.finish().await;
        detached.is_some()
    });
}

#[test]
fn next_message() {
    at_every_poll(async |stage, polls| {
        let device = stage.attach(OTHER).await;
        let mut messages = device.messages();
        messages.next().await.unwrap();
        let (mut taken, mut has_ended) = (Vec::new(), true);
        for n in 0..6 {
            let send =
                |bridge: &mut Bridge, now| bridge.send_command(OTHER, None, n.to_string(), now);
            stage.world.with(send).unwrap();
            match stage.dropped(polls, messages.next()).await {
                Some(message) => taken.push(text(&message.unwrap().payload)),
                None => has_ended = false,
            }
            let acknowledged = stage.happened(is_other_acknowledged);
            assert!(acknowledged <= taken.len(), "{acknowledged} of {taken:?}");
        }
        // What nobody takes is not acknowledged, however long it waits.
        stage.world.sleep(Duration::from_secs(1)).await;
        assert!(stage.happened(is_other_acknowledged) <= taken.len());
        while taken.len() < 6 {
            taken.push(text(&messages.next().await.unwrap().payload));
        }
        assert_eq!(taken, ["0", "1", "2", "3", "4", "5"]);
        stage.until(6, is_other_acknowledged).await;
        stage.finish().await;
        has_ended
    });
}

fn is_other_acknowledged(event: &EventKind) -> bool {
    matches!(event, EventKind::CommandAcknowledged { device, .. } if device == OTHER)
}

#[test]
fn next_change_of_status() {
    at_every_poll(async |stage, polls| {
        let (mut dropping, mut patient) = (stage.client.status(), stage.client.status());
        // What comes after a cut is more than one change; the cut is after the chatter, which it would double.
        stage.quiet().await;
        stage.world.cut();
        let mut seen = Vec::new();
        let mut has_ended = true;
        for _ in 0..3 {
            match stage.dropped(polls, dropping.next()).await {
                Some(change) => seen.push(format!("{:?}", change.unwrap())),
                None => has_ended = false,
            }
        }
        stage.client.connected().await.unwrap();
        stage.attach(DEVICE).await;
        stage.finish().await;
        seen.extend(rest(&mut dropping).await);
        assert_eq!(seen, rest(&mut patient).await);
        let changes = ["Disconnected", "Connected", "Attached"];
        assert!(
            seen.iter()
                .zip(changes)
                .all(|(seen, change)| seen.starts_with(change)),
            "{seen:?}"
        );
        has_ended
    });
}

async fn rest(changes: &mut StatusChanges) -> Vec<String> {
    let mut rest = Vec::new();
    while let Some(change) = changes.next().await {
        rest.push(format!("{change:?}"));
    }
    rest
}

#[test]
fn close() {
    at_every_poll(async |stage, polls| {
        let device = stage.attach(OTHER).await;
        stage.quiet().await;
        for n in 0..3 {
            stage.publish(&device, n.to_string()).await;
        }
        let closed = stage.dropped(polls, stage.client.close()).await;
        if polls == 0 {
            stage.finish().await;
        } else {
            // It closes, whether or not anybody waits for it.
            stage.delivered().await;
            stage.compare().await;
        }
        closed.is_some_and(|closed| closed.unsent.is_empty())
    });
}

/// Here a poll is one of the driver itself, and its end is the end of everything.
#[test]
fn run() {
    for polls in 0..MAX_POLLS {
        let simulation = Simulation::new();
        let world = simulation.runtime();
        let (client, driver) = simulation.setup().start(world.clone()).unwrap();
        let driver = simulation.spawn(polled(polls, driver.run()));
        let books = Rc::<RefCell<Books>>::default();
        let playing = async {
            if let Ok(device) = client.attach(id(DEVICE)).await {
                let reading = simulation.spawn(read(device, Rc::clone(&books)));
                send(client.gateway(), world.clone(), Rc::clone(&books)).await;
                client.close().await;
                reading.await;
            }
            (client.close().await, driver.await)
        };
        let (closed, run) = simulation.run(in_time(world.clone(), playing));
        let books = &mut *books.borrow_mut();
        world.with(|bridge, _| books.look(bridge).len());
        compare_with_unsent(&simulation, books, &closed);
        if run.is_some() {
            assert_eq!((run, books.read.len()), (Some(closed), CHATTER));
            return;
        }
        assert_eq!(closed.cause, CloseCause::DriverStopped);
    }
    panic!("a driver that never ends");
}

/// Polls a future at most so many times, and drops it.
async fn polled<T>(polls: usize, future: impl Future<Output = T>) -> Option<T> {
    let mut future = Box::pin(future);
    let mut left = polls;
    poll_fn(|cx| {
        if left == 0 {
            return Poll::Ready(None);
        }
        left -= 1;
        match future.as_mut().poll(cx) {
            Poll::Pending if left == 0 => Poll::Ready(None),
            polled => polled.map(Some),
        }
    })
    .await
}

/// Everything accepted was acknowledged or is handed back, and no message was acknowledged that nobody had read.
fn compare_with_unsent(simulation: &Simulation, books: &mut Books, closed: &Closed) {
    let mut acknowledged = Vec::new();
    let mut unsent = Vec::new();
    let gateway = books.accepted.remove(GATEWAY).unwrap_or_default();
    for (payload, delivery) in gateway.into_iter().zip(books.deliveries.drain(..)) {
        match simulation.run(delivery) {
            Ok(()) => acknowledged.push(payload),
            Err(DeliveryError::DriverStopped) => unsent.push(payload),
            Err(error) => panic!("{payload}: {error}"),
        }
    }
    let handed_back = closed.unsent.iter().map(|unsent| text(&unsent.payload));
    assert_eq!(Vec::from_iter(handed_back), unsent);
    let taken = telemetry(&books.happened)
        .remove(GATEWAY)
        .unwrap_or_default();
    assert!(
        taken.starts_with(&acknowledged),
        "{acknowledged:?} of {taken:?}"
    );
    acknowledged.extend(unsent);
    assert!(
        acknowledged.starts_with(&taken),
        "{taken:?} of {acknowledged:?}"
    );
    assert!(books.sent.starts_with(&books.read));
    assert!(count(&books.happened, is_command_acknowledged) <= books.read.len());
}
