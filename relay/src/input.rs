//! Reads lines of operations from standard input.

mod gate;
mod lines;

use std::{io, sync::Arc, thread};

use tokio::{sync::mpsc, time::Instant};

pub(crate) use self::gate::Gate;
use self::lines::Lines;
use crate::{
    operation::{Id, InvalidLine, MAX_LINE, Operation, id_of_invalid},
    stdio,
};

/// What some programs write before the first line.
const UTF_8_BOM: &[u8] = b"\xef\xbb\xbf";

/// A non-blank line of input.
#[derive(Debug)]
pub(crate) struct Line {
    /// The line number, counted from 1, blank lines included.
    pub(crate) number: u64,
    /// The id of an invalid one, if it could be read.
    pub(crate) id: Option<Id>,
    pub(crate) content: Result<Operation, InvalidLine>,
}

/// The lines of standard input.
#[derive(Debug)]
pub(crate) struct Input {
    lines: mpsc::Receiver<io::Result<Line>>,
    gate: Arc<Gate>,
}

impl Input {
    /// Reads standard input on a separate thread, which is not joined at the end. Lines that are not received stay in the
    /// pipe, except for one line and the read buffer.
    pub(crate) fn read(gate: Arc<Gate>) -> Self {
        let (sender, lines) = mpsc::channel(1);
        let reader = Arc::clone(&gate);
        thread::spawn(move || {
            let ended = send_lines(&reader, &sender);
            reader.release();
            if let Err(error) = ended {
                // The receiver may have been dropped.
                let _ = sender.blocking_send(Err(error));
            }
        });
        Self { lines, gate }
    }

    /// Receives the next line; an error is the last item.
    pub(crate) async fn next(&mut self) -> Option<io::Result<Line>> {
        let next = self.lines.recv().await;
        if let Some(Ok(_)) = next {
            self.gate.received();
        }
        next
    }
}

fn send_lines(gate: &Gate, sender: &mpsc::Sender<io::Result<Line>>) -> io::Result<()> {
    let mut lines = Lines::new(stdio::input(), gate);
    let mut text = Vec::new();
    for number in 1.. {
        text.clear();
        let len = lines.read(&mut text)?;
        if len == 0 {
            break;
        }
        let text = match text.strip_prefix(UTF_8_BOM) {
            Some(rest) if number == 1 => rest,
            _ => &text,
        };
        if text.iter().all(u8::is_ascii_whitespace) && len <= MAX_LINE {
            continue;
        }
        gate.sent();
        if sender.blocking_send(Ok(parse(number, text, len))).is_err() {
            break;
        }
    }
    Ok(())
}

/// Parses a line, of which `text` is at least the beginning, and which has `len` bytes.
fn parse(number: u64, text: &[u8], len: usize) -> Line {
    let content = if is_utf_16(text) {
        Err(InvalidLine::Utf16)
    } else if len > MAX_LINE {
        Err(InvalidLine::TooLong { len })
    } else {
        Operation::parse(text, Instant::now())
    };
    let id = match content {
        Ok(_) => None,
        Err(_) => id_of_invalid(text),
    };
    Line {
        number,
        id,
        content,
    }
}

/// Returns whether a line is UTF-16: JSON has no NUL, and begins with an ASCII character.
fn is_utf_16(text: &[u8]) -> bool {
    matches!(
        text,
        [0xff, 0xfe, ..] | [0xfe, 0xff, ..] | [0, ..] | [_, 0, ..]
    )
}
