//! Notes for the operator on standard error; they are not events of the protocol.

use std::{
    collections::{BTreeMap, VecDeque},
    fmt::Display,
    io::Write,
    panic::Location,
    sync::{Condvar, Mutex, MutexGuard, Once, PoisonError},
    thread,
    time::{Duration, Instant},
};

use crate::stdio;

/// The number of notes of one kind that may be written at once; after that, one in each [`INTERVAL`].
const BURST: u32 = 10;
const INTERVAL: Duration = Duration::from_secs(1);

/// The length of a note in characters at which it is cut off.
const MAX_CHARS: usize = 4_096;

/// How much of a note is repeated with the number of those that were left out.
const MAX_QUOTED: usize = 256;

static NOTES: Notes = Notes::new();

/// Writes a note, without waiting for anyone to read it: on a separate thread, which is not joined at the end. Each place in
/// the code that calls this has a budget of its own, so that a flood of one kind hides no other; what is left out is counted.
#[track_caller]
pub(crate) fn note(text: impl Display) {
    static WRITER: Once = Once::new();
    WRITER.call_once(|| {
        thread::spawn(|| NOTES.write_all(stdio::error()));
    });
    NOTES.add(Location::caller(), text, Instant::now());
}

/// Waits until all notes are written, for this long at most.
pub(crate) fn flush(limit: Duration) {
    NOTES.flush(limit);
}

/// The notes that wait, at most [`BURST`] of each kind.
struct Notes {
    queue: Mutex<Queue>,
    /// Signals a change of the queue.
    changed: Condvar,
}

struct Queue {
    /// The notes that wait, each with its kind; the first one is being written.
    waiting: VecDeque<(&'static Location<'static>, String)>,
    kinds: BTreeMap<&'static Location<'static>, Kind>,
    /// Whether the number of those left out is to be written now, because the program ends.
    is_ending: bool,
}

/// The budget of one kind of note.
struct Kind {
    /// How many may be written now.
    budget: u32,
    /// Since when the budget grows; `None` while it is full.
    grows_since: Option<Instant>,
    /// How many of them wait.
    waiting: u32,
    /// How many were left out since the last one was queued.
    left_out: u64,
    /// The beginning of the last one that was queued.
    last: String,
}

impl Kind {
    const fn new() -> Self {
        Self {
            budget: BURST,
            grows_since: None,
            waiting: 0,
            left_out: 0,
            last: String::new(),
        }
    }

    /// Returns whether one may be written now.
    fn may_write(&mut self, now: Instant) -> bool {
        while let Some(since) = self.grows_since
            && now >= since + INTERVAL
        {
            self.budget += 1;
            self.grows_since = (self.budget < BURST).then_some(since + INTERVAL);
        }
        self.budget > 0 && self.waiting < BURST
    }

    /// Takes one out of the budget.
    fn spend(&mut self, now: Instant) {
        self.budget = self.budget.saturating_sub(1);
        self.grows_since.get_or_insert(now);
        self.waiting += 1;
    }
}

