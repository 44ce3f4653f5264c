//! The numbers of segments, and the names of their files.

use core::{fmt, num::NonZeroU64};

const SUFFIX: &str = ".seg";
const DIGITS: usize = 16;

/// The number of a segment, which is also the name of its file. Higher numbers are newer.
///
/// ```
/// # use iotcore_gateway::store::SegmentNumber;
/// let number = SegmentNumber::from_file_name("00000000000000a7.seg").unwrap();
/// assert_eq!(number.as_u64(), 167);
/// assert_eq!(number.file_name(), "00000000000000a7.seg");
/// assert_eq!(SegmentNumber::from_file_name("lock"), None);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SegmentNumber(u64);

impl SegmentNumber {
    /// Returns the number of a file: 16 lower-case hexadecimal digits and `.seg`. `None` for any other name: such a file
    /// belongs to somebody else.
    #[must_use]
    pub fn from_file_name(name: &str) -> Option<Self> {
        let digits = name.strip_suffix(SUFFIX)?;
        let is_digit = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
        let is_number = digits.len() == DIGITS && digits.bytes().all(is_digit);
        is_number.then(|| u64::from_str_radix(digits, 16).ok().map(Self))?
    }

    /// Returns the name of its file.
    #[must_use]
    pub fn file_name(self) -> String {
        format!("{:016x}{SUFFIX}", self.0)
    }

    /// Returns the number.
    #[must_use]
    pub const fn as_u64(self) -> u64 {
        self.0
    }

    pub(crate) const fn from_u64(number: u64) -> Self {
        Self(number)
    }

    pub(crate) fn next(self) -> Option<Self> {
        self.0.checked_add(1).map(Self)
    }

    /// Returns the first number of an empty folder.
    pub(crate) const fn first() -> Self {
        Self(NonZeroU64::MIN.get())
    }
}

impl fmt::Display for SegmentNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
