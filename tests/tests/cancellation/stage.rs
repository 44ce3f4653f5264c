//! A working gateway, and records of what was accepted and received.

use std::{
    cell::RefCell, collections::BTreeMap, future::poll_fn, pin::pin, rc::Rc, task::Poll,
    time::Duration,
};

use iotcore_gateway::{
    Algorithm, DeviceId, Options,
    auth::{SigningKey, Token},
    driver::{
        Attach, Client, Delivery, Device, MessageKind, Runtime,
        closed::{CloseCause, Closed},
    },
};
use iotcore_gateway_testkit::{
    AuthMethod, Bridge, EventKind, Settings,
    link::{self, BOUND},
    simulation::{SimRuntime, Simulation, Task},
};

pub(crate) const DEVICE: &str = BOUND[0];
pub(crate) const OTHER: &str = BOUND[1];

/// The number of messages that the other tasks send in each direction.
pub(crate) const CHATTER: usize = 8;

/// Time limit in virtual time; exceeded only if something was lost.
const LIMIT: Duration = Duration::from_secs(600);

/// A gateway with tasks that send and receive.
pub(crate) struct Stage {
    pub(crate) world: SimRuntime,
    pub(crate) client: Client,
    pub(crate) driver: Task<Closed>,
    pub(crate) reading: Task<()>,
    pub(crate) records: Rc<RefCell<Records>>,
}

/// Records of what was accepted, and of what was received.
#[derive(Default)]
pub(crate) struct Records {
    /// Telemetry that was accepted, by device, in order.
    pub(crate) accepted: BTreeMap<String, Vec<String>>,
    pub(crate) deliveries: Vec<Delivery>,
    /// Commands that the bridge accepted for [`DEVICE`], and those that were read.
    pub(crate) sent: Vec<String>,
    pub(crate) read: Vec<String>,
    pub(crate) happened: Vec<EventKind>,
}

impl Records {
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
    /// Connects, attaches [`DEVICE`], and starts all tasks.
    pub(crate) async fn start(simulation: &Simulation, options: Options) -> Self {
        let world = simulation.runtime();
        let setup = simulation.setup().options(options);
        let (client, driver) = setup.start(world.clone()).unwrap();
        let driver = simulation.spawn(driver.run());
        let device = client.attach(with_token(&world, DEVICE)).await.unwrap();
        let records = Rc::<RefCell<Records>>::default();
        let sending = send(client.gateway(), world.clone(), Rc::clone(&records));
        drop(simulation.spawn(sending));
        Self {
            reading: simulation.spawn(read(device, Rc::clone(&records))),
            world,
            client,
            driver,
            records,
        }
    }

    /// Polls a future whenever the clock advances, and drops it after this many polls.
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

    /// Publishes a message, and records whether it was accepted.
    pub(crate) async fn publish(&self, device: &Device, payload: String) {
        let delivery = device.telemetry(payload.clone()).await.unwrap();
        self.records.borrow_mut().accept(device, payload, delivery);
    }

    /// Waits until this many events of a kind have occurred at the bridge.
    pub(crate) async fn until(&self, number: usize, is_so: impl Fn(&EventKind) -> bool) {
        let happened = |bridge: &mut Bridge| {
            let mut records = self.records.borrow_mut();
            count(records.look(bridge), &is_so) >= number
        };
        self.world.until(happened).await;
    }

    /// Returns how many events of a kind have occurred at the bridge.
    pub(crate) fn happened(&self, is_so: impl Fn(&EventKind) -> bool) -> usize {
        let look = |bridge: &mut Bridge, _| count(self.records.borrow_mut().look(bridge), &is_so);
        self.world.with(look)
    }

    /// Waits until everything sent has arrived, in both directions.
    pub(crate) async fn quiet(&self) {
        self.until(CHATTER, is_command_acknowledged).await;
        self.delivered().await;
    }

    pub(crate) async fn delivered(&self) {
        let deliveries = std::mem::take(&mut self.records.borrow_mut().deliveries);
        for delivery in deliveries {
            assert_eq!(delivery.await, Ok(()));
        }
    }

    /// Waits for all tasks, closes, and compares the records.
    pub(crate) async fn finish(self) {
        self.quiet().await;
        let stats = self.client.stats();
        assert_eq!((stats.published, stats.queued), (stats.accepted, 0));
        assert_eq!(self.client.close().await.unsent, []);
        self.compare().await;
    }

    /// Checks that everything accepted has arrived once, in order, and nothing else; and that every command was read
    /// once, in order, and acknowledged.
    pub(crate) async fn compare(self) {
        let closed = self.driver.await;
        assert_eq!(
            (closed.cause, &closed.unsent[..]),
            (CloseCause::Requested, &[][..])
        );
        self.reading.await;
        let mut records = self.records.borrow_mut();
        self.world.with(|bridge, _| records.look(bridge).len());
        assert_eq!(telemetry(&records.happened), records.accepted);
        assert_eq!(
            (records.sent.len(), &records.read),
            (CHATTER, &records.sent)
        );
        assert_eq!(count(&records.happened, is_command_acknowledged), CHATTER);
    }
}

/// Sends the gateway's own telemetry, and commands to the device, until one is not accepted.
pub(crate) async fn send(gateway: Device, world: SimRuntime, records: Rc<RefCell<Records>>) {
    for n in 0..CHATTER {
        let payload = format!("chatter {n}");
        let Ok(delivery) = gateway.telemetry(payload.clone()).await else {
            return;
        };
        records
            .borrow_mut()
            .accept(&gateway, payload.clone(), delivery);
        let command = payload.clone();
        let sent = world.with(|bridge, now| bridge.send_command(DEVICE, None, command, now));
        if sent.is_err() {
            return;
        }
        records.borrow_mut().sent.push(payload);
        world.sleep(Duration::from_millis(13)).await;
    }
}

pub(crate) async fn read(device: Device, records: Rc<RefCell<Records>>) {
    let mut messages = device.messages();
    drop(device);
    while let Some(message) = messages.next().await {
        if message.kind != MessageKind::Config {
            records.borrow_mut().read.push(text(&message.payload));
        }
    }
}

/// Attaches this device with its own token, which a bridge that does not require one ignores.
pub(crate) fn with_token(world: &SimRuntime, device: &str) -> Attach {
    Attach::new(id(device)).token(token(world))
}

/// Creates a token for any device of the registry: all use the gateway's key.
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

/// Runs this with a future dropped after 0, 1, 2 … polls, until the future has completed, which `play` returns.
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
            assert!(polls > 0, "the future completed without being polled");
            return;
        }
    }
    panic!("the future does not complete");
}

/// The maximum number of polls of a future.
pub(crate) const MAX_POLLS: usize = 1_000;

/// Runs a future with a time limit, which is exceeded only if something was lost.
pub(crate) async fn in_time<T>(world: SimRuntime, future: impl Future<Output = T>) -> T {
    let (mut future, mut limit) = (pin!(future), pin!(world.sleep(LIMIT)));
    poll_fn(|cx| {
        let polled = future.as_mut().poll(cx);
        let is_late = polled.is_pending() && limit.as_mut().poll(cx).is_ready();
        assert!(!is_late, "the time limit was exceeded");
        polled
    })
    .await
}
