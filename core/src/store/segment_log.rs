//! The log: takes operations in, and asks a disk for what makes them durable.

mod copying;
mod doomed;
mod group;
mod report;
mod room;
mod upkeep;
mod writing;

use std::collections::VecDeque;

pub use self::report::{LogEvent, LogStats};
use self::{copying::Copying, doomed::Doomed, group::Group, writing::Tail};
use super::{
    DiskOp, LogOptions, RecordTooLarge, SegmentNumber, StoreFailure, StoreOp, StoreSeq,
    format::{append_put, append_remove},
    segments::{Segments, Trust},
};

/// So many files are always there for what must be possible on a full disk: Removes, and what is written anew to give
/// segments back. No Put is written unless they are there afterwards.
const RESERVE: usize = 2;

/// How many files are kept for later: the reserve, one for what comes next, and one because two are reclaimed at once after an
/// old record was written anew.
const SPARES: usize = RESERVE + 2;

/// The memory that a buffer keeps, once more was needed for an exceptional group.
const ALWAYS_KEPT: usize = 1024 * 1024;

/// Keeps records on a disk: takes the operations of a gateway, and asks for those of a disk, one at a time.
///
/// It is made by [`Recovery`](super::Recovery), also in an empty folder. Nothing is executed here: see the example of
/// [`store`](crate::store). One folder has one log at a time, which is up to the caller (a lock file, which is not a segment).
///
/// Memory: 12 bytes for each number from the first record that lives to the last, at most four times 12 bytes for each record
/// that lives and 40 bytes for each old one beside them; the operations since the last Commit and those of the Commit under
/// way, with 32 to 63 bytes for each beside its texts and payload; 64 KiB or one record while records are written anew, and
/// up to one segment of them; 1 MiB that buffers keep.
#[derive(Debug)]
pub struct SegmentLog {
    client: Box<str>,
    options: LogOptions,
    /// Limit on the bytes of all files, but for Puts, which keep to that of the options.
    limit: u64,
    segments: Segments,
    /// Files for later, by number. Nothing in them is valid.
    spares: VecDeque<SegmentNumber>,
    /// The number of the next new file. `None` once no number is left: only a folder that somebody made up gets there.
    next_number: Option<SegmentNumber>,
    /// The highest number of a segment that is no spare.
    newest: Option<SegmentNumber>,
    tail: Option<Tail>,
    /// What was applied and is not being written yet.
    gathered: Vec<u8>,
    gathered_puts: bool,
    /// The Commit that waits.
    commit: Option<StoreSeq>,
    /// What is being written.
    group: Group,
    /// Whose records are being written anew.
    copying: Option<Copying>,
    step: Step,
    /// Whether entries of the folder are not durable yet.
    folder_dirty: bool,
    /// The lowest number of a file that was of no use, and may come back if the power is cut now.
    returning: Option<SegmentNumber>,
    /// Whether upkeep has failed, and waits for the next Commit.
    is_upkeep_paused: bool,
    /// How many more segments may be written anew to make room for the Commit.
    squeezes: usize,
    /// Why no file could be created for the Commit that waits.
    no_file: Option<StoreFailure>,
    /// What the Commit that waits removes, once there was no room for it.
    doomed: Option<Doomed>,
    /// Why the Commit fails once what it removes is durable.
    verdict: Option<StoreFailure>,
    /// A file that could not be created as a whole.
    leftover: Option<SegmentNumber>,
    /// The segment of which reads have failed since records were last written anew, and how often.
    read_failures: Option<(u32, u32)>,
    /// The segment that upkeep could not read. It is read again once the next one is begun, so that not each Commit waits for
    /// that.
    unread_head: Option<SegmentNumber>,
    lost: u64,
    events: VecDeque<LogEvent>,
}

/// The operation that the disk is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Idle,
    Create {
        segment: SegmentNumber,
        bytes: u64,
    },
    CreateSpare {
        segment: SegmentNumber,
    },
    WriteHeader,
    WriteRecords,
    WriteEnd,
    Sync,
    /// In the middle of a write, or as upkeep.
    SyncFolder {
        is_upkeep: bool,
    },
    Read,
    Recycle {
        place: u32,
        segment: SegmentNumber,
        to: SegmentNumber,
    },
    DeleteSegment {
        place: u32,
        segment: SegmentNumber,
    },
    DeleteSpare {
        segment: SegmentNumber,
    },
    DeleteLeftover {
        segment: SegmentNumber,
    },
}

