//! A story on the terminal: who did what, when, and how long it took.

use core::fmt;
use std::io::{self, IsTerminal, Write};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::{Place, Trust};
use crate::bridge::event::{Event, EventKind};

/// Prints one line for each thing that happens, from any thread.
#[derive(Clone, Debug)]
pub struct Timeline {
    shared: Arc<Mutex<Shared>>,
}

#[derive(Debug)]
struct Shared {
    start: Instant,
    steps: u32,
    colours: bool,
}

/// Something that the gateway has begun.
#[derive(Debug)]
#[must_use = "a step ends"]
pub struct Step {
    timeline: Timeline,
    start: Instant,
}

/// The colour of a line, as the terminal counts them.
#[derive(Clone, Copy)]
enum Colour {
    Plain,
    Green,
    Yellow,
    Dim,
}

/// The column at which a duration ends, counted from the text's own.
const WIDTH: usize = 72;

impl Timeline {
    /// A timeline that begins now, coloured if a person reads it and has not set `NO_COLOR`.
    #[must_use]
    pub fn new() -> Self {
        let colours = io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none();
        let shared = Shared {
            start: now(),
            steps: 0,
            colours,
        };
        Self {
            shared: Arc::new(Mutex::new(shared)),
        }
    }

    /// Says where the story takes place, and as whom.
    pub fn begin(&self, place: &Place) {
        let Place {
            host,
            port,
            client_id,
            trust,
            cloud,
            ..
        } = place;
        let whose = if cloud.is_some() {
            "an emulator of the bridge"
        } else {
            "the bridge"
        };
        let how = if matches!(trust, Trust::Plain) {
            "without TLS"
        } else {
            "over TLS"
        };
        self.write(&format!(
            "\n  {client_id}\n  at {whose}, {host}:{port}, {how}\n"
        ));
    }

    /// The gateway begins something.
    pub fn step(&self, what: fmt::Arguments<'_>) -> Step {
        self.line("gateway", Colour::Plain, &format!("▸ {what}"), None);
        Step {
            timeline: self.clone(),
            start: now(),
        }
    }

    /// Something that the gateway was told.
    pub fn note(&self, what: fmt::Arguments<'_>) {
        self.line("gateway", Colour::Yellow, &format!("· {what}"), None);
    }

    /// Something that the operator does in the cloud.
    pub fn cloud(&self, what: fmt::Arguments<'_>) {
        self.line("cloud", Colour::Plain, &format!("▸ {what}"), None);
    }

    /// Something that happened at the bridge.
    pub fn bridge(&self, event: &Event) {
        if !matches!(event.kind, EventKind::Accepted | EventKind::Ping) {
            let line: String = event.kind.to_string().chars().take(WIDTH).collect();
            self.line("bridge", Colour::Dim, &format!("    {line}"), None);
        }
    }

    /// The story has ended well.
    pub fn end(&self) {
        let shared = self.shared.lock().unwrap_or_else(PoisonError::into_inner);
        let (steps, took) = (shared.steps, shared.start.elapsed());
        drop(shared);
        self.write(&format!(
            "\n  {steps} steps, each as it should be, in {:.1} s\n",
            took.as_secs_f64()
        ));
    }

    fn line(&self, who: &str, colour: Colour, what: &str, took: Option<Duration>) {
        let shared = self.shared.lock().unwrap_or_else(PoisonError::into_inner);
        let at = shared.start.elapsed().as_secs_f64();
        let (on, off) = if shared.colours {
            colour.codes()
        } else {
            ("", "")
        };
        drop(shared);
        let took = took.map_or(String::new(), |took| {
            let room = WIDTH.saturating_sub(what.chars().count());
            format!("{:>room$.1} ms", took.as_secs_f64() * 1_000.0)
        });
        self.write(&format!("{at:8.3} s  {who:<8} {on}{what}{took}{off}"));
    }

    /// A closed terminal is no reason to stop the gateway.
    fn write(&self, line: &str) {
        let _ = writeln!(io::stdout(), "{line}");
    }
}

impl Default for Timeline {
    fn default() -> Self {
        Self::new()
    }
}

impl Step {
    /// It ended as it should.
    pub fn done(self, what: fmt::Arguments<'_>) {
        let took = self.start.elapsed();
        self.timeline
            .shared
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .steps += 1;
        self.timeline
            .line("gateway", Colour::Green, &format!("✓ {what}"), Some(took));
    }
}

impl Colour {
    fn codes(self) -> (&'static str, &'static str) {
        match self {
            Self::Plain => ("", ""),
            Self::Green => ("\x1b[32m", "\x1b[0m"),
            Self::Yellow => ("\x1b[33m", "\x1b[0m"),
            Self::Dim => ("\x1b[2m", "\x1b[0m"),
        }
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "a timeline is about the time of day"
)]
fn now() -> Instant {
    Instant::now()
}
