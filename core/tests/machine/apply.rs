//! `Gateway::apply`: every input and command as plain data has the same effect as its method.

use std::{fs, path::Path};

use iotcore_gateway::{
    Answer, DeviceAuth, Event, Gateway, Input, Options, Publication,
    cause::TransportEnd,
    message::{QoS, Subscription},
    options::Acknowledge,
};

use super::peer::{ATTACH, CONFIG, Harness, Sent, UNIX_NOW, publish, seconds};

/// Finds the methods in one file that change a gateway: those with a mutable receiver in any `impl` for `Gateway`, and
/// only public ones in an inherent `impl`.
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
fn the_scan_finds_every_form_of_mutating_method() {
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

/// Reads every Rust file in a folder, recursively.
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
fn every_method_that_changes_a_gateway_has_an_input() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    sources(&folder, &mut files);
    let mut methods: Vec<_> = files
        .iter()
        .flat_map(|source| methods_that_change(source))
        .collect();
    methods.sort_unstable();
    assert!(methods.contains(&"handle_input".to_owned()), "{methods:?}");

    let input = fs::read_to_string(folder.join("input.rs")).unwrap();
    let (_, apply) = input.split_once("pub fn apply(").unwrap();
    let apply: String = apply
        .lines()
        .filter(|line| !line.trim_start().starts_with("//"))
        .collect();
    methods.retain(|method| !apply.contains(&format!("self.{method}(")));
    // The operations on the store are queued by inputs: taking them changes neither the events nor what is sent.
    let others = ["apply", "poll_store"];
    assert_eq!(methods, others, "these methods have no input");
}

/// How inputs are passed to the gateway.
#[derive(Clone, Copy)]
enum CallBy {
    Methods,
    Apply,
}

/// The output: packets, events and answers, in order.
#[derive(Debug, Default, PartialEq)]
struct Output {
    packets: Vec<Sent>,
    events: Vec<Event>,
    answers: Vec<Answer>,
}

struct Driven {
    harness: Harness,
    call_by: CallBy,
    output: Output,
}

impl Driven {
    fn apply(&mut self, input: Input<'_>) -> Answer {
        let now = self.harness.now;
        let gateway = &mut self.harness.gateway;
        let answer = match self.call_by {
            CallBy::Apply => gateway.apply(input, now),
            CallBy::Methods => by_method(gateway, input, now),
        };
        self.output.answers.push(answer.clone());
        self.output.packets.extend(self.harness.sent());
        answer
    }

    fn take_events(&mut self) {
        while let Some(event) = self.apply(Input::PollEvent).event() {
            self.output.events.push(event);
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
        Input::Postpone(delivery) => gateway.postpone(delivery, now),
        Input::Open => return Answer::Op(gateway.open(now)),
        Input::Attach {
            device,
            auth,
            unix_now,
        } => return Answer::Attached(gateway.attach(device, auth, unix_now, now)),
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
        _ => panic!("an input unknown to this test"),
    }
    Answer::None
}

/// Runs a lifecycle with each input and command; returns its output.
fn lifecycle(call_by: CallBy) -> Output {
    let mut options = Options::default();
    options.acknowledge = Acknowledge::Manual;
    let harness = Harness::new(options);
    let token = harness.token();
    let mut driven = Driven {
        harness,
        call_by,
        output: Output::default(),
    };
    driven.apply(Input::Open).op().unwrap();
    driven.apply(Input::Connected {
        token: token.clone(),
        unix_now: UNIX_NOW,
    });
    driven.apply(Input::Received(&[0x20, 2, 0, 0]));
    let attach = Input::Attach {
        device: "device-1".try_into().unwrap(),
        auth: DeviceAuth::Token(token.clone()),
        unix_now: UNIX_NOW,
    };
    let (device, _) = driven.apply(attach).attached().unwrap();
    let subscribe = Input::Subscribe {
        device,
        subscription: Subscription::Config,
        qos: QoS::AtLeastOnce,
    };
    driven.apply(subscribe).op().unwrap();
    let packet_id = driven.output.packets.iter().find_map(|sent| match sent {
        Sent::Publish { topic, id, .. } if topic == ATTACH => *id,
        _ => None,
    });
    let [high, low] = packet_id.expect("an attach was sent").to_be_bytes();
    driven.apply(Input::Received(&[0x40, 2, high, low]));
    driven.apply(Input::Received(&publish(CONFIG, b"on", Some(9), false)));
    driven.take_events();
    let delivery = driven.output.events.iter().find_map(|event| match event {
        Event::Config { delivery, .. } => Some(*delivery),
        _ => None,
    });
    driven.apply(Input::Acknowledge(
        delivery.expect("a config was delivered"),
    ));
    let reading = Publication::telemetry(device, "21.5");
    driven.apply(Input::Publish(reading)).published().unwrap();
    driven.apply(Input::Transmitted(0));
    driven.harness.now += seconds(31);
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
    driven.harness.now += seconds(11);
    driven.apply(Input::Timeout);
    driven.take_events();
    driven.output
}

#[test]
fn each_input_has_the_same_effect_and_result_as_its_method() {
    let output = lifecycle(CallBy::Apply);
    assert!(matches!(output.events.last(), Some(Event::Closed { .. })));
    assert_eq!(output, lifecycle(CallBy::Methods));
}

#[test]
#[should_panic(expected = "this is the answer to another kind of input")]
fn taking_a_result_of_another_kind_of_input_panics() {
    let mut harness = Harness::new(Options::default());
    let _ = harness.gateway.apply(Input::Timeout, harness.now).event();
}
