//! The writer for the events.

use std::{
    io::{self, Write},
    thread,
};

use tokio::sync::mpsc;

use super::Event;
use crate::stdio;

/// Writes events to standard output, one per line, on a separate thread, which is not joined at the end: nobody may be
/// reading them.
#[derive(Debug)]
pub(crate) struct Output {
    lines: mpsc::Sender<Vec<u8>>,
    /// What became of each line, and its buffer.
    written: mpsc::Receiver<io::Result<Vec<u8>>>,
    buffer: Vec<u8>,
}

impl Output {
    pub(crate) fn new() -> Self {
        let (lines, mut to_write) = mpsc::channel(1);
        let (sender, written) = mpsc::channel(1);
        thread::spawn(move || {
            let mut stdout = stdio::output();
            let mut write = |line: Vec<u8>| {
                stdout.write_all(&line)?;
                stdout.flush()?;
                Ok(line)
            };
            while let Some(line) = to_write.blocking_recv() {
                if sender.blocking_send(write(line)).is_err() {
                    break;
                }
            }
        });
        Self {
            lines,
            written,
            buffer: Vec::new(),
        }
    }

    /// Writes the event as one line. Not cancel safe.
    pub(crate) async fn write(&mut self, event: &Event) -> io::Result<()> {
        let mut line = std::mem::take(&mut self.buffer);
        line.clear();
        serde_json::to_writer(&mut line, event)?;
        line.push(b'\n');
        let is_taken = self.lines.send(line).await.is_ok();
        match self.written.recv().await {
            Some(written) if is_taken => self.buffer = written?,
            _ => return Err(io::ErrorKind::BrokenPipe.into()),
        }
        Ok(())
    }
}
