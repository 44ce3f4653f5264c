//! Allocations of the state machine: none for an outgoing message, few for an incoming one, and no more memory than
//! documented. Allocations are counted, so each run has the same result.
#![deny(unsafe_code)] // An allocator cannot be implemented without it.

use core::time::Duration;
use std::time::Instant;

use bytes::Bytes;
use iotcore_gateway::{
    ClientId, DeviceAuth, DeviceKey, Event, Gateway, OpId, Options, Publication,
    auth::{Token, UnixTime},
    message::{QoS, Subscription},
    options::QueueLimit,
    quota::Quota,
};

/// The wall-clock time.
const UNIX_NOW: UnixTime = UnixTime::from_secs(1_795_374_000);

#[path = "../../benches/machine/allocator.rs"]
mod allocator;
#[path = "../../benches/machine/peer.rs"]
mod peer;

mod peaks;
mod stored;

/// The number of messages that uses every packet identifier.
const ALL_IDENTIFIERS: usize = 65_536;

/// Returns options without pacing, and with room for everything.
fn options() -> Options {
    let mut options = Options::default();
    options.quota = Quota::unpaced();
    options.total_queue = QueueLimit {
        messages: 1 << 20,
        bytes: 1 << 30,
    };
    options.device_queue = options.total_queue;
    options
}

/// A gateway without pacing, and its peer.
struct Bench {
    gateway: Gateway,
    devices: Vec<DeviceKey>,
    now: Instant,
}

impl Bench {
    /// Creates a gateway that was opened and is not connected.
    fn new() -> Self {
        Self::with(options())
    }

    fn with(options: Options) -> Self {
        let part = "part-of-a-name";
        let id = ClientId::new(
            part.try_into().unwrap(),
            part.try_into().unwrap(),
            part.try_into().unwrap(),
            "gateway".try_into().unwrap(),
        );
        #[expect(
            clippy::disallowed_methods,
            reason = "virtual time has to start somewhere"
        )]
        let now = Instant::now();
        let mut gateway = Gateway::new(id, options, 1).unwrap();
        gateway.open(now).unwrap();
        Self {
            gateway,
            devices: Vec::new(),
            now,
        }
    }

    /// Creates a connected gateway with devices of these ids, which are attached and subscribed to both topics.
    fn connected(ids: impl Iterator<Item = String>) -> Self {
        let mut bench = Self::new();
        bench.connect();
        bench.converse();
        for id in ids {
            let device = bench.attach(id, DeviceAuth::ByAssociation);
            for subscription in [Subscription::Config, Subscription::Commands] {
                bench
                    .gateway
                    .subscribe(device, subscription, QoS::AtLeastOnce, bench.now)
                    .unwrap();
            }
            bench.devices.push(device);
            bench.converse();
        }
        bench
    }

    fn connect(&mut self) {
        let token = Token::new("token", self.now + Duration::from_secs(86_400)).unwrap();
        self.gateway.handle_connected(token, UNIX_NOW, self.now);
    }

    fn attach(&mut self, id: String, auth: DeviceAuth) -> DeviceKey {
        let id = id.try_into().unwrap();
        let attached = self.gateway.attach(id, auth, UNIX_NOW, self.now);
        attached.unwrap().0
    }

    /// Exchanges packets until neither side has more to send; returns how many operations ended.
    fn converse(&mut self) -> usize {
        let (mut done, mut answers) = (0, Vec::new());
        loop {
            answers.clear();
            self.write(&mut answers);
            if answers.is_empty() {
                return done;
            }
            done += self.read(&answers).done;
        }
    }

    fn write(&mut self, answers: &mut Vec<u8>) {
        loop {
            let bytes = self.gateway.poll_transmit();
            if bytes.is_empty() {
                return;
            }
            peer::answer(bytes, answers);
            self.gateway.handle_transmitted(bytes.len(), self.now);
        }
    }

    fn read(&mut self, bytes: &[u8]) -> Happened {
        self.gateway.handle_input(bytes, self.now);
        self.events()
    }

    /// Takes all events.
    fn events(&mut self) -> Happened {
        let mut happened = Happened::default();
        while let Some(event) = self.gateway.poll_event() {
            match event {
                Event::Done { .. } => happened.done += 1,
                Event::Config { .. } | Event::Command { .. } => happened.messages += 1,
                _ => {}
            }
        }
        happened
    }

    fn publish(&mut self, publication: Publication) -> OpId {
        self.gateway.publish(publication, self.now).unwrap()
    }
}

