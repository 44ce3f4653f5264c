//! Back-pressure, in both directions.

use std::{
    fs,
    io::Write,
    net::{TcpListener, TcpStream},
    sync::{
        Mutex,
        mpsc::{self, Receiver, RecvTimeoutError},
    },
    thread,
    time::{Duration, Instant},
};

use iotcore_gateway_testkit::{
    Bridge,
    keys::DeviceKey,
    packets::{self, Sent},
};
use serde_json::{Value, json};

use crate::{
    child::{PATIENCE, Relay},
    cloud::{Cloud, folder, options, receive, reply, serve, write_key},
    eventually,
};

/// The idle time after which the flow is considered stopped, because each step takes far less. On a busy machine it may
/// only be slow: then the count is too low, and the tests assert only upper limits of it.
const STANDSTILL: Duration = Duration::from_millis(300);

/// Waits for the first item, and then until no more arrive; returns their number.
pub(crate) fn count_until_standstill<T>(receiver: &Receiver<T>) -> usize {
    receiver.recv_timeout(PATIENCE).expect("the first item");
    let mut count = 1;
    loop {
        match receiver.recv_timeout(STANDSTILL) {
            Ok(_) => count += 1,
            Err(RecvTimeoutError::Timeout) => return count,
            Err(error) => panic!("{error} after {count}"),
        }
    }
}

#[test]
fn when_window_and_queues_are_full_the_input_is_not_read() {
    const LINES: usize = 5_000;
    let folder = folder();
    let key = DeviceKey::generate().unwrap();
    write_key(&folder, &key.private_pem);
    let (publishing, published) = mpsc::channel();
    let (allow, allowed) = mpsc::channel::<()>();
    let allowed = Mutex::new(allowed);
    let port = serve(move |_| {
        let _ = publishing.send(());
        // Blocks until acknowledging is allowed.
        let _ = allowed.lock().unwrap().recv();
    });
    let mut options = options(&folder, "127.0.0.1", port);
    options.extend(["--plain", "--window", "1", "--max-queued", "3"].map(str::to_owned));
    let mut relay = Relay::start(&options);
    let mut input = relay.take_input();
    let (written, lines) = mpsc::channel();
    let writing = thread::spawn(move || {
        for id in 0..LINES {
            let line = json!({"op": "telemetry", "id": id, "payload": "x".repeat(200)});
            writeln!(input, "{line}").unwrap();
            written.send(()).unwrap();
        }
    });
    published
        .recv_timeout(PATIENCE)
        .expect("the first message is published");
    let count = count_until_standstill(&lines);
    assert!(
        !writing.is_finished() && count < LINES / 2,
        "{count} lines were taken"
    );
    assert_eq!(published.try_iter().count(), 0, "the window is 1");
    drop(allow);
    for id in 0..LINES {
        assert_eq!(
            relay.expect_where("an end", |event| event["id"].is_u64())["id"],
            id
        );
    }
    writing.join().unwrap();
    relay.wait().assert_closed(0);
    fs::remove_dir_all(folder).unwrap();
}

#[test]
fn with_drop_oldest_the_input_is_not_read_for_a_device_that_is_to_be_detached_first() {
    const LINES: usize = 5_000;
    let cloud = Cloud::plain();
    let (release, released) = mpsc::channel::<()>();
    let released = Mutex::new(released);
    // The detach is not answered while the test runs.
    let port = serve(move |sent| {
        if matches!(sent, Sent::Publish { topic, .. } if topic.ends_with("/detach")) {
            let _ = released.lock().unwrap().recv();
        }
    });
    let mut options = options(&cloud.folder, "127.0.0.1", port);
    let more = ["--plain", "--max-queued", "3", "--overflow", "drop-oldest"];
    options.extend(more.map(str::to_owned));
    let mut relay = Relay::start(&options);
    relay.send(json!({"op": "attach", "id": "a", "device": "boiler-7"}));
    assert_eq!(relay.expect_end("a")["event"], "done");
    relay.send(json!({"op": "detach", "id": "d", "device": "boiler-7"}));
    let mut input = relay.take_input();
    let (written, lines) = mpsc::channel();
    let writing = thread::spawn(move || {
        for id in 0..LINES {
            let line = json!({"op": "telemetry", "id": id, "device": "boiler-7", "payload": "x".repeat(200)});
            if writeln!(input, "{line}").is_err() {
                break; // the relay has ended
            }
            let _ = written.send(());
        }
    });
    let count = count_until_standstill(&lines);
    assert!(count < LINES / 2, "{count} lines were taken");
    drop((relay, release));
    writing.join().unwrap();
}

