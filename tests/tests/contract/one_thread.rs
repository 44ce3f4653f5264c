//! The core's example without a runtime, `blocking`: a separate single-threaded program, run through the same
//! fault-injecting proxy. It attaches a device, publishes a reading and closes, over TLS; it runs the scenarios that
//! apply to such a program, checked by its output and the bridge's events.

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

/// The gateway's key, which is in the bridge's registry.
const KEY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/src/link/gateway.key.pem");

const DEVICE: &str = BOUND[0];
const READING: [&str; 1] = ["21.5"];

pub(crate) fn connects_over_tls() {
    let stage = Stage::new("localhost");
    let (status, output, errors) = stage.start(DEVICE).ended();
    assert!(status.success(), "{output}{errors}");
    assert_eq!(errors, "", "a success has no error to tell of");
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

pub(crate) fn reports_a_refusal_by_connack() {
    let stage = Stage::new("localhost");
    stage.fault("refuse 1 connack 5");
    let output = stage.start(DEVICE).succeeds();
    assert!(output.contains("return_code: 5"), "{output}");
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

pub(crate) fn reports_a_refused_attach() {
    let stage = Stage::new("localhost");
    let (status, output, errors) = stage.start(UNBOUND).ended();
    assert!(!status.success(), "{output}");
    assert!(output.contains("AttachmentError"), "{output}");
    assert!(
        errors.contains("the reading was not acknowledged"),
        "{errors}"
    );
    stage.saw(|events| telemetry(events).is_empty() && count(events, is_left) == 1);
}

pub(crate) fn publishes_and_is_acknowledged() {
    let stage = Stage::new("localhost");
    let output = stage.start(DEVICE).succeeds();
    assert!(output.contains("outcome: Acknowledged"), "{output}");
    stage.saw(|events| telemetry(events) == READING);
}

pub(crate) fn works_with_one_byte_per_segment_in_both_directions() {
    let stage = Stage::new("localhost");
    stage.proxy.one_byte_per_segment();
    stage.start(DEVICE).succeeds();
    stage.saw(|events| telemetry(events) == READING && count(events, is_left) == 1);
}

pub(crate) fn reconnects_when_the_peer_closes_in_the_middle_of_a_packet() {
    let stage = Stage::new("localhost");
    stage.fault("puback hold");
    let program = stage.start(DEVICE);
    stage.saw(|events| events.iter().any(is_attached));
    stage.proxy.close_after(10); // of the 26 that a PUBACK takes in a record of TLS
    stage.fault("clear");
    let output = program.succeeds();
    assert_eq!(output.matches("Disconnected(").count(), 2, "{output}");
    stage.saw(|events| telemetry(events) == READING && count(events, is_attached) == 2);
}

pub(crate) fn loses_nothing_over_reconnects() {
    let stage = Stage::new("localhost");
    stage.fault("cut instead telemetry");
    stage.fault("refuse 1 reset");
    let output = stage.start(DEVICE).succeeds();
    assert_eq!(output.matches("Disconnected(").count(), 3, "{output}");
    stage.saw(|events| telemetry(events) == [READING, READING].concat());
}

/// The program closes before it is connected, so everything is sent during the drain.
pub(crate) fn closes_after_a_drain() {
    let stage = Stage::new("localhost");
    stage.fault("puback hold");
    let program = stage.start(DEVICE);
    stage.saw(|events| events.iter().any(is_attached));
    stage.fault("clear");
    let output = program.succeeds();
    assert!(output.contains("outcome: Closed"), "{output}");
    stage.saw(|events| telemetry(events) == READING && count(events, is_left) == 1);
}

#[test]
fn retries_when_the_connection_is_refused() {
    let stage = Stage::new("localhost");
    // The port is reserved and unused.
    let mut program = stage.start_at(1, DEVICE);
    for _ in 0..2 {
        let output = program.next_error();
        assert!(output.contains("the host could not be reached"), "{output}");
    }
}

/// Not through the proxy, which would pass a reset on as an end of the stream.
#[test]
fn takes_a_reset_for_a_close_by_the_peer() {
    let stage = Stage::new("localhost");
    stage.fault("refuse 1 reset");
    let port = stage.server.local_addr().port();
    let output = stage.start_at(port, DEVICE).succeeds();
    assert!(output.contains("Transport(PeerClosed)"), "{output}");
}

#[test]
fn prints_its_usage() {
    let (status, _, output) = Program::start(&[]).ended();
    assert!(!status.success());
    assert!(output.contains("usage: blocking HOST PORT CA"), "{output}");
}

fn is_attached(event: &EventKind) -> bool {
    matches!(event, EventKind::Attached { .. })
}

/// A bridge, a proxy that injects network faults, and the CA that the program trusts.
struct Stage {
    server: Server,
    proxy: FaultProxy,
    log: Log,
    ca: String,
}

impl Stage {
    /// Starts a bridge with a certificate for this name.
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
        injected.expect("a valid fault");
    }

    /// Waits until the bridge's events satisfy the condition.
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

    /// The program reports why it does not connect, and retries; the bridge sees only handshakes.
    fn refuses(&self, reason: &str) {
        let mut program = self.start(DEVICE);
        for _ in 0..2 {
            let output = program.next_error();
            assert!(output.contains("the TLS handshake failed"), "{output}");
            assert!(output.contains(reason), "{output}");
        }
        let failed = |event: &_| matches!(event, EventKind::TransportFailed { .. });
        self.saw(|events| count(events, failed) > 1);
        self.saw(|events| count(events, |event| *event == EventKind::Accepted) == 0);
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        // Not every stage has started a program.
        let _ = fs::remove_file(self.ca_file());
    }
}

/// The running program. It is killed when this is dropped, or after the time limit.
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

    /// Returns the next line that it prints about an error.
    fn next_error(&mut self) -> String {
        let mut line = String::new();
        self.err.read_line(&mut line).unwrap();
        line
    }

    /// Returns its exit status and its output: events, then errors.
    fn ended(mut self) -> (ExitStatus, String, String) {
        let (mut out, mut err) = (String::new(), String::new());
        // Its output fits in a pipe, so neither side blocks the other.
        self.err.read_to_string(&mut err).unwrap();
        self.out.read_to_string(&mut out).unwrap();
        let status = lock(&self.child).wait().unwrap();
        (status, out, err)
    }

    /// Returns the events that it printed; its exit status must be success.
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
    // It may have exited already.
    let _ = child.kill();
    let _ = child.wait();
}

fn lock(child: &Mutex<Child>) -> MutexGuard<'_, Child> {
    child.lock().unwrap_or_else(PoisonError::into_inner)
}
