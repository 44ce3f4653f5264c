//! Writes anew what lives in a segment.

use super::{SegmentLog, Step};
use crate::store::{
    LogEvent, SegmentNumber, StoreFailure, StoreFailureKind,
    format::{Kind, Seal, append_padding, header_len},
    index::Slot,
    scan::Scan,
    segments::Trust,
};

/// How often a read is attempted before something goes on without it.
const READ_ATTEMPTS: u32 = 3;

/// Why records are written anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    /// Their segment is not relied on.
    Repair,
    /// A Commit needs the room.
    Room,
    /// Little of their segment lives.
    Upkeep,
}

/// The segment whose records are read.
#[derive(Debug)]
pub(super) struct Copying {
    place: u32,
    number: SegmentNumber,
    scan: Scan,
    purpose: Purpose,
    /// Whether what cannot be read is left out.
    is_tolerant: bool,
    /// Whether its file stays, so that its Removes do.
    is_set_aside: bool,
}

impl Copying {
    /// Returns whether it is written anew because it is not relied on.
    pub(super) fn is_repair(&self) -> bool {
        self.purpose == Purpose::Repair
    }

    pub(super) fn wanted(&self) -> Option<(SegmentNumber, u64, usize)> {
        let (offset, len) = self.scan.wanted()?;
        Some((self.number, offset.into(), len))
    }
}

impl SegmentLog {
    /// Starts to write anew what lives in a segment, and for a repair what was removed in it.
    pub(super) fn start_copying(&mut self, place: u32, purpose: Purpose) {
        let is_set_aside = self
            .segments
            .get(place)
            .is_some_and(|segment| segment.is_set_aside);
        self.copy_from_start(place, purpose, is_set_aside);
    }

    fn copy_from_start(&mut self, place: u32, purpose: Purpose, is_tolerant: bool) {
        let Some(segment) = self.segments.get(place) else {
            return;
        };
        let seal = Seal::new(&self.client, segment.number);
        self.copying = Some(Copying {
            place,
            number: segment.number,
            scan: Scan::new(seal, header_len(&self.client), segment.capacity),
            purpose,
            is_tolerant,
            is_set_aside: segment.is_set_aside,
        });
        self.read_on();
    }

    pub(super) fn copy_records(&mut self, bytes: &[u8]) {
        let Self {
            copying,
            segments,
            group,
            doomed,
            ..
        } = self;
        let is_doomed = |seq| doomed.as_ref().is_some_and(|doomed| doomed.has(seq));
        if let Some(Copying {
            place,
            scan,
            purpose,
            is_set_aside,
            ..
        }) = copying
        {
            scan.feed(bytes, |header, offset, record| {
                let found = segments.index().get(header.seq);
                let here = Slot {
                    segment: *place,
                    offset,
                    len: header.len,
                };
                let is_needed = match header.kind {
                    Kind::Put => found == Some(here) && !is_doomed(header.seq),
                    // A Remove of a number that lives was never confirmed: the record was put again, or still lives.
                    // What could not be read may live, too.
                    Kind::Remove => {
                        *purpose == Purpose::Repair && found.is_none() && !*is_set_aside
                    }
                    Kind::End => false,
                };
                if is_needed {
                    group.bytes.extend_from_slice(record);
                    append_padding(&mut group.bytes);
                }
            });
        }
        self.read_on();
    }

    /// Gives up until the next Commit, or until the next segment is begun if that is early enough, because a read may succeed then.
    /// If it fails again and again, and has to succeed, the segment is set aside; what can be read of one that is not relied on
    /// is written anew all the same.
    pub(super) fn read_failed(&mut self, failure: StoreFailure) {
        let Some(copying) = &mut self.copying else {
            return;
        };
        let (place, purpose) = (copying.place, copying.purpose);
        if copying.is_tolerant {
            copying.scan.skip();
            if !core::mem::replace(&mut copying.is_set_aside, true) {
                self.set_aside(place);
            }
            return self.read_on();
        }
        if purpose == Purpose::Upkeep {
            self.unread_head = Some(copying.number);
            return self.fail_group(failure);
        }
        let is_of_file = failure.kind == StoreFailureKind::Broken;
        let before = self.read_failures.filter(|(failed, _)| *failed == place);
        let attempts = before.map_or(0, |(_, attempts)| attempts) + u32::from(is_of_file);
        if attempts < READ_ATTEMPTS {
            self.read_failures = Some((place, attempts));
            return self.fail_group(failure);
        }
        self.read_failures = None;
        self.group.clear();
        self.copying = None;
        if purpose == Purpose::Repair {
            return self.copy_from_start(place, purpose, true);
        }
        self.set_aside(place);
        // What comes after it may go by itself now.
        self.is_upkeep_paused = false;
        self.next();
    }

    fn set_aside(&mut self, place: u32) {
        self.segments.set_aside(place);
        if let Some(segment) = self.segments.get(place) {
            self.events.push_back(LogEvent::SetAside {
                segment: segment.number,
                bytes: segment.capacity,
            });
        }
    }

    /// Records that what lived in a segment is durable elsewhere. What still seems to live there is damaged, unless it could
    /// not be read.
    pub(super) fn copied(&mut self, copying: &Copying) {
        self.read_failures = None;
        if !copying.is_set_aside {
            self.give_up(copying.place);
        }
        if let Some(segment) = self.segments.get_mut(copying.place)
            && copying.is_repair()
        {
            segment.trust = Trust::Useless;
        }
    }

    fn read_on(&mut self) {
        let is_over = self
            .copying
            .as_ref()
            .is_none_or(|copying| copying.wanted().is_none());
        match is_over {
            false => self.step = Step::Read,
            true => self.place_records(),
        }
    }
}
