//! The machine beside rumqttc's: from accepting a 64-byte message at QoS 1 to the end of its operation, bytes passed
//! through on both sides. `cargo bench -p iotcore-gateway-testkit --bench machine` prints nanoseconds and allocations a
//! message; compare the ratio, for the nanoseconds are those of the machine that it runs on.

#![expect(
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a bench measures time and prints it"
)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::hint::black_box;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use iotcore_gateway::{
    ClientId, DeviceKey, Event, Gateway, Options, Publication, QueueLimit, Quota, Token,
};
use rumqttc::{MqttState, Packet, Publish, QoS, Request};

const PAYLOAD: usize = 64;
const MESSAGES: usize = 400_000;
const ROUNDS: usize = 5;

/// Counts every allocation.
struct Counting;

static ALLOCATIONS: AtomicU64 = AtomicU64::new(0);

// SAFETY: every call goes to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        // SAFETY: the caller's promise is passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise is passed on.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        // SAFETY: the caller's promise is passed on.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// A client that takes a window of messages and has them acknowledged.
trait Subject {
    /// Accepts so many messages, writes them, and appends the bytes of their PUBACKs.
    fn send(&mut self, count: usize, pubacks: &mut Vec<u8>);
    /// Reads the PUBACKs and gives how many messages are done.
    fn acknowledge(&mut self, pubacks: &[u8]) -> usize;
}

struct Ours {
    gateway: Gateway,
    devices: Vec<DeviceKey>,
    payload: Bytes,
    next: usize,
    now: Instant,
}

impl Ours {
    fn new(devices: usize, window: u16) -> Self {
        let mut options = Options::default();
        options.window = window;
        options.device_window = window;
        options.quota = Quota::unpaced();
        options.device_queue = QueueLimit {
            messages: 1 << 20,
            bytes: 1 << 30,
        };
        options.total_queue = options.device_queue;
        let part = || "bench".to_owned();
        let id = ClientId::new(
            part().try_into().expect("legal"),
            part().try_into().expect("legal"),
            part().try_into().expect("legal"),
            part().try_into().expect("legal"),
        );
        let now = Instant::now();
        let mut gateway = Gateway::new(id, options, 1).expect("options that work");
        gateway.open(now).expect("not closed");
        let token = Token::new("token", now + Duration::from_secs(86_400)).expect("legal");
        gateway.handle_connected(token, now);
        let mut ours = Self {
            gateway,
            devices: Vec::new(),
            payload: vec![7; PAYLOAD].into(),
            next: 0,
            now,
        };
        let mut pubacks = Vec::new();
        ours.write(&mut pubacks);
        ours.gateway.handle_input(&[0x20, 2, 0, 0], now);
        for n in 0..devices {
            let id = format!("device-{n}").try_into().expect("legal");
            let (key, _) = ours.gateway.attach(id, None, now).expect("not too many");
            ours.devices.push(key);
        }
        while {
            pubacks.clear();
            ours.write(&mut pubacks);
            !pubacks.is_empty()
        } {
            ours.acknowledge(&pubacks);
        }
        ours
    }

    fn write(&mut self, pubacks: &mut Vec<u8>) {
        loop {
            let bytes = self.gateway.poll_transmit();
            if bytes.is_empty() {
                return;
            }
            acknowledge_all(bytes, pubacks);
            self.gateway.handle_transmitted(bytes.len(), self.now);
        }
    }
}

impl Subject for Ours {
    fn send(&mut self, count: usize, pubacks: &mut Vec<u8>) {
        self.now += Duration::from_micros(100);
        for _ in 0..count {
            let device = self.devices[self.next % self.devices.len()];
            self.next += 1;
            let publication = Publication::telemetry(device, self.payload.clone());
            self.gateway.publish(publication, self.now).expect("room");
        }
        self.write(pubacks);
    }

    fn acknowledge(&mut self, pubacks: &[u8]) -> usize {
        self.gateway.handle_input(pubacks, self.now);
        let events = std::iter::from_fn(|| self.gateway.poll_event());
        events
            .filter(|event| matches!(event, Event::Done { .. }))
            .count()
    }
}

