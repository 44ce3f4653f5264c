//! The options of the store.

use std::{path::PathBuf, time::Duration};

use clap::{Args, ValueEnum, value_parser};
use iotcore_gateway_tokio::{
    error::StoreError,
    options::{Durability, OnStoreFailure},
    store::{LogOptions, SegmentStore},
};

/// The limit of the files above that of the messages: of both, so many parts more, because a segment is not filled to its last
/// byte, and what is removed takes room until its segment is given back; and so many segments more, which are kept free.
const SPARE_PARTS: u64 = 4;
const SPARE_SEGMENTS: u64 = 4;

#[derive(Debug, Args)]
pub(super) struct StoreOptions {
    /// The folder that keeps messages until the bridge has them, over a restart and a power cut
    ///
    /// It is created if it does not exist; each gateway needs one of its own. What it holds at the start goes out first
    #[arg(long, env = "IOTCORE_STORE", value_name = "FOLDER")]
    store: Option<PathBuf>,

    /// How long a message may wait for its acknowledgement before it is stored, if there is a connection; 0 to 604800000
    ///
    /// With 0 each is stored at once. With 1000, a healthy connection writes nothing to the disk, and a crash loses what is
    /// younger than that and not acknowledged: the event `stored` tells what it cannot lose
    #[arg(long, env = "IOTCORE_STORE_LINGER", value_name = "MS", default_value_t = 1_000, requires = "store",
          value_parser = value_parser!(u32).range(..=604_800_000))]
    store_linger: u32,

    /// The number of bytes that messages may take in the store, above which further ones wait; at least 1048576
    ///
    /// Each takes its payload, subfolder and tag, and 320 bytes. The files may have a quarter more, and 16 MiB
    #[arg(long, env = "IOTCORE_STORE_LIMIT", value_name = "BYTES", default_value_t = 64 * 1024 * 1024, requires = "store",
          value_parser = value_parser!(u64).range(1_048_576..=1_099_511_627_776))]
    store_limit: u64,

    /// What happens to new messages while the store cannot be written: they fail, or are accepted into memory only
    ///
    /// The event `store_failed` says so in either case. What is in memory is stored as soon as that works; a crash before
    /// loses it
    #[arg(
        long,
        env = "IOTCORE_STORE_FAILURE",
        value_name = "WHAT",
        default_value = "refuse",
        requires = "store"
    )]
    store_failure: StoreFailure,
}

/// What happens to new messages while the store cannot be written.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum StoreFailure {
    /// They fail, `store_failed`
    Refuse,
    /// They are accepted, and kept in memory only
    Memory,
}

impl StoreOptions {
    pub(super) fn is_given(&self) -> bool {
        self.store.is_some()
    }

    /// Returns from when on, and how much, is stored.
    pub(super) fn durability(&self) -> Durability {
        let mut durability = Durability::default();
        if self.is_given() {
            durability.linger = Some(Duration::from_millis(self.store_linger.into()));
            durability.on_failure = match self.store_failure {
                StoreFailure::Refuse => OnStoreFailure::Refuse,
                StoreFailure::Memory => OnStoreFailure::Memory,
            };
            durability.max_bytes = usize::try_from(self.store_limit).unwrap_or(usize::MAX);
        }
        durability
    }

    /// Opens the store, if there is one.
    pub(super) fn open(&self) -> Result<Option<SegmentStore>, StoreError> {
        let Some(folder) = &self.store else {
            return Ok(None);
        };
        let mut options = LogOptions::default();
        let spare = SPARE_SEGMENTS * u64::from(options.segment_bytes);
        options.max_bytes = self.store_limit + self.store_limit / SPARE_PARTS + spare;
        Ok(Some(SegmentStore::open(folder)?.options(options)))
    }
}
