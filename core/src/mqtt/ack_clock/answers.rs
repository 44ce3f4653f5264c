//! The peer's answers, and what they prove about packets that were sent earlier.

use super::{
    AckClock, Kind, Left, list_mut,
    records::{NONE, Record, RecordKey},
};
use crate::{clock::PeerTime, time::Duration};

impl<T: Copy> AckClock<T> {
    /// Removes a packet that the peer has answered, and notes what its answer proves. Returns its tag.
    #[inline(always)]
    pub(in crate::mqtt) fn answer(&mut self, key: RecordKey, now: PeerTime) -> T {
        let record = self.records.take(key);
        let Left {
            kind,
            was_head,
            was_first_skipped,
        } = self.take_out(key, &record);
        let state = self.kind_mut(kind);
        state.last_answer = now;
        state.probes = 0;
        if !record.was_resent
            && let Some(handed) = record.handed
        {
            state.sample(now.nanos_since(handed));
            self.prove(record.end);
        }
        if was_head && self.occupied & !(1 << record.list) == 0 {
            self.front_moved = now;
        } else {
            if was_first_skipped {
                list_mut(&mut self.lists, record.list).skipped_moved = now;
            }
            self.pass_others(kind, was_head, &record, now);
        }
        record.tag
    }

    /// Notes what the answer to a packet proves about others that were in the window with it. Never inlined: a peer that
    /// answers in order answers the first.
    #[inline(never)]
    fn pass_others(&mut self, kind: Kind, was_head: bool, record: &Record<T>, now: PeerTime) {
        let others = self.occupied & !(1 << record.list);
        if was_head && self.are_younger(others, record.end) {
            self.front_moved = now;
        }
        let fresh = self.records.get(self.list(record.list).fresh);
        if others & kind.lists() != 0 || fresh.is_some_and(|fresh| fresh.end < record.end) {
            self.overtake(kind, record.end, record.was_resent, now);
        }
    }

    /// Returns whether the packets at the heads of these lists end behind this offset in the stream, except those that
    /// are overdue or were overtaken: their answers may be lost, and a peer with one queue then answers what follows.
    fn are_younger(&self, mut lists: u64, end: u64) -> bool {
        while lists != 0 {
            let list = self.list(lists.trailing_zeros() as u8);
            let first = self.records.get(list.on_time);
            if first.is_some_and(|first| first.end < end) {
                return false;
            }
            lists &= lists - 1;
        }
        true
    }

    /// Stamps the packets that an answer to a later one of their kind, which ends at this offset, has overtaken. If that
    /// was sent again, its answer may be that of an earlier copy, and those that are overdue are given time for theirs.
    fn overtake(&mut self, kind: Kind, end: u64, was_resent: bool, now: PeerTime) {
        let patience = match was_resent {
            true => self.kind(kind).skip_after(),
            false => Duration::ZERO,
        };
        let mut lists = self.occupied & kind.lists();
        while lists != 0 {
            let list = list_mut(&mut self.lists, lists.trailing_zeros() as u8);
            lists &= lists - 1;
            while list.fresh != NONE {
                let key = list.fresh;
                let record = self.records.at_mut(key);
                if record.end > end {
                    break;
                }
                let after = match record.is_late {
                    true => patience,
                    false => Duration::ZERO,
                };
                record.overtaken = Some(now + after);
                list.fresh = self.records.next(key);
                if list.on_time == key {
                    list.on_time = list.fresh;
                }
            }
        }
    }
}
