//! The state machine and the emulator, checked after every fragment of every byte stream.

use core::time::Duration;
use std::time::Instant;

use iotcore_gateway::{
    Algorithm, ClientId, DeviceAuth, DeviceId, DeviceKey, Event, Gateway, OpId, Options,
    Publication,
    auth::{SigningKey, Token, UnixTime},
    cause::TransportEnd,
    message::{QoS, Subscription},
};
use iotcore_gateway_testkit::bridge::event::Event as BridgeEvent;
use iotcore_gateway_testkit::link::{BOUND, GATEWAY, UNBOUND, registry};
use iotcore_gateway_testkit::{AuthMethod, Bridge, ConnectionId, Settings};

use crate::{KEY, Secrets};

const SECOND: Duration = Duration::from_secs(1);
const START: u64 = 1_767_225_600;

/// Small enough that tokens are split.
const FRAGMENT: usize = 40;

/// A gateway and a bridge with known tokens, and all their outputs.
struct Watched {
    gateway: Gateway,
    bridge: Bridge,
    connection: Option<ConnectionId>,
    key: SigningKey,
    secrets: Secrets,
    start: Instant,
    now: Instant,
    /// The bytes that the gateway has transmitted.
    wire: Vec<u8>,
    events: Vec<Event>,
}

impl Watched {
    fn new(method: AuthMethod, settings: Settings) -> Self {
        let mut options = Options::default();
        options.connack_timeout = 5 * SECOND;
        let id = ClientId::new(
            "my-project".try_into().unwrap(),
            "us-central1".try_into().unwrap(),
            "my-registry".try_into().unwrap(),
            GATEWAY.try_into().unwrap(),
        );
        #[expect(
            clippy::disallowed_methods,
            reason = "virtual time has to start somewhere"
        )]
        let now = Instant::now();
        let mut secrets = Secrets::default();
        secrets.add_key(KEY);
        let mut watched = Self {
            gateway: Gateway::new(id, options, 3).unwrap(),
            bridge: Bridge::new(registry(method), settings, now, START),
            connection: None,
            key: SigningKey::from_pem(KEY.as_bytes(), Algorithm::Es256).unwrap(),
            secrets,
            start: now,
            now,
            wire: Vec::new(),
            events: Vec::new(),
        };
        watched.gateway.open(now).unwrap();
        watched
    }

    fn unix_now(&self) -> UnixTime {
        UnixTime::from_secs(START).saturating_add(self.now - self.start)
    }

    /// Creates a signed token, of which no part may be shown from now on.
    fn token(&mut self, lifetime: Duration) -> Token {
        let project = self.gateway.client_id().project();
        let token = self
            .key
            .token(project, lifetime, self.now, self.unix_now())
            .unwrap();
        self.secrets.add_text("token", token.expose());
        token
    }

    /// Creates an invalid token, which is sent as one.
    fn forged(&mut self) -> Token {
        let forged = "marked-header.marked-claims.marked-signature-of-a-forged-token";
        self.secrets.add_text("forged token", forged);
        Token::new(forged, self.now + 3_600 * SECOND).unwrap()
    }

    /// Checks all outputs.
    fn look(&mut self) {
        let Self {
            gateway,
            bridge,
            secrets,
            ..
        } = self;
        secrets.check("the gateway", &format!("{gateway:?}"));
        secrets.check("the gateway, in full", &format!("{gateway:#?}"));
        secrets.check("the bridge", &format!("{bridge:?}"));
        secrets.check("the key", &format!("{:?}", self.key));
        let unsent: Vec<_> = gateway.unsent().collect();
        let held = (unsent, gateway.stats(), gateway.client_id());
        secrets.check("what the gateway holds", &format!("{held:?}"));
        while let Some(event) = gateway.poll_event() {
            check_event(secrets, &event);
            self.events.push(event);
        }
        while let Some(event) = bridge.poll_event() {
            check_bridge_event(secrets, &event);
        }
    }

    /// Acts as the transport for a time, fragment by fragment.
    fn run(&mut self, duration: Duration) {
        let end = self.now + duration;
        while self.now < end {
            while self.turn() {}
            self.now += SECOND / 4;
            self.gateway.handle_timeout(self.now);
            self.bridge.handle_timeout(self.now);
        }
    }

    /// Moves one fragment in each direction; returns whether anything moved.
    fn turn(&mut self) -> bool {
        self.look();
        if !self.gateway.wants_transport() && self.connection.is_some() {
            self.hang_up(TransportEnd::HungUp);
        }
        let Some(connection) = self.connection else {
            return false;
        };
        let waiting = self.gateway.poll_transmit();
        let fragment = waiting[..waiting.len().min(FRAGMENT)].to_vec();
        self.gateway.handle_transmitted(fragment.len(), self.now);
        self.wire.extend(&fragment);
        self.bridge.handle_input(connection, &fragment, self.now);
        self.look();
        let answer = self.bridge.poll_transmit(connection).to_vec();
        self.bridge
            .handle_transmitted(connection, answer.len(), self.now);
        self.gateway.handle_input(&answer, self.now);
        self.look();
        if !self.bridge.wants_transport(connection) {
            self.hang_up(TransportEnd::PeerClosed);
        }
        !fragment.is_empty() || !answer.is_empty()
    }

    /// Waits until the gateway wants a transport, and connects it with this token.
    fn connect(&mut self, token: Token) {
        for _ in 0..1_000 {
            if self.gateway.wants_transport() && self.connection.is_none() {
                self.connection = Some(self.bridge.accept(self.now));
                let unix_now = self.unix_now();
                self.gateway.handle_connected(token, unix_now, self.now);
                self.look();
                return;
            }
            self.run(SECOND);
        }
        panic!("the gateway wants no transport");
    }

    fn hang_up(&mut self, end: TransportEnd) {
        if let Some(connection) = self.connection.take() {
            self.bridge.handle_closed(connection, self.now);
            self.gateway.handle_disconnected(end, self.now);
            self.look();
        }
    }

    fn attach(&mut self, id: &str, auth: DeviceAuth) -> DeviceKey {
        let id: DeviceId = id.try_into().unwrap();
        self.secrets.check("an attach", &format!("{id:?} {auth:?}"));
        let unix_now = self.unix_now();
        let (device, _) = self.gateway.attach(id, auth, unix_now, self.now).unwrap();
        self.look();
        device
    }

    fn publish(&mut self, device: DeviceKey, payload: &'static str) -> OpId {
        let publication = Publication::telemetry(device, payload);
        let op = self.gateway.publish(publication, self.now).unwrap();
        self.look();
        op
    }

    fn has(&self, is_it: impl Fn(&Event) -> bool) -> bool {
        self.events.iter().any(is_it)
    }

    /// Checks that the token was transmitted, and that the search, which found it nowhere else, finds it there.
    fn assert_on_the_wire(&self) {
        assert!(self.secrets.find_in(&self.wire).is_some());
        assert!(self.secrets.searched > 100_000, "{}", self.secrets.searched);
    }
}

