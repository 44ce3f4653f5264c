//! The program under test, as a child process.

use std::{
    ffi::OsStr,
    io::{self, BufRead, BufReader, PipeReader, PipeWriter, Read, Write},
    process::{Child, Command, Stdio},
    sync::mpsc::{self, Receiver},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use serde_json::Value;

use crate::schema;

/// The time limit for each event.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// A running relay, which is killed on drop.
pub(crate) struct Relay {
    child: Child,
    stdin: Option<PipeWriter>,
    stdout: Option<BufReader<PipeReader>>,
    lines: Option<Receiver<String>>,
    stderr: Option<JoinHandle<String>>,
    /// All events read so far.
    pub(crate) seen: Vec<Value>,
    pub(crate) lines_sent: usize,
}

/// The result of a relay that has ended.
pub(crate) struct End {
    pub(crate) code: Option<i32>,
    /// All events from the start.
    pub(crate) events: Vec<Value>,
    pub(crate) stderr: String,
}

/// The program that Cargo built for this test.
pub(crate) const PROGRAM: &str = env!("CARGO_BIN_EXE_iotcore-relay");

impl Relay {
    pub(crate) fn start(arguments: &[impl AsRef<OsStr>]) -> Self {
        let mut relay = Self::start_unread(arguments, &[]);
        relay.read();
        relay
    }

    /// Starts a relay whose output is not read yet.
    pub(crate) fn start_unread(
        arguments: &[impl AsRef<OsStr>],
        environment: &[(&str, &str)],
    ) -> Self {
        let mut command = Command::new(PROGRAM);
        command.args(arguments);
        Self::start_command(command, environment)
    }

    /// Starts a relay with a command that becomes it.
    pub(crate) fn start_command(mut command: Command, environment: &[(&str, &str)]) -> Self {
        command.env_clear().envs(environment.iter().copied());
        let (stdin, input) = io::pipe().unwrap();
        let (output, stdout) = io::pipe().unwrap();
        Self::spawn(command, stdin.into(), stdout.into(), Some(input), output)
    }

    /// Starts the program with these streams, of which the last two are ours.
    pub(crate) fn spawn(
        mut command: Command,
        stdin: Stdio,
        stdout: Stdio,
        input: Option<PipeWriter>,
        output: PipeReader,
    ) -> Self {
        let command = command.stdin(stdin).stdout(stdout).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut stderr = child.stderr.take().unwrap();
        let stderr = thread::spawn(move || {
            let mut text = String::new();
            stderr.read_to_string(&mut text).unwrap();
            text
        });
        Self {
            stdin: input,
            stdout: Some(BufReader::new(output)),
            lines: None,
            stderr: Some(stderr),
            child,
            seen: Vec::new(),
            lines_sent: 0,
        }
    }

    /// Reads one event, and leaves the rest of the output unread.
    pub(crate) fn read_one(&mut self) -> Value {
        let stdout = self.stdout.as_mut().expect("the output is not read");
        let mut line = String::new();
        stdout.read_line(&mut line).unwrap();
        serde_json::from_str(&line).expect("each line is a JSON object")
    }

    /// Starts reading the output.
    pub(crate) fn read(&mut self) {
        let stdout = self.stdout.take().expect("the output is read only once");
        let (sender, receiver) = mpsc::channel();
        thread::spawn(move || {
            // No more than that, because the relay may be short of time to write.
            for line in stdout.lines() {
                if sender.send(line.unwrap()).is_err() {
                    break;
                }
            }
        });
        self.lines = Some(receiver);
    }

    pub(crate) fn send(&mut self, line: impl ToString) {
        let mut line = line.to_string();
        line.push('\n');
        self.lines_sent += 1;
        let stdin = self.stdin.as_mut().expect("the input is open");
        stdin.write_all(line.as_bytes()).unwrap();
    }

    /// Returns the input pipe, for a thread that may block on it.
    pub(crate) fn take_input(&mut self) -> PipeWriter {
        self.stdin.take().expect("the input is open")
    }

    pub(crate) fn end_input(&mut self) {
        self.stdin = None;
    }

    /// Returns the next event of any kind.
    pub(crate) fn next(&mut self) -> Option<Value> {
        let lines = self.lines.as_ref().expect("the output is read");
        match lines.recv_timeout(PATIENCE) {
            Ok(line) => {
                let event: Value = serde_json::from_str(&line).expect("each line is a JSON object");
                schema::assert_is_event(&event);
                self.seen.push(event.clone());
                Some(event)
            }
            Err(mpsc::RecvTimeoutError::Disconnected) => None,
            Err(mpsc::RecvTimeoutError::Timeout) => {
                panic!("no event within the time limit; before: {:#?}", self.seen)
            }
        }
    }

    /// Skips events until one of this kind.
    pub(crate) fn expect(&mut self, kind: &str) -> Value {
        self.expect_where(kind, |event| event["event"] == kind)
    }

    /// Skips events until the operation with this id has ended.
    pub(crate) fn expect_end(&mut self, id: impl Into<Value>) -> Value {
        let id = id.into();
        self.expect_where("an end", |event| is_end(event) && event["id"] == id)
    }

    /// Skips events until the operations with these ids have ended, in any order; returns their ends in the order of `ids`.
    pub(crate) fn expect_ends<const N: usize>(&mut self, ids: [u64; N]) -> [Value; N] {
        let mut ends = ids.map(|_| Value::Null);
        for _ in ids {
            let is_it = |event: &Value| is_end(event) && ids.iter().any(|id| event["id"] == *id);
            let end = self.expect_where("an end", is_it);
            let place = ids.iter().position(|id| end["id"] == *id);
            ends[place.unwrap()] = end;
        }
        assert!(
            !ends.contains(&Value::Null),
            "an operation ended twice: {ends:#?}"
        );
        ends
    }

    pub(crate) fn expect_where(&mut self, what: &str, is_it: impl Fn(&Value) -> bool) -> Value {
        loop {
            match self.next() {
                Some(event) if is_it(&event) => return event,
                Some(_) => {}
                None => panic!("the output ended without {what}: {:#?}", self.seen),
            }
        }
    }

    #[cfg(unix)]
    pub(crate) fn signal(&self, name: &str) {
        let id = self.child.id().to_string();
        let status = Command::new("kill").args(["-s", name, &id]).status();
        assert!(status.unwrap().success());
    }

    /// Reads the output to its end.
    pub(crate) fn wait(mut self) -> End {
        if self.lines.is_none() {
            self.read();
        }
        while self.next().is_some() {}
        let begun = Instant::now();
        let code = loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                break status.code();
            }
            assert!(
                begun.elapsed() < PATIENCE,
                "it closed its output but still runs"
            );
            thread::yield_now();
        };
        End {
            code,
            events: std::mem::take(&mut self.seen),
            stderr: self.stderr.take().unwrap().join().unwrap(),
        }
    }

    /// Ends the input, and reads the output to its end.
    pub(crate) fn close(mut self) -> End {
        self.end_input();
        self.wait()
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl End {
    /// Asserts that the last event is `closed` with this number of unsent messages, and so is the exit code.
    pub(crate) fn assert_closed(&self, unsent: usize) {
        let last = self.events.last().expect("at least `closed` is output");
        assert_eq!(
            *last,
            serde_json::json!({"event": "closed", "unsent": unsent})
        );
        let code = if unsent == 0 { 0 } else { 3 };
        assert_eq!(self.code, Some(code), "{}", self.stderr);
    }

    /// Returns the ends of the operation with this id.
    pub(crate) fn ends(&self, id: impl Into<Value>) -> Vec<&Value> {
        let id = id.into();
        let events = self.events.iter();
        let ends = events.filter(|event| is_end(event) && event["id"] == id);
        ends.collect()
    }
}

/// Returns whether an event ends an operation.
pub(crate) fn is_end(event: &Value) -> bool {
    event["event"] == "done" || event["event"] == "failed"
}
