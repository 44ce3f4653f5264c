//! Standard output: a bounded queue of lines and the thread that writes them, so that nobody waits for a reader.

use core::fmt;
use core::time::Duration;
use std::collections::VecDeque;
use std::io::{self, Write};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;

use serde::Serialize;
use serde_json::json;

/// The maximum number of lines that wait for a reader; beyond it, lines are dropped until half of them are read.
const MAX_LINES: usize = 10_000;

/// The maximum size of the lines that wait, in bytes, with the same effect.
const MAX_BYTES: usize = 16 * 1024 * 1024;

/// How long [`Printer::flush`] waits for a reader that reads nothing.
const PATIENCE: Duration = Duration::from_secs(1);

/// The pause before another attempt at an output that is full and does not block.
const PAUSE: Duration = Duration::from_millis(20);

/// Prints text for people or JSON for programs, without ever waiting for a reader.
#[derive(Clone)]
pub(crate) struct Printer {
    json: bool,
    queue: Arc<Queue>,
}

struct Queue {
    waiting: Mutex<Waiting>,
    changed: Condvar,
}

#[derive(Default)]
struct Waiting {
    lines: VecDeque<String>,
    /// The size of `lines`.
    bytes: usize,
    /// The number of lines dropped since the last note about it.
    dropped: u64,
    /// The number of lines written so far.
    written: u64,
    is_writing: bool,
    /// The output cannot be written to any more.
    is_closed: bool,
}

impl Printer {
    /// Starts the thread that writes to standard output.
    ///
    /// # Errors
    /// The system has no thread for it.
    pub(crate) fn start(json: bool) -> io::Result<Self> {
        let queue = Arc::new(Queue {
            waiting: Mutex::default(),
            changed: Condvar::new(),
        });
        let writer = Self {
            json,
            queue: Arc::clone(&queue),
        };
        thread::Builder::new().spawn(move || writer.write_lines())?;
        Ok(Self { json, queue })
    }

    /// Queues a line, or drops and counts it if too much waits for a reader.
    pub(crate) fn print(&self, text: impl fmt::Display, json: &impl Serialize) {
        let line = self.line(text, json);
        let mut waiting = self.queue.lock();
        if !waiting.is_closed && !waiting.has_room(line.len()) {
            waiting.dropped += 1;
        } else if !waiting.is_closed {
            if let Some(note) = waiting.take_note() {
                waiting.push(self.note(note));
            }
            waiting.push(line);
        }
        drop(waiting);
        self.queue.changed.notify_all();
    }

    /// Waits until everything is written, or until nothing was read for a second.
    pub(crate) fn flush(&self) {
        let mut waiting = self.queue.lock();
        loop {
            let before = waiting.written;
            let stuck = |now: &mut Waiting| !now.is_done() && now.written == before;
            let waited = self
                .queue
                .changed
                .wait_timeout_while(waiting, PATIENCE, stuck);
            waiting = waited.unwrap_or_else(PoisonError::into_inner).0;
            if waiting.is_done() || waiting.written == before {
                return;
            }
        }
    }

    fn line(&self, text: impl fmt::Display, json: &impl Serialize) -> String {
        match self.json {
            true => serde_json::to_string(json).unwrap_or_else(|error| error.to_string()),
            false => text.to_string(),
        }
    }

    fn note(&self, dropped: u64) -> String {
        self.line(
            format_args!(
                "{dropped} lines were dropped here, because nobody read the standard output"
            ),
            &json!({ "event": "output_dropped", "lines": dropped }),
        )
    }

    fn write_lines(&self) {
        while let Some(line) = self.next_line() {
            let written = write(&format!("{line}\n"));
            let mut waiting = self.queue.lock();
            waiting.is_writing = false;
            waiting.written += 1;
            if let Err(error) = written {
                waiting.close();
                let _ = writeln!(
                    io::stderr(),
                    "iotcore-bridge: standard output is closed ({error}): the bridge is served on, without events; \
                     end it by the line quit, SIGINT or SIGTERM"
                );
            }
            drop(waiting);
            self.queue.changed.notify_all();
        }
    }

    /// Waits for a line; returns `None` once the output is closed.
    fn next_line(&self) -> Option<String> {
        let idle = |waiting: &mut Waiting| {
            waiting.lines.is_empty() && waiting.dropped == 0 && !waiting.is_closed
        };
        let waiting = self.queue.changed.wait_while(self.queue.lock(), idle);
        let mut waiting = waiting.unwrap_or_else(PoisonError::into_inner);
        if waiting.is_closed {
            return None;
        }
        waiting.is_writing = true;
        waiting
            .pop()
            .or_else(|| waiting.take_note().map(|dropped| self.note(dropped)))
    }
}

impl Queue {
    /// Locks the lines. Nothing that can panic runs under this lock.
    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Waiting {
    fn has_room(&self, length: usize) -> bool {
        let share = if self.dropped > 0 { 2 } else { 1 };
        self.lines.is_empty()
            || self.lines.len() < MAX_LINES / share && self.bytes + length <= MAX_BYTES / share
    }

    fn push(&mut self, line: String) {
        self.bytes += line.len();
        self.lines.push_back(line);
    }

    fn pop(&mut self) -> Option<String> {
        let line = self.lines.pop_front()?;
        self.bytes -= line.len();
        Some(line)
    }

    fn take_note(&mut self) -> Option<u64> {
        let dropped = core::mem::take(&mut self.dropped);
        (dropped > 0).then_some(dropped)
    }

    fn is_done(&self) -> bool {
        self.is_closed || self.lines.is_empty() && self.dropped == 0 && !self.is_writing
    }

    fn close(&mut self) {
        *self = Self {
            written: self.written,
            is_closed: true,
            ..Self::default()
        };
    }
}

/// Writes text to standard output, which may be one that does not block.
fn write(text: &str) -> io::Result<()> {
    let mut output = io::stdout().lock();
    let mut rest = text.as_bytes();
    loop {
        let result = match rest {
            [] => output.flush().map(|()| 0),
            _ => output.write(rest),
        };
        match result {
            Ok(0) if rest.is_empty() => return Ok(()),
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(length) => rest = rest.get(length..).unwrap_or_default(),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => thread::park_timeout(PAUSE),
            Err(error) => return Err(error),
        }
    }
}
