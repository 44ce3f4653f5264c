//! The values of [`Options`]: queues, backoff, reconnects, and what happens when something is full or refused.

#[cfg(feature = "store")]
mod durability;
mod error;
pub(crate) mod gateway_options;
mod refusals;

#[cfg(feature = "store")]
pub(crate) use self::durability::RECORD_OVERHEAD;
#[cfg(feature = "store")]
pub use self::durability::{Durability, OnStoreFailure};
pub(crate) use self::gateway_options::Options;
pub use self::{error::OptionsError, refusals::OnRefusal};
use crate::time::Duration;

/// Maximum of all durations, so that no deadline overflows.
pub(crate) const MAX_DURATION: Duration = Duration::from_secs(7 * 86_400);

/// A limit on accepted publications, both in number and in bytes of payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QueueLimit {
    /// Number of publications, at least 1.
    pub messages: usize,
    /// Bytes of payload, at least the largest payload that the quota allows.
    pub bytes: usize,
}

/// What happens to a publication when its queue is full.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Overflow {
    /// It is refused as [`PublishErrorKind::Blocked`](crate::command_error::PublishErrorKind::Blocked) and returned, and
    /// [`Event::Writable`](crate::Event::Writable) follows.
    Reject,
    /// It replaces the oldest telemetry events of its device that still wait, as few as it needs; they end in
    /// [`Failure::Dropped`](crate::Failure::Dropped). An ordinary one replaces nothing urgent, and an urgent one replaces
    /// ordinary ones first. If it had no room even so, for example because all are in flight, it is refused and returned,
    /// and nothing is dropped.
    DropOldest,
}

/// Exponential backoff with jitter: the n-th delay is `min·2ⁿ` plus up to the smaller of `min` and 1 s. Once that can
/// pass `max`, each delay is `max` minus up to a quarter of it, so that a fleet that lost its connections at one instant
/// stays spread out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backoff {
    /// The first delay, without its jitter (default 1 s).
    pub min: Duration,
    /// The longest delay, with its jitter: never exceeded (default 32 s, so the longest delays are 24 s to 32 s).
    pub max: Duration,
}

impl Default for Backoff {
    fn default() -> Self {
        Self {
            min: Duration::from_secs(1),
            max: Duration::from_secs(32),
        }
    }
}

/// How often the gateway tries to connect before it gives up and closes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reconnect {
    /// Until it is closed.
    Forever,
    /// At most this many reconnects in a row after the first attempt; 0 means one attempt and no reconnect. A token
    /// refresh is not given up.
    Attempts(u32),
}

/// When a config or command at QoS 1 is acknowledged to the bridge; the acknowledgement confirms to the cloud that the
/// device has it.
///
/// Acknowledgements keep the order of the messages [MQTT-4.6.0-2], so a missing one holds back those of all devices,
/// and at [`max_unacknowledged`](Options::max_unacknowledged) of them the gateway pauses reading. After 5 s of either, the
/// deliveries of the devices at fault hold up nobody any more, as
/// [`AcknowledgementsOverdue`](crate::Event::AcknowledgementsOverdue) reports, nor do their next ones until one is
/// acknowledged. Those of a device that is detached never do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Acknowledge {
    /// With the state machine alone, as soon as its event is queued. With the driver, when it is taken from its `Messages`.
    /// While a device has none, or its messages were not taken in time, its commands are acknowledged on arrival, and the
    /// newest 64 are kept; its newest config is kept unacknowledged.
    #[default]
    Automatic,
    /// When [`Gateway::acknowledge`](crate::Gateway::acknowledge) is called; with the driver, `Message::acknowledge`.
    /// After it has held up other devices for 5 s, a command is acknowledged in your name, and a config is asked for again
    /// once you acknowledge it. [`Gateway::postpone`](crate::Gateway::postpone) does the same at once.
    Manual,
}
