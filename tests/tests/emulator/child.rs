//! The emulator as a child process.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, ChildStdin, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use iotcore_gateway_testkit::packets;
use serde_json::Value;

/// The time limit for each step.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// The program that Cargo built for this test.
pub(crate) const PROGRAM: &str = env!("CARGO_BIN_EXE_iotcore-bridge");

/// A running emulator that prints JSON, and is killed on drop.
pub(crate) struct Emulator {
    child: Child,
    pub(crate) stdin: Option<ChildStdin>,
    stdout: Option<ChildStdout>,
    lines: Option<Receiver<Value>>,
    stderr: Option<JoinHandle<String>>,
    /// All events read so far.
    pub(crate) seen: Vec<Value>,
}

impl Emulator {
    /// Starts an emulator on a free port, and reads its output.
    pub(crate) fn start(arguments: &[&str]) -> Self {
        let mut command = Command::new(PROGRAM);
        command.args(["--port", "0", "--json"]).args(arguments);
        Self::start_command(command)
    }

    /// Starts an emulator by a shell script, whose `$0` and `$@` are the program and its arguments.
    pub(crate) fn start_script(script: &str, arguments: &[&str]) -> Self {
        let mut command = Command::new("sh");
        command.args(["-c", script, PROGRAM, "--port", "0", "--json"]);
        command.args(arguments);
        Self::start_command(command)
    }

    /// Starts the emulator with a command of its own.
    pub(crate) fn start_command(command: Command) -> Self {
        let mut emulator = Self::start_unread(command);
        emulator.read();
        emulator
    }

    /// Starts an emulator whose output is not read yet.
    pub(crate) fn start_unread(command: Command) -> Self {
        Self::start_writing_to(command, Stdio::piped())
    }

    /// Starts an emulator with this standard output.
    pub(crate) fn start_writing_to(mut command: Command, stdout: Stdio) -> Self {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(stdout)
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stderr = child.stderr.take().unwrap();
        let stderr = thread::spawn(move || {
            let mut text = String::new();
            stderr.read_to_string(&mut text).unwrap();
            text
        });
        Self {
            stdin: child.stdin.take(),
            stdout: child.stdout.take(),
            child,
            lines: None,
            stderr: Some(stderr),
            seen: Vec::new(),
        }
    }

    /// Reads the output from now on.
    pub(crate) fn read(&mut self) {
        let stdout = BufReader::new(self.stdout.take().unwrap());
        let (sender, receiver) = mpsc::channel();
        thread::spawn(move || {
            for line in stdout.lines() {
                let line = serde_json::from_str(&line.unwrap()).unwrap();
                if sender.send(line).is_err() {
                    break;
                }
            }
        });
        self.lines = Some(receiver);
    }

    /// Returns the output, which nobody reads then.
    pub(crate) fn stdout(&mut self) -> Option<ChildStdout> {
        self.stdout.take()
    }

    /// Waits for an event that has all these members.
    pub(crate) fn await_event(&mut self, members: &Value) -> Value {
        let wanted = members.as_object().unwrap();
        let fits = |event: &Value| {
            wanted
                .iter()
                .all(|(name, value)| event.get(name) == Some(value))
        };
        let end = now() + PATIENCE;
        loop {
            let rest = end.saturating_duration_since(now());
            let event = self.lines.as_ref().unwrap().recv_timeout(rest);
            let event = event.unwrap_or_else(|_| panic!("no {members}; last {:?}", self.last()));
            self.seen.push(event.clone());
            if fits(&event) {
                return event;
            }
        }
    }

    /// Returns the newest events as text, cut short.
    fn last(&self) -> Vec<String> {
        let newest = self.seen.iter().rev().take(10).rev();
        newest
            .map(|event| format!("{:.200}", event.to_string()))
            .collect()
    }

    /// Waits until it listens, and returns where.
    pub(crate) fn address(&mut self) -> SocketAddr {
        let listening = self.await_event(&serde_json::json!({ "event": "listening" }));
        listening["address"].as_str().unwrap().parse().unwrap()
    }

    /// Writes these bytes to its standard input.
    pub(crate) fn send(&mut self, bytes: &[u8]) {
        self.stdin.as_mut().unwrap().write_all(bytes).unwrap();
    }

    pub(crate) fn signal(&self, name: &str) {
        signal(self.child.id(), name);
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn is_running(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// Waits for its end; returns its status and standard error.
    pub(crate) fn end(mut self) -> (ExitStatus, String) {
        let end = now() + PATIENCE;
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return (status, self.stderr.take().unwrap().join().unwrap());
            }
            assert!(now() < end, "it is still running");
            pause();
        }
    }
}

impl Drop for Emulator {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub(crate) fn signal(process: u32, name: &str) {
    let sent = Command::new("kill")
        .args(["-s", name, &process.to_string()])
        .status()
        .unwrap();
    assert!(sent.success());
}

/// Connects with a time limit for reading.
pub(crate) fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream
}

/// Returns whether a client is served.
pub(crate) fn is_served(address: SocketAddr) -> bool {
    connack(address).is_some()
}

/// Returns the code with which a CONNECT with a malformed token is refused, or `None` if it is not answered.
pub(crate) fn connack(address: SocketAddr) -> Option<u8> {
    let client = "projects/plant/locations/us-central1/registries/sensors/devices/sensor";
    let [name, client, user, token] =
        ["MQTT", client, "unused", "token"].map(|text| packets::string(text.as_bytes()));
    let connect = packets::frame(0x10, &[&name, &[4, 0xC2, 0, 60], &client, &user, &token]);
    let mut stream = TcpStream::connect(address).ok()?;
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.write_all(&connect).ok()?;
    match packets::read(&mut stream).ok()??[..] {
        [0x20, 2, 0, code] => Some(code),
        _ => None,
    }
}

/// Returns whether the other side ends a connection within this time.
pub(crate) fn is_ended(stream: &mut TcpStream, within: Duration) -> bool {
    stream.set_read_timeout(Some(within)).unwrap();
    match stream.read(&mut [0]) {
        Ok(length) => length == 0,
        Err(error) => !matches!(
            error.kind(),
            io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut
        ),
    }
}

#[expect(clippy::disallowed_methods, reason = "the program has a real clock")]
pub(crate) fn now() -> Instant {
    Instant::now()
}

pub(crate) fn pause() {
    thread::park_timeout(Duration::from_millis(20));
}
