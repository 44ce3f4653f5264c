//! The one door: every input and command as plain data does what its method does.

use std::{fs, path::Path};

use iotcore_gateway::{
    Acknowledge, Answer, Event, Gateway, Input, Options, Publication, QoS, Subscription,
    TransportEnd,
};

use super::peer::{ATTACH, CONFIG, Sent, Session, UNIX_NOW, publish, seconds};

/// The methods that change a gateway, of one file: those with a mutable receiver in any `impl` for `Gateway`, the public
/// ones where it is no trait's.
fn methods_that_change(source: &str) -> Vec<String> {
    let mut methods = Vec::new();
    for block in source.split("\nimpl").skip(1) {
        let (header, body) = block.split_once('{').unwrap();
        let (of_trait, target) = match header.split_once(" for ") {
            Some((_, target)) => (true, target),
            None => (false, header),
        };
        if target.trim().rsplit("::").next() != Some("Gateway") {
            continue;
        }
        let body = body.split("\n}").next().unwrap();
        for (before, function) in body
            .match_indices(" fn ")
            .map(|(at, _)| (&body[..at], &body[at + 4..]))
        {
            let line = before.rsplit('\n').next().unwrap();
            let name: String = function
                .chars()
                .take_while(|c| c.is_alphanumeric() || *c == '_')
                .collect();
            let parameters = function.split_once('(').unwrap().1;
            let receiver = parameters.split([',', ')']).next().unwrap();
            let is_mutable = receiver.contains("mut self") || receiver.contains("&mut Self");
            let is_public =
                of_trait || line.trim_start().starts_with("pub ") || line.trim() == "pub";
            if is_mutable && receiver.contains('&') && is_public {
                methods.push(name);
            }
        }
    }
    methods
}

#[test]
fn every_form_of_a_method_that_changes_a_gateway_is_seen() {
    for (form, is_seen) in [
        ("impl Gateway {\n    pub fn sneak(&mut self) {}\n}", true),
        (
            "impl Gateway {\n    pub const fn sneak(&mut self) {}\n}",
            true,
        ),
        (
            "impl Gateway {\n    pub async fn sneak(&mut self) {}\n}",
            true,
        ),
        (
            "impl Gateway {\n    pub fn sneak(self: &mut Self) {}\n}",
            true,
        ),
        (
            "impl Gateway {\n    pub fn sneak<'a>(&'a mut self) {}\n}",
            true,
        ),
        (
            "impl Gateway {\n    pub fn sneak(\n        &mut self,\n    ) {}\n}",
            true,
        ),
        (
            "impl super::Gateway {\n    pub fn sneak(&mut self) {}\n}",
            true,
        ),
        (
            "impl Extend<u8> for Gateway {\n    fn sneak(&mut self) {}\n}",
            true,
        ),
        ("impl Gateway {\n    pub fn sneak(&self) {}\n}", false),
        ("impl Gateway {\n    pub fn sneak(self) {}\n}", false),
        ("impl Gateway {\n    fn sneak(&mut self) {}\n}", false),
        ("impl Session {\n    pub fn sneak(&mut self) {}\n}", false),
    ] {
        let source = format!("//! A file.\n{form}\n");
        let seen = methods_that_change(&source);
        assert_eq!(seen, vec!["sneak"; usize::from(is_seen)], "{form}");
    }
}

/// Every Rust file in a folder and its folders.
fn sources(folder: &Path, found: &mut Vec<String>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, found);
        } else {
            found.push(fs::read_to_string(path).unwrap());
        }
    }
}

#[test]
fn every_method_that_changes_a_gateway_has_its_input() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    sources(&folder, &mut files);
    let mut methods: Vec<_> = files
        .iter()
        .flat_map(|source| methods_that_change(source))
        .collect();
    methods.sort_unstable();
    assert!(methods.contains(&"handle_input".to_owned()), "{methods:?}");

    let door = fs::read_to_string(folder.join("input.rs")).unwrap();
    let (_, apply) = door.split_once("pub fn apply(").unwrap();
    let apply: String = apply
        .lines()
        .filter(|line| !line.trim_start().starts_with("//"))
        .collect();
    methods.retain(|method| !apply.contains(&format!("self.{method}(")));
    assert_eq!(methods, ["apply"], "these methods have no input");
}

/// How a gateway is driven.
#[derive(Clone, Copy)]
enum Way {
    Methods,
    Door,
}

/// What came out: bytes, events and answers, in order.
#[derive(Debug, Default, PartialEq)]
struct Told {
    bytes: Vec<Sent>,
    events: Vec<Event>,
    answers: Vec<Answer>,
}

struct Driven {
    session: Session,
    way: Way,
    told: Told,
}

impl Driven {
    fn apply(&mut self, input: Input<'_>) -> Answer {
        let now = self.session.now;
        let gateway = &mut self.session.gateway;
        let answer = match self.way {
            Way::Door => gateway.apply(input, now),
            Way::Methods => by_method(gateway, input, now),
        };
        self.told.answers.push(answer.clone());
        self.told.bytes.extend(self.session.sent());
        answer
    }

