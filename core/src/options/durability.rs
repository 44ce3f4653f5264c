//! What is kept in a store, from when on, and what happens if it cannot be.

use crate::time::Duration;

/// What is reserved in the store for a publication besides its payload, its subfolder and its tag: a record with the
/// longest device id.
pub(crate) const RECORD_OVERHEAD: usize = 320;

/// The longest subfolder and tag, in bytes.
const LONGEST_NAMES: usize = 1_024 + 64;

/// Which publications are kept in a store, so that they survive the end of the process, and a power cut. Those at QoS 0
/// never are.
///
/// A deadline ([`Publication::expires_after`](crate::Publication::expires_after)) is kept as a date. If the machine's date is not known
/// when the publication is put, or is before 2020, it is kept without, and does not expire after a restart: it is delivered late
/// rather than dropped in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Durability {
    /// How long a publication may wait for its acknowledgement before it is put into the store, up to 7 days; while there
    /// is no connection, it is put at once. `None` (default) is memory only for the state machine by itself: nothing is put, and
    /// nothing can be restored; a driver that is given a store with `Setup::store` takes it for 1 s.
    ///
    /// What the bridge acknowledges meanwhile is never written: with 1 s, a healthy link writes nothing. Until then a
    /// publication is lost with the process. With zero it is put at once, in groups.
    pub linger: Option<Duration>,
    /// Maximum that the store may hold, in bytes (default 64 MiB): each publication at QoS 1 that has not ended reserves
    /// its payload, its subfolder, its tag and 320 bytes. With none left, publications are refused as blocked, as in a full
    /// queue. The store does not extend the queues: what it holds is in memory too.
    pub max_bytes: usize,
    /// What happens to new publications while the store cannot be written.
    pub on_failure: OnStoreFailure,
}

impl Durability {
    /// Returns what a publication reserves at most whose payload has so many bytes.
    pub(crate) const fn largest_record(largest_payload: usize) -> usize {
        largest_payload + RECORD_OVERHEAD + LONGEST_NAMES
    }
}

impl Default for Durability {
    fn default() -> Self {
        Self {
            linger: None,
            max_bytes: 64 * 1024 * 1024,
            on_failure: OnStoreFailure::Refuse,
        }
    }
}

/// What happens to new publications at QoS 1 while the store cannot be written, as
/// [`Event::StoreFailed`](crate::Event::StoreFailed) reports. It is tried again with [`Options::backoff`](crate::Options);
/// [`Event::StoreRecovered`](crate::Event::StoreRecovered) follows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnStoreFailure {
    /// They are refused as
    /// [`PublishErrorKind::StoreFailed`](crate::command_error::PublishErrorKind::StoreFailed).
    #[default]
    Refuse,
    /// They are accepted, and put once the store can be written again.
    Memory,
}
