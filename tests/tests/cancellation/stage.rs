//! A gateway at work, and the books that are kept of it.

use std::{
    cell::RefCell, collections::BTreeMap, future::poll_fn, pin::pin, rc::Rc, task::Poll,
    time::Duration,
};

use iotcore_gateway::{
    Algorithm, DeviceId, Options, SigningKey, Token,
    driver::{Attach, Client, CloseCause, Closed, Delivery, Device, MessageKind, Runtime},
};
use iotcore_gateway_testkit::{
    AuthMethod, Bridge, EventKind, Settings,
    link::{self, BOUND},
    simulation::{SimRuntime, Simulation, Task},
};

pub(crate) const DEVICE: &str = BOUND[0];
pub(crate) const OTHER: &str = BOUND[1];

/// What the other tasks send each way.
pub(crate) const CHATTER: usize = 8;

/// No play takes longer, in virtual time, unless something was lost.
const LIMIT: Duration = Duration::from_secs(600);

/// A gateway whose tasks are at work.
pub(crate) struct Stage {
    pub(crate) world: SimRuntime,
    pub(crate) client: Client,
    pub(crate) driver: Task<Closed>,
    pub(crate) reading: Task<()>,
    pub(crate) books: Rc<RefCell<Books>>,
}

/// What was promised, and what was seen.
#[derive(Default)]
pub(crate) struct Books {
    /// Telemetry that was accepted, by device, in order.
    pub(crate) accepted: BTreeMap<String, Vec<String>>,
    pub(crate) deliveries: Vec<Delivery>,
    /// Commands that the bridge took in for [`DEVICE`], and those that were read.
    pub(crate) sent: Vec<String>,
    pub(crate) read: Vec<String>,
    pub(crate) happened: Vec<EventKind>,
}

impl Books {
    pub(crate) fn look(&mut self, bridge: &mut Bridge) -> &[EventKind] {
        let events = std::iter::from_fn(|| bridge.poll_event());
        self.happened.extend(events.map(|event| event.kind));
        &self.happened
    }

    pub(crate) fn accept(&mut self, device: &Device, payload: String, delivery: Delivery) {
        let device = device.id().to_string();
        self.accepted.entry(device).or_default().push(payload);
        self.deliveries.push(delivery);
    }
}

pub(crate) fn count(events: &[EventKind], is_so: impl Fn(&EventKind) -> bool) -> usize {
    events.iter().filter(|event| is_so(event)).count()
}

