//! A gateway, checked by a peer that knows the invariants.

use core::time::Duration;
use std::collections::BTreeSet;
use std::time::Instant;

use iotcore_gateway::{
    Answer, ClientId, DeliveryId, DeviceKey, Event, Gateway, Input, OpId, Options, Outcome,
    Publication,
    auth::{Token, UnixTime},
    cause::TransportEnd,
    message::{Priority, QoS, Subscription},
};

use super::start;

mod peer;
mod stage;
mod user;

use peer::Peer;
pub(super) use stage::{LIFETIME, Stage};

/// The gateway's own id.
pub(super) const GATEWAY: &str = "gateway-1";

/// The devices of the later stages.
pub(super) const DEVICES: [&str; 3] = ["device-1", "device-2", "device-3"];

/// The time of the wall clock.
pub(super) const UNIX_NOW: UnixTime = UnixTime::from_secs(1_795_374_000);

/// A payload whose packet is larger than the gateway's normal transmit limit (64 KiB), and is sent alone.
const LARGE: usize = 70_000;

/// The maximum number of bytes pending to be written: the large packet with its topic, and the SUBSCRIBE of the errors
/// topic and DISCONNECT, which do not wait.
const MOST_TRANSMIT: usize = LARGE + 512;

/// The maximum number of events that one call other than input may add, not counting those that end an operation.
const EVENTS_A_CALL: usize = 2 + 4 * (1 + DEVICES.len());

/// The behaviour of a gateway and its user.
#[derive(Clone, Debug, Default)]
pub(super) struct Setup {
    pub(super) options: Options,
    /// Whether events wait until [`Machine::take_events`]; otherwise they are polled after each call.
    pub(super) is_slow: bool,
    /// Whether each device has a message in the busy stages that is sent alone.
    pub(super) has_large: bool,
    /// Whether spurious timeouts and polls are inserted, which must not change anything.
    pub(super) makes_redundant_calls: bool,
}

/// An output of a gateway.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Output {
    Bytes(Vec<u8>),
    Event(Event),
}

/// A gateway, its transport and its user. All invariants are checked after every call.
#[derive(Debug)]
pub(super) struct Machine {
    gateway: Gateway,
    setup: Setup,
    start: Instant,
    now: Instant,
    transport: Option<Peer>,
    history: Vec<(Duration, Output)>,
    events: Vec<Event>,
    /// Operations that were accepted and have not ended.
    pending: BTreeSet<OpId>,
    closing: Option<OpId>,
    deliveries: Vec<DeliveryId>,
    /// Whether the gateway is connected according to its events.
    is_connected: bool,
    is_closed: bool,
    /// The number of events that the last input may have added, not counting those that end an operation; and the
    /// number of calls other than input since no events were pending.
    overshoot: [usize; 2],
}

impl Machine {
    /// Creates a gateway that was not opened.
    pub(super) fn new(setup: Setup) -> Self {
        let id = |id: &str| id.try_into().expect("a legal id");
        let location = "us-central1".try_into().expect("a legal location");
        let client_id = ClientId::new(
            "my-project".try_into().expect("a legal project"),
            location,
            "my-registry".try_into().expect("a legal registry"),
            id(GATEWAY),
        );
        let start = start();
        Self {
            gateway: Gateway::new(client_id, setup.options.clone(), 1).expect("options that work"),
            setup,
            start,
            now: start,
            transport: None,
            history: Vec::new(),
            events: Vec::new(),
            pending: BTreeSet::new(),
            closing: None,
            deliveries: Vec::new(),
            is_connected: false,
            is_closed: false,
            overshoot: [0; 2],
        }
    }

    /// Applies an input or a command to the gateway, now.
    pub(super) fn apply(&mut self, input: Input<'_>) -> Answer {
        self.gateway.apply(input, self.now)
    }

    /// Returns all outputs, with the time since the start.
    pub(super) fn into_history(self) -> Vec<(Duration, Output)> {
        self.history
    }

    /// Returns the polled events.
    pub(super) fn events(&self) -> &[Event] {
        &self.events
    }

