//! Reads lines of operations from standard input.

use std::{
    io::{self, BufRead, BufReader},
    thread,
};

use tokio::{sync::mpsc, time::Instant};

use crate::{
    operation::{InvalidLine, MAX_LINE, Operation},
    stdio,
};

/// A non-blank line of input.
#[derive(Debug)]
pub(crate) struct Line {
    /// The line number, counted from 1, blank lines included.
    pub(crate) number: u64,
    pub(crate) content: Result<Operation, InvalidLine>,
}

/// Reads standard input on a separate thread, which is not joined at the end. Lines that are not received stay in the
/// pipe, except for one line and the read buffer. An error is the last item.
pub(crate) fn read() -> mpsc::Receiver<io::Result<Line>> {
    let (sender, receiver) = mpsc::channel(1);
    thread::spawn(move || {
        let ended =
            stdio::input().and_then(|input| send_lines(&mut BufReader::new(input), &sender));
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
        if text.iter().all(u8::is_ascii_whitespace) && len <= MAX_LINE {
            continue;
        }
        let content = if len > MAX_LINE {
            Err(InvalidLine::TooLong { len })
        } else {
            Operation::parse(&text, Instant::now())
        };
        let line = Line { number, content };
        if sender.blocking_send(Ok(line)).is_err() {
            break;
        }
    }
    Ok(())
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
