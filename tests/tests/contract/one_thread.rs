//! The core's example without a runtime, `blocking`: a program of its own, on one thread, through the same network that
//! goes wrong. It attaches a device, publishes a reading and closes, over TLS; it plays the scenarios that such a program
//! can have a part in, each by what the program says and what the bridge sees.

use std::{
    fs,
    io::{BufRead, BufReader, Read},
    path::{Path, PathBuf},
    process::{Child, ChildStderr, ChildStdout, Command, ExitStatus, Stdio},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        mpsc::{self, Sender},
    },
    thread,
};

use iotcore_gateway_smol::SmolRuntime;
use iotcore_gateway_testkit::{
    EventKind,
    link::{BOUND, GATEWAY, UNBOUND},
    serve::Server,
};

use super::{
    programs::executable,
    proxy::FaultProxy,
    scenarios::endings::is_left,
    sockets::{LIMIT, network},
    tls,
    world::{Log, count, in_time, telemetry},
};

/// The gateway's key, which the bridge knows.
const KEY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/src/link/gateway.key.pem");

const DEVICE: &str = BOUND[0];
const READING: [&str; 1] = ["21.5"];

pub(crate) fn connects_over_tls() {
    let stage = Stage::new("localhost");
    stage.start(DEVICE).succeeds();
    let connected = |event: &_| matches!(event, EventKind::Connected { gateway: true, .. });
    stage.saw(|events| count(events, connected) == 1);
}

pub(crate) fn refuses_a_wrong_ca() {
    let mut stage = Stage::new("localhost");
    stage.ca = tls::certify("localhost").1;
    stage.refuses("invalid peer certificate");
}

pub(crate) fn refuses_a_wrong_host_name() {
    Stage::new("elsewhere.example").refuses("not valid for name");
}

pub(crate) fn tells_of_a_refusal_by_connack() {
    let stage = Stage::new("localhost");
    stage.fault("refuse 1 connack 5");
    let told = stage.start(DEVICE).succeeds();
    assert!(told.contains("return_code: 5"), "{told}");
}

pub(crate) fn attaches_a_device() {
    let stage = Stage::new("localhost");
    stage.start(DEVICE).succeeds();
    stage.saw(|events| {
        let is_attached = |event: &_| matches!(event, EventKind::Attached { device, again: false } if device == DEVICE);
        let is_subscribed = |event: &_| matches!(event, EventKind::Subscribed { .. });
        count(events, is_attached) == 1 && count(events, is_subscribed) == 1
    });
}

pub(crate) fn tells_of_a_refused_attach() {
    let stage = Stage::new("localhost");
    let (status, told, errors) = stage.start(UNBOUND).ended();
    assert!(!status.success(), "{told}");
    assert!(told.contains("AttachmentError"), "{told}");
    assert!(
        errors.contains("the reading was not acknowledged"),
        "{errors}"
    );
    stage.saw(|events| telemetry(events).is_empty() && count(events, is_left) == 1);
}

pub(crate) fn publishes_and_is_acknowledged() {
    let stage = Stage::new("localhost");
    let told = stage.start(DEVICE).succeeds();
    assert!(told.contains("outcome: Acknowledged"), "{told}");
    stage.saw(|events| telemetry(events) == READING);
}

pub(crate) fn lives_on_one_byte_per_segment_both_ways() {
    let stage = Stage::new("localhost");
    stage.proxy.one_byte_per_segment();
    stage.start(DEVICE).succeeds();
    stage.saw(|events| telemetry(events) == READING && count(events, is_left) == 1);
}

pub(crate) fn comes_back_when_the_peer_closes_in_the_middle_of_a_packet() {
    let stage = Stage::new("localhost");
    stage.fault("puback hold");
    let program = stage.start(DEVICE);
    stage.saw(|events| events.iter().any(is_attached));
    stage.proxy.close_after(10); // of the 26 that a PUBACK takes in a record of TLS
    stage.fault("clear");
    let told = program.succeeds();
    assert_eq!(told.matches("Disconnected(").count(), 2, "{told}");
    stage.saw(|events| telemetry(events) == READING && count(events, is_attached) == 2);
}

pub(crate) fn loses_nothing_over_reconnects() {
    let stage = Stage::new("localhost");
    stage.fault("cut instead telemetry");
    stage.fault("refuse 1 reset");
    let told = stage.start(DEVICE).succeeds();
    assert_eq!(told.matches("Disconnected(").count(), 3, "{told}");
    stage.saw(|events| telemetry(events) == [READING, READING].concat());
}

/// The program closes before it is connected: all that it does is a drain.
pub(crate) fn closes_after_a_drain() {
    let stage = Stage::new("localhost");
    stage.fault("puback hold");
    let program = stage.start(DEVICE);
    stage.saw(|events| events.iter().any(is_attached));
    stage.fault("clear");
    let told = program.succeeds();
    assert!(told.contains("outcome: Closed"), "{told}");
    stage.saw(|events| telemetry(events) == READING && count(events, is_left) == 1);
}