    /// Establishes the transport, with a token of this lifetime. If none is wanted, this must change nothing.
    pub(super) fn connect(&mut self, lifetime: Duration) {
        let is_wanted = self.gateway.wants_transport() && self.transport.is_none();
        let token = Token::new("header.claims.signature", self.now + lifetime);
        let token = token.expect("a token's characters");
        let before = (self.gateway.stats(), self.gateway.poll_transmit().to_vec());
        self.apply(Input::Connected {
            token,
            unix_now: UNIX_NOW,
        });
        if is_wanted {
            self.transport = Some(Peer::new(&self.setup.options));
        } else if self.gateway.poll_timeout().is_none_or(|at| at > self.now) {
            let after = (self.gateway.stats(), self.gateway.poll_transmit().to_vec());
            assert_eq!(before, after, "an unwanted transport is used");
        }
        self.check();
    }

    /// Receives bytes from the peer, in fragments of at most this many. While the gateway wants no input, they are not
    /// read.
    pub(super) fn input(&mut self, bytes: &[u8], fragment: usize) {
        let Some(peer) = &mut self.transport else {
            return;
        };
        if !self.gateway.wants_input() {
            return;
        }
        let was_over = !self.gateway.wants_transport();
        let before = self.gateway.stats();
        peer.say(bytes);
        let is_broken = peer.is_broken();
        for fragment in bytes.chunks(fragment.max(1)) {
            self.apply(Input::Received(fragment));
            self.make_redundant_calls();
        }
        if is_broken {
            assert!(
                !self.gateway.wants_transport(),
                "a violation does not end the connection"
            );
        }
        if was_over {
            assert_eq!(
                self.gateway.stats(),
                before,
                "input after the end has an effect"
            );
        }
        // A message has at least five bytes; an acknowledgement has four, and causes at most one change of state
        // besides an end.
        let most = self.setup.options.max_unacknowledged + bytes.len() / 5;
        assert!(self.gateway.stats().unacknowledged <= most);
        self.overshoot[0] = bytes.len() / 2;
        self.check();
    }

    /// Transmits this many of the pending bytes, or all.
    pub(super) fn transmit(&mut self, length: usize) {
        let Some(peer) = &mut self.transport else {
            return;
        };
        let waiting = self.gateway.poll_transmit();
        let taken = &waiting[..length.min(waiting.len())];
        peer.take(taken.len());
        if !taken.is_empty() {
            let bytes = Output::Bytes(taken.to_vec());
            self.history.push((self.now - self.start, bytes));
        }
        self.apply(Input::Transmitted(length));
        self.check();
    }

    /// Transmits everything, as long as there is something.
    pub(super) fn transmit_all(&mut self) {
        for _ in 0..1_000 {
            if self.transport.is_none() || self.gateway.poll_transmit().is_empty() {
                return;
            }
            self.transmit(usize::MAX);
        }
        panic!("the bytes to write have no end");
    }

    /// Ends the transport, if there is one, or reports a failed attempt.
    pub(super) fn disconnect(&mut self, end: TransportEnd) {
        self.transport = None;
        self.apply(Input::Disconnected(end));
        assert_eq!(self.gateway.poll_transmit(), b"");
        self.check();
    }

    /// Advances time, from deadline to deadline; hangs up the transport when the gateway requests it.
    pub(super) fn wait(&mut self, duration: Duration) {
        let end = self.now + duration;
        let most = 64 + 8 * duration.as_secs();
        for _ in 0..most {
            if self.transport.is_some() && !self.gateway.wants_transport() {
                self.disconnect(TransportEnd::HungUp);
            }
            match self.gateway.poll_timeout().filter(|at| *at <= end) {
                Some(at) => self.timeout(at),
                None => {
                    self.now = end;
                    return;
                }
            }
        }
        panic!("{most} timeouts within {duration:?}");
    }

    /// Reports this time, or the current time if that is later.
    pub(super) fn timeout(&mut self, at: Instant) {
        self.now = self.now.max(at);
        self.report_time(self.now);
    }

    /// Reports the current time, and then a time in the past.
    pub(super) fn turn_back(&mut self, by: Duration) {
        self.report_time(self.now);
        self.report_time(self.now.checked_sub(by).unwrap_or(self.start));
    }

    fn report_time(&mut self, at: Instant) {
        self.gateway.apply(Input::Timeout, at);
        let next = self.gateway.poll_timeout();
        let is_later = next.is_none_or(|next| next > at);
        assert!(is_later, "a deadline that passed stays");
        self.check();
    }

