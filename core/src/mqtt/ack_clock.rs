//! The acknowledgement clock of one connection: which packets are unanswered, when each is overdue, and how many may be
//! unanswered at once. One clock for all kinds of packets that the peer answers.
//!
//! A peer may be slow, answer in any order, or ignore single packets; the transport may hide what it was given in
//! buffers. So a packet is not judged by its age alone:
//!
//! 1. **The deadline moves with progress.** It is the timeout after the latest of: the packet was handed over to the
//!    transport; the peer answered another packet of its kind; it answered the oldest packet of all kinds, because many
//!    peers have one queue for all. (Packets of other kinds that are overdue or overtaken do not count as older: they may
//!    be lost.) It is later by the time that a slow link needs for the bytes between what the peer has proven to have
//!    read and the packet's end. What was not handed over has no deadline.
//! 2. **Overtaken.** Once a later packet of its kind was answered first, a packet has its timeout from then, and no
//!    longer: queueing does not explain its silence any more.
//! 3. **Skipped.** A packet that was overtaken for some round trips, or was overdue when it was overtaken, leaves the
//!    window. It still waits for its deadline, and its answer still counts.
//! 4. The window is constant: a packet that is overdue, but not overtaken, stays in it, because it may still be in the
//!    peer's queue.
//! 5. **Probe.** If the window is full and nothing moves, one more packet may be sent at growing intervals: a peer that
//!    ignores all in the window then answers that one, which overtakes them. If there is no new one, the oldest overdue
//!    one is sent again.
//! 6. **First ones first.** Packets that are sent again take at most a tenth of the window.
//!
//! | place | in the window | deadline | sent again |
//! |---|---|---|---|
//! | in its list, not overtaken | yes | moves | as a probe, once overdue |
//! | in its list, overtaken | yes | fixed | – |
//! | skipped | no | fixed | – |
//! | overdue and overtaken | no | passed | yes |
//!
//! Only [`judge`](AckClock::judge) compares deadlines with the time, and only a reported timeout calls it. All
//! operations are O(1): overtaken packets are a prefix of their list, and each packet is stamped once.

mod answers;
mod judging;
mod kind;
mod queries;
mod records;
#[cfg(test)]
mod tests;

pub(crate) use self::judging::Verdict;
pub(super) use self::judging::allowance;
pub(crate) use self::kind::{AckLimits, Kind, Request, RoundTrip};
pub(super) use self::records::RecordKey;
use self::{
    kind::KindState,
    records::{Chain, NONE, Place, Record, Records},
};
use super::codec::PacketId;
use crate::{clock::PeerTime, time::Duration};

/// The unanswered packets of one connection. `T` is the caller's tag of a packet.
#[derive(Debug)]
pub(super) struct AckClock<T> {
    records: Records<T>,
    lists: Vec<List>,
    kinds: [KindState; 3],
    /// One bit for each list that has packets in the window.
    occupied: u64,
    /// One bit for each list that has packets that were not handed over.
    unhanded: u64,
    /// Publications to be sent again.
    again: Chain,
    /// The offset in the stream up to which answers prove that the peer has read it.
    proven: u64,
    /// When the oldest packet of all kinds was last answered.
    front_moved: PeerTime,
}

/// Packets of one kind with the same timeout, in the order of the stream.
#[derive(Debug)]
struct List {
    kind: Kind,
    timeout: Duration,
    /// Overtaken ones first.
    window: Chain,
    /// The first that was not overtaken.
    fresh: RecordKey,
    /// The first, from `fresh` on, that is not overdue.
    on_time: RecordKey,
    /// The first that was not handed over.
    unhanded: RecordKey,
    /// Those that have left the window, in the order of their deadlines.
    skipped: Chain,
    /// When the first of these was last answered: the peer may have several queues for one kind, and a slower one moves.
    skipped_moved: PeerTime,
}

/// What was left by a packet that was taken out.
struct Left {
    kind: Kind,
    /// Whether it was the first in the window of its list.
    was_head: bool,
    /// Whether it was the first of those that have left the window.
    was_first_skipped: bool,
}

impl List {
    /// Lets the cursors that point to nothing point to the packet that was appended.
    #[inline(always)]
    fn point_to_new(&mut self, key: RecordKey) {
        for cursor in [&mut self.fresh, &mut self.on_time, &mut self.unhanded] {
            if *cursor == NONE {
                *cursor = key;
            }
        }
    }
}

