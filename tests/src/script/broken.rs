//! The report of a violated guarantee.

use core::error::Error;
use core::fmt;
use core::time::Duration;

use super::history::History;

/// A violation of a guarantee.
#[derive(Clone, Debug)]
pub struct Broken {
    /// The guarantee.
    pub rule: Rule,
    /// What was observed.
    pub what: String,
    /// The time, as an offset from the start.
    pub at: Duration,
    /// The number of steps executed until then.
    pub step: usize,
    /// The history until then.
    pub history: Box<History>,
}

/// The guarantees of the crate's documentation that a single run can violate, with their numbers there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Rule {
    /// 1, 2 and 9: fragments, polls and spurious timeouts make no difference, and the same inputs give the same outputs.
    Determinism,
    /// 3: every operation ends exactly once, and in a way that fits it.
    OneEnd,
    /// 4: every accepted publication is acknowledged or ends with the true reason, in order.
    Delivery,
    /// 5: no packet identifier is used while its acknowledgement can still come.
    PacketIds,
    /// 6: no panic, no busy loop; and the requested state is reached once nothing prevents it.
    Progress,
    /// 7: nothing for a device that is not attached in this connection.
    Attachment,
    /// 8: nothing after DISCONNECT or the end of a connection; and no other breach of MQTT.
    Wire,
    /// 10: tokens appear only on the wire.
    Secrecy,
    /// 11: memory stays within its bounds.
    Memory,
    /// 6: in a calm world, everything is done in about the least time and with about the fewest packets, and nothing is
    /// reported as timed out that a slow bridge answers in time.
    Liveness,
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Determinism => "determinism (guarantees 1, 2, 9)",
            Self::OneEnd => "one end of every operation (guarantee 3)",
            Self::Delivery => "delivery (guarantee 4)",
            Self::PacketIds => "packet identifiers (guarantee 5)",
            Self::Progress => "progress (guarantee 6)",
            Self::Attachment => "attachment (guarantee 7)",
            Self::Wire => "the wire (guarantee 8)",
            Self::Secrecy => "secrecy (guarantee 10)",
            Self::Memory => "memory (guarantee 11)",
            Self::Liveness => "liveness (guarantee 6)",
        })
    }
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}, at {:.3} s after {} steps: {}",
            self.rule,
            self.at.as_secs_f64(),
            self.step,
            self.what
        )
    }
}

impl Error for Broken {}
