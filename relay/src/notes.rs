//! Notes for the operator on standard error; they are not events of the protocol.

use std::{
    collections::VecDeque,
    fmt::Display,
    io::{self, Write},
    sync::{Condvar, Mutex, MutexGuard, Once, PoisonError},
    thread,
    time::Duration,
};

/// The number of notes that wait to be written; further ones are dropped and counted.
const MAX_WAITING: usize = 1_000;

/// The length of a note in characters at which it is cut off.
const MAX_CHARS: usize = 4_096;

static NOTES: Notes = Notes::new();

/// Writes a note, without waiting for anyone to read it: on a separate thread, which is not joined at the end.
pub(crate) fn note(text: impl Display) {
    static WRITER: Once = Once::new();
    WRITER.call_once(|| {
        thread::spawn(|| NOTES.write_all(io::stderr()));
    });
    NOTES.add(text.to_string().chars().take(MAX_CHARS).collect());
}

/// Waits until all notes are written, for this long at most.
pub(crate) fn flush(limit: Duration) {
    NOTES.flush(limit);
}

/// A bounded queue of notes.
struct Notes {
    queue: Mutex<Queue>,
    /// Signals a change of the queue.
    changed: Condvar,
}

struct Queue {
    /// The notes that wait; the first one is being written.
    waiting: VecDeque<String>,
    /// The number of notes dropped and not yet reported.
    dropped: u64,
}

impl Notes {
    const fn new() -> Self {
        Self {
            queue: Mutex::new(Queue {
                waiting: VecDeque::new(),
                dropped: 0,
            }),
            changed: Condvar::new(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn add(&self, note: String) {
        let mut queue = self.lock();
        if queue.waiting.len() < MAX_WAITING {
            queue.waiting.push_back(note);
        } else {
            queue.dropped += 1;
        }
        self.changed.notify_all();
    }

    /// Writes the notes as they come, and after one that took too long how many were dropped.
    fn write_all(&self, mut output: impl Write) {
        loop {
            let queue = self.lock();
            let queue = self
                .changed
                .wait_while(queue, |queue| queue.waiting.is_empty());
            let queue = queue.unwrap_or_else(PoisonError::into_inner);
            let note = queue.waiting.front().cloned().unwrap_or_default();
            drop(queue);
            let _ = writeln!(output, "iotcore-relay: {note}");
            let mut queue = self.lock();
            queue.waiting.pop_front();
            let dropped = std::mem::take(&mut queue.dropped);
            if dropped > 0 {
                // Those that wait came before the ones that were dropped.
                queue.waiting.push_back(format!(
                    "{dropped} notes were dropped, because standard error was not read"
                ));
            }
            self.changed.notify_all();
        }
    }

    fn flush(&self, limit: Duration) {
        let is_writing = |queue: &mut Queue| !queue.waiting.is_empty();
        let _ = self
            .changed
            .wait_timeout_while(self.lock(), limit, is_writing);
    }
}

#[cfg(test)]
mod tests {
    use std::{
        io::{self, BufRead, BufReader, PipeReader},
        sync::Arc,
    };

    use super::*;

    /// Returns notes that are written to a pipe, and the pipe.
    fn piped() -> (Arc<Notes>, BufReader<PipeReader>) {
        let (reader, writer) = io::pipe().unwrap();
        let notes = Arc::new(Notes::new());
        let writing = Arc::clone(&notes);
        thread::spawn(move || writing.write_all(writer));
        (notes, BufReader::new(reader))
    }

    #[test]
    fn what_is_not_read_is_dropped_and_counted() {
        const BYTES: usize = 1_024;
        let (notes, reader) = piped();
        let count = 3 * MAX_WAITING;
        for number in 0..count {
            notes.add(format!("{number} {}", "x".repeat(BYTES)));
        }
        notes.flush(Duration::from_millis(1));
        let mut lines = reader.lines().map(Result::unwrap);
        let (mut written, mut dropped) = (0, 0);
        while written + dropped < count {
            let line = lines.next().unwrap();
            let note = line.strip_prefix("iotcore-relay: ").unwrap();
            let (number, rest) = note.split_once(' ').unwrap();
            let number: usize = number.parse().unwrap();
            if rest.contains("were dropped") {
                dropped += number;
            } else {
                assert_eq!(number, written + dropped);
                written += 1;
            }
        }
        assert!(written >= MAX_WAITING && dropped > 0, "{written} {dropped}");
    }

    #[test]
    fn what_is_read_is_complete_after_a_flush() {
        let (notes, reader) = piped();
        notes.add("one".to_owned());
        notes.add("two".to_owned());
        notes.flush(Duration::from_secs(60));
        assert!(notes.lock().waiting.is_empty());
        let lines: Vec<_> = reader.lines().take(2).map(Result::unwrap).collect();
        assert_eq!(lines, ["iotcore-relay: one", "iotcore-relay: two"]);
    }
}