impl<T: Copy> AckClock<T> {
    pub(super) fn new(limits: &AckLimits) -> Self {
        let lists: Vec<_> = limits
            .timeouts()
            .map(|(kind, timeout)| List {
                kind,
                timeout,
                window: Chain::EMPTY,
                fresh: NONE,
                on_time: NONE,
                unhanded: NONE,
                skipped: Chain::EMPTY,
                skipped_moved: PeerTime::START,
            })
            .collect();
        Self {
            records: Records::new(),
            kinds: limits.kinds(),
            lists,
            occupied: 0,
            unhanded: 0,
            again: Chain::EMPTY,
            proven: 0,
            front_moved: PeerTime::START,
        }
    }

    /// Returns the key of the packet that is added next.
    #[inline]
    pub(super) fn next_key(&self) -> RecordKey {
        self.records.next_key()
    }

    /// Adds a packet that was just queued and ends at this offset in the stream.
    #[inline(always)]
    pub(super) fn insert(&mut self, request: Request, packet_id: PacketId, end: u64, tag: T) {
        let at = request.list();
        let list = list_mut(&mut self.lists, at);
        let record = Record::new(at, packet_id, end, tag);
        let key = list.window.insert_back(&mut self.records, record);
        list.point_to_new(key);
        self.mark(at);
        self.kind_mut(request.kind()).in_window += 1;
    }

    /// Records that a list has a packet in the window that was not handed over.
    #[inline(always)]
    fn mark(&mut self, at: u8) {
        self.occupied |= 1 << at;
        self.unhanded |= 1 << at;
    }

    /// Records that the stream was handed over to the transport up to this offset.
    #[inline]
    pub(super) fn hand_over(&mut self, offset: u64, now: PeerTime) {
        let mut lists = self.unhanded;
        while lists != 0 {
            let at = lists.trailing_zeros() as u8;
            lists &= lists - 1;
            let list = list_mut(&mut self.lists, at);
            let first = list.unhanded;
            while list.unhanded != NONE {
                let record = self.records.at_mut(list.unhanded);
                if record.end > offset {
                    break;
                }
                record.handed = Some(now);
                list.unhanded = record.next();
            }
            if list.unhanded == NONE {
                self.unhanded &= !(1 << at);
            }
            let kind = list.kind;
            if list.unhanded != first {
                self.kind_mut(kind).last_handed = now;
            }
        }
    }

    /// Records that the peer has proven to have read the stream up to this offset.
    pub(super) fn prove(&mut self, offset: u64) {
        self.proven = self.proven.max(offset);
    }

    /// Removes a record from the place where it is linked, and from the window's count.
    #[inline(always)]
    fn take_out(&mut self, key: RecordKey, record: &Record<T>) -> Left {
        match record.place {
            Place::Window => self.leave_window(key, record),
            _ => self.leave_other(key, record),
        }
    }

    /// Does the same, for a record that stays; it is in no place then.
    fn leave(&mut self, key: RecordKey) {
        let record = *self.records.at(key);
        self.take_out(key, &record);
        self.records.at_mut(key).is_again = false;
    }

    /// Removes a record from its list, moves the cursors that point to it, and removes it from the count of the window.
    #[inline(always)]
    fn leave_window(&mut self, key: RecordKey, record: &Record<T>) -> Left {
        let (at, next) = (record.list, record.next());
        let list = list_mut(&mut self.lists, at);
        let (kind, was_head) = (list.kind, list.window.head == key);
        for cursor in [&mut list.fresh, &mut list.on_time] {
            if *cursor == key {
                *cursor = next;
            }
        }
        if list.unhanded == key {
            list.unhanded = next;
            if next == NONE {
                self.unhanded &= !(1 << at);
            }
        }
        list.window.unlink(&mut self.records, key, record);
        if list.window.is_empty() {
            self.occupied &= !(1 << at);
        }
        let state = self.kind_mut(kind);
        state.in_window -= 1;
        state.again -= usize::from(record.is_again);
        state.disowned -= usize::from(record.is_disowned);
        Left {
            kind,
            was_head,
            was_first_skipped: false,
        }
    }

    #[inline(never)]
    fn leave_other(&mut self, key: RecordKey, record: &Record<T>) -> Left {
        let list = list_mut(&mut self.lists, record.list);
        let was_first_skipped = list.skipped.head == key;
        match record.place {
            Place::Skipped => list.skipped.unlink(&mut self.records, key, record),
            Place::Again => self.again.unlink(&mut self.records, key, record),
            Place::Window | Place::Parked => {}
        }
        Left {
            kind: list.kind,
            was_head: false,
            was_first_skipped,
        }
    }

