//! The user's own names for publications.

use core::{error::Error, fmt, str::FromStr};
use std::sync::Arc;

/// Maximum length of a tag, in bytes.
const MAX_TAG_BYTES: usize = 64;

/// The user's own name for a publication: any text of at most 64 bytes. It is not sent; it comes back with what failed
/// or is unsent ([`Unsent::tag`](crate::message::Unsent::tag)). Cheap to clone.
///
/// ```
/// # use iotcore_gateway::message::Tag;
/// let tag: Tag = "reading 17".parse()?;
/// assert_eq!(tag.as_str(), "reading 17");
/// assert_eq!(Tag::try_from("é".repeat(33)).unwrap_err().len(), 66);
/// # Ok::<(), iotcore_gateway::message::TagError>(())
/// ```
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tag(Arc<str>);

impl Tag {
    /// Returns the text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<&str> for Tag {
    type Error = TagError;

    fn try_from(text: &str) -> Result<Self, TagError> {
        match text.len() {
            ..=MAX_TAG_BYTES => Ok(Self(text.into())),
            len => Err(TagError { len }),
        }
    }
}

impl TryFrom<String> for Tag {
    type Error = TagError;

    fn try_from(text: String) -> Result<Self, TagError> {
        Self::try_from(text.as_str())
    }
}

impl FromStr for Tag {
    type Err = TagError;

    fn from_str(text: &str) -> Result<Self, TagError> {
        Self::try_from(text)
    }
}

impl fmt::Display for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Debug for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Tag({:?})", self.as_str())
    }
}

/// A tag is too long: an error of the caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TagError {
    len: usize,
}

impl TagError {
    /// Returns its length, in bytes.
    #[must_use]
    #[expect(clippy::len_without_is_empty, reason = "it is never empty")]
    pub const fn len(&self) -> usize {
        self.len
    }
}

impl fmt::Display for TagError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { len } = self;
        write!(
            f,
            "the tag has {len} bytes: it may have at most {MAX_TAG_BYTES}"
        )
    }
}

impl Error for TagError {}
