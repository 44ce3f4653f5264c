//! The header of a segment: whose it is, and which one.

use super::padded;
use crate::store::SegmentNumber;

const MAGIC: [u8; 8] = *b"iotgwseg";

/// The format that is written and read here.
const VERSION: u32 = 1;

/// The bytes before the client id: the magic, the version and their checksum, which are the same in every version; then the
/// number, from where on all segments are unproven, which of those before are there, the size, and the length of the client id.
const FIXED: usize = 42 + PROVEN_BYTES;

/// The bytes that say which segments are there: one bit for each of the last ones that are proven.
const PROVEN_BYTES: usize = 32;

/// The bytes that hold any header: a client id has four parts of at most 255 bytes each.
pub const LONGEST_HEADER: usize = 4 * 1024;

/// A header that is intact and may be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    /// The segment's own number; another than that of its name if the file has been renamed since.
    pub(crate) number: SegmentNumber,
    /// All segments with smaller numbers were durable when this one was begun, if `proven` has them, or they are too far before it
    /// for that.
    pub(crate) proven_below: SegmentNumber,
    pub(crate) proven: Proven,
    /// The size of the file.
    pub(crate) size: u64,
}

impl Header {
    /// Returns whether a segment was durable when this one was begun. One that is too far before it is, unless it was set aside.
    pub(crate) fn is_proven(&self, number: SegmentNumber) -> bool {
        let before = self.proven_below.as_u64().checked_sub(number.as_u64());
        let before = before.and_then(|distance| distance.checked_sub(1));
        before.is_some_and(|before| before >= Proven::NUMBERS || self.proven.has(before))
    }
}

/// Which segments were there when one was begun, and proven. From then on, they go from the oldest on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Proven([u8; PROVEN_BYTES]);

impl Proven {
    /// How many numbers before `proven_below` it is about.
    pub(crate) const NUMBERS: u64 = 8 * PROVEN_BYTES as u64;

    /// Notes the segment that is so far before the first unproven one; those that are too far are left out.
    pub(crate) fn insert(&mut self, before: u64) {
        let at = usize::try_from(before / 8).unwrap_or(usize::MAX);
        if let Some(byte) = self.0.get_mut(at) {
            *byte |= 1 << (before % 8);
        }
    }

    pub(crate) fn has(&self, before: u64) -> bool {
        let at = usize::try_from(before / 8).unwrap_or(usize::MAX);
        let byte = self.0.get(at);
        byte.is_some_and(|byte| byte & 1 << (before % 8) != 0)
    }
}

/// Why there is no header to go by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum HeaderProblem {
    /// It is of a newer version: nothing else of the file can be read.
    Newer(u32),
    /// It is another client's.
    OtherClient(Box<str>),
    /// It is missing, or damaged.
    Unreadable,
}

/// Returns the bytes of a header with its padding.
pub(crate) fn header_len(client: &str) -> usize {
    padded(FIXED + client.len() + 4)
}

/// Replaces the content of `out` by a header.
pub(crate) fn write_header(out: &mut Vec<u8>, client: &str, header: Header) {
    out.clear();
    out.extend_from_slice(&MAGIC);
    out.extend_from_slice(&VERSION.to_le_bytes());
    out.extend_from_slice(&crc32fast::hash(out).to_le_bytes());
    let start = out.len();
    out.extend_from_slice(&header.number.as_u64().to_le_bytes());
    out.extend_from_slice(&header.proven_below.as_u64().to_le_bytes());
    out.extend_from_slice(&header.proven.0);
    out.extend_from_slice(&header.size.to_le_bytes());
    // A client id has four parts of at most 255 bytes each.
    out.extend_from_slice(&(client.len() as u16).to_le_bytes());
    out.extend_from_slice(client.as_bytes());
    let checksum = crc32fast::hash(out.get(start..).unwrap_or_default());
    out.extend_from_slice(&checksum.to_le_bytes());
    out.resize(header_len(client), 0);
}

/// Reads the header that a file of this client begins with.
pub(crate) fn read_header(bytes: &[u8], client: &str) -> Result<Header, HeaderProblem> {
    let (header, owner) = read_any_header(bytes)?;
    if owner != client {
        return Err(HeaderProblem::OtherClient(owner.into()));
    }
    Ok(header)
}

/// Reads the header that a file of any client begins with; returns it with its client.
pub(crate) fn read_any_header(bytes: &[u8]) -> Result<(Header, &str), HeaderProblem> {
    let version = read_version(bytes).ok_or(HeaderProblem::Unreadable)?;
    if version > VERSION {
        return Err(HeaderProblem::Newer(version));
    }
    read_rest(bytes).ok_or(HeaderProblem::Unreadable)
}

fn read_version(bytes: &[u8]) -> Option<u32> {
    let (covered, rest) = bytes.split_first_chunk::<12>()?;
    let version = covered.strip_prefix(&MAGIC)?.first_chunk()?;
    let checksum = u32::from_le_bytes(*rest.first_chunk()?);
    (crc32fast::hash(covered) == checksum).then(|| u32::from_le_bytes(*version))
}

fn read_rest(bytes: &[u8]) -> Option<(Header, &str)> {
    let fields = bytes.get(16..)?;
    let number = u64::from_le_bytes(*fields.first_chunk()?);
    let proven_below = u64::from_le_bytes(*fields.get(8..)?.first_chunk()?);
    let proven = Proven(*fields.get(16..)?.first_chunk()?);
    let size = u64::from_le_bytes(*fields.get(16 + PROVEN_BYTES..)?.first_chunk()?);
    let fixed = FIXED - 16;
    let len = u16::from_le_bytes(*fields.get(fixed - 2..)?.first_chunk()?);
    let (covered, rest) = fields.split_at_checked(fixed + usize::from(len))?;
    if crc32fast::hash(covered) != u32::from_le_bytes(*rest.first_chunk()?) {
        return None;
    }
    let client = core::str::from_utf8(covered.get(fixed..)?).ok()?;
    let header = Header {
        number: SegmentNumber::from_u64(number),
        proven_below: SegmentNumber::from_u64(proven_below),
        proven,
        size,
    };
    Some((header, client))
}
