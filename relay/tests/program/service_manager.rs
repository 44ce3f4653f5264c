//! What a service manager is told: by `sd_notify`, over a real socket.

use std::{
    io::Write,
    os::unix::net::UnixDatagram,
    path::PathBuf,
    thread,
    time::{Duration, Instant},
};

use serde_json::json;

use crate::{
    child::{PATIENCE, Relay},
    cloud::Cloud,
    eventually, telemetry,
};

/// What a busy machine needs beyond a time limit.
const SLACK: Duration = Duration::from_secs(1);

/// The manager's side of the socket.
struct Manager {
    socket: UnixDatagram,
    path: PathBuf,
    /// All messages read so far.
    seen: Vec<String>,
}

impl Manager {
    fn new(cloud: &Cloud) -> Self {
        let path = cloud.folder.join("notify");
        let socket = UnixDatagram::bind(&path).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        Self {
            socket,
            path,
            seen: Vec::new(),
        }
    }

    /// Starts a relay that knows the socket, and for how long the watchdog waits; zero for ever.
    fn start(&self, cloud: &Cloud, more: &[&str], watchdog: Duration) -> Relay {
        let micros = watchdog.as_micros().to_string();
        let mut environment = vec![("NOTIFY_SOCKET", self.path.to_str().unwrap())];
        if !watchdog.is_zero() {
            environment.push(("WATCHDOG_USEC", &micros));
        }
        Relay::start_unread(&cloud.options(more), &environment)
    }

    /// Returns the next message, without its line feed.
    fn next(&mut self) -> String {
        let mut buffer = [0; 4096];
        let len = self.socket.recv(&mut buffer);
        let len = len.unwrap_or_else(|error| panic!("{error}; before: {:#?}", self.seen));
        let message = str::from_utf8(&buffer[..len]).unwrap();
        let message = message.strip_suffix('\n').unwrap().to_owned();
        self.seen.push(message.clone());
        message
    }

    /// Skips messages until this one.
    fn expect(&mut self, message: &str) {
        while self.next() != message {}
    }

    /// Reads what has arrived, and returns how often it was this message.
    fn count(&mut self, message: &str) -> usize {
        self.socket.set_nonblocking(true).unwrap();
        let mut buffer = [0; 4096];
        while let Ok(len) = self.socket.recv(&mut buffer) {
            let text = String::from_utf8_lossy(&buffer[..len]);
            self.seen.push(text.trim_end().to_owned());
        }
        self.socket.set_nonblocking(false).unwrap();
        self.seen.iter().filter(|seen| *seen == message).count()
    }
}

#[test]
fn the_service_manager_is_told_in_order_that_the_relay_is_ready_how_it_is_and_that_it_stops() {
    let cloud = Cloud::plain();
    let mut manager = Manager::new(&cloud);
    let mut relay = manager.start(&cloud, &[], Duration::ZERO);
    relay.read();
    assert_eq!(manager.next(), "READY=1");
    manager.expect("STATUS=connected, 0 devices, 0 waiting");
    relay.send(json!({"op": "attach", "id": 1, "device": "boiler-7"}));
    manager.expect("STATUS=connected, 1 device, 0 waiting");
    cloud.inject("puback hold");
    relay.send(telemetry(2, "x"));
    relay.send(telemetry(3, "y"));
    manager.expect("STATUS=connected, 1 device, 2 waiting");
    cloud.inject("puback release");
    manager.expect("STATUS=connected, 1 device, 0 waiting");
    relay.signal("TERM");
    relay.wait().assert_closed(0);
    for message in ["READY=1", "STOPPING=1"] {
        assert_eq!(manager.count(message), 1, "{:#?}", manager.seen);
    }
    assert_eq!(manager.count("WATCHDOG=1"), 0, "nobody asked for it");
    assert_eq!(manager.seen.last().unwrap(), "STOPPING=1");
}

#[test]
fn a_status_is_told_at_most_once_a_second() {
    let cloud = Cloud::plain();
    let mut manager = Manager::new(&cloud);
    let mut relay = manager.start(&cloud, &[], Duration::ZERO);
    relay.read();
    let begun = Instant::now();
    let mut id = 0;
    while begun.elapsed() < Duration::from_secs(3) {
        for _ in 0..100 {
            id += 1;
            relay.send(json!({"op": "telemetry", "id": id, "payload": "x"}));
        }
        relay.expect_end(id);
    }
    relay.close().assert_closed(0);
    manager.count("");
    let seconds = usize::try_from(begun.elapsed().as_secs()).unwrap();
    let statuses = manager
        .seen
        .iter()
        .filter(|seen| seen.starts_with("STATUS="));
    let count = statuses.count();
    assert!((1..=seconds + 2).contains(&count), "{:#?}", manager.seen);
}

