//! The sizes of a log.

/// The smallest segment: a header with the longest client id, and some records.
const MIN_SEGMENT: u32 = 4 * 1024;
const MAX_SEGMENT: u32 = 64 * 1024 * 1024;

/// A log needs one segment to write to, one that is kept free for Removes, and one for what is written anew.
const MIN_SEGMENTS: u64 = 4;

/// The sizes of a [`SegmentLog`](super::SegmentLog), in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogOptions {
    /// The size of a segment, by default 4 MiB: at least 4 KiB, at most 64 MiB, a value outside counts as the nearest. A
    /// larger record gets a segment of its own, of its size.
    pub segment_bytes: u32,
    /// Limit on all files together, by default 1 GiB: at least four segments, less counts as that. Of this, twice the
    /// largest segment is not used for Puts, so that Removes and what is written anew always have room. A folder that holds
    /// more at the start, or so much that nothing could be written anew, may grow by two segments for that.
    pub max_bytes: u64,
}

impl Default for LogOptions {
    fn default() -> Self {
        Self {
            segment_bytes: 4 * 1024 * 1024,
            max_bytes: 1024 * 1024 * 1024,
        }
    }
}

impl LogOptions {
    /// Moves values that are out of their ranges into them.
    pub(crate) fn in_range(self) -> Self {
        let segment_bytes = self.segment_bytes.clamp(MIN_SEGMENT, MAX_SEGMENT);
        Self {
            segment_bytes,
            max_bytes: self.max_bytes.max(MIN_SEGMENTS * u64::from(segment_bytes)),
        }
    }
}