#[test]
fn goes_on_where_nobody_listens() {
    let stage = Stage::new("localhost");
    // Reserved, and unused.
    let mut program = stage.start_at(1, DEVICE);
    for _ in 0..2 {
        let told = program.next_error();
        assert!(told.contains("the host could not be reached"), "{told}");
    }
}

#[test]
fn says_how_it_is_used() {
    let (status, _, told) = Program::start(&[]).ended();
    assert!(!status.success());
    assert!(told.contains("usage: blocking HOST PORT CA"), "{told}");
}

fn is_attached(event: &EventKind) -> bool {
    matches!(event, EventKind::Attached { .. })
}

/// A bridge, a network that can go wrong, and whom the program is to trust.
struct Stage {
    server: Server,
    proxy: FaultProxy,
    log: Log,
    ca: String,
}

impl Stage {
    /// The bridge is secured by a certificate for this name.
    fn new(name: &str) -> Self {
        let (config, ca) = tls::certify(name);
        let (server, proxy, log) = network(Some(config));
        Self {
            server,
            proxy,
            log,
            ca,
        }
    }

    fn fault(&self, line: &str) {
        let fault = line.parse().expect("a fault");
        let injected = self.server.with(|bridge, now| bridge.inject(fault, now));
        injected.expect("a fault that fits");
    }

    /// Waits until this holds of all that has happened at the bridge.
    fn saw(&self, condition: impl Fn(&[EventKind]) -> bool) {
        smol::block_on(in_time(&SmolRuntime, LIMIT, self.log.until(condition)));
    }

    fn start(&self, device: &str) -> Program {
        self.start_at(self.proxy.port(), device)
    }

    fn start_at(&self, port: u16, device: &str) -> Program {
        let ca = self.ca_file();
        fs::write(&ca, &self.ca).unwrap();
        let (port, ca) = (port.to_string(), ca.to_str().expect("Cargo's own path"));
        let place = ["my-project", "us-central1", "my-registry", GATEWAY];
        Program::start(&[&["localhost", &port, ca], &place[..], &[KEY, device]].concat())
    }

    fn ca_file(&self) -> PathBuf {
        let name = format!("one-thread-{}.pem", self.proxy.port());
        Path::new(env!("CARGO_TARGET_TMPDIR")).join(name)
    }

    /// The program says why it does not connect, and goes on trying; the bridge sees no more than handshakes.
    fn refuses(&self, reason: &str) {
        let mut program = self.start(DEVICE);
        for _ in 0..2 {
            let told = program.next_error();
            assert!(told.contains("the TLS handshake failed"), "{told}");
            assert!(told.contains(reason), "{told}");
        }
        let failed = |event: &_| matches!(event, EventKind::TransportFailed { .. });
        self.saw(|events| count(events, failed) > 1);
        self.saw(|events| count(events, |event| *event == EventKind::Accepted) == 0);
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        // Not all that is staged has started a program.
        let _ = fs::remove_file(self.ca_file());
    }
}

/// The program, which ends when this is dropped, or after the limit.
struct Program {
    child: Arc<Mutex<Child>>,
    out: ChildStdout,
    err: BufReader<ChildStderr>,
    _watched: Sender<()>,
}

impl Program {
    fn start(arguments: &[&str]) -> Self {
        let mut program = Command::new(executable("blocking"));
        program.args(arguments).stdin(Stdio::null());
        let program = program.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = program.spawn().unwrap();
        let (out, err) = (child.stdout.take().unwrap(), child.stderr.take().unwrap());
        let child = Arc::new(Mutex::new(child));
        let (watched, ended) = mpsc::channel::<()>();
        let hanging = Arc::clone(&child);
        thread::spawn(move || {
            if ended.recv_timeout(LIMIT) == Err(mpsc::RecvTimeoutError::Timeout) {
                kill(&hanging);
            }
        });
        Self {
            child,
            out,
            err: BufReader::new(err),
            _watched: watched,
        }
    }

    /// The next line that it says about an error.
    fn next_error(&mut self) -> String {
        let mut line = String::new();
        self.err.read_line(&mut line).unwrap();
        line
    }

    /// How it ended, and what it has said: events, then errors.
    fn ended(mut self) -> (ExitStatus, String, String) {
        let (mut out, mut err) = (String::new(), String::new());
        // It says less than a pipe holds, so that neither of the two waits for the other.
        self.err.read_to_string(&mut err).unwrap();
        self.out.read_to_string(&mut out).unwrap();
        let status = lock(&self.child).wait().unwrap();
        (status, out, err)
    }

    /// The events that it has told, if it ended well.
    fn succeeds(self) -> String {
        let (status, out, err) = self.ended();
        assert!(status.success(), "{status}\n{out}\n{err}");
        out
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        kill(&self.child);
    }
}

fn kill(child: &Mutex<Child>) {
    let mut child = lock(child);
    // It may have ended already.
    let _ = child.kill();
    let _ = child.wait();
}

fn lock(child: &Mutex<Child>) -> MutexGuard<'_, Child> {
    child.lock().unwrap_or_else(PoisonError::into_inner)
}
