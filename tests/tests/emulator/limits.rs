//! Connections beyond what the options or the system allow.

use std::fs;
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use serde_json::{Value, json};

use crate::child::{Emulator, PATIENCE, connect, is_ended, is_served, now, pause};
use crate::folder::Folder;

/// The time within which a refused connection is closed; an idle one is only after 20 s.
const SOON: Duration = Duration::from_secs(5);

/// Waits for the report of refused connections, and returns it.
fn refused(emulator: &mut Emulator) -> String {
    loop {
        let failed = emulator.await_event(&json!({ "event": "transport_failed" }));
        let reason = failed["reason"].as_str().unwrap();
        if reason.starts_with("refused ") {
            return reason.to_owned();
        }
    }
}

/// Returns how many connections a report is about.
fn count(reason: &str) -> u64 {
    let number = reason.split(' ').nth(1).unwrap();
    number.parse().unwrap_or(1)
}

/// Waits until a client is served.
fn await_room(address: SocketAddr) {
    let end = now() + PATIENCE;
    while !is_served(address) {
        assert!(now() < end, "nobody is served any more");
        pause();
    }
}

/// Opens connections until some were refused; returns those that are open, and the first report.
fn exhaust(emulator: &mut Emulator, address: SocketAddr) -> (Vec<TcpStream>, String) {
    let mut streams: Vec<TcpStream> = (0..60).map(|_| connect(address)).collect();
    let reason = refused(emulator);
    let short = Duration::from_millis(100);
    streams.retain_mut(|stream| !is_ended(stream, short));
    (streams, reason)
}

/// Returns the processor time of a process so far.
#[cfg(target_os = "linux")]
fn cpu(emulator: &Emulator) -> Duration {
    let stat = fs::read_to_string(format!("/proc/{}/stat", emulator.id())).unwrap();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split(' ').collect();
    let ticks = |field: usize| fields[field].parse::<u64>().unwrap();
    // utime and stime, in hundredths of a second.
    Duration::from_millis(10 * (ticks(12) + ticks(13)))
}

#[test]
fn connections_beyond_the_maximum_are_refused_and_told() {
    let folder = Folder::new("maximum");
    let registry = folder.registry();
    let mut emulator =
        Emulator::start(&["--plain", "--registry", &registry, "--max-connections", "2"]);
    let address = emulator.address();
    let served = [connect(address), connect(address)];
    for _ in &served {
        emulator.await_event(&json!({ "event": "accepted" }));
    }
    assert!(is_ended(&mut connect(address), SOON));
    let reason = refused(&mut emulator);
    assert!(
        reason.contains("2 connections are open, the maximum"),
        "{reason}"
    );
    drop(served);
    await_room(address);
}

#[test]
fn refused_connections_are_told_once_a_second() {
    let folder = Folder::new("rate");
    let registry = folder.registry();
    let mut emulator =
        Emulator::start(&["--plain", "--registry", &registry, "--max-connections", "1"]);
    let address = emulator.address();
    let served = connect(address);
    emulator.await_event(&json!({ "event": "accepted" }));
    let start = now();
    let refusals = 300;
    for _ in 0..refusals {
        assert!(is_ended(&mut connect(address), SOON));
    }
    let (mut told, mut reports) = (0, 0);
    while told < refusals {
        told += count(&refused(&mut emulator));
        reports += 1;
    }
    assert_eq!(told, refusals);
    let seconds = (now() - start).as_secs();
    assert!(reports <= seconds + 2, "{reports} reports in {seconds} s");
    drop(served);
}

#[test]
fn without_file_descriptors_connections_are_refused_until_there_are_some() {
    let folder = Folder::new("descriptors");
    let registry = folder.registry();
    let script = r#"ulimit -n 20; exec "$0" "$@""#;
    let mut emulator = Emulator::start_script(script, &["--plain", "--registry", &registry]);
    let address = emulator.address();
    let (served, reason) = exhaust(&mut emulator, address);
    assert!(reason.contains("no file descriptors are left"), "{reason}");
    assert!(
        (5..20).contains(&served.len()),
        "{} are served",
        served.len()
    );
    assert!(is_ended(&mut connect(address), SOON), "refused at once");
    #[cfg(target_os = "linux")]
    {
        let before = cpu(&emulator);
        std::thread::park_timeout(Duration::from_millis(1_000));
        let spent = cpu(&emulator) - before;
        assert!(spent < Duration::from_millis(200), "a busy loop: {spent:?}");
    }
    drop(served);
    await_room(address);
    // It ends although the connection that would wake it finds no descriptor.
    let (_served, _) = exhaust(&mut emulator, address);
    emulator.signal("TERM");
    assert!(emulator.end().0.success());
}

#[test]
fn without_threads_connections_are_refused_until_there_are_some() {
    let folder = Folder::new("threads");
    let registry = folder.registry();
    // Room for the stacks of some fifteen threads, in KiB.
    let script = r#"ulimit -v 1100000; RUST_MIN_STACK=67108864 exec "$0" "$@""#;
    let mut emulator = Emulator::start_script(script, &["--plain", "--registry", &registry]);
    let address = emulator.address();
    let (served, reason) = exhaust(&mut emulator, address);
    assert!(reason.contains("no thread is left"), "{reason}");
    assert!(
        !served.is_empty() && served.len() < 20,
        "{} are served",
        served.len()
    );
    drop(served);
    await_room(address);
    emulator.send(b"state\n");
    let state: Value = emulator.await_event(&json!({ "event": "answer", "answer": "state" }));
    assert_eq!(state["clients"], json!([]));
    emulator.signal("TERM");
    assert!(emulator.end().0.success());
}
