//! The lines of standard input, which may be any bytes.

use core::time::Duration;
use std::io::{self, BufRead};
use std::thread;

/// The maximum length of a line, in bytes; a command's largest payload has a third of it in base64.
const MAX_LINE: usize = 1024 * 1024;

/// The pause before another attempt at an input that is empty and does not block.
const PAUSE: Duration = Duration::from_millis(20);

/// Reads lines of any length, of which it keeps no more than the limit.
pub(crate) struct Lines<R> {
    input: R,
    /// The number of lines read so far.
    number: u64,
}

impl<R: BufRead> Lines<R> {
    pub(crate) fn new(input: R) -> Self {
        Self { input, number: 0 }
    }

    /// Returns the next line without its end, or what is wrong with it, or `None` at the end of the input.
    ///
    /// # Errors
    /// The input cannot be read.
    pub(crate) fn next(&mut self) -> io::Result<Option<Result<String, String>>> {
        let mut line = Vec::new();
        let length = self.read_line(&mut line)?;
        if length == 0 {
            return Ok(None);
        }
        self.number += 1;
        let number = self.number;
        if length > MAX_LINE {
            let error = format!(
                "line {number} of standard input has {length} bytes; the limit is {MAX_LINE} bytes"
            );
            return Ok(Some(Err(error)));
        }
        while line.last().is_some_and(|byte| b"\r\n".contains(byte)) {
            line.pop();
        }
        Ok(Some(String::from_utf8(line).map_err(|error| {
            let place = error.utf8_error().valid_up_to() + 1;
            format!(
                "line {number} of standard input is not UTF-8 at byte {place}; a payload that is not text is \
                 given as base64:…"
            )
        })))
    }

    /// Reads a line with its end and keeps its beginning; returns its length, 0 at the end of the input.
    fn read_line(&mut self, line: &mut Vec<u8>) -> io::Result<usize> {
        let mut length = 0;
        loop {
            let chunk = match self.input.fill_buf() {
                Ok(chunk) => chunk,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    thread::park_timeout(PAUSE);
                    continue;
                }
                Err(error) => return Err(error),
            };
            let end = chunk.iter().position(|&byte| byte == b'\n');
            let taken = end.map_or(chunk.len(), |end| end + 1);
            let room = MAX_LINE.saturating_sub(line.len()).min(taken);
            line.extend_from_slice(chunk.get(..room).unwrap_or_default());
            length += taken;
            self.input.consume(taken);
            if end.is_some() || taken == 0 {
                return Ok(length);
            }
        }
    }
}
