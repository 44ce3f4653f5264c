//! Reads what a folder holds, at the start.

mod judging;
mod owner;
mod replay;
mod report;

use core::num::NonZeroU64;
use std::collections::BTreeSet;

pub use self::owner::read_owner;
pub use self::report::{Damage, OpenError, Recovered};
use self::{
    judging::Doubtful,
    replay::{Place, Replay},
};
use super::{
    DiskOp, LogOptions, SegmentLog, SegmentNumber, StoreFailure, StoredRecord,
    format::{Header, HeaderProblem, Kind, RECORD_HEADER, Seal, header_len, read_header, read_put},
    index::Slot,
    scan::Scan,
    segments::Segments,
};
use crate::id::ClientId;

/// The start of a [`SegmentLog`]: reads a folder, whatever is in it, and changes nothing.
///
/// Execute each operation of [`poll_disk`](Self::poll_disk), and take each record of [`poll_record`](Self::poll_record)
/// before the next operation; once there is neither, [`finish`](Self::finish) returns the log. All segments are read once to
/// find what lives, and once more, in the order of acceptance, to return it: of the payloads, only a chunk of 64 KiB is
/// held, or one larger record. Besides, it holds 12 bytes for each number between the first and the last, and up to 32 for
/// each Put that is found.
#[derive(Debug)]
pub struct Recovery {
    client: Box<str>,
    options: LogOptions,
    segments: Segments,
    phase: Phase,
    /// From where on nothing is relied on, and what was there before, by the last header.
    newest: Option<Header>,
    /// The files of which something could be read, or nothing because of the disk.
    present: BTreeSet<SegmentNumber>,
    /// Those that were written to under a higher number since.
    renamed: BTreeSet<SegmentNumber>,
    /// The last segment that was ever written to.
    last_used: Option<SegmentNumber>,
    /// The highest number in a header, under whatever name: that of a file whose new name was lost is not given again, because
    /// what was written to it under that would be valid then.
    highest_named: Option<SegmentNumber>,
    places: Vec<Place>,
    doubtful: Vec<Doubtful>,
    report: Recovered,
    refusal: Option<OpenError>,
}

#[derive(Debug)]
enum Phase {
    /// Reads a segment. Its header has not been read if `is_new`.
    Scan {
        place: u32,
        number: SegmentNumber,
        scan: Scan,
        is_new: bool,
        is_blank: bool,
        /// Whether the file had more bytes when it was begun.
        is_short: bool,
        /// The bytes that could not be read.
        unread: u64,
    },
    Replay(Replay),
}

impl Recovery {
    /// Starts with the files that are in the folder, with their sizes, in any order. `client` is whose the folder should be.
    #[must_use]
    pub fn new(
        client: &ClientId,
        options: LogOptions,
        files: impl IntoIterator<Item = (SegmentNumber, u64)>,
    ) -> Self {
        let mut files: Vec<_> = files.into_iter().collect();
        files.sort_unstable();
        files.dedup_by_key(|(number, _)| *number);
        let mut segments = Segments::default();
        for (number, size) in files {
            segments.push(number, size);
        }
        let mut recovery = Self {
            client: client.to_string().into(),
            options: options.in_range(),
            segments,
            phase: Phase::Replay(Replay::default()),
            newest: None,
            present: BTreeSet::new(),
            renamed: BTreeSet::new(),
            last_used: None,
            highest_named: None,
            places: Vec::new(),
            doubtful: Vec::new(),
            report: Recovered::default(),
            refusal: None,
        };
        recovery.next_segment(0);
        recovery
    }

