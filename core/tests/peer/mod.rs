//! A harness around one gateway in virtual time, whose transport and bridge are mocked by the test.

#![allow(
    dead_code,
    unreachable_pub,
    reason = "each test file uses its own part"
)]

// The testkit's packet reader and writer, included as a file because the core does not depend on the testkit.
#[path = "../../../tests/src/packets.rs"]
pub mod packets;

use std::time::{Duration, Instant};

use iotcore_gateway::{
    ClientId, DeviceAuth, DeviceKey, Event, Failure, Gateway, OpId, Options, Outcome, Publication,
    auth::{Token, UnixTime},
    cause::{DisconnectReason, Disconnected, TransportEnd},
};

pub use self::packets::{Sent, parse, publish};
use self::packets::{connack, puback, suback, unsuback};

pub const GATEWAY: &str = "gw-1";

/// The wall-clock time of the tests.
pub const UNIX_NOW: UnixTime = UnixTime::from_secs(1_795_374_000);

// Topics of the device that most tests attach.
pub const ATTACH: &str = "/devices/device-1/attach";
pub const EVENTS: &str = "/devices/device-1/events";
pub const CONFIG: &str = "/devices/device-1/config";

/// A gateway, its clock, and the packets it has sent.
pub struct Harness {
    pub gateway: Gateway,
    pub now: Instant,
    unread: Vec<Sent>,
}

impl Harness {
    /// Creates a gateway that is not open.
    pub fn new(options: Options) -> Self {
        Self::named(GATEWAY, options)
    }