#[test]
fn the_end_of_the_input_is_told_once_the_gateway_closes_because_operations_may_take_longer() {
    let cloud = Cloud::plain();
    let mut manager = Manager::new(&cloud);
    let mut relay = manager.start(&cloud, &[], Duration::from_millis(200));
    relay.read();
    relay.expect("connected");
    cloud.inject("puback hold");
    relay.send(json!({"op": "telemetry", "id": 1, "payload": "x"}));
    eventually("it is in flight", || {
        cloud.telemetry("gateway-1").len() == 1
    });
    relay.end_input();
    for _ in 0..10 {
        manager.expect("WATCHDOG=1");
    }
    assert_eq!(manager.count("STOPPING=1"), 0, "{:#?}", manager.seen);
    cloud.inject("puback release");
    relay.wait().assert_closed(0);
    assert_eq!(manager.count("STOPPING=1"), 1, "{:#?}", manager.seen);
}

#[test]
fn signs_of_life_come_twice_as_often_as_the_watchdog_looks() {
    const WATCHDOG: Duration = Duration::from_millis(1_000);
    const COUNT: u32 = 6;
    let cloud = Cloud::plain();
    let mut manager = Manager::new(&cloud);
    let mut relay = manager.start(&cloud, &[], WATCHDOG);
    relay.read();
    manager.expect("WATCHDOG=1");
    let begun = Instant::now();
    for _ in 0..COUNT {
        manager.expect("WATCHDOG=1");
    }
    let took = begun.elapsed();
    let expected = WATCHDOG / 2 * COUNT;
    assert!(
        took > expected - WATCHDOG / 2 && took < expected + SLACK,
        "{took:?}"
    );
    relay.close().assert_closed(0);
}

#[test]
fn an_output_that_nobody_reads_does_not_starve_the_watchdog_and_is_told() {
    const WATCHDOG: Duration = Duration::from_secs(2);
    let cloud = Cloud::plain();
    let mut manager = Manager::new(&cloud);
    let mut relay = manager.start(&cloud, &[], WATCHDOG);
    let mut input = relay.take_input();
    // Their answers are more than a pipe holds.
    let writing = thread::spawn(move || {
        for _ in 0..5_000 {
            writeln!(input, "{}", json!({"op": "stats"})).unwrap();
        }
        input
    });
    let begun = Instant::now();
    let mut last = begun;
    loop {
        let message = manager.next();
        if message == "WATCHDOG=1" {
            let silence = last.elapsed();
            assert!(silence < WATCHDOG, "{silence:?}");
            last = Instant::now();
        }
        if message == "STATUS=connected, 0 devices, 0 waiting, standard output is not read" {
            break;
        }
    }
    assert!(begun.elapsed() >= Duration::from_secs(5));
    manager.expect("WATCHDOG=1");
    relay.read();
    manager.expect("STATUS=connected, 0 devices, 0 waiting");
    drop(writing.join().unwrap());
    relay.wait().assert_closed(0);
    assert_eq!(manager.count("STOPPING=1"), 1);
}

#[test]
fn a_service_manager_that_reads_nothing_holds_up_nothing() {
    let cloud = Cloud::plain();
    let manager = Manager::new(&cloud);
    // More signs of life than its socket holds.
    let mut relay = manager.start(&cloud, &[], Duration::from_micros(1));
    relay.read();
    relay.expect("connected");
    for id in 0..500 {
        relay.send(json!({"op": "telemetry", "id": id, "payload": "x"}));
        relay.expect_end(id);
        thread::sleep(Duration::from_millis(2));
    }
    let begun = Instant::now();
    relay.close().assert_closed(0);
    let took = begun.elapsed();
    assert!(took < Duration::from_secs(2) + SLACK, "{took:?}");
}

#[test]
fn a_socket_that_is_not_there_is_noted_once() {
    let cloud = Cloud::plain();
    let path = cloud.folder.join("nowhere");
    let path = path.to_str().unwrap();
    let environment = [("NOTIFY_SOCKET", path), ("WATCHDOG_USEC", "20000")];
    let mut relay = Relay::start_unread(&cloud.options(&[]), &environment);
    relay.read();
    for id in 0..100 {
        relay.send(json!({"op": "telemetry", "id": id, "payload": "x"}));
        relay.expect_end(id);
    }
    let end = relay.close();
    end.assert_closed(0);
    let notes: Vec<_> = end.stderr.lines().collect();
    let [note] = notes[..] else {
        panic!("{notes:#?}");
    };
    let begin =
        format!("iotcore-relay: cannot reach the service manager at NOTIFY_SOCKET, {path}: ");
    assert!(note.starts_with(&begin), "{note}");
}

#[test]
fn an_abstract_socket_is_told_as_one_that_is_not_supported() {
    let cloud = Cloud::plain();
    let environment = [("NOTIFY_SOCKET", "@iotcore-relay-nowhere")];
    let end = Relay::start_unread(&cloud.options(&[]), &environment).close();
    end.assert_closed(0);
    let note = end.stderr.lines().next().unwrap();
    let advice = "; name a socket in the file system: abstract ones are not supported";
    assert!(note.ends_with(advice), "{note}");
}

#[test]
fn without_a_service_manager_a_watchdog_of_the_environment_is_ignored() {
    let cloud = Cloud::plain();
    let environment = [("NOTIFY_SOCKET", ""), ("WATCHDOG_USEC", "0")];
    let mut relay = Relay::start_unread(&cloud.options(&[]), &environment);
    relay.read();
    relay.expect("connected");
    let end = relay.close();
    end.assert_closed(0);
    assert_eq!(end.stderr, "");
}
