//! The options of a life, drawn.

use core::time::Duration;

use iotcore_gateway::{
    Options,
    options::{Durability, OnStoreFailure, Overflow, QueueLimit, Reconnect},
    store::LogOptions,
};

use crate::random::Random;

/// The largest payload, in bytes.
pub(super) const LARGEST: usize = 3_000;

/// What stays the same over all lives of a seed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Setup {
    pub(super) has_store: bool,
    pub(super) log: LogOptions,
    /// The bridge takes everything in order, and loses nothing.
    pub(super) is_orderly: bool,
    /// The disk may be damaged.
    pub(super) flips: bool,
    /// Whether reads fail, too.
    pub(super) reads_fail: bool,
}

impl Setup {
    pub(super) fn draw(random: &mut Random) -> Self {
        let segment_bytes = random.pick(&[4, 4, 8, 16, 64]) * 1_024;
        Self {
            has_store: !random.percent(3),
            log: LogOptions {
                segment_bytes,
                max_bytes: u64::from(segment_bytes) * random.pick(&[4, 8, 30, 1_000, 1_000]),
            },
            is_orderly: random.percent(50),
            flips: random.percent(20),
            reads_fail: random.percent(10),
        }
    }

    /// Returns the options of the next life.
    pub(super) fn options(&self, random: &mut Random) -> Options {
        let mut options = Options::default();
        let millis = random.pick(&[0, 0, 20, 150, 1_000, 1_000, 20_000]);
        options.quota.max_telemetry_bytes = LARGEST;
        options.quota.max_state_bytes = LARGEST;
        options.durability = Durability {
            linger: self.has_store.then_some(Duration::from_millis(millis)),
            max_bytes: random.pick(&[5_000, 12_000, 60_000, 64 << 20, 64 << 20]),
            on_failure: random.pick(&[OnStoreFailure::Refuse, OnStoreFailure::Memory]),
        };
        options.overflow = random.pick(&[Overflow::Reject, Overflow::DropOldest]);
        options.device_queue = QueueLimit {
            messages: random.pick(&[3, 10, 1_000]),
            bytes: random.pick(&[LARGEST, 10_000, 1 << 20]),
        };
        options.total_queue.messages = random.pick(&[8, 40, 100_000, 100_000]);
        options.device_window = random.pick(&[1, 5, 100, 100]);
        options.window = random.pick(&[1, 10, 100, 100]);
        options.drain_timeout = Duration::from_millis(random.pick(&[50, 500, 10_000]));
        if random.percent(4) {
            options.reconnect = Reconnect::Attempts(random.below(3) as u32);
        }
        options
    }

    /// Returns the options of the life in which all is calm.
    pub(super) fn calm_options(&self, linger: Duration) -> Options {
        let mut options = Options::default();
        options.quota.max_telemetry_bytes = LARGEST;
        options.quota.max_state_bytes = LARGEST;
        options.durability.linger = self.has_store.then_some(linger);
        options
    }
}