    /// Removes a packet that the peer has given up. It counts as no answer.
    pub(super) fn forget(&mut self, key: RecordKey) {
        let record = self.records.take(key);
        self.take_out(key, &record);
    }

    /// Ends the operation of a packet. It remains in the window until it is answered, overtaken or overdue, because the
    /// peer may still have it in its queue. Returns whether it is in the window.
    pub(super) fn disown(&mut self, key: RecordKey, tag: T) -> bool {
        if self.records.at(key).is_late {
            self.park(key);
        }
        let record = self.records.at_mut(key);
        record.tag = tag;
        let (list, place) = (record.list, record.place);
        record.is_disowned = true;
        if place == Place::Window {
            let kind = self.list(list).kind;
            self.kind_mut(kind).disowned += 1;
        }
        place == Place::Window
    }

    /// Gives a packet another tag.
    pub(super) fn rename(&mut self, key: RecordKey, tag: T) {
        self.records.at_mut(key).tag = tag;
    }

    /// Records that another copy of a packet was queued and ends at this offset in the stream.
    pub(super) fn sent_again(&mut self, key: RecordKey, end: u64) {
        let before = *self.records.at(key);
        self.leave(key);
        let at = self.next_list(before.list);
        let record = self.records.at_mut(key);
        *record = Record::new(at, before.packet_id, end, before.tag);
        record.is_again = true;
        record.was_resent = true;
        let list = list_mut(&mut self.lists, at);
        list.window.push_back(&mut self.records, key);
        list.point_to_new(key);
        let kind = list.kind;
        self.mark(at);
        let state = self.kind_mut(kind);
        state.in_window += 1;
        state.again += 1;
    }

    /// Returns the list of a packet's next attempt: the timeout of a publication grows with each.
    fn next_list(&self, at: u8) -> u8 {
        let has_next = self.list(at).kind == Kind::Publication;
        let next = at + 1;
        match has_next && usize::from(next) < self.lists.len() {
            true => next,
            false => at,
        }
    }

    /// Records that a probe of a kind was sent.
    pub(super) fn probed(&mut self, kind: Kind, now: PeerTime) {
        let kind = self.kind_mut(kind);
        kind.last_probe = now;
        kind.probes += 1;
    }

    /// Returns the next publication to be sent again.
    #[inline]
    pub(super) fn next_again(&self) -> Option<T> {
        Some(self.records.get(self.again.head)?.tag)
    }

    /// Lets an overdue packet wait for its timeout once more.
    pub(super) fn postpone(&mut self, key: RecordKey, now: PeerTime) {
        self.leave(key);
        let record = self.records.at_mut(key);
        record.place = Place::Skipped;
        record.is_late = false;
        record.overtaken = Some(now);
        let list = list_mut(&mut self.lists, record.list);
        list.skipped.push_back(&mut self.records, key);
    }

    /// Returns whether a packet is overdue and out of the window, so that it may be sent again.
    pub(super) fn is_released(&self, key: RecordKey) -> bool {
        matches!(self.records.at(key).place, Place::Again | Place::Parked)
    }

    /// Takes a packet out of the window, because another one asks for the same. Its answer still counts.
    pub(super) fn park(&mut self, key: RecordKey) {
        self.leave(key);
        self.records.at_mut(key).place = Place::Parked;
    }

    #[inline]
    fn list(&self, at: u8) -> &List {
        list(&self.lists, at)
    }

    #[inline]
    fn kind(&self, kind: Kind) -> &KindState {
        self.kinds.get(kind as usize).expect(ALL_KINDS)
    }

    /// Starts a new measurement of the longest time that an answer of a kind took.
    pub(in crate::mqtt) fn reset_worst_round_trip(&mut self, kind: Kind) {
        self.kind_mut(kind).reset_worst_round_trip();
    }

    #[inline]
    fn kind_mut(&mut self, kind: Kind) -> &mut KindState {
        self.kinds.get_mut(kind as usize).expect(ALL_KINDS)
    }
}

const ALL_KINDS: &str = "each kind has its state";

const LISTED: &str = "a record names one of the lists";

#[inline]
fn list(lists: &[List], at: u8) -> &List {
    lists.get(usize::from(at)).expect(LISTED)
}

#[inline]
fn list_mut(lists: &mut [List], at: u8) -> &mut List {
    lists.get_mut(usize::from(at)).expect(LISTED)
}
