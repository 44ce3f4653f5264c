//! Reads the records of a segment one after the other, past damage.

use super::format::{BEGINS_WRITE, Kind, RECORD_HEADER, RecordHeader, Seal};

/// How much is read at once, unless a record is larger.
pub(crate) const CHUNK: usize = 64 * 1024;

/// The smallest distance between the beginnings of two records.
const STEP: u32 = 4;

/// A pass over one segment. Asks for its bytes, a chunk at a time, and takes the records out of them.
#[derive(Debug)]
pub(crate) struct Scan {
    seal: Seal,
    /// Where the next record begins, or the search for it goes on.
    at: u32,
    /// The end of the file.
    size: u32,
    /// How much is needed at `at`.
    wanted: usize,
    /// Whether a record is expected at `at`: otherwise one is searched for.
    is_expected: bool,
    /// Where damage began, whose end is not found yet.
    gap: Option<u32>,
    result: Scanned,
    is_over: bool,
}

/// What a pass has found besides records.
#[derive(Debug, Default)]
pub(crate) struct Scanned {
    /// Damage that has a record or the end behind it: where, and how many bytes.
    pub(crate) gaps: Vec<(u32, u32)>,
    /// Whether there is any record, or the end.
    pub(crate) has_content: bool,
    /// Where the last write began, if its end was found.
    pub(crate) last_write: Option<u32>,
    /// Where the last write begins whose first record was found.
    pub(crate) last_begin: Option<u32>,
}

impl Scan {
    /// Starts behind the header.
    pub(crate) fn new(seal: Seal, header_len: usize, size: u64) -> Self {
        let size = u32::try_from(size).unwrap_or(u32::MAX);
        let mut scan = Self {
            seal,
            at: header_len as u32,
            size,
            wanted: CHUNK,
            is_expected: true,
            gap: None,
            result: Scanned::default(),
            is_over: false,
        };
        scan.check_end();
        scan
    }

    /// Returns which bytes are needed, from where on and how many; `None` once the pass is over. There may be fewer at the
    /// end of the file.
    pub(crate) fn wanted(&self) -> Option<(u32, usize)> {
        let left = (self.size - self.at.min(self.size)) as usize;
        (!self.is_over).then(|| (self.at, self.wanted.min(left)))
    }

    /// Takes the records out of the bytes that were asked for.
    pub(crate) fn feed(
        &mut self,
        bytes: &[u8],
        mut on_record: impl FnMut(&RecordHeader, u32, &[u8]),
    ) {
        let Some((start, wanted)) = self.wanted() else {
            return;
        };
        if bytes.len() < wanted {
            self.size = start + bytes.len() as u32;
        }
        self.check_end();
        while !self.is_over {
            let rest = bytes.get((self.at - start) as usize..).unwrap_or_default();
            if rest.len() < RECORD_HEADER {
                self.wanted = CHUNK;
                return;
            }
            let header = self.seal.read_header(rest);
            match header.filter(|header| header.len <= self.size - self.at) {
                None => self.search(STEP),
                Some(header) => match rest.get(..header.len as usize) {
                    None => {
                        self.wanted = CHUNK.max(header.len as usize);
                        return;
                    }
                    Some(record) if !self.seal.is_valid(record) => {
                        let is_expected = self.is_expected;
                        let step = if is_expected {
                            header.occupied() as u32
                        } else {
                            STEP
                        };
                        self.search(step);
                        // Its length is intact.
                        self.is_expected = is_expected;
                    }
                    Some(record) => {
                        self.found(&header);
                        if !self.is_over {
                            on_record(&header, self.at, record);
                            self.advance(header.occupied() as u32);
                        }
                    }
                },
            }
        }
    }

    /// Leaves out the bytes that were asked for: they cannot be read.
    pub(crate) fn skip(&mut self) {
        if let Some((_, wanted)) = self.wanted() {
            self.search((wanted as u32).next_multiple_of(STEP));
            self.wanted = CHUNK;
        }
    }

    pub(crate) fn into_result(self) -> Scanned {
        self.result
    }

    fn found(&mut self, header: &RecordHeader) {
        self.result.has_content = true;
        self.is_expected = true;
        if let Some(start) = self.gap.take() {
            self.result.gaps.push((start, self.at - start));
        }
        if header.flags & BEGINS_WRITE != 0 {
            self.result.last_begin = Some(self.at);
        }
        if header.kind == Kind::End {
            self.result.last_write = Some(u32::try_from(header.seq).unwrap_or(u32::MAX));
            self.is_over = true;
        }
    }

    fn search(&mut self, step: u32) {
        self.gap.get_or_insert(self.at);
        self.is_expected = false;
        self.advance(step);
    }

    fn advance(&mut self, step: u32) {
        self.at = self.at.saturating_add(step);
        self.check_end();
    }

    fn check_end(&mut self) {
        let left = self.size.saturating_sub(self.at) as usize;
        self.is_over |= left < RECORD_HEADER;
    }
}
