//! Reads lines of operations from standard input.

use std::{
    io::{self, BufRead, BufReader},
    thread,
};

use tokio::{sync::mpsc, time::Instant};

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

/// Reads standard input on a separate thread, which is not joined at the end. Lines that are not received stay in the
/// pipe, except for one line and the read buffer. An error is the last item.
pub(crate) fn read() -> mpsc::Receiver<io::Result<Line>> {
    let (sender, receiver) = mpsc::channel(1);
    thread::spawn(move || {
        let ended = send_lines(&mut BufReader::new(stdio::input()), &sender);
        if let Err(error) = ended {
            // The receiver may have been dropped.
            let _ = sender.blocking_send(Err(error));
        }
    });
    receiver
}

fn send_lines(input: &mut impl BufRead, sender: &mpsc::Sender<io::Result<Line>>) -> io::Result<()> {
    let mut text = Vec::new();
    for number in 1.. {
        text.clear();
        let len = read_line(input, &mut text)?;
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
        let line = parse(number, text, len);
        if sender.blocking_send(Ok(line)).is_err() {
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

/// Reads one line into `text` (only the beginning of a line that is too long); returns the line's length.
fn read_line(input: &mut impl BufRead, text: &mut Vec<u8>) -> io::Result<usize> {
    let mut len = 0;
    loop {
        let buffer = input.fill_buf()?;
        let end = buffer.iter().position(|byte| *byte == b'\n');
        let taken = end.map_or(buffer.len(), |end| end + 1);
        if taken == 0 {
            return Ok(len);
        }
        let room = MAX_LINE.saturating_sub(text.len());
        text.extend(buffer.iter().take(taken.min(room)));
        len += taken;
        input.consume(taken);
        if end.is_some() {
            return Ok(len);
        }
    }
}
