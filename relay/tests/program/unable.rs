//! Devices that cannot send: no input waits for them.

use std::{
    io::Write,
    net::TcpListener,
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

use iotcore_gateway_testkit::packets::Sent;
use serde_json::{Value, json};

use crate::{
    child::Relay,
    cloud::{Cloud, offline, options, receive, reply},
    pressure::count_until_standstill,
    telemetry,
};

/// With 10 messages for each device, reading would pause at 1,000.
const LIMIT: [&str; 2] = ["--max-queued", "10"];
const LINES: u64 = 3_000;

/// How soon another device is heard behind any number of lines of one that cannot send: after the second in which it might
/// become able to, and what a busy machine needs.
const SOON: Duration = Duration::from_secs(1 + 3);

/// Sends more for `boiler-7` than is read while that has to be waited for, and then a message of `pump-1`, which has to end
/// soon; those that fail have to fail with this error. Returns the events until then.
fn pump_is_heard_behind_boiler(mut relay: Relay, error: &str) -> Vec<Value> {
    let mut input = relay.take_input();
    let begun = Instant::now();
    let writing = thread::spawn(move || {
        for id in 10..10 + LINES {
            writeln!(input, "{}", telemetry(id, "x")).unwrap();
        }
        let heard = json!({"op": "telemetry", "id": 5, "device": "pump-1", "payload": "heard"});
        writeln!(input, "{heard}").unwrap();
        input
    });
    assert_eq!(relay.expect_end(5)["event"], "done");
    assert!(begun.elapsed() < SOON, "{:?}", begun.elapsed());
    drop(writing.join().unwrap());
    let failed = relay.seen.iter().filter(|event| event["event"] == "failed");
    for failed in failed {
        assert_eq!(failed["error"], error, "{failed}");
        assert_eq!(
            failed["operation"]["payload"], "x",
            "it is handed back: {failed}"
        );
    }
    std::mem::take(&mut relay.seen)
}

/// Returns how many messages failed.
fn failed(events: &[Value]) -> u64 {
    let failed = events.iter().filter(|event| event["event"] == "failed");
    failed.count() as u64
}

#[test]
fn a_device_that_the_bridge_has_detached_stops_no_other() {
    let cloud = Cloud::plain();
    let backoff = ["--backoff-min", "60000", "--backoff-max", "60000"];
    let mut relay = Relay::start(&cloud.options(&[&LIMIT[..], &backoff].concat()));
    for (id, device) in [(1, "boiler-7"), (2, "pump-1")] {
        relay.send(json!({"op": "attach", "id": id, "device": device}));
        assert_eq!(relay.expect_end(id)["event"], "done");
    }
    cloud.act(|bridge, now| bridge.detach_with_error("boiler-7", now));
    relay.expect("detached");
    let events = pump_is_heard_behind_boiler(relay, "queue_full");
    // All but those that the gateway holds.
    assert_eq!(failed(&events), LINES - 10);
}

#[test]
fn a_device_that_the_bridge_has_refused_stops_no_other() {
    let cloud = Cloud::plain();
    cloud.act(|bridge, now| bridge.unbind("gateway-1", "boiler-7", now));
    let mut relay = Relay::start(&cloud.options(&LIMIT));
    relay.send(json!({"op": "attach", "id": 1, "device": "boiler-7"}));
    assert_eq!(relay.expect_end(1)["error"], "gateway_attachment_error");
    relay.send(json!({"op": "attach", "id": 2, "device": "pump-1"}));
    assert_eq!(relay.expect_end(2)["event"], "done");
    relay.seen.clear();
    let events = pump_is_heard_behind_boiler(relay, "device_refused");
    assert_eq!(failed(&events), LINES);
}

#[test]
fn a_device_whose_attach_is_never_answered_stops_no_other() {
    let cloud = Cloud::plain();
    let peer = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let mut options = options(
        &cloud.folder,
        "127.0.0.1",
        peer.local_addr().unwrap().port(),
    );
    options.extend(
        ["--plain"]
            .iter()
            .chain(&LIMIT)
            .map(|option| option.to_string()),
    );
    thread::spawn(move || {
        let (mut stream, _) = peer.accept().unwrap();
        let is_ignored = |sent: &Sent| matches!(sent, Sent::Publish { topic, .. } if topic == "/devices/boiler-7/attach");
        while let Ok(Some(sent)) = receive(&mut stream)
            && (is_ignored(&sent) || reply(&sent, &mut stream).is_ok())
        {}
    });
    let mut relay = Relay::start(&options);
    for (id, device) in [(1, "boiler-7"), (2, "pump-1")] {
        relay.send(json!({"op": "attach", "id": id, "device": device}));
    }
    assert_eq!(relay.expect_end(2)["event"], "done");
    let events = pump_is_heard_behind_boiler(relay, "queue_full");
    // What reading pauses at may wait, for as long as it does not pause.
    assert!(failed(&events) >= LINES - 1_000, "{}", failed(&events));
}

#[test]
fn without_a_connection_the_input_waits_and_nothing_fails() {
    let cloud = Cloud::plain();
    let mut relay = Relay::start(&offline(&cloud, &LIMIT));
    relay.send(json!({"op": "attach", "id": 1, "device": "boiler-7"}));
    let mut input = relay.take_input();
    let (written, lines) = mpsc::channel();
    thread::spawn(move || {
        for id in 10.. {
            let line = telemetry(id, &"x".repeat(200));
            if writeln!(input, "{line}").is_err() {
                break; // the relay has ended
            }
            let _ = written.send(());
        }
    });
    // A pipe holds less than 400 of them.
    let count = count_until_standstill(&lines);
    assert!(count < 1_600, "{count}");
    relay.expect("disconnected");
    assert_eq!(failed(&relay.seen), 0);
}

#[test]
fn the_messages_that_wait_in_the_relay_are_counted_with_their_device() {
    let cloud = Cloud::plain();
    let mut relay = Relay::start(&offline(&cloud, &["--max-queued", "2"]));
    relay.send(json!({"op": "attach", "id": 0, "device": "boiler-7"}));
    for id in 1..6 {
        relay.send(telemetry(id, "four"));
    }
    let queued = |relay: &mut Relay| {
        relay.send(json!({"op": "devices"}));
        let told = relay.expect("devices");
        let mut devices = told["devices"].as_array().unwrap().iter();
        let it = devices
            .find(|device| device["device"] == "boiler-7")
            .unwrap();
        (it["queued"].clone(), it["queued_bytes"].clone())
    };
    assert_eq!(queued(&mut relay), (5.into(), 20.into()));
    for id in [1, 5] {
        relay.send(json!({"op": "cancel", "id": id}));
        assert_eq!(relay.expect_end(id)["error"], "cancelled");
    }
    assert_eq!(queued(&mut relay), (3.into(), 12.into()));
}
