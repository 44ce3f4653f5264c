//! How long the end takes, and what ends the program in no state.

use std::{
    collections::BTreeMap,
    fs,
    io::{self, Write},
    net::TcpListener,
    process::Command,
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

use iotcore_gateway_testkit::packets::Sent;
use serde_json::{Value, json};

use crate::{
    child::{PROGRAM, Relay, is_end},
    cloud::{Cloud, offline, options, receive, reply},
    ending::{is_connected, start_blocked},
    eventually,
    store::{store, stored},
    telemetry,
};

/// What a busy machine needs beyond a time limit.
const SLACK: Duration = Duration::from_secs(3);

#[test]
fn a_signal_ends_a_relay_whose_events_nobody_reads_within_the_drain_timeout() {
    let cloud = Cloud::plain();
    let (relay, writing) = start_blocked(&cloud, &["--drain-timeout", "4"]);
    relay.signal("TERM");
    let begun = Instant::now();
    // The input is closed only by the end of the relay.
    writing.join().unwrap();
    let took = begun.elapsed();
    assert!(took < Duration::from_secs(4) + SLACK, "{took:?}");
    assert!(
        took > Duration::from_secs(3),
        "its events may still be read: {took:?}"
    );
    let end = relay.wait();
    assert_eq!(end.code, Some(1));
    assert!(
        end.stderr
            .contains("nobody has read it before the --drain-timeout"),
        "{}",
        end.stderr
    );
}

#[test]
fn a_signal_ends_a_relay_whose_messages_are_never_acknowledged_within_the_drain_timeout() {
    let cloud = Cloud::plain();
    let mut relay = Relay::start(&cloud.options(&["--drain-timeout", "4", "--max-queued", "1"]));
    relay.send(json!({"op": "attach", "id": 0, "device": "boiler-7"}));
    relay.expect_end(0);
    cloud.inject("puback hold");
    for id in 1..4 {
        relay.send(telemetry(id, "x"));
    }
    eventually("one is in flight", || {
        cloud.telemetry("boiler-7").len() == 1
    });
    relay.signal("TERM");
    let begun = Instant::now();
    let end = relay.wait();
    let took = begun.elapsed();
    assert!(took < Duration::from_secs(4) + SLACK, "{took:?}");
    for id in 1..4 {
        let ends = end.ends(id);
        assert_eq!((ends.len(), &ends[0]["error"]), (1, &"closed".into()));
        assert_eq!(ends[0]["operation"]["payload"], "x");
    }
    let detail = &end.ends(1)[0]["detail"];
    let closed = "the gateway was closed before it was acknowledged; if it had been sent, it may have arrived";
    assert_eq!(detail, closed);
    let mut events = end.events.iter();
    let ended = events.find(|event| event["event"] == "disconnected");
    assert_eq!(ended.expect("DISCONNECT is sent")["reason"], "closed");
    end.assert_closed(3);
}

#[test]
fn a_signal_ends_a_relay_whose_peer_reads_nothing_more_within_the_drain_timeout() {
    // More than the buffers of both sockets hold.
    const MESSAGES: u64 = 100;
    let cloud = Cloud::plain();
    let peer = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let mut options = options(
        &cloud.folder,
        "127.0.0.1",
        peer.local_addr().unwrap().port(),
    );
    options.extend(["--plain", "--drain-timeout", "4"].map(str::to_owned));
    options.extend(["--device-bytes-per-second", "0"].map(str::to_owned));
    let (silent, is_silent) = mpsc::channel();
    let (_ended, end) = mpsc::channel::<()>();
    thread::spawn(move || {
        let (mut stream, _) = peer.accept().unwrap();
        while let Ok(Some(sent)) = receive(&mut stream)
            && !matches!(sent, Sent::Publish { .. })
            && reply(&sent, &mut stream).is_ok()
        {}
        silent.send(()).unwrap();
        // Until the end of the test, the connection is open.
        let _ = end.recv();
    });
    let mut relay = Relay::start(&options);
    let large = "x".repeat(256 * 1024);
    for id in 0..MESSAGES {
        relay.send(json!({"op": "telemetry", "id": id, "payload": large}));
    }
    is_silent.recv().unwrap();
    // All lines before this one are read.
    relay.send(json!({"op": "stats"}));
    relay.expect("stats");
    relay.signal("TERM");
    let begun = Instant::now();
    let end = relay.wait();
    let took = begun.elapsed();
    assert!(took < Duration::from_secs(4) + SLACK, "{took:?}");
    end.assert_closed(100);
}

#[test]
fn the_drain_timeout_bounds_the_end_of_the_input_and_a_detach_too() {
    let cloud = Cloud::plain();
    let mut relay = Relay::start(&offline(&cloud, &["--drain-timeout", "2"]));
    let begun = Instant::now();
    relay.send(json!({"op": "attach", "id": 1, "device": "boiler-7"}));
    relay.send(telemetry(2, "x"));
    relay.send(json!({"op": "detach", "id": 3, "device": "boiler-7"}));
    let [_, _, detached] = relay.expect_ends([1, 2, 3]);
    assert_eq!(detached["event"], "done");
    assert!(
        begun.elapsed() < Duration::from_secs(2) + SLACK,
        "{:?}",
        begun.elapsed()
    );
    relay.send(json!({"op": "telemetry", "id": 4, "payload": "x"}));
    let begun = Instant::now();
    let end = relay.close();
    assert!(
        begun.elapsed() < Duration::from_secs(2) + SLACK,
        "{:?}",
        begun.elapsed()
    );
    end.assert_closed(1);
}

/// The program has crashed, and is to be started again.
#[test]
fn without_a_connection_a_relay_has_the_folder_of_its_store_for_the_drain_timeout_once() {
    let cloud = Cloud::plain();
    let options = offline(&cloud, &["--drain-timeout", "6"]);
    let mut relay = Relay::start(&stored(&cloud, options, &[]));
    relay.send(json!({"op": "attach", "id": 100, "device": "boiler-7"}));
    store(&mut relay, 0..3);
    relay.send(telemetry(3, "x"));
    relay.expect("stored");
    let begun = Instant::now();
    let end = relay.close();
    let took = begun.elapsed();
    // Twice would be 9 s: 6 for the operations and 3 for the gateway.
    assert!(
        took < Duration::from_secs(6) + SLACK / 2,
        "{took:?}: {:#?}",
        end.events
    );
    assert_eq!(end.code, Some(3), "{}", end.stderr);
    let closed = json!({"event": "closed", "unsent": 4, "stored": 4});
    assert_eq!(end.events.last(), Some(&closed));
}

#[test]
fn a_stored_message_in_flight_has_the_drain_timeout_after_the_end_of_the_input_and_the_close_after_it()
 {
    let cloud = Cloud::plain();
    let options = cloud.options(&["--drain-timeout", "4"]);
    let mut relay = Relay::start(&stored(&cloud, options, &["--store-linger", "0"]));
    relay.expect("connected");
    cloud.inject("puback hold");
    relay.send(json!({"op": "telemetry", "id": 1, "payload": "x"}));
    relay.expect("stored");
    relay.end_input();
    // Without a connection, all would be over after 4 s.
    thread::sleep(Duration::from_secs(5));
    cloud.inject("puback release");
    let end = relay.wait();
    assert_eq!(end.ends(1)[0]["event"], "done");
    assert_eq!(end.code, Some(0), "{}", end.stderr);
}

#[test]
fn a_hangup_kills_a_relay_in_no_state() {
    let cloud = Cloud::plain();
    // At the start: it waits for its key.
    let pem = fs::read(cloud.folder.join("gateway.pem")).unwrap();
    let pipe = cloud.folder.join("pipe.pem");
    assert!(
        Command::new("mkfifo")
            .arg(&pipe)
            .status()
            .unwrap()
            .success()
    );
    let mut options = cloud.options(&["--drain-timeout", "4"]);
    let key = options.iter().position(|option| option == "--key").unwrap();
    options[key + 1] = pipe.to_str().unwrap().to_owned();
    let mut relay = Relay::start(&options);
    // This opens once the relay has opened the other end.
    let mut writing = fs::OpenOptions::new().write(true).open(&pipe).unwrap();
    relay.signal("HUP");
    writing.write_all(&pem).unwrap();
    drop(writing);
    // The key may be read again from now on.
    let again = thread::spawn(move || while fs::write(&pipe, &pem).is_ok() {});
    relay.expect("connected");
    relay.signal("HUP");
    relay.send(json!({"op": "attach", "id": 1, "device": "boiler-7"}));
    assert_eq!(relay.expect_end(1)["event"], "done");
    relay.signal("HUP");
    // While it waits at its end.
    cloud.inject("puback hold");
    relay.send(telemetry(2, "x"));
    eventually("it is in flight", || cloud.telemetry("boiler-7").len() == 1);
    relay.end_input();
    relay.signal("HUP");
    cloud.inject("puback release");
    relay.signal("HUP");
    relay.wait().assert_closed(0);
    assert!(!is_connected(&cloud));
    drop(again);
}

/// The pipe outlives the relay, as one does that a service manager holds.
#[test]
fn what_is_written_while_the_relay_is_restarted_is_lost_nowhere() {
    const MESSAGES: u64 = 3_000;
    let cloud = Cloud::plain();
    let (stdin, mut input) = io::pipe().unwrap();
    let start = || {
        let (output, stdout) = io::pipe().unwrap();
        let mut command = Command::new(PROGRAM);
        command.args(cloud.options(&[])).env_clear();
        let stdin = stdin.try_clone().unwrap();
        let mut relay = Relay::spawn(command, stdin.into(), stdout.into(), None, output);
        relay.read();
        relay
    };
    let writer = thread::spawn(move || {
        for id in 0..MESSAGES {
            let line = json!({"op": "telemetry", "id": id, "payload": "x"});
            writeln!(input, "{line}").unwrap();
        }
    });
    let mut ended = BTreeMap::new();
    for restart in 0..4 {
        let mut relay = start();
        if restart < 3 {
            relay.expect_end(ended.len() as u64 + 100);
            relay.signal("TERM");
        }
        let end = relay.wait();
        let ends = end.events.iter().filter(|event| is_end(event));
        let failed = ends.clone().filter(|event| event["event"] == "failed");
        end.assert_closed(failed.count());
        for event in ends {
            *ended.entry(event["id"].as_u64().unwrap()).or_insert(0) += 1;
        }
        let others = [
            "connected",
            "disconnected",
            "subscribed",
            "config",
            "closed",
        ];
        let mut events = end.events.iter();
        let is_known =
            |event: &Value| is_end(event) || others.iter().any(|kind| event["event"] == *kind);
        assert_eq!(events.find(|event| !is_known(event)), None);
    }
    writer.join().unwrap();
    let expected = (0..MESSAGES).map(|id| (id, 1)).collect();
    assert_eq!(ended, expected);
}
