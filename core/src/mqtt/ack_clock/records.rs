//! The unanswered packets of one connection, in a slab, and linked lists through them.

use super::super::codec::PacketId;
use crate::clock::PeerTime;

/// A record is removed from every list and from the table of identifiers before its key is reused.
const KEYED_WHILE_HERE: &str = "a key is used only while its record exists";

/// Identifies an unanswered packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::mqtt) struct RecordKey(u32);

/// The key beyond either end of a list.
pub(super) const NONE: RecordKey = RecordKey(u32::MAX);

/// One unanswered packet.
#[derive(Clone, Copy, Debug)]
pub(super) struct Record<T> {
    pub(super) tag: T,
    pub(super) packet_id: PacketId,
    /// The index of its list.
    pub(super) list: u8,
    pub(super) place: Place,
    /// Whether its deadline has passed.
    pub(super) is_late: bool,
    /// Whether its operation has ended: it is never sent again.
    pub(super) is_disowned: bool,
    /// Whether it counts against the packets that are sent again.
    pub(super) is_again: bool,
    /// Whether it was sent more than once: its answer may be that of an earlier copy.
    pub(super) was_resent: bool,
    /// The offset in the stream at which its last copy ends.
    pub(super) end: u64,
    /// When its last copy was completely handed over to the transport.
    pub(super) handed: Option<PeerTime>,
    /// When a later packet of its kind was answered before it; if it was overdue then, when it leaves the window.
    pub(super) overtaken: Option<PeerTime>,
    previous: RecordKey,
    next: RecordKey,
}

/// Where a record is linked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// In the window, in its list.
    Window,
    /// Out of the window, because others overtook it; its deadline is still to come.
    Skipped,
    /// Overdue and overtaken, in the list of those to be sent again.
    Again,
    /// Overdue and overtaken, in no list: its owner decides when to send it again.
    Parked,
}

impl<T> Record<T> {
    #[inline(always)]
    pub(super) fn new(list: u8, packet_id: PacketId, end: u64, tag: T) -> Self {
        Self {
            tag,
            packet_id,
            list,
            place: Place::Window,
            is_late: false,
            is_disowned: false,
            is_again: false,
            was_resent: false,
            end,
            handed: None,
            overtaken: None,
            previous: NONE,
            next: NONE,
        }
    }
}

impl<T> Record<T> {
    /// Returns the key of the record behind it in its list.
    #[inline]
    pub(super) fn next(&self) -> RecordKey {
        self.next
    }
}

/// All records. A key is reused after its record was removed, the last one first.
#[derive(Debug)]
pub(super) struct Records<T> {
    records: Vec<Record<T>>,
    /// The vacant record that is used next, linked to the others by `next`.
    vacant: RecordKey,
}

impl<T> Records<T> {
    pub(super) fn new() -> Self {
        Self {
            records: Vec::new(),
            vacant: NONE,
        }
    }

    /// Returns the key of the record that is inserted next.
    #[inline]
    pub(super) fn next_key(&self) -> RecordKey {
        match self.vacant {
            NONE => RecordKey(self.records.len() as u32),
            vacant => vacant,
        }
    }

    #[inline(always)]
    pub(super) fn insert(&mut self, record: Record<T>) -> RecordKey {
        let key = self.vacant;
        if key == NONE {
            self.records.push(record);
            return RecordKey(self.records.len() as u32 - 1);
        }
        let place = self.at_mut(key);
        let vacant = place.next;
        *place = record;
        self.vacant = vacant;
        key
    }

    /// Removes a record and returns it. Its neighbours still link to it.
    #[inline(always)]
    pub(super) fn take(&mut self, key: RecordKey) -> Record<T>
    where
        T: Copy,
    {
        let vacant = core::mem::replace(&mut self.vacant, key);
        let place = self.at_mut(key);
        let record = *place;
        place.next = vacant;
        record
    }

    #[inline]
    pub(super) fn at(&self, key: RecordKey) -> &Record<T> {
        self.records.get(key.0 as usize).expect(KEYED_WHILE_HERE)
    }

    #[inline]
    pub(super) fn at_mut(&mut self, key: RecordKey) -> &mut Record<T> {
        self.records
            .get_mut(key.0 as usize)
            .expect(KEYED_WHILE_HERE)
    }

    /// Returns the record, if the key is not [`NONE`].
    #[inline]
    pub(super) fn get(&self, key: RecordKey) -> Option<&Record<T>> {
        (key != NONE).then(|| self.at(key))
    }

    /// Iterates over the records of a list, from `key` on.
    pub(super) fn iter_from(&self, key: RecordKey) -> impl Iterator<Item = &Record<T>> {
        core::iter::successors(self.get(key), |record| self.get(record.next))
    }

    #[inline]
    pub(super) fn next(&self, key: RecordKey) -> RecordKey {
        self.at(key).next
    }
}

/// A doubly linked list through the records: every operation is O(1). The head's `previous` link is meaningless, so that
/// removing the head touches no other record.
#[derive(Clone, Copy, Debug)]
pub(super) struct Chain {
    pub(super) head: RecordKey,
    pub(super) tail: RecordKey,
}

impl Chain {
    pub(super) const EMPTY: Self = Self {
        head: NONE,
        tail: NONE,
    };

    pub(super) fn is_empty(&self) -> bool {
        self.head == NONE
    }

    #[inline(always)]
    pub(super) fn push_back<T>(&mut self, records: &mut Records<T>, key: RecordKey) {
        let record = records.at_mut(key);
        record.previous = self.tail;
        record.next = NONE;
        self.append(records, key);
    }

    /// Inserts a record at the end.
    #[inline(always)]
    pub(super) fn insert_back<T>(
        &mut self,
        records: &mut Records<T>,
        mut record: Record<T>,
    ) -> RecordKey {
        record.previous = self.tail;
        let key = records.insert(record);
        self.append(records, key);
        key
    }

    /// Makes a record the last one that links to the last one until now.
    #[inline(always)]
    fn append<T>(&mut self, records: &mut Records<T>, key: RecordKey) {
        match self.tail {
            NONE => self.head = key,
            tail => records.at_mut(tail).next = key,
        }
        self.tail = key;
    }

    #[inline(always)]
    pub(super) fn unlink<T>(
        &mut self,
        records: &mut Records<T>,
        key: RecordKey,
        record: &Record<T>,
    ) {
        let &Record { previous, next, .. } = record;
        if key == self.head {
            self.head = next;
            if next == NONE {
                self.tail = NONE;
            }
            return;
        }
        records.at_mut(previous).next = next;
        match next {
            NONE => self.tail = previous,
            next => records.at_mut(next).previous = previous,
        }
    }
}