    fn take_events(&mut self) {
        while let Some(event) = self.apply(Input::PollEvent).event() {
            self.told.events.push(event);
        }
    }
}

fn by_method(gateway: &mut Gateway, input: Input<'_>, now: std::time::Instant) -> Answer {
    match input {
        Input::Connected { token, unix_now } => gateway.handle_connected(token, unix_now, now),
        Input::Received(bytes) => gateway.handle_input(bytes, now),
        Input::Transmitted(len) => gateway.handle_transmitted(len, now),
        Input::Timeout => gateway.handle_timeout(now),
        Input::Disconnected(end) => gateway.handle_disconnected(end, now),
        Input::Acknowledge(delivery) => gateway.acknowledge(delivery, now),
        Input::Open => return Answer::Op(gateway.open(now)),
        Input::Attach {
            device,
            token,
            unix_now,
        } => return Answer::Attached(gateway.attach(device, token, unix_now, now)),
        Input::Detach(device) => return Answer::Op(gateway.detach(device, now)),
        Input::Authorize {
            device,
            token,
            unix_now,
        } => return Answer::Op(gateway.authorize(device, token, unix_now, now)),
        Input::Publish(publication) => {
            return Answer::Published(gateway.publish(publication, now));
        }
        Input::Subscribe {
            device,
            subscription,
            qos,
        } => return Answer::Op(gateway.subscribe(device, subscription, qos, now)),
        Input::Unsubscribe {
            device,
            subscription,
        } => return Answer::Op(gateway.unsubscribe(device, subscription, now)),
        Input::Close => return Answer::Op(Ok(gateway.close(now))),
        Input::PollEvent => return Answer::Event(gateway.poll_event()),
        _ => panic!("an input that this test does not know"),
    }
    Answer::None
}

/// A life with each input and command, and what it told.
fn life(way: Way) -> Told {
    let mut options = Options::default();
    options.acknowledge = Acknowledge::Manual;
    let session = Session::new(options);
    let token = session.token();
    let mut driven = Driven {
        session,
        way,
        told: Told::default(),
    };
    driven.apply(Input::Open).op().unwrap();
    driven.apply(Input::Connected {
        token: token.clone(),
        unix_now: UNIX_NOW,
    });
    driven.apply(Input::Received(&[0x20, 2, 0, 0]));
    let attach = Input::Attach {
        device: "device-1".try_into().unwrap(),
        token: Some(token.clone()),
        unix_now: UNIX_NOW,
    };
    let (device, _) = driven.apply(attach).attached().unwrap();
    let subscribe = Input::Subscribe {
        device,
        subscription: Subscription::Config,
        qos: QoS::AtLeastOnce,
    };
    driven.apply(subscribe).op().unwrap();
    let packet_id = driven.told.bytes.iter().find_map(|sent| match sent {
        Sent::Publish { topic, id, .. } if topic == ATTACH => *id,
        _ => None,
    });
    let [high, low] = packet_id.expect("an attach").to_be_bytes();
    driven.apply(Input::Received(&[0x40, 2, high, low]));
    driven.apply(Input::Received(&publish(CONFIG, b"on", Some(9), false)));
    driven.take_events();
    let delivery = driven.told.events.iter().find_map(|event| match event {
        Event::Config { delivery, .. } => Some(*delivery),
        _ => None,
    });
    driven.apply(Input::Acknowledge(delivery.expect("a config")));
    let reading = Publication::telemetry(device, "21.5");
    driven.apply(Input::Publish(reading)).published().unwrap();
    driven.apply(Input::Transmitted(0));
    driven.session.now += seconds(31);
    driven.apply(Input::Timeout);
    let authorize = Input::Authorize {
        device,
        token,
        unix_now: UNIX_NOW,
    };
    driven.apply(authorize).op().unwrap();
    let unsubscribe = Input::Unsubscribe {
        device,
        subscription: Subscription::Config,
    };
    driven.apply(unsubscribe).op().unwrap();
    driven.apply(Input::Detach(device)).op().unwrap();
    driven.apply(Input::Disconnected(TransportEnd::Broken));
    driven.apply(Input::Close).op().unwrap();
    driven.session.now += seconds(11);
    driven.apply(Input::Timeout);
    driven.take_events();
    driven.told
}

#[test]
fn each_input_answers_and_does_what_its_method_does() {
    let told = life(Way::Door);
    assert!(matches!(told.events.last(), Some(Event::Closed { .. })));
    assert_eq!(told, life(Way::Methods));
}

#[test]
#[should_panic(expected = "this is the answer to another kind of input")]
fn to_ask_an_answer_for_what_it_is_not_is_a_mistake_of_the_callers() {
    let mut session = Session::new(Options::default());
    let _ = session.gateway.apply(Input::Timeout, session.now).event();
}