    /// Creates a gateway with this id that is not open.
    pub fn named(gateway: &str, options: Options) -> Self {
        let id = ClientId::new(
            "my-project".try_into().unwrap(),
            "us-central1".try_into().unwrap(),
            "my-registry".try_into().unwrap(),
            gateway.try_into().unwrap(),
        );
        #[expect(
            clippy::disallowed_methods,
            reason = "virtual time has to start somewhere"
        )]
        let now = Instant::now();
        Self {
            gateway: Gateway::new(id, options, 7).unwrap(),
            now,
            unread: Vec::new(),
        }
    }

    /// Creates a gateway that has been told to open and has no transport yet.
    pub fn dialing(options: Options) -> Self {
        let mut harness = Self::new(options);
        harness.gateway.open(harness.now).unwrap();
        harness
    }

    /// Creates an open gateway; its errors topic is granted, and its events are taken.
    pub fn open(options: Options) -> Self {
        let mut harness = Self::dialing(options);
        harness.connect();
        harness.events();
        harness
    }

    /// Creates an open gateway with one attached device.
    pub fn attached(options: Options) -> (Self, DeviceKey) {
        let mut harness = Self::open(options);
        let device = harness.attach("device-1");
        harness.events();
        (harness, device)
    }

    /// Returns a fresh token, valid for a day.
    pub fn token(&self) -> Token {
        let jwt = format!("header.claims.{}", self.gateway.stats().connections);
        Token::new(jwt, self.now + Duration::from_secs(86_400)).unwrap()
    }

    /// Brings the transport up.
    pub fn transport_up(&mut self) {
        self.gateway
            .handle_connected(self.token(), UNIX_NOW, self.now);
    }

    /// Brings the transport up and accepts the connection and the errors topic.
    pub fn connect(&mut self) {
        self.transport_up();
        let sent = self.sent();
        assert!(matches!(sent[..], [Sent::Connect { .. }]), "{sent:?}");
        self.connack(0);
        let Sent::Subscribe { id, filter, qos: 0 } = self.next_sent() else {
            panic!("expected SUBSCRIBE of the errors topic first");
        };
        assert_eq!(filter, format!("/devices/{GATEWAY}/errors"));
        self.suback(id, 0);
    }

    /// Ends the transport, waits for the backoff, and connects again.
    pub fn reconnect(&mut self) {
        self.lose_connection();
        self.redial();
    }

    pub fn lose_connection(&mut self) {
        self.unread.clear();
        self.gateway
            .handle_disconnected(TransportEnd::PeerClosed, self.now);
    }

    /// Ends the transport by an error of the link.
    pub fn break_connection(&mut self) {
        self.unread.clear();
        self.gateway
            .handle_disconnected(TransportEnd::Broken, self.now);
    }

    pub fn redial(&mut self) {
        self.wait_for_dial();
        self.connect();
    }

    pub fn wait_for_dial(&mut self) {
        while !self.gateway.wants_transport() {
            self.step();
        }
    }

    /// Requests an attach of a device without a token.
    pub fn begin_attach(&mut self, id: &str) -> (DeviceKey, OpId) {
        self.begin_attach_as(id, DeviceAuth::ByAssociation)
    }

    /// Requests an attach of a device that proves itself like this.
    pub fn begin_attach_as(&mut self, id: &str, auth: DeviceAuth) -> (DeviceKey, OpId) {
        let id = id.try_into().unwrap();
        self.gateway.attach(id, auth, UNIX_NOW, self.now).unwrap()
    }

    /// Attaches a device and acknowledges the attach.
    pub fn attach(&mut self, id: &str) -> DeviceKey {
        let (key, _) = self.begin_attach(id);
        self.acknowledge_attach(id);
        key
    }

    /// Expects an attach of this device next, and acknowledges it.
    pub fn acknowledge_attach(&mut self, id: &str) {
        let packet_id = self.expect_publish(&format!("/devices/{id}/attach"));
        self.puback(packet_id);
    }

    /// Publishes a telemetry event at QoS 1.
    pub fn publish(&mut self, device: DeviceKey, payload: &str) -> OpId {
        let publication = Publication::telemetry(device, payload.to_owned());
        self.gateway.publish(publication, self.now).unwrap()
    }

    /// Publishes and acknowledges one publication after the other, so that a device may have as many more in flight.
    pub fn widen(&mut self, device: DeviceKey, by: usize) {
        for _ in 0..by {
            self.publish(device, "");
            let ids = self.sent_ids();
            self.puback(ids[0]);
        }
        self.events();
    }

    /// Returns the packets that the gateway has sent since the last call; the transport takes all bytes immediately.
    pub fn sent(&mut self) -> Vec<Sent> {
        let bytes = self.gateway.poll_transmit().to_vec();
        self.gateway.handle_transmitted(bytes.len(), self.now);
        self.unread.extend(parse(&bytes));
        if bytes.is_empty() {
            std::mem::take(&mut self.unread)
        } else {
            self.sent()
        }
    }

    /// Returns the next packet that the gateway has sent.
    pub fn next_sent(&mut self) -> Sent {
        let mut sent = self.sent();
        assert!(!sent.is_empty(), "nothing was sent");
        let first = sent.remove(0);
        self.unread = sent;
        first
    }

    /// Expects a first PUBLISH at QoS 1 to this topic next; returns its packet identifier.
    pub fn expect_publish(&mut self, topic: &str) -> u16 {
        match self.next_sent() {
            Sent::Publish {
                topic: found,
                id: Some(id),
                dup: false,
                ..
            } if found == topic => id,
            other => panic!("not a PUBLISH to {topic}: {other:?}"),
        }
    }

    /// Expects this PUBLISH at QoS 1 again next: with its identifier, and DUP 1.
    pub fn expect_publish_again(&mut self, topic: &str, packet_id: u16) {
        let sent = self.next_sent();
        let is_again = matches!(
            &sent,
            Sent::Publish { topic: found, id: Some(id), dup: true, .. } if found == topic && *id == packet_id
        );
        assert!(
            is_again,
            "not PUBLISH {packet_id} to {topic} again: {sent:?}"
        );
    }

    /// Expects a SUBSCRIBE of this filter next; returns its packet identifier.
    pub fn expect_subscribe(&mut self, filter: &str) -> u16 {
        match self.next_sent() {
            Sent::Subscribe {
                id, filter: found, ..
            } if found == filter => id,
            other => panic!("not a SUBSCRIBE of {filter}: {other:?}"),
        }
    }

    /// Returns the payloads of the PUBLISHes sent since the last call, with their packet identifiers.
    pub fn sent_payloads(&mut self) -> Vec<(String, u16)> {
        let sent = self.sent().into_iter();
        let payloads = sent.filter_map(|sent| match sent {
            Sent::Publish { payload, id, .. } => {
                Some((String::from_utf8(payload).unwrap(), id.unwrap_or_default()))
            }
            _ => None,
        });
        payloads.collect()
    }

    /// Returns the packet identifiers of the PUBLISHes sent since the last call.
    pub fn sent_ids(&mut self) -> Vec<u16> {
        let sent = self.sent_payloads().into_iter();
        sent.map(|(_, id)| id).collect()
    }

    /// Returns the payloads of the PUBLISHes sent since the last call.
    pub fn sent_texts(&mut self) -> Vec<String> {
        let sent = self.sent_payloads().into_iter();
        sent.map(|(payload, _)| payload).collect()
    }

    pub fn receive(&mut self, bytes: &[u8]) {
        self.gateway.handle_input(bytes, self.now);
    }

    pub fn connack(&mut self, code: u8) {
        self.receive(&connack(code));
    }

    pub fn puback(&mut self, id: u16) {
        self.receive(&puback(id));
    }

    pub fn suback(&mut self, id: u16, code: u8) {
        self.receive(&suback(id, code));
    }

    pub fn unsuback(&mut self, id: u16) {
        self.receive(&unsuback(id));
    }

    /// Delivers a message from the bridge: at QoS 1 with an identifier, at QoS 0 without.
    pub fn deliver(&mut self, topic: &str, payload: &str, id: Option<u16>) {
        self.receive(&publish(topic, payload.as_bytes(), id, false));
    }

    pub fn deliver_again(&mut self, topic: &str, payload: &str, id: u16) {
        self.receive(&publish(topic, payload.as_bytes(), Some(id), true));
    }

    /// Delivers an error report in the nested format, with or without a packet identifier.
    pub fn report(&mut self, error_type: &str, device: &str, packet_id: Option<u16>) {
        let message = packet_id.map_or(String::new(), |id| {
            format!(
                r#","mqtt_message_info":{{"message_type":"PUBLISH","topic":"","packet_id":{id}}}"#
            )
        });
        let report = format!(
            r#"{{"error_type":"{error_type}","description":"","device_id":"{device}"{message}}}"#
        );
        self.deliver(&format!("/devices/{GATEWAY}/errors"), &report, None);
    }

    /// Advances the time by this duration, deadline by deadline.
    pub fn wait(&mut self, duration: Duration) {
        let end = self.now + duration;
        while let Some(deadline) = self
            .gateway
            .poll_timeout()
            .filter(|deadline| *deadline <= end)
        {
            self.now = self.now.max(deadline);
            self.run_timers();
        }
        self.now = end;
        self.run_timers();
    }

    /// Waits for a timeout that begins now: asserts that nothing happens before it, and lets the second after it pass.
    /// That is enough, because a deadline is later than its timeout by half a millisecond for each byte that the peer
    /// has not proven to have read.
    pub fn time_out(&mut self, timeout: Duration) {
        let just_before = timeout - Duration::from_millis(1);
        self.wait(just_before);
        assert_eq!(self.events(), [], "{just_before:?} after it began");
        assert_eq!(self.sent(), [], "{just_before:?} after it began");
        self.wait(seconds(1));
    }

    /// Advances the time to the next deadline.
    pub fn step(&mut self) {
        self.now = self.gateway.poll_timeout().expect("there is no deadline");
        self.run_timers();
    }

    /// Reports a timeout, and asserts that no deadline in the past remains.
    fn run_timers(&mut self) {
        self.gateway.handle_timeout(self.now);
        let next = self.gateway.poll_timeout();
        assert!(
            next.is_none_or(|next| next > self.now),
            "a deadline in the past remains"
        );
    }

    pub fn events(&mut self) -> Vec<Event> {
        std::iter::from_fn(|| self.gateway.poll_event()).collect()
    }

    /// Returns what ended the connection or the attempt since the last call.
    pub fn disconnected(&mut self) -> Disconnected {
        let events = self.events();
        let ended = events.iter().find_map(|event| match event {
            Event::Disconnected(disconnected) => Some(disconnected.clone()),
            _ => None,
        });
        ended.unwrap_or_else(|| panic!("not disconnected: {events:?}"))
    }

    pub fn disconnect_reason(&mut self) -> DisconnectReason {
        self.disconnected().reason
    }

    /// Returns how this operation ended, if it did since the last call.
    pub fn ended(&mut self, op: OpId) -> Option<Result<Outcome, Failure>> {
        let mut ends = self.events().into_iter().filter_map(|event| match event {
            Event::Done { op: ended, outcome } if ended == op => Some(Ok(outcome)),
            Event::Failed {
                op: ended, failure, ..
            } if ended == op => Some(Err(failure)),
            _ => None,
        });
        let end = ends.next();
        assert!(ends.next().is_none(), "{op} ended twice");
        end
    }
}

/// Returns the failure of an operation, if it is among these events.
pub fn failed(events: &[Event], op: OpId) -> Option<&Failure> {
    events.iter().find_map(|event| match event {
        Event::Failed {
            op: failed,
            failure,
            ..
        } if *failed == op => Some(failure),
        _ => None,
    })
}

pub fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}