impl SegmentLog {
    pub(crate) fn recovered(
        client: Box<str>,
        options: LogOptions,
        segments: Segments,
        last_used: Option<SegmentNumber>,
        last: Option<SegmentNumber>,
    ) -> Self {
        let mut log = Self {
            client,
            options,
            limit: options.max_bytes,
            spares: VecDeque::new(),
            next_number: last.map_or(Some(SegmentNumber::first()), SegmentNumber::next),
            newest: None,
            segments,
            tail: None,
            gathered: Vec::new(),
            gathered_puts: false,
            commit: None,
            group: Group::default(),
            copying: None,
            step: Step::Idle,
            // A process that was killed may have changed them.
            folder_dirty: true,
            returning: None,
            is_upkeep_paused: false,
            squeezes: 0,
            no_file: None,
            doomed: None,
            verdict: None,
            leftover: None,
            read_failures: None,
            unread_head: None,
            lost: 0,
            events: VecDeque::new(),
        };
        log.take_spares(last_used, last);
        // The limit may have been higher before, or the power was cut while records were written anew.
        let largest = log.largest();
        log.limit = log
            .limit
            .max(log.bytes_in_use().saturating_add(2 * largest));
        log.next();
        log
    }

    /// Takes the next operation of the gateway. A [`StoreOp::Commit`] is answered by an event; one that comes before that is
    /// answered together with it.
    ///
    /// # Errors
    ///
    /// The payload is larger than any quota allows: an error of the caller. Nothing has changed.
    pub fn apply(&mut self, op: StoreOp<'_>) -> Result<(), RecordTooLarge> {
        match op {
            StoreOp::Put { seq, record } => {
                append_put(&mut self.gathered, seq.into(), &record)?;
                self.gathered_puts = true;
            }
            StoreOp::Remove { seq } => append_remove(&mut self.gathered, seq.into()),
            StoreOp::Commit { through } => {
                self.commit = self.commit.max(Some(through));
                self.is_upkeep_paused = false;
                self.squeezes = self.segments.iter().count();
                if self.step == Step::Idle {
                    self.next();
                }
            }
        }
        Ok(())
    }

