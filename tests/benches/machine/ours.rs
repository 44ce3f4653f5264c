//! `iotcore-gateway`: the state machine itself, without pacing.

use std::hint::black_box;
use std::time::{Duration, Instant};

use bytes::Bytes;
use iotcore_gateway::{
    ClientId, DeviceAuth, DeviceKey, Event, Gateway, Options, Publication,
    auth::{Token, UnixTime},
    message::{QoS, Subscription},
    options::QueueLimit,
    quota::Quota,
};

use crate::{
    peer,
    subject::{self, BUFFER, Subject, Wire, Work},
};

/// The wall-clock time.
const UNIX_NOW: UnixTime = UnixTime::from_secs(1_795_374_000);

pub(crate) struct Ours {
    pub(crate) gateway: Gateway,
    pub(crate) devices: Vec<DeviceKey>,
    payload: Bytes,
    next: usize,
    pub(crate) now: Instant,
}

impl Ours {
    /// Creates a connected gateway, whose devices are attached and subscribed to their configs and commands.
    pub(crate) fn new(work: &Work) -> Self {
        let mut ours = Self::idle(work);
        // The devices may have more in flight with each acknowledgement, up to the window.
        for _ in 0..work.window {
            ours.publish_next();
            ours.converse(&mut Vec::new());
        }
        ours
    }

    /// Creates the same, which has published nothing yet.
    pub(crate) fn idle(work: &Work) -> Self {
        Self::connected(options(work), work)
    }

    /// Creates an idle one with these options.
    pub(crate) fn connected(options: Options, work: &Work) -> Self {
        let now = Instant::now();
        let mut gateway = Gateway::new(client_id(), options, 1).expect("valid options");
        gateway.open(now).expect("not closed");
        let mut ours = Self {
            gateway,
            devices: Vec::new(),
            payload: work.payload().into(),
            next: 0,
            now,
        };
        ours.attach(work.devices);
        ours.connect();
        while ours.converse(&mut Vec::new()) {}
        ours
    }

    #[inline(always)]
    fn publish_next(&mut self) {
        let device = self.devices[self.next];
        self.next = (self.next + 1) % self.devices.len();
        let publication = Publication::telemetry(device, self.payload.clone());
        self.gateway.publish(publication, self.now).expect("room");
    }

    /// Attaches so many more devices.
    pub(crate) fn attach(&mut self, devices: usize) {
        let begin = self.devices.len();
        for n in begin..begin + devices {
            let id = subject::device(n).try_into().expect("legal");
            let (key, _) = self
                .gateway
                .attach(id, DeviceAuth::ByAssociation, UNIX_NOW, self.now)
                .expect("room");
            for subscription in [Subscription::Config, Subscription::Commands] {
                self.gateway
                    .subscribe(key, subscription, QoS::AtLeastOnce, self.now)
                    .expect("not detaching");
            }
            self.devices.push(key);
        }
    }

    pub(crate) fn connect(&mut self) {
        let token = Token::new("token", self.now + Duration::from_secs(86_400)).expect("legal");
        self.gateway.handle_connected(token, UNIX_NOW, self.now);
    }

    /// Exchanges packets once: writes what is waiting, and reads the answers, which are appended; returns `false` if
    /// nothing was written.
    pub(crate) fn converse(&mut self, answers: &mut Vec<u8>) -> bool {
        let begin = answers.len();
        self.write(&mut |bytes| peer::answer(bytes, answers));
        self.read(&answers[begin..], &mut |event| drop(event));
        answers.len() > begin
    }

    pub(crate) fn write(&mut self, wire: Wire<'_>) {
        loop {
            let bytes = self.gateway.poll_transmit();
            if bytes.is_empty() {
                return;
            }
            wire(bytes);
            self.gateway.handle_transmitted(bytes.len(), self.now);
        }
    }

    pub(crate) fn read(&mut self, bytes: &[u8], on_event: &mut dyn FnMut(Event)) {
        self.gateway.handle_input(bytes, self.now);
        while let Some(event) = self.gateway.poll_event() {
            on_event(event);
        }
    }
}

impl Subject for Ours {
    fn send(&mut self, count: usize, wire: Wire<'_>) {
        self.now += Duration::from_micros(1);
        for _ in 0..count {
            self.publish_next();
        }
        self.write(wire);
    }

    fn acknowledge(&mut self, pubacks: &[u8]) -> usize {
        let mut done = 0;
        for piece in pubacks.chunks(BUFFER) {
            self.read(piece, &mut |event| {
                done += usize::from(matches!(black_box(&event), Event::Done { .. }));
            });
        }
        done
    }

    fn receive(&mut self, publishes: &[u8], piece: usize, wire: Wire<'_>) -> usize {
        self.now += Duration::from_micros(1);
        let mut received = 0;
        for piece in publishes.chunks(piece) {
            self.read(piece, &mut |event| {
                received += usize::from(matches!(black_box(&event), Event::Command { .. }));
            });
            self.write(wire);
        }
        received
    }
}

/// Returns options without pacing, and with room for everything.
pub(crate) fn options(work: &Work) -> Options {
    let mut options = Options::default();
    // A device that is alone gets all but a twentieth of the window.
    options.window = work.window + work.window.div_ceil(19);
    options.device_window = work.window;
    options.quota = Quota::unpaced();
    options.device_queue = QueueLimit {
        messages: 1 << 20,
        bytes: 1 << 30,
    };
    options.total_queue = options.device_queue;
    options
}

fn client_id() -> ClientId {
    ClientId::new(
        "bench-project".try_into().expect("legal"),
        "us-central1".try_into().expect("legal"),
        "bench-registry".try_into().expect("legal"),
        "gateway".try_into().expect("legal"),
    )
}