#[test]
fn tokens_and_acknowledgements_do_not_wait_behind_messages_without_room() {
    let cloud = Cloud::plain();
    let mut options = cloud.options(&["--acknowledge", "manual", "--max-queued", "1"]);
    options.extend(["--backoff-min", "60000", "--backoff-max", "60000"].map(str::to_owned));
    let mut relay = Relay::start(&options);
    let delivery = relay.expect("config")["delivery"].clone();
    relay.send(json!({"op": "attach", "id": 1, "device": "boiler-7"}));
    assert_eq!(relay.expect_end(1)["event"], "done");
    // The device is attached again in a minute; until then, its message takes up all the room.
    cloud.act(|bridge, now| bridge.detach_with_error("boiler-7", now));
    relay.expect("detached");
    for id in 2..5 {
        relay.send(json!({"op": "telemetry", "id": id, "device": "boiler-7", "payload": "x"}));
    }
    relay.send(json!({"op": "acknowledge", "delivery": delivery}));
    eventually("the config is acknowledged", || {
        cloud.acknowledged("gateway-1").is_some()
    });
    let token = "secret.e30.secret";
    relay.send(json!({"op": "authorize", "id": 5, "device": "boiler-7", "token": token}));
    assert_eq!(relay.expect_end(5)["error"], "illegal_token");
    assert!((2..5).all(|id| relay.seen.iter().all(|event| event["id"] != id)));
}

#[test]
fn when_the_output_is_not_read_the_socket_is_not_read() {
    // More than the relay and the socket buffers hold, and less than the bridge's limit.
    const COMMANDS: usize = 960;
    const BYTES: usize = 16 * 1024;
    let cloud = Cloud::plain();
    let mut relay = Relay::start_unread(&cloud.options(&[]), &[]);
    relay.send(json!({"op": "attach", "id": 1, "device": "boiler-7", "commands": 1}));
    eventually("the device is subscribed", || {
        let count = |bridge: &Bridge| bridge.subscriptions("gateway-1").count();
        cloud.server.with(|bridge, _| count(bridge) == 5)
    });
    let payload = "x".repeat(BYTES);
    for _ in 0..COMMANDS {
        let payload = payload.clone();
        cloud.act(|bridge, now| bridge.send_command("boiler-7", None, payload, now));
    }
    let backlog = || {
        cloud.server.with(|bridge, _| {
            let (_, connection) = bridge.connected().next().expect("the relay is connected");
            bridge.poll_transmit(connection).len()
        })
    };
    let mut waiting = usize::MAX;
    loop {
        let now = backlog();
        if now == waiting {
            break;
        }
        waiting = now;
        thread::park_timeout(STANDSTILL);
    }
    assert!(waiting > BYTES, "{waiting} bytes are queued at the bridge");
    relay.read();
    for _ in 0..COMMANDS {
        relay.expect("command");
    }
    // The relay may have read the last bytes before the emulator's thread has reported writing them.
    eventually("the queue of the bridge is empty", || backlog() == 0);
    relay.close().assert_closed(0);
}