    /// Returns the operation that the disk has to execute, the same until its answer comes. `None` while there is nothing to
    /// do.
    #[must_use]
    pub fn poll_disk(&self) -> Option<DiskOp<'_>> {
        Some(match self.step {
            Step::Idle => return None,
            Step::Create { segment, bytes } => DiskOp::Create { segment, bytes },
            Step::CreateSpare { segment } => DiskOp::Create {
                segment,
                bytes: self.segment_bytes(),
            },
            Step::WriteHeader | Step::WriteRecords | Step::WriteEnd => {
                let (segment, offset, bytes) = self.pending_write()?;
                DiskOp::Write {
                    segment,
                    offset,
                    bytes,
                }
            }
            Step::Sync => DiskOp::Sync {
                segment: self.tail.as_ref()?.number(),
            },
            Step::SyncFolder { .. } => DiskOp::SyncFolder,
            Step::Read => {
                let (segment, offset, len) = self.copying.as_ref()?.wanted()?;
                DiskOp::Read {
                    segment,
                    offset,
                    len,
                }
            }
            Step::Recycle { segment, to, .. } => DiskOp::Recycle { segment, to },
            Step::DeleteSegment { segment, .. }
            | Step::DeleteSpare { segment }
            | Step::DeleteLeftover { segment } => DiskOp::Delete { segment },
        })
    }

    /// Records that the operation was executed. Ignored if nothing was asked for, or if it was a read.
    pub fn handle_done(&mut self) {
        match self.step {
            Step::Idle | Step::Read => {}
            Step::Create { segment, bytes } => self.created(segment, bytes),
            Step::CreateSpare { segment } => self.spare_created(segment),
            Step::WriteHeader => self.header_written(),
            Step::WriteRecords => self.step = Step::WriteEnd,
            Step::WriteEnd => self.step = Step::Sync,
            Step::Sync if self.folder_dirty => self.step = Step::SyncFolder { is_upkeep: false },
            Step::Sync => self.part_durable(),
            Step::SyncFolder { is_upkeep } => {
                self.folder_dirty = false;
                self.returning = None;
                match is_upkeep {
                    true => self.next(),
                    false => self.part_durable(),
                }
            }
            Step::Recycle { place, to, .. } => {
                self.spares.push_back(to);
                self.next_number = to.next();
                self.retired(place);
            }
            Step::DeleteSegment { place, .. } => self.retired(place),
            Step::DeleteSpare { segment } => {
                self.spares.retain(|spare| *spare != segment);
                self.may_come_back(segment);
                self.next();
            }
            Step::DeleteLeftover { .. } => {
                self.leftover = None;
                self.next();
            }
        }
    }

    /// Takes the bytes that a [`DiskOp::Read`] asked for. Ignored if that was not the operation.
    pub fn handle_read(&mut self, bytes: &[u8]) {
        if self.step == Step::Read {
            self.copy_records(bytes);
        }
    }

    /// Records that the operation failed, whether or not a part of it was done.
    pub fn handle_failed(&mut self, failure: StoreFailure) {
        match self.step {
            Step::Idle => {}
            Step::Read => self.read_failed(failure),
            Step::Create { segment, .. } => {
                self.leftover = Some(segment);
                self.create_failed(failure);
            }
            Step::CreateSpare { segment } => {
                self.leftover = Some(segment);
                self.no_file = Some(failure);
                self.next();
            }
            Step::WriteHeader
            | Step::WriteRecords
            | Step::WriteEnd
            | Step::Sync
            | Step::SyncFolder { is_upkeep: false } => {
                self.abandon_tail();
                self.fail_group(failure);
            }
            Step::DeleteLeftover { .. } => {
                self.leftover = None;
                self.next();
            }
            Step::SyncFolder { is_upkeep: true }
            | Step::Recycle { .. }
            | Step::DeleteSegment { .. }
            | Step::DeleteSpare { .. } => {
                self.is_upkeep_paused = true;
                self.next();
            }
        }
    }

    /// Returns the next event.
    pub fn poll_event(&mut self) -> Option<LogEvent> {
        self.events.pop_front()
    }

    /// Returns the bytes of the operations that wait for a Commit, or for the one under way to end.
    #[must_use]
    pub fn gathered_bytes(&self) -> usize {
        self.gathered.len()
    }

    fn segment_bytes(&self) -> u64 {
        self.options.segment_bytes.into()
    }

    fn retired(&mut self, place: u32) {
        if let Some(segment) = self.segments.get(place) {
            match segment.trust {
                Trust::Useless => self.may_come_back(segment.number),
                Trust::Proven | Trust::Unproven => self.folder_dirty = true,
            }
        }
        self.give_up(place);
        self.segments.retire(place);
        self.next();
    }

    /// Gives up what is still said to live in a segment that is of no use any more. What the Commit that waits removes is
    /// not lost.
    fn give_up(&mut self, place: u32) {
        let lost = self.segments.give_up(place);
        let is_lost = |seq: &&u64| {
            let doomed = self.doomed.as_ref();
            doomed.is_none_or(|doomed| !doomed.has(**seq))
        };
        self.lost += lost.iter().filter(is_lost).count() as u64;
    }

    fn may_come_back(&mut self, number: SegmentNumber) {
        self.folder_dirty = true;
        self.returning = Some(self.returning.map_or(number, |lowest| lowest.min(number)));
    }

    /// Ends the group that is being written: nothing of it is relied on.
    fn fail_group(&mut self, failure: StoreFailure) {
        self.group.clear();
        match self.copying.take() {
            None => self.fail_commit(failure),
            Some(copying) => {
                self.is_upkeep_paused = true;
                if copying.is_repair() && self.commit.is_some() {
                    self.fail_commit(failure);
                }
            }
        }
        self.next();
    }

    /// Ends the Commit, and drops what was applied since the last one that succeeded.
    fn fail_commit(&mut self, failure: StoreFailure) {
        self.commit = None;
        self.gathered.clear();
        self.gathered.shrink_to(ALWAYS_KEPT);
        self.gathered_puts = false;
        self.end_search();
        self.verdict = None;
        self.is_upkeep_paused = true;
        self.events.push_back(LogEvent::Failed(failure));
    }
}
