//! Prints the timeline to the terminal: what happened where and when, and how long it took.

use std::{
    fmt,
    io::{self, IsTerminal, Write},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use iotcore_gateway_testkit::{Event, EventKind};

use super::place::{Place, Trust};

/// Prints one line per event, from any thread.
#[derive(Clone)]
pub(crate) struct Timeline {
    shared: Arc<Mutex<Shared>>,
}

struct Shared {
    start: Instant,
    steps: u32,
    colours: bool,
}

/// An operation of the gateway that has started.
#[must_use = "a step must be completed with `done`"]
pub(crate) struct Step {
    timeline: Timeline,
    start: Instant,
}

/// The colour of a line, as a terminal colour code.
#[derive(Clone, Copy)]
enum Colour {
    Plain,
    Green,
    Yellow,
    Dim,
}

/// The width of a line with a duration at its end, unless the terminal is narrower.
const WIDTH: usize = 96;

/// The columns in front of the text: when and where something happened.
const MARGIN: usize = 21;

/// The columns in front of the rest of a text for which the terminal is too narrow.
const INDENT: usize = MARGIN + 4;

impl Timeline {
    /// Creates a timeline that starts now, in colour if it is printed to a terminal and `NO_COLOR` is not set.
    pub(crate) fn new() -> Self {
        let colours = io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none();
        let shared = Shared {
            start: Instant::now(),
            steps: 0,
            colours,
        };
        Self {
            shared: Arc::new(Mutex::new(shared)),
        }
    }

    /// Prints the target and the identity.
    pub(crate) fn begin(&self, place: &Place, is_emulated: bool) {
        let Place {
            host,
            port,
            client_id,
            trust,
            ..
        } = place;
        let whose = if is_emulated {
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

    /// Prints that the gateway starts an operation.
    pub(crate) fn step(&self, what: fmt::Arguments<'_>) -> Step {
        self.line("gateway", Colour::Plain, &format!("▸ {what}"), None);
        Step {
            timeline: self.clone(),
            start: Instant::now(),
        }
    }

    /// Prints something that the gateway received.
    pub(crate) fn note(&self, what: fmt::Arguments<'_>) {
        self.line("gateway", Colour::Yellow, &format!("· {what}"), None);
    }

    /// Prints an operator's action in the cloud.
    pub(crate) fn cloud(&self, what: fmt::Arguments<'_>) {
        self.line("cloud", Colour::Plain, &format!("▸ {what}"), None);
    }

    /// Prints an event of the bridge.
    pub(crate) fn bridge(&self, event: &Event) {
        if !matches!(event.kind, EventKind::Accepted | EventKind::Ping) {
            self.line("bridge", Colour::Dim, &format!("    {}", event.kind), None);
        }
    }

    /// Prints that the example succeeded.
    pub(crate) fn end(&self) {
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
        let line = format!("{at:8.3} s  {who:<8} {what}");
        let took = took.map_or(String::new(), |took| {
            let width = terminal_width().map_or(WIDTH, |width| width.min(WIDTH));
            let room = width.saturating_sub(line.chars().count() + "  ms".len());
            format!(" {:>room$.1} ms", took.as_secs_f64() * 1_000.0)
        });
        let line = wrapped(&format!("{line}{took}"));
        let (before, text) = line.split_at(MARGIN);
        self.write(&format!("{before}{on}{text}{off}"));
    }

    /// Writes a line. A closed terminal must not stop the gateway.
    fn write(&self, line: &str) {
        let _ = writeln!(io::stdout(), "{line}");
    }
}

/// Returns the width of the terminal, if the output is one; a very narrow one wraps lines itself.
fn terminal_width() -> Option<usize> {
    let width = io::stdout().is_terminal().then(textwrap::termwidth)?;
    Some(width.max(2 * MARGIN))
}

/// Wraps a line at the terminal's width. In a file it remains one line.
fn wrapped(line: &str) -> String {
    let Some(width) = terminal_width() else {
        return line.to_owned();
    };
    let indent = " ".repeat(INDENT);
    textwrap::fill(
        line,
        textwrap::Options::new(width).subsequent_indent(&indent),
    )
}

impl Step {
    /// Prints that the operation succeeded.
    pub(crate) fn done(self, what: fmt::Arguments<'_>) {
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