#[derive(Default)]
struct Happened {
    done: usize,
    messages: usize,
}

/// Ids of a hundred characters, longer than usual.
fn devices(count: usize) -> impl Iterator<Item = String> {
    (0..count).map(|n| format!("device-{n:0>93}"))
}

/// Returns how often this allocates.
fn allocations(run: impl FnOnce()) -> u64 {
    let before = allocator::allocations();
    run();
    allocator::allocations() - before
}

/// Returns how many bytes remain allocated after this.
fn bytes_kept<T>(run: impl FnOnce() -> T) -> (i64, T) {
    let before = allocator::live_bytes();
    let kept = run();
    (allocator::live_bytes() - before, kept)
}

/// Sends windows of these publications until all buffers have grown, and then counts the allocations of as many again:
/// those of sending, and those of reading the PUBACKs.
fn allocations_of(window: usize, publication: impl Fn(DeviceKey) -> Publication) -> (u64, u64) {
    let mut bench = Bench::connected(devices(10));
    let (mut sending, mut reading, mut answers) = (0, 0, Vec::with_capacity(4 * window));
    for round in 0..2 * ALL_IDENTIFIERS / window {
        answers.clear();
        let sent = allocations(|| {
            for n in 0..window {
                let device = bench.devices[n % bench.devices.len()];
                bench.publish(publication(device));
            }
            bench.write(&mut answers);
        });
        let mut happened = Happened::default();
        let read = allocations(|| happened = bench.read(&answers));
        assert!(happened.done == window || answers.is_empty());
        if round >= ALL_IDENTIFIERS / window {
            sending += sent;
            reading += read;
        }
    }
    (sending, reading)
}

#[test]
fn a_telemetry_event_allocates_nothing_nor_does_its_puback() {
    let payload = Bytes::from(vec![7; 64]);
    for window in [1, 100] {
        let counted = allocations_of(window, |device| {
            Publication::telemetry(device, payload.clone())
        });
        assert_eq!(counted, (0, 0), "windows of {window}");
    }
}

#[test]
fn a_state_allocates_nothing_nor_does_its_puback() {
    let payload = Bytes::from(vec![7; 64]);
    let counted = allocations_of(10, |device| Publication::state(device, payload.clone()));
    assert_eq!(counted, (0, 0));
}

#[test]
fn a_telemetry_event_at_qos_0_allocates_nothing() {
    let payload = Bytes::from(vec![7; 64]);
    let counted = allocations_of(100, |device| {
        Publication::telemetry(device, payload.clone()).qos(QoS::AtMostOnce)
    });
    assert_eq!(counted, (0, 0));
}

/// Returns the allocations of each PUBLISH for a device that arrives in pieces of this size.
fn allocations_of_each(topic: &str, payload: usize, piece: usize) -> u64 {
    const MESSAGES: usize = 100;
    let mut bench = Bench::connected(devices(10));
    let topic = format!("/devices/{}/{topic}", devices(10).next().unwrap());
    let publishes = peer::publishes(&topic, payload, MESSAGES);
    let (mut counted, mut messages, mut answers) = (0, 0, Vec::new());
    for _ in 0..2 {
        messages = 0;
        counted = allocations(|| {
            for piece in publishes.chunks(piece) {
                messages += bench.read(piece).messages;
                bench.write(&mut answers);
            }
        });
    }
    assert_eq!(messages, MESSAGES);
    counted.div_ceil(MESSAGES as u64)
}

