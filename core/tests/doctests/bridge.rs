// What the examples in the driver's documentation run on: a runtime with a virtual clock, and a bridge at the other end of its
// pipe. Each example includes it, hidden. The bridge acknowledges everything, gives each device a config and a command, and
// refuses `stranger-1`.

use std::{
    collections::VecDeque,
    error::Error,
    future::poll_fn,
    io,
    net::{Ipv4Addr, SocketAddr},
    pin::{Pin, pin},
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, Wake, Waker},
    time::{Duration, Instant},
};

use futures_io::{AsyncRead, AsyncWrite};
use iotcore_gateway::{
    ClientId,
    auth::{Token, UnixTime},
    driver::{
        Client, Runtime, Security, Setup,
        token_source::{BoxError, TokenRequest, TokenSource},
    },
};

pub type Example = Result<(), Box<dyn Error>>;

/// The runtime, the network and the bridge.
#[derive(Clone)]
pub struct World {
    things: Arc<Mutex<Things>>,
    /// Whether something is to be polled.
    woken: Arc<Woken>,
}

struct Things {
    /// An example that has not ended by then never will.
    end: Instant,
    now: Instant,
    timers: Vec<(Instant, Waker)>,
    tasks: Vec<Pin<Box<dyn Future<Output = ()> + Send>>>,
    is_plugged_in: bool,
    /// The number of the connection that is up.
    connection: u64,
    to_bridge: VecDeque<u8>,
    to_gateway: VecDeque<u8>,
    is_closed: bool,
    reader: Option<Waker>,
    arrived: Vec<(String, String)>,
}

/// Runs an example on a gateway that can connect.
pub fn on_bridge<F: Future<Output = Example>>(example: impl FnOnce(Client, World) -> F) {
    let world = World::new();
    let (client, driver) = world.setup().start(world.clone()).unwrap();
    world.spawn(async {
        driver.run().await;
    });
    world.run(example(client, world.clone()));
}

impl World {
    pub fn new() -> Self {
        let now = Instant::now();
        let things = Things {
            end: now + Duration::from_secs(600),
            now,
            timers: Vec::new(),
            tasks: Vec::new(),
            is_plugged_in: true,
            connection: 0,
            to_bridge: VecDeque::new(),
            to_gateway: VecDeque::new(),
            is_closed: false,
            reader: None,
            arrived: Vec::new(),
        };
        Self {
            things: Arc::new(Mutex::new(things)),
            woken: Arc::new(Woken(AtomicBool::new(true))),
        }
    }

    pub fn setup(&self) -> Setup<Tokens> {
        Setup::new("localhost", Security::PlainOnLoopback, client_id(), Tokens)
    }

    fn lock(&self) -> MutexGuard<'_, Things> {
        self.things.lock().unwrap()
    }

    /// Ends the connection, and lets none begin.
    pub fn unplug(&self) {
        let mut things = self.lock();
        things.is_plugged_in = false;
        things.connection += 1;
        if let Some(reader) = things.reader.take() {
            reader.wake();
        }
    }

    pub fn plug_in(&self) {
        self.lock().is_plugged_in = true;
    }

    /// Returns the payloads of a topic that the bridge has received.
    pub fn arrived(&self, topic: &str) -> Vec<String> {
        let things = self.lock();
        let of_topic = things.arrived.iter().filter(|(name, _)| name == topic);
        of_topic.map(|(_, payload)| payload.clone()).collect()
    }

    pub fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.lock().tasks.push(Box::pin(task));
        self.woken.wake_by_ref();
    }

    /// Runs the future and the tasks until the future has ended. Whenever all of them wait, the clock jumps.
    pub fn run(&self, example: impl Future<Output = Example>) {
        let waker = Waker::from(Arc::clone(&self.woken));
        let cx = &mut Context::from_waker(&waker);
        let mut example = pin!(example);
        loop {
            while self.woken.0.swap(false, Ordering::Relaxed) {
                let mut tasks = std::mem::take(&mut self.lock().tasks);
                tasks.retain_mut(|task| task.as_mut().poll(cx).is_pending());
                self.lock().tasks.append(&mut tasks);
                if let Poll::Ready(ended) = example.as_mut().poll(cx) {
                    return ended.unwrap();
                }
            }
            self.lock().jump();
        }
    }
}

pub fn client_id() -> ClientId {
    let (project, location) = ("plant".parse().unwrap(), "us-central1".parse().unwrap());
    ClientId::new(
        project,
        location,
        "sensors".parse().unwrap(),
        "gateway-1".parse().unwrap(),
    )
}

struct Woken(AtomicBool);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[derive(Clone, Debug)]
pub struct Tokens;

impl TokenSource for Tokens {
    async fn gateway(&self, request: TokenRequest<'_>) -> Result<Token, BoxError> {
        Ok(Token::new(
            "a.jwt.here",
            request.now + Duration::from_secs(3_600),
        )?)
    }
}

impl Runtime for World {
    type Stream = Pipe;

    async fn resolve(&self, _: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
        Ok(vec![(Ipv4Addr::LOCALHOST, port).into()])
    }

    async fn connect(&self, _: SocketAddr) -> io::Result<Pipe> {
        let mut things = self.lock();
        if !things.is_plugged_in {
            return Err(io::ErrorKind::NetworkUnreachable.into());
        }
        things.connection += 1;
        things.is_closed = false;
        things.to_bridge.clear();
        things.to_gateway.clear();
        Ok(Pipe {
            connection: things.connection,
            world: self.clone(),
        })
    }

    /// A thread would need time of the machine's clock.
    #[cfg(feature = "store")]
    fn worker(&self) -> io::Result<Box<dyn iotcore_gateway::driver::store::Worker>> {
        Ok(Box::new(AtOnce))
    }