#[test]
fn messages_that_are_never_acknowledged_hold_up_other_devices_for_5_seconds_at_most() {
    const LIMIT: Duration = Duration::from_secs(5);
    let cloud = Cloud::plain();
    let mut relay = Relay::start(&cloud.options(&["--acknowledge", "manual"]));
    let config = relay.expect("config");
    relay.send(json!({"op": "acknowledge", "delivery": config["delivery"]}));
    relay.send(json!({"op": "attach", "id": 1, "device": "boiler-7", "config": null}));
    relay.expect_end(1);
    // The relay stops reading at 256.
    for _ in 0..300 {
        cloud.command("boiler-7", None, "unacknowledged");
    }
    cloud.config("gateway-1", b"new");
    relay.send(json!({"op": "telemetry", "id": 2, "payload": "held up as well"}));
    let config = relay.expect_where("the new config", |event| event["payload"] == "new");
    relay.send(json!({"op": "acknowledge", "delivery": config["delivery"]}));
    // Messages and ends take different ways through the relay, so that it may have ended before.
    if relay.seen.iter().all(|event| event["id"] != 2) {
        relay.expect_end(2);
    }
    let begun = Instant::now();
    eventually("the config is acknowledged", || {
        cloud.acknowledged("gateway-1") == Some(2)
    });
    assert!(begun.elapsed() < 2 * LIMIT, "{:?}", begun.elapsed());
    relay.send(json!({"op": "stats"}));
    let stats = relay.expect("stats");
    assert_eq!(
        (&stats["unacknowledged"], &stats["reading_paused_ms"]),
        (&0.into(), &Value::Null)
    );
    let end = relay.close();
    end.assert_closed(0);
    let paused = json!({"event": "reading_paused", "device": "boiler-7"});
    assert!(end.events.contains(&paused), "{:#?}", end.events);
    let is_overdue = |event: &&Value| event["event"] == "acknowledgements_overdue";
    let overdue = end.events.iter().find(is_overdue).expect("it is told");
    assert_eq!(overdue["device"], "boiler-7");
    assert!(overdue["messages"].as_u64() > Some(0), "{overdue}");
}

#[test]
fn when_the_output_is_not_read_no_error_report_is_lost_and_the_socket_is_not_read() {
    const REPORTS: usize = 20_000;
    let (sent, reports) = mpsc::channel();
    let port = serve_reports(REPORTS, sent);
    let folder = folder();
    write_key(&folder, &DeviceKey::generate().unwrap().private_pem);
    let mut options = options(&folder, "127.0.0.1", port);
    options.push("--plain".to_owned());
    let mut relay = Relay::start_unread(&options, &[]);
    let taken = count_until_standstill(&reports);
    assert!(taken < REPORTS / 2, "{taken} reports were taken");
    relay.read();
    for n in 0..REPORTS {
        let report = relay.expect("error_report");
        assert_eq!(report["error_type"], format!("NUMBER_{n}"));
        relay.seen.clear();
    }
    relay.close().assert_closed(0);
    fs::remove_dir_all(folder).unwrap();
}

#[cfg(unix)]
#[test]
fn a_signal_closes_the_gateway_although_it_reads_no_more_error_reports() {
    let cloud = Cloud::plain();
    let (sent, reports) = mpsc::channel();
    let port = serve_reports(20_000, sent);
    let mut options = options(&cloud.folder, "127.0.0.1", port);
    options.extend(["--plain", "--no-reconnect"].map(str::to_owned));
    let relay = Relay::start_unread(&options, &[]);
    count_until_standstill(&reports);
    relay.signal("TERM");
    let begun = Instant::now();
    while reports.recv_timeout(PATIENCE) != Err(RecvTimeoutError::Disconnected) {
        assert!(begun.elapsed() < PATIENCE, "the peer is still connected");
    }
}

/// Starts a peer that sends many error reports once the errors topic is subscribed, and signals each one written.
fn serve_reports(count: usize, sent: mpsc::Sender<()>) -> u16 {
    const TOPIC: &str = "/devices/gateway-1/errors";
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    let report = move |stream: &mut TcpStream| {
        for n in 0..count {
            let description = "x".repeat(1_500);
            let report = json!({"error_type": format!("NUMBER_{n}"), "description": description});
            let report = report.to_string();
            let packet = packets::publish(TOPIC, report.as_bytes(), None, false);
            if stream.write_all(&packet).is_err() {
                break; // the relay has closed
            }
            let _ = sent.send(());
        }
    };
    thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        while let Ok(Some(sent)) = receive(&mut stream)
            && reply(&sent, &mut stream).is_ok()
        {
            if matches!(&sent, Sent::Subscribe { filter, .. } if filter == TOPIC) {
                report(&mut stream);
            }
        }
    });
    port
}
