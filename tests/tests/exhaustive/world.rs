//! One gateway, its peer and its user, driven step by step.

mod ending;
mod fingerprint;

use std::{
    hash::{DefaultHasher, Hasher},
    time::{Duration, Instant},
};

use iotcore_gateway::{
    ClientId, DeviceAuth, DeviceKey, Gateway, OpId, Options, Publication,
    auth::{Token, UnixTime},
    cause::TransportEnd,
    command_error::CommandError,
    device::DeviceState,
    message::{QoS, Subscription},
};

use super::{
    referee::{Kind, Referee, Telemetry},
    step::{Step, WalkMode},
    wire::{self, DEVICES, GATEWAY, Packet},
};

/// The wall-clock time.
const UNIX_NOW: UnixTime = UnixTime::from_secs(1_795_374_000);

/// The maximum number of pending publications of a device; a third one is rejected.
const QUEUE: usize = 2;

/// The maximum number of publications in flight.
const WINDOW: u16 = 2;

/// The maximum number of connections of one search; more of them would find nothing new.
const CONNECTIONS: u8 = 2;

/// After this time, the time limits for attaches and for acknowledgements have passed, with the allowance for a slow link,
/// but nothing was asked for again yet.
const LATE: Duration = Duration::from_secs(31);

/// The maximum number of jumps in time of one search.
const JUMPS: u8 = 2;

/// A gateway, and everything that is known about it from outside.
pub(crate) struct World {
    gateway: Gateway,
    now: Instant,
    mode: WalkMode,
    is_closing: bool,
    /// The number of each device's next event.
    numbers: [u8; 2],
    connections: u8,
    jumps: u8,
    line: Option<Line>,
    referee: Referee,
    /// The hash of all outputs.
    transcript: DefaultHasher,
}

/// The peer's side of a connection.
#[derive(Debug, Default)]
struct Line {
    /// The bytes that were waiting to be written at the last check.
    waiting: Vec<u8>,
    /// The part of a packet that was transmitted.
    received: Vec<u8>,
    unanswered: Vec<Packet>,
    /// Configs whose PUBACK has not been received.
    configs: Vec<u16>,
}

impl World {
    /// Creates a gateway that was opened and has no transport yet.
    pub(crate) fn new(start: Instant, mode: WalkMode) -> Self {
        let id = ClientId::new(
            "p".parse().unwrap(),
            "us-central1".parse().unwrap(),
            "reg".parse().unwrap(),
            GATEWAY.parse().unwrap(),
        );
        let mut options = Options::default();
        options.window = WINDOW;
        options.device_queue.messages = QUEUE;
        let mut world = Self {
            gateway: Gateway::new(id, options, 7).unwrap(),
            now: start,
            mode,
            is_closing: false,
            numbers: [0; 2],
            connections: 0,
            jumps: 0,
            line: None,
            referee: Referee::default(),
            transcript: DefaultHasher::new(),
        };
        let op = world.gateway.open(start).unwrap();
        world.referee.accepted(op, Kind::Open);
        world.look();
        world
    }

    pub(crate) fn walk(start: Instant, mode: WalkMode, path: &[Step]) -> Self {
        let mut world = Self::new(start, mode);
        for step in path {
            world.take(*step);
        }
        world
    }

    /// Returns the steps that are possible now.
    pub(crate) fn steps(&self) -> Vec<Step> {
        let mut steps = Vec::new();
        for device in [0, 1] {
            if self.is_closing {
                break;
            }
            steps.push(Step::Attach(device));
            if self.referee.key(device).is_some() {
                steps.extend([
                    Step::Detach(device),
                    Step::Publish(device),
                    Step::Subscribe(device),
                ]);
            }
            if self.referee.oldest(device).is_some() {
                steps.push(Step::Cancel(device));
            }
        }
        if !self.is_closing {
            steps.push(Step::Close);
        }
        match &self.line {
            Some(line) => {
                steps.push(Step::Cut);
                if !line.waiting.is_empty() {
                    steps.extend([Step::Write, Step::WriteByte]);
                }
                steps.extend((0..line.unanswered.len()).map(Step::Answer));
                if !line.unanswered.is_empty() && self.jumps < JUMPS {
                    steps.extend([Step::Linger, Step::Sleep]);
                }
                if self.referee.is_accepted() {
                    steps.extend([
                        Step::Report(0),
                        Step::Report(1),
                        Step::Config(0),
                        Step::Config(1),
                    ]);
                }
            }
            None if self.gateway.wants_transport() && self.connections < CONNECTIONS => {
                steps.push(Step::Connect);
            }
            None => {}
        }
        if self.gateway.poll_timeout().is_some() {
            steps.push(Step::Wait);
        }
        steps
    }