fn check_event(secrets: &mut Secrets, event: &Event) {
    secrets.check("an event", &format!("{event:?} {event:#?}"));
    match event {
        Event::Disconnected(ended) => {
            secrets.check("a reason", &format!("{} {}", ended.reason, ended.certainty));
        }
        Event::Failed { failure, .. } => secrets.check_error("a failure", failure),
        Event::ErrorReport(report) => secrets.check("a report", &report.to_string()),
        _ => {}
    }
}

fn check_bridge_event(secrets: &mut Secrets, event: &BridgeEvent) {
    let json = serde_json::to_string(event).unwrap();
    secrets.check("the bridge's log", &format!("{event} {event:?} {json}"));
}

#[test]
fn a_gateway_that_does_its_work_shows_no_token() {
    let mut watched = Watched::new(AuthMethod::DeviceAuthTokenOnly, Settings::default());
    let own = watched.token(100 * SECOND);
    watched.connect(own);
    let token = watched.token(40 * SECOND);
    let device = watched.attach(BOUND[0], DeviceAuth::Token(token));
    let now = watched.now;
    for subscription in [Subscription::Config, Subscription::Commands] {
        let qos = QoS::AtLeastOnce;
        watched
            .gateway
            .subscribe(device, subscription, qos, now)
            .unwrap();
    }
    watched.publish(device, "21.5");
    let forged = watched.forged();
    watched.attach(UNBOUND, DeviceAuth::Token(forged));
    watched.run(5 * SECOND);
    assert!(watched.has(|event| matches!(event, Event::Attached { .. })));
    assert!(watched.has(|event| matches!(event, Event::ErrorReport(_))));
    assert!(watched.has(|event| matches!(event, Event::Config { .. })));

    // The device's token expires, then the gateway's is refreshed, and a new one is requested for the device.
    watched.run(75 * SECOND);
    let own = watched.token(3_600 * SECOND);
    watched.connect(own);
    watched.run(2 * SECOND);
    assert!(watched.has(|event| matches!(event, Event::TokenNeeded { .. })));
    let token = watched.token(3_600 * SECOND);
    let (now, unix_now) = (watched.now, watched.unix_now());
    watched
        .gateway
        .authorize(device, token, unix_now, now)
        .unwrap();
    watched.look();
    watched.publish(device, "22.0");
    watched.run(3 * SECOND);
    watched.hang_up(TransportEnd::Broken);
    watched.publish(device, "not sent");
    let now = watched.now;
    watched.gateway.close(now);
    watched.run(15 * SECOND);
    assert!(watched.has(|event| matches!(event, Event::Closed { .. })));
    watched.assert_on_the_wire();
}

