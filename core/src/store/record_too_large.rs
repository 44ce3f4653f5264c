//! A record that no store takes.

use core::{error::Error, fmt};

/// The largest payload of a record: also the largest that any quota allows.
pub(crate) const MAX_PAYLOAD: usize = 64 * 1024 * 1024;

/// A payload is larger than any quota allows: an error of the caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecordTooLarge {
    pub(crate) len: usize,
}

impl fmt::Display for RecordTooLarge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { len } = self;
        write!(
            f,
            "the payload has {len} bytes: a store takes at most {MAX_PAYLOAD}"
        )
    }
}

impl Error for RecordTooLarge {}