    pub(crate) fn take(&mut self, step: Step) {
        let mut ended = None;
        self.referee.begin();
        match step {
            Step::Attach(device) => self.attach(device),
            Step::Detach(device) => self.detach(device),
            Step::Publish(device) => self.publish(device),
            Step::Cancel(device) => ended = Some(self.cancel(device)),
            Step::Subscribe(device) => ended = self.subscribe(device),
            Step::Close => self.close(),
            Step::Connect => self.connect(),
            Step::Cut => {
                self.line = None;
                self.referee.disconnected();
                let end = TransportEnd::PeerClosed;
                self.gateway.handle_disconnected(end, self.now);
            }
            Step::Write => self.write(usize::MAX),
            Step::WriteByte => self.write(1),
            Step::Answer(place) => {
                let packet = self.line_mut().unanswered.remove(place);
                ended = self.referee.answered(packet);
                self.deliver(&packet.answer().expect("only what has an answer is kept"));
            }
            Step::Report(device) => {
                self.referee.reported(device);
                self.deliver(&wire::report(device));
            }
            Step::Config(device) => self.configure(device),
            Step::Wait => {
                let deadline = self.gateway.poll_timeout();
                self.wait_until(deadline.expect("something is waited for"));
            }
            Step::Linger => self.linger(),
            Step::Sleep => {
                self.jumps += 1;
                self.now += LATE;
            }
        }
        self.look();
        self.check(ended);
        if self.mode == WalkMode::Redundant {
            self.make_redundant_calls();
        }
    }

    fn wait_until(&mut self, deadline: Instant) {
        self.now = self.now.max(deadline);
        self.referee.timed();
        self.gateway.handle_timeout(self.now);
        self.check_timeout();
    }

    fn linger(&mut self) {
        self.jumps += 1;
        let end = self.now + LATE;
        while let Some(deadline) = self.gateway.poll_timeout()
            && deadline <= end
        {
            self.wait_until(deadline);
            self.look();
            self.check(None);
            if self.mode == WalkMode::Redundant {
                self.make_redundant_calls();
            }
        }
        self.now = end;
    }

    fn attach(&mut self, device: usize) {
        let id = DEVICES[device].parse().unwrap();
        if let Ok((key, op)) =
            self.gateway
                .attach(id, DeviceAuth::ByAssociation, UNIX_NOW, self.now)
        {
            self.referee.keyed(device, key);
            self.referee.accepted(op, Kind::Attach(device));
        }
    }

    fn detach(&mut self, device: usize) {
        if let Ok(op) = self.gateway.detach(self.key(device), self.now) {
            self.referee.accepted(op, Kind::Detach(device));
        }
    }

    fn publish(&mut self, device: usize) {
        let number = self.numbers[device];
        let publication = Publication::telemetry(self.key(device), vec![number]);
        if let Ok(op) = self.gateway.publish(publication, self.now) {
            self.numbers[device] += 1;
            let event = Telemetry::new(device, number);
            self.referee.accepted(op, Kind::Event(event));
        }
    }

    /// Returns the operation, which must end at once.
    fn cancel(&mut self, device: usize) -> OpId {
        let op = self.referee.oldest(device).expect("one has not ended");
        assert_eq!(self.gateway.cancel(op, self.now), Ok(()));
        let again = self.gateway.cancel(op, self.now);
        assert_eq!(again, Err(CommandError::NotCancellable(op)));
        self.referee.cancelled(op);
        op
    }

    /// Returns the operation if it must end at once.
    fn subscribe(&mut self, device: usize) -> Option<OpId> {
        let (which, qos) = (Subscription::Config, QoS::AtLeastOnce);
        let key = self.key(device);
        let op = self.gateway.subscribe(key, which, qos, self.now).ok()?;
        self.referee.subscribing(op, device)
    }

