//! What is asked of a disk.

use super::SegmentNumber;

/// One operation on the folder of a store, which holds one file for each segment and nothing else of the log's. The answer
/// is `handle_done`, `handle_read` or `handle_failed`, before the next one is polled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DiskOp<'a> {
    /// Creates a file of so many bytes, all written as zeros, so that later syncs need not write where it is. Replaces one
    /// with the same name. Need not be durable yet.
    Create {
        /// The new file.
        segment: SegmentNumber,
        /// Its size.
        bytes: u64,
    },
    /// Writes inside a file. Need not be durable yet.
    Write {
        /// The file.
        segment: SegmentNumber,
        /// Where the bytes go.
        offset: u64,
        /// The bytes.
        bytes: &'a [u8],
    },
    /// Makes all that was written to a file durable.
    Sync {
        /// The file.
        segment: SegmentNumber,
    },
    /// Makes the entries of the folder durable.
    SyncFolder,
    /// Renames a file; replaces one that has the new name. Need not be durable yet.
    Recycle {
        /// The old name.
        segment: SegmentNumber,
        /// The new name.
        to: SegmentNumber,
    },
    /// Deletes a file; succeeds if the file does not exist. Need not be durable yet.
    Delete {
        /// The file.
        segment: SegmentNumber,
    },
    /// Reads from a file. Fewer bytes are an answer only where the file ends.
    Read {
        /// The file.
        segment: SegmentNumber,
        /// Where to start.
        offset: u64,
        /// How many bytes.
        len: usize,
    },
}