impl Notes {
    const fn new() -> Self {
        Self {
            queue: Mutex::new(Queue {
                waiting: VecDeque::new(),
                kinds: BTreeMap::new(),
                is_ending: false,
            }),
            changed: Condvar::new(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn add(&self, place: &'static Location<'static>, text: impl Display, now: Instant) {
        let mut queue = self.lock();
        queue.tell_left_out(now);
        let kind = queue.kinds.entry(place).or_insert_with(Kind::new);
        if !kind.may_write(now) {
            kind.left_out += 1;
            return;
        }
        kind.spend(now);
        let text: String = text.to_string().chars().take(MAX_CHARS).collect();
        kind.last = text.chars().take(MAX_QUOTED).collect();
        queue.waiting.push_back((place, text));
        self.changed.notify_all();
    }

    /// Writes the notes as they come.
    fn write_all(&self, mut output: impl Write) {
        let mut queue = self.lock();
        loop {
            queue.tell_left_out(Instant::now());
            let Some((place, note)) = queue.waiting.front().cloned() else {
                self.changed.notify_all();
                queue = self.wait(queue);
                continue;
            };
            drop(queue);
            let _ = output.write_all(format!("iotcore-relay: {note}\n").as_bytes());
            queue = self.lock();
            queue.waiting.pop_front();
            if let Some(kind) = queue.kinds.get_mut(&place) {
                kind.waiting -= 1;
            }
        }
    }

    /// Waits for a note, or until the number of those left out may be written.
    fn wait<'a>(&self, queue: MutexGuard<'a, Queue>) -> MutexGuard<'a, Queue> {
        if queue.kinds.values().any(|kind| kind.left_out > 0) {
            let waited = self.changed.wait_timeout(queue, INTERVAL);
            waited.unwrap_or_else(PoisonError::into_inner).0
        } else {
            let waited = self.changed.wait(queue);
            waited.unwrap_or_else(PoisonError::into_inner)
        }
    }

    fn flush(&self, limit: Duration) {
        let mut queue = self.lock();
        queue.is_ending = true;
        self.changed.notify_all();
        let is_writing = |queue: &mut Queue| {
            !queue.waiting.is_empty() || queue.kinds.values().any(|kind| kind.left_out > 0)
        };
        let _ = self.changed.wait_timeout_while(queue, limit, is_writing);
    }
}

impl Queue {
    /// Queues, for each kind whose budget allows it, how many were left out; at the end, for each kind of which none waits.
    fn tell_left_out(&mut self, now: Instant) {
        for (place, kind) in &mut self.kinds {
            let may_write = kind.may_write(now) || (self.is_ending && kind.waiting < BURST);
            if kind.left_out > 0 && may_write {
                kind.spend(now);
                let left_out = std::mem::take(&mut kind.left_out);
                let note = format!("{left_out} more like this one were left out: {}", kind.last);
                self.waiting.push_back((place, note));
            }
        }
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

    /// Takes the notes that wait, as if they were written.
    fn take(notes: &Notes) -> Vec<String> {
        let mut queue = notes.lock();
        for kind in queue.kinds.values_mut() {
            kind.waiting = 0;
        }
        queue.waiting.drain(..).map(|(_, note)| note).collect()
    }

    #[test]
    fn a_flood_of_one_kind_is_written_once_a_second_with_a_count_and_hides_no_other_kind() {
        const SECONDS: u64 = 10;
        let notes = Notes::new();
        let (flood, other) = (Location::caller(), Location::caller());
        let begun = Instant::now();
        let mut told = Vec::new();
        for ms in 0..SECONDS * 1_000 {
            let now = begun + Duration::from_millis(ms);
            notes.add(flood, "flood", now);
            if ms % 2_500 == 1_250 {
                notes.add(other, "other", now);
            }
            told.extend(take(&notes));
        }
        let (others, floods): (Vec<_>, Vec<_>) = told.iter().partition(|note| *note == "other");
        assert_eq!(others.len(), 4);
        let (counts, notes): (Vec<_>, Vec<_>) =
            floods.into_iter().partition(|note| note.contains(" more "));
        assert_eq!(notes.len(), 10);
        assert_eq!(counts.len() as u64, SECONDS - 1, "{counts:?}");
        for count in counts {
            assert!(
                count.ends_with(" more like this one were left out: flood"),
                "{count}"
            );
        }
    }

    #[test]
    fn what_is_read_is_complete_after_a_flush() {
        let (notes, reader) = piped();
        let (place, now) = (Location::caller(), Instant::now());
        notes.add(place, "one", now);
        for _ in 0..30 {
            notes.add(place, "two", now);
        }
        notes.flush(Duration::from_secs(60));
        assert!(notes.lock().waiting.is_empty());
        let lines: Vec<_> = reader.lines().take(11).map(Result::unwrap).collect();
        assert_eq!(lines[0], "iotcore-relay: one");
        assert!(lines[1..10].iter().all(|line| line == "iotcore-relay: two"));
        assert_eq!(
            lines[10],
            "iotcore-relay: 21 more like this one were left out: two"
        );
    }

    #[test]
    fn while_nobody_reads_ten_of_a_kind_wait_and_the_rest_is_counted() {
        let notes = Notes::new();
        let (place, begun) = (Location::caller(), Instant::now());
        for second in 0..3_600 {
            notes.add(place, second, begun + Duration::from_secs(second));
        }
        assert_eq!(notes.lock().waiting.len(), 10);
        assert_eq!(notes.lock().kinds[place].left_out, 3_590);
    }
}
