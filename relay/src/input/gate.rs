//! Ends the reading of the input without losing a line: what was read is handled, and the rest stays in the pipe.

use std::sync::{Mutex, MutexGuard, PoisonError};

/// What the reader of the input and the relay know of each other.
#[derive(Debug, Default)]
pub(crate) struct Gate(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    is_stopped: bool,
    /// Whether the reader has read what it has not sent as a line.
    is_holding: bool,
    /// How many lines were sent and not received.
    lines: usize,
}

impl Gate {
    /// Lets the reader read no more than the rest of the line that it has begun.
    pub(crate) fn stop(&self) {
        self.lock().is_stopped = true;
    }

    /// Returns whether there are lines to be received although the reader is stopped.
    pub(crate) fn has_left(&self) -> bool {
        let state = self.lock();
        state.is_stopped && (state.is_holding || state.lines > 0)
    }

    /// Records that the reader is about to read. Returns whether it may.
    pub(super) fn open(&self) -> bool {
        let mut state = self.lock();
        state.is_holding |= !state.is_stopped;
        !state.is_stopped
    }

    /// Records that the reader holds nothing any more. Returns whether it may wait for more: nobody would wake it once it is
    /// stopped, and the relay waits for its end.
    pub(super) fn release(&self) -> bool {
        let mut state = self.lock();
        state.is_holding = false;
        !state.is_stopped
    }

    pub(super) fn sent(&self) {
        self.lock().lines += 1;
    }

    pub(super) fn received(&self) {
        self.lock().lines -= 1;
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