    fn close(&mut self) {
        self.is_closing = true;
        let op = self.gateway.close(self.now);
        self.referee.accepted(op, Kind::Close);
    }

    fn key(&self, device: usize) -> DeviceKey {
        let key = self.referee.key(device);
        key.expect("the device was attached at least once")
    }

    fn connect(&mut self) {
        let expires = self.now + Duration::from_secs(86_400);
        let token = Token::new("header.claims.signature", expires).unwrap();
        self.connections += 1;
        self.line = Some(Line::default());
        self.referee.connected();
        self.gateway.handle_connected(token, UNIX_NOW, self.now);
    }

    fn configure(&mut self, device: usize) {
        let configs = &mut self.line_mut().configs;
        let mut free = (1..).filter(|id| !configs.contains(id));
        let id = free.next().expect("few configs are not acknowledged");
        configs.push(id);
        self.referee.configured(id);
        self.deliver(&wire::config(device, id));
    }

    /// The transport accepts at most this many bytes.
    fn write(&mut self, most: usize) {
        let line = self.line.as_mut().expect("a transport is up");
        let length = line.waiting.len().min(most);
        line.received.extend(line.waiting.drain(..length));
        for packet in wire::take_packets(&mut line.received) {
            if packet.answer().is_some() {
                line.unanswered.push(packet);
            }
            if let Packet::PubAck { id } = packet {
                line.configs.retain(|config| *config != id);
            }
        }
        self.gateway.handle_transmitted(length, self.now);
    }

    fn deliver(&mut self, bytes: &[u8]) {
        match self.mode {
            WalkMode::Plain => self.gateway.handle_input(bytes, self.now),
            WalkMode::Redundant => {
                for byte in bytes {
                    self.gateway.handle_input(&[*byte], self.now);
                }
            }
        }
    }

    /// Checks the new outputs.
    fn look(&mut self) {
        while let Some(event) = self.gateway.poll_event() {
            self.transcript.write(format!("{event:?}").as_bytes());
            self.referee.told(&event);
        }
        let waiting = self.gateway.poll_transmit();
        if !self.referee.is_live() {
            assert!(waiting.is_empty(), "bytes wait without a connection");
            if let Some(line) = &mut self.line {
                line.waiting.clear();
            }
            return;
        }
        let line = self
            .line
            .as_mut()
            .expect("a live connection has a transport");
        assert!(
            waiting.starts_with(&line.waiting),
            "waiting bytes were changed"
        );
        let mut fresh = waiting[line.waiting.len()..].to_vec();
        line.waiting.extend_from_slice(&fresh);
        self.transcript.write(&fresh);
        for packet in wire::take_packets(&mut fresh) {
            self.referee.queued(packet);
        }
        assert!(fresh.is_empty(), "a part of a packet is queued");
    }

    fn check(&self, ended: Option<OpId>) {
        let is_attached = |key| self.gateway.device_state(key) == Some(DeviceState::Attached);
        let stats = self.gateway.stats();
        let probes = usize::try_from(stats.probes).expect("few");
        let most = usize::from(WINDOW) + probes + stats.skipped;
        self.referee.check(ended, most, is_attached);
        assert!(stats.queued <= QUEUE * DEVICES.len(), "{stats:?}");
        assert!(self.gateway.wants_input(), "all events are taken");
    }

    fn check_timeout(&self) {
        let next = self.gateway.poll_timeout();
        assert!(
            next.is_none_or(|next| next > self.now),
            "a deadline that has passed remains"
        );
    }

    /// Makes calls that must not change anything. This excludes a timeout that is due: what was sent or answered late may
    /// have left a deadline in the past, and only a timeout judges deadlines.
    fn make_redundant_calls(&mut self) {
        let deadline = self.gateway.poll_timeout();
        if deadline.is_none_or(|deadline| deadline > self.now) {
            self.gateway.handle_timeout(self.now);
            self.check_timeout();
        }
        self.gateway.handle_input(&[], self.now);
        self.gateway.handle_transmitted(0, self.now);
        self.look();
    }

    fn line_mut(&mut self) -> &mut Line {
        self.line.as_mut().expect("a transport is up")
    }
}