    async fn sleep_until(&self, deadline: Instant) {
        poll_fn(|cx| {
            let mut things = self.lock();
            if things.now >= deadline {
                return Poll::Ready(());
            }
            things.timers.push((deadline, cx.waker().clone()));
            Poll::Pending
        })
        .await;
    }

    fn now(&self) -> Instant {
        self.lock().now
    }

    fn unix_now(&self) -> UnixTime {
        UnixTime::from_secs(1_795_374_000)
    }
}

#[cfg(feature = "store")]
struct AtOnce;

#[cfg(feature = "store")]
impl iotcore_gateway::driver::store::Worker for AtOnce {
    fn start(&mut self, job: iotcore_gateway::driver::store::Job) {
        job();
    }
}

pub struct Pipe {
    connection: u64,
    world: World,
}

impl AsyncRead for Pipe {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        let mut things = self.world.lock();
        if self.connection != things.connection {
            return Poll::Ready(Ok(0));
        }
        if things.to_gateway.is_empty() && !things.is_closed {
            things.reader = Some(cx.waker().clone());
            return Poll::Pending;
        }
        let len = buffer.len().min(things.to_gateway.len());
        for (to, from) in buffer.iter_mut().zip(things.to_gateway.drain(..len)) {
            *to = from;
        }
        Poll::Ready(Ok(len))
    }
}

impl AsyncWrite for Pipe {
    fn poll_write(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let mut things = self.world.lock();
        if self.connection == things.connection {
            things.to_bridge.extend(bytes);
            things.answer();
        }
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.world.lock().hang_up();
        Poll::Ready(Ok(()))
    }
}

impl Things {
    fn jump(&mut self) {
        let next = self.timers.iter().map(|(deadline, _)| *deadline).min();
        self.now = next.expect("the example waits for nothing that will happen");
        assert!(self.now < self.end, "the example takes ten minutes");
        for (_, waker) in self
            .timers
            .extract_if(.., |(deadline, _)| *deadline <= self.now)
        {
            waker.wake();
        }
    }

    fn hang_up(&mut self) {
        self.is_closed = true;
        self.reader.take().map(Waker::wake);
    }

    /// Answers what has arrived completely.
    fn answer(&mut self) {
        while let Some((first, body)) = self.take_packet() {
            match (first, &body[..]) {
                (0x10, _) => self.send(0x20, &[0, 0]),
                (0x82, &[high, low, _, _, ref filter @ .., qos]) => {
                    self.send(0x90, &[high, low, qos]);
                    self.greet(std::str::from_utf8(filter).unwrap());
                }
                (0xA2, &[high, low, ..]) => self.send(0xB0, &[high, low]),
                (0xC0, _) => self.send(0xD0, &[]),
                (0xE0, _) => self.hang_up(),
                (0x30..0x40, _) => self.take_publication(first & 6 != 0, &body),
                _ => {}
            }
        }
        self.reader.take().map(Waker::wake);
    }

    fn take_packet(&mut self) -> Option<(u8, Vec<u8>)> {
        let (mut len, mut at) = (0, 1);
        loop {
            let byte = usize::from(*self.to_bridge.get(at)?);
            len += (byte & 127) << (7 * (at - 1));
            at += 1;
            if byte < 128 {
                break;
            }
        }
        if self.to_bridge.len() < at + len {
            return None;
        }
        let packet: Vec<u8> = self.to_bridge.drain(..at + len).collect();
        Some((packet[0], packet[at..].to_vec()))
    }

    fn take_publication(&mut self, is_acknowledged: bool, body: &[u8]) {
        let (len, rest) = body.split_at(2);
        let (topic, mut payload) = rest.split_at(usize::from(len[1]));
        let topic = String::from_utf8(topic.to_vec()).unwrap();
        if is_acknowledged {
            let (id, rest) = payload.split_at(2);
            payload = rest;
            if topic == "/devices/stranger-1/attach" {
                return self.refuse(&topic, u16::from_be_bytes([id[0], id[1]]));
            }
            self.send(0x40, id);
        }
        self.arrived
            .push((topic, String::from_utf8(payload.to_vec()).unwrap()));
    }

    fn refuse(&mut self, topic: &str, id: u16) {
        let report = format!(
            r#"{{"error_type":"GATEWAY_ATTACHMENT_ERROR","device_id":"stranger-1","description":"not bound to the gateway",
            "mqtt_message_info":{{"message_type":"PUBLISH","topic":"{topic}","packet_id":{id}}}}}"#
        );
        self.publish(0x30, "/devices/gateway-1/errors", &report);
    }

    /// Sends what a device has waiting in the cloud.
    fn greet(&mut self, filter: &str) {
        if filter.ends_with("/config") {
            self.publish(0x32, filter, r#"{"target":20}"#);
        } else if let Some(topic) = filter.strip_suffix("#") {
            self.publish(0x32, &format!("{topic}valve"), "open");
        }
    }

    fn publish(&mut self, first: u8, topic: &str, payload: &str) {
        let id: &[u8] = if first == 0x30 {
            &[]
        } else {
            &[0, 1 + payload.len() as u8]
        };
        self.send(
            first,
            &[
                &[0, topic.len() as u8],
                topic.as_bytes(),
                id,
                payload.as_bytes(),
            ]
            .concat(),
        );
    }

    fn send(&mut self, first: u8, body: &[u8]) {
        self.to_gateway.push_back(first);
        if body.len() > 127 {
            self.to_gateway.push_back(body.len() as u8 | 128);
            self.to_gateway.push_back((body.len() >> 7) as u8);
        } else {
            self.to_gateway.push_back(body.len() as u8);
        }
        self.to_gateway.extend(body);
    }
}