struct Theirs {
    state: MqttState,
    out: BytesMut,
    payload: Vec<u8>,
}

impl Subject for Theirs {
    fn send(&mut self, count: usize, pubacks: &mut Vec<u8>) {
        for _ in 0..count {
            let publish = Publish::new(
                "/devices/device-0/events",
                QoS::AtLeastOnce,
                self.payload.clone(),
            );
            let packet = self
                .state
                .handle_outgoing_packet(Request::Publish(publish))
                .expect("legal");
            packet
                .expect("room in the window")
                .write(&mut self.out, usize::MAX)
                .expect("legal");
        }
        acknowledge_all(&self.out, pubacks);
        self.out.clear();
    }

    fn acknowledge(&mut self, pubacks: &[u8]) -> usize {
        let mut input = BytesMut::from(pubacks);
        let mut done = 0;
        while !input.is_empty() {
            let packet = Packet::read(&mut input, 1 << 20).expect("whole packets");
            self.state
                .handle_incoming_packet(packet)
                .expect("in flight");
            while let Some(event) = self.state.events.pop_front() {
                black_box(event);
            }
            done += 1;
        }
        done
    }
}

/// The bridge's answer to each PUBLISH at QoS 1.
fn acknowledge_all(mut bytes: &[u8], pubacks: &mut Vec<u8>) {
    while let [first, rest @ ..] = bytes {
        let (mut length, mut size) = (0, 0);
        for (at, byte) in rest.iter().enumerate().take(4) {
            length |= usize::from(byte & 0x7f) << (7 * at);
            size = at + 1;
            if *byte < 0x80 {
                break;
            }
        }
        let body = &rest[size..size + length];
        if *first == 0x32 {
            let id = 2 + usize::from(u16::from_be_bytes([body[0], body[1]]));
            pubacks.extend_from_slice(&[0x40, 2, body[id], body[id + 1]]);
        }
        bytes = &rest[size + length..];
    }
}

/// Nanoseconds (the best round's) and allocations a message.
fn measure(subject: &mut impl Subject, window: usize) -> (f64, f64) {
    let mut pubacks = Vec::with_capacity(4 * window);
    let (mut best, mut allocations) = (f64::MAX, 0.0);
    for _ in 0..ROUNDS {
        let (start, counted) = (Instant::now(), ALLOCATIONS.load(Ordering::Relaxed));
        let mut done = 0;
        while done < MESSAGES {
            pubacks.clear();
            subject.send(window, &mut pubacks);
            done += subject.acknowledge(&pubacks);
        }
        let each = start.elapsed().as_secs_f64() * 1e9 / done as f64;
        if each < best {
            best = each;
            allocations = (ALLOCATIONS.load(Ordering::Relaxed) - counted) as f64 / done as f64;
        }
    }
    (best, allocations)
}

fn main() {
    let mut theirs = Theirs {
        state: MqttState::new(100, false),
        out: BytesMut::with_capacity(1 << 16),
        payload: vec![7; PAYLOAD],
    };
    let (peer, peer_allocations) = measure(&mut theirs, 100);
    println!(
        "{:<44} {:>9} {:>9} {:>12}",
        "64 bytes, QoS 1, accepted to done", "ns", "ratio", "allocations"
    );
    let row = |name: &str, ns: f64, allocations: f64| {
        println!(
            "{name:<44} {ns:>9.0} {:>9.2} {allocations:>12.3}",
            ns / peer
        );
    };
    row("rumqttc 0.25 MqttState, window 100", peer, peer_allocations);
    for (devices, window) in [(1, 100), (100, 100), (1_000, 100), (1, 10_000), (1, 60_000)] {
        let (ns, allocations) = measure(&mut Ours::new(devices, window), usize::from(window));
        row(
            &format!("Gateway, {devices} devices, window {window}"),
            ns,
            allocations,
        );
    }
}
