//! Shutdown: at the end of the input, on a signal, or because the relay may not reconnect.

use std::{
    io::{self, Write},
    net::TcpListener,
    process::Command,
    sync::mpsc,
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use crate::{
    child::{PROGRAM, Relay},
    cloud::{CLOSED_PORT, Cloud, folder, offline, options, write_key},
    eventually,
    pressure::count_until_standstill,
    telemetry,
};

#[cfg(unix)]
#[test]
fn signals_close_like_the_end_of_the_input() {
    let cloud = Cloud::plain();
    for name in ["TERM", "INT"] {
        let mut relay = Relay::start(&cloud.options(&[]));
        relay.send(json!({"op": "attach", "id": 1, "device": "boiler-7"}));
        relay.send(telemetry(2, name));
        relay.expect_end(2);
        relay.signal(name);
        relay.wait().assert_closed(0);
    }
}

#[cfg(unix)]
#[test]
fn messages_that_cannot_be_sent_before_the_end_fail_once_and_count_as_unsent() {
    let folder = folder();
    let key = iotcore_gateway_testkit::keys::DeviceKey::generate().unwrap();
    write_key(&folder, &key.private_pem);
    let mut options = options(&folder, "127.0.0.1", CLOSED_PORT);
    options.extend(["--plain", "--max-queued", "2"].map(str::to_owned));
    let mut relay = Relay::start(&options);
    let message = |id: u64| json!({"op": "telemetry", "id": id, "qos": 1, "payload": "x", "tag": format!("t{id}")});
    for id in 1..6 {
        relay.send(message(id));
    }
    relay.expect("disconnected");
    relay.send("the last line");
    relay.expect("invalid");
    relay.signal("TERM");
    let end = relay.wait();
    end.assert_closed(5);
    for id in 1..6 {
        let ends = end.ends(id);
        assert_eq!(ends.len(), 1);
        assert_eq!(
            (&ends[0]["error"], &ends[0]["retry"]),
            (&"closed".into(), &"backoff".into())
        );
        assert_eq!(ends[0]["operation"], message(id));
    }
    std::fs::remove_dir_all(folder).unwrap();
}

#[test]
fn without_reconnect_everything_ends_with_the_first_refusal_and_exit_code_1() {
    let cloud = Cloud::plain();
    let mut relay = Relay::start(&cloud.options(&["--no-reconnect"]));
    relay.expect("connected");
    cloud.act(|bridge, now| bridge.set_blocked("gateway-1", true, now));
    let lost = relay.wait();
    assert_eq!(lost.code, Some(1));
    let refused = Relay::start(&cloud.options(&["--no-reconnect"])).wait();
    assert_eq!(refused.code, Some(1));
    let ended = &refused.events[0];
    assert_eq!(ended["reason"], "refused");
    assert_eq!(ended["retry_in_ms"], Value::Null);
    assert_eq!(refused.events[1], json!({"event": "closed", "unsent": 0}));
}

#[test]
fn without_reconnect_every_open_operation_fails_once_when_the_gateway_gives_up() {
    let cloud = Cloud::plain();
    let peer = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let mut options = options(
        &cloud.folder,
        "127.0.0.1",
        peer.local_addr().unwrap().port(),
    );
    options.extend(["--plain", "--no-reconnect", "--max-queued", "2"].map(str::to_owned));
    let mut relay = Relay::start(&options);
    relay.send(json!({"op": "attach", "id": 1, "device": "boiler-7"}));
    relay.send(telemetry(2, "waits for the attach"));
    relay.send(json!({"op": "telemetry", "id": 3, "payload": "waits for the connection"}));
    relay.send(json!({"op": "telemetry", "id": 4, "payload": "waits for room"}));
    let token = cloud.device_token(3_600);
    relay.send(json!({"op": "authorize", "id": 5, "device": "boiler-7", "token": token}));
    relay.send("the last line");
    relay.expect("invalid");
    if relay.seen.iter().all(|event| event["id"] != 5) {
        relay.expect_end(5);
    }
    drop(peer.accept().unwrap());
    let end = relay.wait();
    assert_eq!(end.code, Some(1));
    assert_eq!(
        end.events.last(),
        Some(&json!({"event": "closed", "unsent": 3}))
    );
    // The token was stored for the attach.
    assert_eq!(end.ends(5), [&json!({"event": "done", "id": 5})]);
    for id in 1..5 {
        let ends = end.ends(id);
        assert_eq!(ends.len(), 1, "{id}: {ends:?}");
        let error = ends[0]["error"].as_str().unwrap();
        assert!(["gave_up", "closed"].contains(&error), "{id}: {error}");
    }
}

#[test]
fn an_attach_that_the_end_has_ended_is_no_success() {
    let cloud = Cloud::plain();
    let peer = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let port = peer.local_addr().unwrap().port();
    drop(peer);
    let mut options = options(&cloud.folder, "127.0.0.1", port);
    options.extend(["--plain", "--drain-timeout", "1"].map(str::to_owned));
    let mut relay = Relay::start(&options);
    relay.send(json!({"op": "attach", "id": 1, "device": "boiler-7"}));
    let end = relay.close();
    assert_eq!(end.code, Some(3));
    assert_eq!(end.ends(1)[0]["error"], "closed");
    let closed = json!({"event": "closed", "unsent": 0});
    assert_eq!(end.events.last(), Some(&closed));
}

/// Starts a relay that gives up at once, with this in its input, which stays open.
#[cfg(unix)]
fn start_without_hope(cloud: &Cloud, text: &str) -> Relay {
    let (stdin, mut input) = io::pipe().unwrap();
    input.write_all(text.as_bytes()).unwrap();
    let (output, stdout) = io::pipe().unwrap();
    let mut command = Command::new(PROGRAM);
    command
        .env_clear()
        .args(offline(cloud, &["--no-reconnect", "--drain-timeout", "2"]));
    Relay::spawn(command, stdin.into(), stdout.into(), Some(input), output)
}

#[cfg(unix)]
#[test]
fn every_line_that_is_there_when_the_gateway_gives_up_is_read_and_fails_once() {
    let cloud = Cloud::plain();
    let lines: String = (1..501)
        .map(|id| telemetry(id, "x").to_string() + "\n")
        .collect();
    let attach = json!({"op": "attach", "id": 0, "device": "boiler-7"});
    let begun = Instant::now();
    let end = start_without_hope(&cloud, &format!("{attach}\n{lines}")).wait();
    assert!(
        begun.elapsed() < Duration::from_secs(3),
        "{:?}",
        begun.elapsed()
    );
    assert_eq!(end.code, Some(1));
    for id in 0..501 {
        let ends = end.ends(id);
        assert_eq!(ends.len(), 1, "{id}: {ends:?}");
        let error = ends[0]["error"].as_str().unwrap();
        assert!(["gave_up", "closed"].contains(&error), "{id}: {error}");
        assert_eq!(ends[0].get("operation").is_some(), id > 0);
    }
    let closed = json!({"event": "closed", "unsent": 500});
    assert_eq!(end.events.last(), Some(&closed));
}

#[cfg(unix)]
#[test]
fn half_a_line_keeps_a_gateway_that_has_given_up_for_half_the_drain_timeout_only() {
    let cloud = Cloud::plain();
    let begun = Instant::now();
    let end = start_without_hope(&cloud, r#"{"op":"stats""#).wait();
    assert!(
        begun.elapsed() < Duration::from_secs(3),
        "{:?}",
        begun.elapsed()
    );
    assert_eq!(end.code, Some(1));
    assert_eq!(
        end.events.last(),
        Some(&json!({"event": "closed", "unsent": 0}))
    );
}

#[test]
fn the_end_of_the_input_ends_a_relay_without_a_connection_although_messages_wait_for_room() {
    /// The time for pending operations, then that of the close, and what a busy machine needs.
    const LIMIT: Duration = Duration::from_secs(10 + 5 + 3);
    let cloud = Cloud::plain();
    let mut options = options(&cloud.folder, "127.0.0.1", CLOSED_PORT);
    options.extend(["--plain", "--max-queued", "3"].map(str::to_owned));
    let mut relay = Relay::start(&options);
    for id in 0..5 {
        relay.send(json!({"op": "telemetry", "id": id, "payload": "x"}));
    }
    let begun = Instant::now();
    let end = relay.close();
    assert!(begun.elapsed() < LIMIT, "{:?}", begun.elapsed());
    end.assert_closed(5);
    for id in 0..5 {
        let ends = end.ends(id);
        assert_eq!((ends.len(), &ends[0]["error"]), (1, &"closed".into()));
    }
}

/// Starts a relay that waits for its output to be read, and the thread that writes its input.
#[cfg(unix)]
pub(crate) fn start_blocked(cloud: &Cloud, more: &[&str]) -> (Relay, JoinHandle<()>) {
    // Their answers are more than a pipe holds, and so are they.
    const LINES: usize = 20_000;
    let mut relay = Relay::start_unread(&cloud.options(more), &[]);
    let mut input = relay.take_input();
    let (written, lines) = mpsc::channel();
    let writing = thread::spawn(move || {
        for _ in 0..LINES {
            if writeln!(input, "{}", json!({"op": "stats"})).is_err() {
                break; // the relay has ended
            }
            let _ = written.send(());
        }
    });
    eventually("the relay is connected", || is_connected(cloud));
    let count = count_until_standstill(&lines);
    assert!(count < LINES, "{count} lines were taken");
    (relay, writing)
}

pub(crate) fn is_connected(cloud: &Cloud) -> bool {
    cloud
        .server
        .with(|bridge, _| bridge.connected().next().is_some())
}

#[cfg(unix)]
#[test]
fn a_signal_closes_the_gateway_although_nobody_reads_the_events() {
    let cloud = Cloud::plain();
    let (mut relay, writing) = start_blocked(&cloud, &[]);
    relay.signal("TERM");
    eventually("the gateway is disconnected", || !is_connected(&cloud));
    // Its events can still be read.
    relay.read();
    relay.wait().assert_closed(0);
    writing.join().unwrap();
}

#[cfg(unix)]
#[test]
fn a_second_signal_ends_a_relay_whose_events_nobody_reads() {
    let cloud = Cloud::plain();
    let (relay, writing) = start_blocked(&cloud, &[]);
    relay.signal("TERM");
    eventually("the gateway is disconnected", || !is_connected(&cloud));
    relay.signal("TERM");
    // The input is closed only by the end of the relay.
    writing.join().unwrap();
    assert_eq!(relay.wait().code, Some(1));
}