impl Stage {
    /// Connects, attaches [`DEVICE`], and sets everybody to work.
    pub(crate) async fn start(simulation: &Simulation, options: Options) -> Self {
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
    pub(crate) async fn dropped<T>(
        &self,
        polls: usize,
        future: impl Future<Output = T>,
    ) -> Option<T> {
        let mut future = pin!(future);
        for _ in 0..polls {
            if let Poll::Ready(output) = poll_fn(|cx| Poll::Ready(future.as_mut().poll(cx))).await {
                return Some(output);
            }
            self.world.step().await;
        }
        None
    }

    pub(crate) async fn attach(&self, device: &str) -> Device {
        let attach = with_token(&self.world, device);
        self.client.attach(attach).await.unwrap()
    }

    /// Has a message accepted, as one of the books.
    pub(crate) async fn publish(&self, device: &Device, payload: String) {
        let delivery = device.telemetry(payload.clone()).await.unwrap();
        self.books.borrow_mut().accept(device, payload, delivery);
    }

    /// Waits until so many things of a kind have happened at the bridge.
    pub(crate) async fn until(&self, number: usize, is_so: impl Fn(&EventKind) -> bool) {
        let happened = |bridge: &mut Bridge| {
            let mut books = self.books.borrow_mut();
            count(books.look(bridge), &is_so) >= number
        };
        self.world.until(happened).await;
    }

    /// How many things of a kind have happened at the bridge.
    pub(crate) fn happened(&self, is_so: impl Fn(&EventKind) -> bool) -> usize {
        let look = |bridge: &mut Bridge, _| count(self.books.borrow_mut().look(bridge), &is_so);
        self.world.with(look)
    }

    /// Waits until all that was sent has arrived, both ways.
    pub(crate) async fn quiet(&self) {
        self.until(CHATTER, is_command_acknowledged).await;
        self.delivered().await;
    }

    pub(crate) async fn delivered(&self) {
        let deliveries = std::mem::take(&mut self.books.borrow_mut().deliveries);
        for delivery in deliveries {
            assert_eq!(delivery.await, Ok(()));
        }
    }

    /// Lets everybody finish, closes, and compares the books.
    pub(crate) async fn finish(self) {
        self.quiet().await;
        let stats = self.client.stats();
        assert_eq!((stats.published, stats.queued), (stats.accepted, 0));
        assert_eq!(self.client.close().await.unsent, []);
        self.compare().await;
    }

    /// Everything accepted has arrived once, in order, and nothing else; every command was read once, in order, and
    /// acknowledged.
    pub(crate) async fn compare(self) {
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
pub(crate) async fn send(gateway: Device, world: SimRuntime, books: Rc<RefCell<Books>>) {
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

pub(crate) async fn read(device: Device, books: Rc<RefCell<Books>>) {
    let mut messages = device.messages();
    drop(device);
    while let Some(message) = messages.next().await {
        if message.kind != MessageKind::Config {
            books.borrow_mut().read.push(text(&message.payload));
        }
    }
}

/// Attaches this device with a token of its own, which a bridge that wants none ignores.
pub(crate) fn with_token(world: &SimRuntime, device: &str) -> Attach {
    Attach::new(id(device)).token(token(world))
}

/// A token of any device of the registry: all have the gateway's key.
pub(crate) fn token(world: &SimRuntime) -> Token {
    let key = include_bytes!("../../src/link/gateway.key.pem");
    let key = SigningKey::from_pem(key, Algorithm::Es256).unwrap();
    let project = "my-project".parse().unwrap();
    let lifetime = Duration::from_secs(3_600);
    key.token(&project, lifetime, world.now(), world.unix_now())
        .unwrap()
}

pub(crate) fn id(device: &str) -> DeviceId {
    device.parse().unwrap()
}

pub(crate) fn text(payload: &[u8]) -> String {
    String::from_utf8(payload.to_vec()).unwrap()
}

pub(crate) fn telemetry(events: &[EventKind]) -> BTreeMap<String, Vec<String>> {
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

pub(crate) fn is_command_acknowledged(event: &EventKind) -> bool {
    matches!(event, EventKind::CommandAcknowledged { device, .. } if device == DEVICE)
}

pub(crate) fn is_attached(event: &EventKind, id: &str) -> bool {
    matches!(event, EventKind::Attached { device, .. } if device == id)
}

pub(crate) fn is_subscribed(event: &EventKind) -> bool {
    matches!(event, EventKind::Subscribed { filter, .. } if filter.contains(OTHER))
}

pub(crate) fn is_unsubscribed(event: &EventKind) -> bool {
    matches!(event, EventKind::Unsubscribed { filter, .. } if filter.contains(OTHER))
}

/// Plays this with a future dropped after 0, 1, 2 … polls, until the future has ended by itself, which `play` tells.
pub(crate) fn at_every_poll(play: impl AsyncFn(Stage, usize) -> bool) {
    at_every_poll_with(AuthMethod::AssociationOnly, Options::default(), play);
}

pub(crate) fn at_every_poll_with(
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
pub(crate) const MAX_POLLS: usize = 1_000;

/// Runs a future that ends unless something was lost.
pub(crate) async fn in_time<T>(world: SimRuntime, future: impl Future<Output = T>) -> T {
    let (mut future, mut limit) = (pin!(future), pin!(world.sleep(LIMIT)));
    poll_fn(|cx| {
        let polled = future.as_mut().poll(cx);
        let is_late = polled.is_pending() && limit.as_mut().poll(cx).is_ready();
        assert!(!is_late, "something never came");
        polled
    })
    .await
}
