//! Splits the input into lines.

use std::io::{self, Read};

use super::gate::{Gate, Reading};
use crate::{operation::MAX_LINE, stdio};

/// How many bytes are read at once.
const CHUNK: usize = 8 * 1024;

/// Reads lines as long as a gate lets it.
pub(super) struct Lines<'a, R> {
    stream: R,
    gate: &'a Gate,
    buffer: Box<[u8]>,
    /// What of the buffer was read and not taken.
    start: usize,
    end: usize,
}

impl<'a, R: Read> Lines<'a, R> {
    pub(super) fn new(stream: R, gate: &'a Gate) -> Self {
        Self {
            stream,
            gate,
            buffer: vec![0; CHUNK].into(),
            start: 0,
            end: 0,
        }
    }

    /// Reads one line into `text` (only the beginning of a line that is too long); returns the line's length, 0 at the end.
    pub(super) fn read(&mut self, text: &mut Vec<u8>) -> io::Result<usize> {
        let mut len = 0;
        loop {
            let buffer = self.fill(len > 0)?;
            let end = buffer.iter().position(|byte| *byte == b'\n');
            let taken = end.map_or(buffer.len(), |end| end + 1);
            if taken == 0 {
                return Ok(len);
            }
            let room = MAX_LINE.saturating_sub(text.len());
            text.extend(buffer.iter().take(taken.min(room)));
            len += taken;
            self.start += taken;
            if end.is_some() {
                return Ok(len);
            }
        }
    }

    /// Returns what was read and not taken. Waits for more if that is nothing: without reading, so that the gate can be
    /// closed meanwhile. Then the rest of a line that `is_begun` is read byte by byte, because what follows it is for others.
    fn fill(&mut self, is_begun: bool) -> io::Result<&[u8]> {
        if self.start == self.end {
            if !is_begun && !self.gate.release() {
                return Ok(&[]);
            }
            stdio::wait_for_input()?;
            let most = match (self.gate.open(), is_begun) {
                (Reading::Everything | Reading::WhatIsThere, _) => CHUNK,
                (Reading::RestOfLine | Reading::Nothing, true) => 1,
                (Reading::RestOfLine | Reading::Nothing, false) => 0,
            };
            self.start = 0;
            self.end = self.stream.read(&mut self.buffer[..most])?;
        }
        Ok(&self.buffer[self.start..self.end])
    }
}