#[test]
fn an_incoming_publish_allocates_twice_at_most() {
    for topic in ["config", "commands", "commands/lamp"] {
        for (payload, piece) in [
            (0, 1),
            (64, 1),
            (64, 16_384),
            (16 * 1024, 16_384),
            (64 * 1024, 1 << 20),
            (64 * 1024, 16_384),
            (64 * 1024, 1_000),
            (256 * 1024, 16_384),
        ] {
            let counted = allocations_of_each(topic, payload, piece);
            assert!(
                counted <= 2,
                "{counted} for {payload} bytes on {topic}, in pieces of {piece}"
            );
        }
    }
}

#[test]
fn a_puback_in_pieces_allocates_nothing() {
    let mut bench = Bench::connected(devices(1));
    let payload = Bytes::from(vec![7; 64]);
    // With each acknowledgement, the device may have one more in flight.
    for _ in 0..100 {
        let mut answers = Vec::new();
        bench.publish(Publication::telemetry(bench.devices[0], payload.clone()));
        bench.write(&mut answers);
        bench.read(&answers);
    }
    for round in 0..2 {
        let mut answers = Vec::new();
        for _ in 0..90 {
            bench.publish(Publication::telemetry(bench.devices[0], payload.clone()));
        }
        bench.write(&mut answers);
        let mut done = 0;
        let counted = allocations(|| {
            done = answers.chunks(3).map(|piece| bench.read(piece).done).sum();
        });
        assert_eq!(done, 90);
        assert!(round == 0 || counted == 0, "{counted}");
    }
}

/// The number of bytes that the gateway itself may keep, independent of its contents.
const OWN_BYTES: i64 = 64 * 1024;

#[test]
fn an_idle_device_takes_one_kibibyte_at_most() {
    // Tables double when they are full: just above a power of two, most of the table is empty.
    for count in [100, 128, 256, 512, 1_000] {
        let (kept, _) = bytes_kept(|| Bench::connected(devices(count)));
        let each = (kept - OWN_BYTES) / count as i64;
        assert!(each <= 1_024, "{each} bytes for each of {count} devices");
    }
}

/// Returns the bytes that each of so many queued publications takes beside its payload.
fn bytes_of_each(count: i64, queue: impl FnOnce(&mut Bench, i64)) -> i64 {
    let (kept, _) = bytes_kept(|| {
        let mut bench = Bench::new();
        queue(&mut bench, count);
        bench
    });
    (kept - OWN_BYTES) / count - PAYLOAD as i64
}

const PAYLOAD: usize = 64;

/// Counts at which tables are just full, and just larger.
const COUNTS: [i64; 5] = [1_000, 1_025, 10_000, 65_537, 100_000];

#[test]
fn a_queued_message_takes_its_payload_and_100_bytes_at_most() {
    for count in COUNTS {
        let each = bytes_of_each(count, |bench, count| {
            let own = bench.gateway.own_key();
            for _ in 0..count {
                bench.publish(Publication::telemetry(own, vec![7; PAYLOAD]));
            }
        });
        assert!(each <= 100, "{each} bytes for each of {count} messages");
    }
}

#[test]
fn a_queued_message_takes_120_bytes_more_if_it_expires_and_30_more_if_it_can_be_found() {
    for (count, is_found) in COUNTS
        .into_iter()
        .flat_map(|count| [(count, false), (count, true)])
    {
        let each = bytes_of_each(count, |bench, count| {
            let own = bench.gateway.own_key();
            let [first, _] =
                [(); 2].map(|()| bench.publish(Publication::telemetry(own, vec![7; PAYLOAD])));
            if is_found {
                bench.gateway.cancel(first, bench.now).unwrap();
                bench.events();
            }
            for n in 0..count as u64 {
                let publication = Publication::telemetry(own, vec![7; PAYLOAD]);
                bench.publish(publication.expires_after(Duration::from_secs(60 + n)));
            }
        });
        let most = 100 + 120 + if is_found { 30 } else { 0 };
        assert!(each <= most, "{each} bytes for each of {count} messages");
    }
}
