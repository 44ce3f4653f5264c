//! What has happened on a disk.

/// What has happened on a disk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DiskCounts {
    /// Operations that were executed or failed.
    pub operations: u64,
    /// Syncs of files.
    pub syncs: u64,
    /// Bytes that were written to the device: whole pages, at each sync.
    pub device_bytes: u64,
    /// Operations that failed, also syncs.
    pub failed: u64,
    /// Syncs of files that failed.
    pub failed_syncs: u64,
    /// Power cuts.
    pub power_cuts: u64,
    /// Pages that were lost, also by syncs that failed.
    pub lost_pages: u64,
    /// Pages of which a part was lost.
    pub torn_pages: u64,
    /// Changes of entries that were lost.
    pub lost_entries: u64,
    /// Flipped bits.
    pub flipped_bits: u64,
}

impl DiskCounts {
    /// Adds those of another disk.
    pub fn add(&mut self, other: &Self) {
        self.operations += other.operations;
        self.syncs += other.syncs;
        self.device_bytes += other.device_bytes;
        self.failed += other.failed;
        self.failed_syncs += other.failed_syncs;
        self.power_cuts += other.power_cuts;
        self.lost_pages += other.lost_pages;
        self.torn_pages += other.torn_pages;
        self.lost_entries += other.lost_entries;
        self.flipped_bits += other.flipped_bits;
    }
}