#[test]
fn a_gateway_that_is_refused_shows_no_token() {
    for answer in ["connack_4", "connack_5", "connack_13", "close"] {
        let mut settings = Settings::default();
        settings.set("auth_failure", answer).unwrap();
        let mut watched = Watched::new(AuthMethod::AssociationOnly, settings);
        let forged = watched.forged();
        watched.connect(forged);
        watched.run(SECOND);
        let foreign = watched
            .key
            .mint(
                &"elsewhere-1".try_into().unwrap(),
                watched.unix_now(),
                60 * SECOND,
            )
            .unwrap();
        watched.secrets.add_text("token for elsewhere", &foreign);
        let foreign = Token::new(foreign, watched.now + 3_600 * SECOND).unwrap();
        watched.connect(foreign);
        watched.run(SECOND);
        let ended = watched
            .events
            .iter()
            .filter(|event| matches!(event, Event::Disconnected(_)));
        assert_eq!(ended.count(), 2, "{answer}");
        watched.assert_on_the_wire();
    }
}

#[test]
fn a_token_that_is_never_sent_is_never_shown() {
    let mut watched = Watched::new(AuthMethod::AssociationOnly, Settings::default());
    let expired = watched.token(SECOND);
    watched.run(2 * SECOND);
    watched.connect(expired);
    watched.run(SECOND);
    assert!(watched.wire.is_empty());
    // The transport accepts nothing until the write timeout: CONNECT with the token waits for all that time.
    let token = watched.token(3_600 * SECOND);
    watched.run(3 * SECOND);
    let (now, unix_now) = (watched.now, watched.unix_now());
    watched.gateway.handle_connected(token, unix_now, now);
    assert!(
        watched
            .secrets
            .find_in(watched.gateway.poll_transmit())
            .is_some()
    );
    for _ in 0..10 {
        watched.look();
        watched.now += SECOND;
        watched.gateway.handle_timeout(watched.now);
    }
    watched.look();
    assert!(!watched.gateway.wants_transport());
}
