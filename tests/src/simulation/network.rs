//! How the network of a simulation behaves.

use core::time::Duration;

/// How the network behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    /// From the sending of a byte to its arrival (default 20 ms). A dial takes twice as long.
    pub latency: Duration,
    /// Bytes come and go in fragments of 1 to so many, in an order that is the same in each run (default 1,400).
    pub fragment: usize,
    /// As many bytes may be on their way in each direction of a connection; then a write has to wait (default 64 KiB).
    pub buffer: usize,
    /// Whether the gateway's writes have to wait, however few bytes are on their way.
    pub is_stalled: bool,
    /// What becomes of a dial. Connections are not touched.
    pub dials: Dials,
}

impl Default for Network {
    fn default() -> Self {
        Self {
            latency: Duration::from_millis(20),
            fragment: 1_400,
            buffer: 64 * 1024,
            is_stalled: false,
            dials: Dials::Succeed,
        }
    }
}

impl Network {
    /// No time, no fragments, room for all: a test sees the order of things and nothing else.
    #[must_use]
    pub fn instant() -> Self {
        Self {
            latency: Duration::ZERO,
            fragment: usize::MAX,
            buffer: usize::MAX,
            ..Self::default()
        }
    }
}

/// What becomes of a dial.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dials {
    /// It becomes a connection.
    Succeed,
    /// It fails: nobody can be reached.
    Fail,
    /// It gets no answer, also when dials succeed again.
    Hang,
}
