//! The behaviour of a simulation's network.

use core::time::Duration;

/// The behaviour of the network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    /// The time between the sending of a byte and its arrival (default 20 ms). A dial takes twice as long.
    pub latency: Duration,
    /// Bytes are sent and arrive in fragments of 1 to this many, in the same sequence in each run (default 1,400).
    pub fragment: usize,
    /// The maximum number of bytes in transit in each direction of a connection; beyond it, writes block (default 64
    /// KiB).
    pub buffer: usize,
    /// Whether the gateway's writes block regardless of the bytes in transit.
    pub is_stalled: bool,
    /// The result of a dial. Existing connections are not affected.
    pub dials: Dials,
    /// The result of the lookup of a name, which takes no time.
    pub lookups: Lookups,
}

impl Default for Network {
    fn default() -> Self {
        Self {
            latency: Duration::from_millis(20),
            fragment: 1_400,
            buffer: 64 * 1024,
            is_stalled: false,
            dials: Dials::Succeed,
            lookups: Lookups::Succeed,
        }
    }
}

impl Network {
    /// No latency, no fragments, and no limit: a test sees only the order of events.
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

/// The result of a dial.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dials {
    /// A connection is established.
    Succeed,
    /// It fails: the host is unreachable.
    Fail,
    /// It never completes, even if later dials succeed.
    Hang,
    /// A connection is established, on which nobody ever answers.
    Silent,
}

/// The result of the lookup of a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lookups {
    /// The addresses of [`SimRuntime::set_addresses`](super::SimRuntime::set_addresses).
    Succeed,
    /// It fails: the name is unknown.
    Fail,
    /// It takes until this is changed.
    Hang,
}