    /// Returns the next deadline, or the current time.
    pub(super) fn deadline(&self) -> Instant {
        self.gateway.poll_timeout().unwrap_or(self.now)
    }

    /// Polls this many events.
    pub(super) fn take_events(&mut self, most: usize) {
        for _ in 0..most {
            let Some(event) = self.apply(Input::PollEvent).event() else {
                self.overshoot = [0; 2];
                return;
            };
            self.check_event(&event);
            self.history
                .push((self.now - self.start, Output::Event(event.clone())));
            self.events.push(event);
        }
    }

    /// Closes, and checks that everything ends.
    pub(super) fn finish(mut self) -> Self {
        self.close();
        self.transmit_all();
        self.wait(Duration::from_secs(120));
        self.take_events(usize::MAX);

        assert!(self.gateway.is_closed(), "a close has no end");
        assert_eq!(self.pending, BTreeSet::new(), "operations without an end");
        assert_eq!(
            self.gateway.poll_timeout(),
            None,
            "a deadline after the end"
        );
        assert_eq!(self.gateway.unsent().count(), 0);
        self
    }

    /// Closes; a second call returns the same operation, which may have ended.
    fn close(&mut self) {
        let op = self.apply(Input::Close).op().expect("never refused");
        if self.closing.replace(op) != Some(op) {
            self.accept(op);
        }
    }

    fn accept(&mut self, op: OpId) {
        self.pending.insert(op);
        self.check();
    }

    /// Checks the invariants that hold between any two calls.
    fn check(&mut self) {
        self.overshoot[1] += EVENTS_A_CALL;
        let (options, stats) = (&self.setup.options, self.gateway.stats());
        let waiting = self.gateway.poll_transmit();
        assert!(waiting.len() <= MOST_TRANSMIT, "{} wait", waiting.len());
        assert!(stats.received < options.frame_limit);
        let probes = usize::try_from(stats.probes).expect("few");
        assert!(stats.in_flight - stats.skipped <= usize::from(options.window) + probes);
        assert!(stats.queued <= options.total_queue.messages);
        assert!(stats.queued_bytes <= options.total_queue.bytes);
        let overshoot: usize = self.overshoot.iter().sum();
        let most_events = options.max_events + self.pending.len() + overshoot;
        assert!(stats.events <= most_events, "{} events wait", stats.events);
        let has_room =
            stats.events < options.max_events && stats.unacknowledged < options.max_unacknowledged;
        assert_eq!(self.gateway.wants_input(), has_room);
        match &mut self.transport {
            Some(peer) if self.gateway.wants_transport() => peer.watch(waiting),
            _ => assert_eq!(waiting, b"", "bytes without a connection"),
        }
        self.make_redundant_calls();
        if !self.setup.is_slow {
            self.take_events(usize::MAX);
        }
    }

    fn make_redundant_calls(&mut self) {
        let is_nothing_due = self.gateway.poll_timeout().is_none_or(|at| at > self.now);
        if self.setup.makes_redundant_calls && is_nothing_due {
            self.apply(Input::Timeout);
            self.gateway.apply(Input::Timeout, self.start);
            self.apply(Input::Transmitted(0));
        }
    }

    fn check_event(&mut self, event: &Event) {
        let is_closes = matches!(
            event,
            Event::Done {
                outcome: Outcome::Closed,
                ..
            }
        );
        assert!(!self.is_closed || is_closes, "{event:?} after the last one");
        match event {
            Event::Done { op, .. } | Event::Failed { op, .. } => {
                assert!(self.pending.remove(op), "{op} ends twice: {event:?}");
            }
            Event::Connected => assert!(!core::mem::replace(&mut self.is_connected, true)),
            Event::Disconnected(_) => self.is_connected = false,
            Event::Config { delivery, .. } | Event::Command { delivery, .. } => {
                self.deliveries.push(*delivery);
            }
            Event::Closed { .. } => self.is_closed = true,
            _ => {}
        }
        let is_of_connection = matches!(
            event,
            Event::Attached { .. }
                | Event::Config { .. }
                | Event::Command { .. }
                | Event::ErrorReport(_)
                | Event::UnreadableErrorReport { .. }
                | Event::Unrequested { .. }
        );
        assert!(
            self.is_connected || !is_of_connection,
            "{event:?} of no connection"
        );
    }
}
