//! Ends the reading of the input without losing a line: what was read is handled, and the rest stays in the pipe.

use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::stdio;

/// What the reader of the input and the relay know of each other.
#[derive(Debug, Default)]
pub(crate) struct Gate(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    reading: Reading,
    /// Whether the reader has read what it has not sent as a line.
    is_holding: bool,
    /// How many lines were sent and not received.
    lines: usize,
}

/// How much is read.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) enum Reading {
    #[default]
    Everything,
    /// What can be read without waiting.
    WhatIsThere,
    /// No more than the rest of the line that is begun.
    RestOfLine,
    /// Nothing that anybody receives.
    Nothing,
}

impl Gate {
    /// Lets the reader read what is there already, and wait for no more. Where that cannot be found out, it reads nothing.
    pub(crate) fn finish(&self) {
        if cfg!(unix) {
            self.lock().reading = Reading::WhatIsThere;
        }
    }

    /// Lets the reader read no more than the rest of the line that it has begun.
    pub(crate) fn stop(&self) {
        self.lock().reading = Reading::RestOfLine;
    }

    /// Ends the reading, also of a line that is begun.
    pub(crate) fn close(&self) {
        self.lock().reading = Reading::Nothing;
    }

    /// Returns whether there are lines to be received although not everything is read.
    pub(crate) fn has_left(&self) -> bool {
        let state = self.lock();
        let is_under_way = state.is_holding || state.lines > 0;
        match state.reading {
            Reading::Everything | Reading::Nothing => false,
            Reading::WhatIsThere => is_under_way || stdio::is_input_ready(),
            Reading::RestOfLine => is_under_way,
        }
    }

    /// Records that the reader is about to read. Returns how much it may.
    pub(super) fn open(&self) -> Reading {
        let mut state = self.lock();
        state.is_holding |= matches!(state.reading, Reading::Everything | Reading::WhatIsThere);
        state.reading
    }

    /// Records that the reader holds nothing any more. Returns whether it may wait for more: nobody would wake it once it is
    /// stopped, and the relay waits for its end.
    pub(super) fn release(&self) -> bool {
        let mut state = self.lock();
        state.is_holding = false;
        match state.reading {
            Reading::Everything => true,
            Reading::WhatIsThere => stdio::is_input_ready(),
            Reading::RestOfLine | Reading::Nothing => false,
        }
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