    /// Returns the next operation, a [`DiskOp::Read`]. `None` once all is read or the folder is refused, and while
    /// [`poll_record`](Self::poll_record) has a record.
    #[must_use]
    pub fn poll_disk(&self) -> Option<DiskOp<'_>> {
        if self.refusal.is_some() {
            return None;
        }
        let (segment, offset, len) = match &self.phase {
            Phase::Scan {
                number,
                scan,
                is_new: true,
                ..
            } => {
                let wanted = scan.wanted().map_or(0, |(_, len)| len);
                (*number, 0, header_len(&self.client) + wanted)
            }
            Phase::Scan { number, scan, .. } => {
                let (offset, len) = scan.wanted()?;
                (*number, offset, len)
            }
            Phase::Replay(replay) => replay.wanted(&self.segments)?,
        };
        Some(DiskOp::Read {
            segment,
            offset: offset.into(),
            len,
        })
    }

    /// Takes the bytes that were asked for.
    pub fn handle_read(&mut self, bytes: &[u8]) {
        match &mut self.phase {
            Phase::Scan {
                place,
                number,
                is_new,
                is_blank,
                is_short,
                ..
            } => {
                let mut rest = bytes;
                if core::mem::take(is_new) {
                    let number = *number;
                    let size = self.segments.get(*place);
                    if size.is_some_and(|segment| segment.capacity < bytes.len() as u64) {
                        // Its size was not known: there is more than is read.
                        self.segments.set_aside(*place);
                    }
                    *is_blank = bytes.iter().all(|byte| *byte == 0);
                    let header = read_header(bytes, &self.client);
                    let named = header.as_ref().ok().map(|header| header.number);
                    self.highest_named = self.highest_named.max(named);
                    match header {
                        Ok(header) if header.number == number => {
                            let segment = self.segments.get(*place);
                            *is_short =
                                segment.is_some_and(|segment| segment.capacity < header.size);
                            self.newest = Some(header);
                            self.last_used = Some(number);
                        }
                        // It was renamed, and nothing was written since: what is in it is gone.
                        Ok(header) => {
                            *is_blank = true;
                            if header.number > number {
                                self.renamed.insert(number);
                            }
                            return self.end_segment();
                        }
                        Err(HeaderProblem::Unreadable) => {}
                        Err(HeaderProblem::Newer(version)) => {
                            self.refusal = Some(OpenError::NewerVersion { version });
                            return;
                        }
                        Err(HeaderProblem::OtherClient(client)) => {
                            self.refusal = Some(OpenError::OtherClient { client });
                            return;
                        }
                    }
                    rest = bytes.get(header_len(&self.client)..).unwrap_or_default();
                }
                self.feed(rest);
                self.end_segment_if_over();
            }
            Phase::Replay(replay) => replay.read(bytes),
        }
    }

    /// Takes the failure of a read. What could not be read counts as damaged, and its file is set aside: it is not touched any
    /// more, and read again at the next start. Only for errors of that file or the medium: with any other, end the start.
    pub fn handle_failed(&mut self, _failure: &StoreFailure) {
        match &mut self.phase {
            Phase::Scan {
                place,
                scan,
                is_new,
                unread,
                ..
            } => {
                *is_new = false;
                *unread += scan.wanted().map_or(0, |(_, len)| len as u64);
                self.segments.set_aside(*place);
                scan.skip();
                self.end_segment_if_over();
            }
            Phase::Replay(replay) => {
                let Some(place) = replay.skip() else {
                    return;
                };
                let segment = self.segments.get(place);
                if segment.is_some_and(|segment| !segment.is_set_aside) {
                    self.report.damaged.places += 1;
                }
                self.segments.set_aside(place);
            }
        }
    }

    /// Returns the next record that lives, in the order of acceptance. `None` while another operation is needed for it.
    pub fn poll_record(&mut self) -> Option<StoredRecord> {
        let Phase::Replay(replay) = &mut self.phase else {
            return None;
        };
        if self.refusal.is_some() {
            return None;
        }
        let record = replay.next(&self.client, &mut self.segments, &mut self.report.damaged)?;
        self.report.records += 1;
        Some(record)
    }

    /// Returns the log, and what was found. It is opened whatever the folder holds, unless it is refused.
    ///
    /// # Errors
    ///
    /// The folder is another client's or of a newer version, which nothing can be done about here: nothing was changed. Or
    /// not all has been read yet, which is the caller's fault.
    pub fn finish(mut self) -> Result<(SegmentLog, Recovered), OpenError> {
        if let Some(refusal) = self.refusal {
            return Err(refusal);
        }
        match &self.phase {
            Phase::Replay(replay) if replay.is_over() => {}
            _ => return Err(OpenError::Unfinished),
        }
        self.find_missing();
        let least = header_len(&self.client) + RECORD_HEADER;
        let newest = self.newest;
        self.segments.distrust(least as u64, |number| {
            newest.is_some_and(|header| header.is_proven(number))
        });
        self.report.set_aside = self.segments.iter().count() - self.segments.iter_ours().count();
        let last = self.leave_foreign();
        self.judge_damage();
        let mut last_used = self.last_used;
        if self.report.set_aside > 0 {
            self.report.skip_unread(last);
            // What is written from now on is in files with higher numbers than those that this was derived from.
            last_used = last;
        }
        let log = SegmentLog::recovered(self.client, self.options, self.segments, last_used, last);
        Ok((log, self.report))
    }

    /// Reads the segment at this place, or starts to return the records.
    fn next_segment(&mut self, place: u32) {
        self.phase = match self.segments.get(place) {
            Some(segment) => {
                let seal = Seal::new(&self.client, segment.number);
                Phase::Scan {
                    place,
                    number: segment.number,
                    scan: Scan::new(seal, header_len(&self.client), segment.capacity),
                    is_new: true,
                    is_blank: false,
                    is_short: false,
                    unread: 0,
                }
            }
            None => {
                let places = core::mem::take(&mut self.places);
                Phase::Replay(Replay::new(places, &self.segments))
            }
        };
    }

    fn feed(&mut self, bytes: &[u8]) {
        let Self {
            phase,
            segments,
            places,
            report,
            ..
        } = self;
        let Phase::Scan { place, scan, .. } = phase else {
            return;
        };
        scan.feed(bytes, |header, offset, record| {
            let Some(seq) = NonZeroU64::new(header.seq) else {
                return;
            };
            report.highest_seq = report.highest_seq.max(Some(seq.into()));
            if header.kind == Kind::Remove {
                segments.remove(header.seq);
                return;
            }
            let Some(fields) = read_put(header.flags, record) else {
                report.damaged.add(u64::from(header.len));
                return;
            };
            report.highest_accepted = report.highest_accepted.max(Some(fields.accepted));
            let slot = Slot {
                segment: *place,
                offset,
                len: header.len,
            };
            segments.put(header.seq, slot);
            places.push(Place {
                accepted: fields.accepted,
                seq,
                slot,
            });
        });
    }

    fn end_segment_if_over(&mut self) {
        if let Phase::Scan { scan, .. } = &self.phase
            && scan.wanted().is_none()
        {
            self.end_segment();
        }
    }

    fn end_segment(&mut self) {
        let replay = Phase::Replay(Replay::default());
        let phase = core::mem::replace(&mut self.phase, replay);
        let Phase::Scan {
            place,
            number,
            scan,
            is_blank,
            is_short,
            unread,
            ..
        } = phase
        else {
            return;
        };
        let scanned = scan.into_result();
        if scanned.has_content {
            self.last_used = Some(number);
        }
        let is_set_aside = self
            .segments
            .get(place)
            .is_some_and(|segment| segment.is_set_aside);
        if is_set_aside || self.last_used == Some(number) {
            self.present.insert(number);
        }
        if is_set_aside {
            self.report.damaged.add(unread);
        } else if self.last_used == Some(number) {
            self.count_damage(number, &scanned, is_short);
        } else if !is_blank {
            let size = self
                .segments
                .get(place)
                .map_or(0, |segment| segment.capacity);
            self.doubtful.push(Doubtful {
                number,
                all: Damage {
                    places: 1,
                    bytes: size,
                },
                in_front: Damage::default(),
            });
        }
        self.next_segment(place + 1);
    }
}
