//! The program under test, as a child process.

use std::{
    ffi::OsStr,
    io::{BufRead, BufReader, Read, Write},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    sync::mpsc::{self, Receiver},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use serde_json::Value;

/// No event takes longer, unless something is wrong.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// A running relay. It is killed when this is dropped.
pub(crate) struct Relay {
    child: Child,
    stdin: Option<ChildStdin>,
    stdout: Option<ChildStdout>,
    lines: Option<Receiver<Value>>,
    stderr: Option<JoinHandle<String>>,
    /// Events that were passed over, and those that were expected.
    pub(crate) seen: Vec<Value>,
}

/// How a relay ended.
pub(crate) struct End {
    pub(crate) code: Option<i32>,
    /// Every event from the start on.
    pub(crate) events: Vec<Value>,
    pub(crate) stderr: String,
}

/// The program that cargo has built for this test.
pub(crate) const PROGRAM: &str = env!("CARGO_BIN_EXE_iotcore-relay");

impl Relay {
    pub(crate) fn start(arguments: &[impl AsRef<OsStr>]) -> Self {
        let mut relay = Self::start_unread(arguments, &[]);
        relay.read();
        relay
    }

    /// Starts one whose output nobody reads yet.
    pub(crate) fn start_unread(
        arguments: &[impl AsRef<OsStr>],
        environment: &[(&str, &str)],
    ) -> Self {
        let mut child = Command::new(PROGRAM)
            .args(arguments)
            .env_clear()
            .envs(environment.iter().copied())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
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
            lines: None,
            stderr: Some(stderr),
            child,
            seen: Vec::new(),
        }
    }

    /// Begins to read the output.
    pub(crate) fn read(&mut self) {
        let stdout = self.stdout.take().expect("it is read once");
        let (sender, receiver) = mpsc::channel();
        thread::spawn(move || {
            for line in BufReader::new(stdout).lines() {
                let line = line.unwrap();
                let event = serde_json::from_str(&line).expect("each line is one object");
                if sender.send(event).is_err() {
                    break;
                }
            }
        });
        self.lines = Some(receiver);
    }

    pub(crate) fn send(&mut self, line: impl ToString) {
        let mut line = line.to_string();
        line.push('\n');
        let stdin = self.stdin.as_mut().expect("the input is open");
        stdin.write_all(line.as_bytes()).unwrap();
    }

    /// The pipe itself, for a thread that may block on it.
    pub(crate) fn take_input(&mut self) -> ChildStdin {
        self.stdin.take().expect("the input is open")
    }

    pub(crate) fn end_input(&mut self) {
        self.stdin = None;
    }

    /// The next event, whatever it is.
    pub(crate) fn next(&mut self) -> Option<Value> {
        let lines = self.lines.as_ref().expect("the output is read");
        match lines.recv_timeout(PATIENCE) {
            Ok(event) => {
                self.seen.push(event.clone());
                Some(event)
            }
            Err(mpsc::RecvTimeoutError::Disconnected) => None,
            Err(mpsc::RecvTimeoutError::Timeout) => {
                panic!("no event came; before: {:#?}", self.seen)
            }
        }
    }

    /// Passes over events until this kind of event comes.
    pub(crate) fn expect(&mut self, kind: &str) -> Value {
        self.expect_where(kind, |event| event["event"] == kind)
    }

    /// Passes over events until the operation with this id has ended.
    pub(crate) fn expect_end(&mut self, id: impl Into<Value>) -> Value {
        let id = id.into();
        self.expect_where("an end", |event| event["id"] == id)
    }

    /// Passes over events until the operations with these ids have ended, in any order; returns their ends as they are asked
    /// for.
    pub(crate) fn expect_ends<const N: usize>(&mut self, ids: [u64; N]) -> [Value; N] {
        let mut ends = ids.map(|_| Value::Null);
        for _ in ids {
            let end = self.expect_where("an end", |event| ids.iter().any(|id| event["id"] == *id));
            let place = ids.iter().position(|id| end["id"] == *id);
            ends[place.unwrap()] = end;
        }
        assert!(!ends.contains(&Value::Null), "one ended twice: {ends:#?}");
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

    /// Reads to the end.
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
                "it closed its output and runs on"
            );
            thread::yield_now();
        };
        End {
            code,
            events: std::mem::take(&mut self.seen),
            stderr: self.stderr.take().unwrap().join().unwrap(),
        }
    }

    /// Ends the input, and reads to the end.
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
    /// Asserts that it was closed, and that this was its last word.
    pub(crate) fn assert_closed(&self, unsent: usize) {
        let last = self.events.last().expect("`closed` at least");
        assert_eq!(
            *last,
            serde_json::json!({"event": "closed", "unsent": unsent})
        );
        assert_eq!(self.code, Some(0), "{}", self.stderr);
    }

    /// The ends of the operation with this id.
    pub(crate) fn ends(&self, id: impl Into<Value>) -> Vec<&Value> {
        let id = id.into();
        let ends = self.events.iter().filter(|event| event["id"] == id);
        ends.collect()
    }
}
