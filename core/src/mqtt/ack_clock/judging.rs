//! Judging the peer's silence by the time: overdue, skipped, probes.

use super::{
    AckClock, Kind, List, list_mut,
    records::{Place, Record, RecordKey},
};
use crate::{clock::PeerTime, mqtt::codec::PacketId, time::Duration};

/// The slowest link that a deadline allows for: 2,000 bytes a second.
const NANOS_PER_BYTE: u64 = 500_000;

/// The most bytes that may be hidden in buffers of the transport.
const MAX_HIDDEN_BYTES: u64 = 320 * 1024;

/// What time has shown of a packet that the peer has not answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict<T> {
    /// Its deadline has passed. Its answer may still arrive.
    Overdue(PacketId, T),
    /// It was overdue, and now a later packet was answered first: it has left the window and may be sent again.
    Released(PacketId, T),
    /// It was overtaken for so long that it has left the window; or it was overdue before, and is a publication, which is
    /// queued to be sent again. Its answer may still arrive.
    Skipped(T),
    /// Its operation has ended, and now its deadline has passed. Its answer may still arrive.
    Forgotten(PacketId),
}

/// Returns the time that a slow link needs for the bytes up to `end`, from what was proven.
#[inline]
pub(in crate::mqtt) fn allowance(end: u64, proven: u64) -> Duration {
    let hidden = end.saturating_sub(proven).min(MAX_HIDDEN_BYTES);
    Duration::from_nanos(hidden * NANOS_PER_BYTE)
}

impl<T: Copy> AckClock<T> {
    /// Returns the next packet about which the time shows something new. That a publication is overdue shows nothing: it
    /// is queued to be sent again.
    pub(in crate::mqtt) fn judge(&mut self, now: PeerTime) -> Option<Verdict<T>> {
        for at in 0..self.lists.len() as u8 {
            let verdict = self
                .skip_overtaken(at, now)
                .or_else(|| self.expire_skipped(at, now))
                .or_else(|| self.expire_fresh(at, now));
            if verdict.is_some() {
                return verdict;
            }
        }
        None
    }

    /// Takes those out of the window that were overtaken long enough.
    fn skip_overtaken(&mut self, at: u8, now: PeerTime) -> Option<Verdict<T>> {
        loop {
            let list = self.list(at);
            let key = list.window.head;
            if key == list.fresh {
                return None;
            }
            let &Record {
                is_late,
                is_disowned,
                packet_id,
                tag,
                ..
            } = self.records.at(key);
            if self.skipped_at(list)? > now {
                return None;
            }
            let is_publication = list.kind == Kind::Publication;
            self.leave(key);
            if is_late {
                if !self.release(key, at) {
                    return Some(Verdict::Released(packet_id, tag));
                }
            } else {
                self.records.at_mut(key).place = Place::Skipped;
                let list = list_mut(&mut self.lists, at);
                list.skipped.push_back(&mut self.records, key);
            }
            if is_publication && !is_disowned {
                return Some(Verdict::Skipped(tag));
            }
        }
    }

    /// Ends the waiting of those whose timeout passed since they were overtaken.
    fn expire_skipped(&mut self, at: u8, now: PeerTime) -> Option<Verdict<T>> {
        loop {
            let list = self.list(at);
            let key = list.skipped.head;
            if self.skipped_overdue_at(list)? > now {
                return None;
            }
            let record = self.records.at_mut(key);
            record.is_late = true;
            let (packet_id, tag) = (record.packet_id, record.tag);
            let is_disowned = record.is_disowned;
            self.leave(key);
            if !self.release(key, at) {
                return Some(Verdict::Overdue(packet_id, tag));
            }
            if is_disowned {
                return Some(Verdict::Forgotten(packet_id));
            }
        }
    }

    /// Marks those whose deadline passed although none overtook them.
    fn expire_fresh(&mut self, at: u8, now: PeerTime) -> Option<Verdict<T>> {
        loop {
            let list = self.list(at);
            let key = list.on_time;
            if self.overdue_at(list)? > now {
                return None;
            }
            let next = self.records.next(key);
            let record = self.records.at_mut(key);
            record.is_late = true;
            let was_again = core::mem::take(&mut record.is_again);
            let (packet_id, tag) = (record.packet_id, record.tag);
            let is_disowned = record.is_disowned;
            list_mut(&mut self.lists, at).on_time = next;
            let kind = self.list(at).kind;
            self.kind_mut(kind).again -= usize::from(was_again);
            if is_disowned {
                self.park(key);
                return Some(Verdict::Forgotten(packet_id));
            } else if kind != Kind::Publication {
                return Some(Verdict::Overdue(packet_id, tag));
            }
        }
    }

    /// Lets an overdue packet that is in no list be sent again; returns whether its owner need not know: it is a
    /// publication, which is queued here, or has no owner.
    fn release(&mut self, key: RecordKey, at: u8) -> bool {
        let is_publication = self.list(at).kind == Kind::Publication;
        let record = self.records.at_mut(key);
        let is_disowned = record.is_disowned;
        if is_publication && !is_disowned {
            record.place = Place::Again;
            self.again.push_back(&mut self.records, key);
        } else {
            record.place = Place::Parked;
        }
        is_publication || is_disowned
    }

    /// Returns when the first packet of a list that was overtaken leaves the window.
    fn skipped_at(&self, list: &List) -> Option<PeerTime> {
        if list.window.head == list.fresh {
            return None;
        }
        let record = self.records.get(list.window.head)?;
        let overtaken = record.overtaken?;
        Some(match record.is_late {
            true => overtaken,
            false => overtaken + self.kind(list.kind).skip_after().min(list.timeout),
        })
    }

    /// Returns when the first packet of a list that was skipped is overdue.
    fn skipped_overdue_at(&self, list: &List) -> Option<PeerTime> {
        let record = self.records.get(list.skipped.head)?;
        Some(record.overtaken?.max(list.skipped_moved) + list.timeout)
    }

    /// Returns when the first packet of a list that nothing has overtaken is overdue.
    fn overdue_at(&self, list: &List) -> Option<PeerTime> {
        let record = self.records.get(list.on_time)?;
        let since = record.handed?.max(self.last_progress(list.kind));
        Some(since + list.timeout + allowance(record.end, self.proven))
    }

    fn last_progress(&self, kind: Kind) -> PeerTime {
        self.kind(kind).last_answer.max(self.front_moved)
    }

    /// Returns when to call [`judge`](Self::judge) next.
    pub(in crate::mqtt) fn next_deadline(&self) -> Option<PeerTime> {
        let of_list = |list| {
            [
                self.skipped_at(list),
                self.skipped_overdue_at(list),
                self.overdue_at(list),
            ]
        };
        self.lists.iter().flat_map(of_list).flatten().min()
    }

    /// Returns when to send one more packet of a kind, if the window is full and nothing moves until then; `None` while
    /// some were not handed over.
    pub(in crate::mqtt) fn probe_at(&self, kind: Kind) -> Option<PeerTime> {
        if self.unhanded & kind.lists() != 0 {
            return None;
        }
        let state = self.kind(kind);
        let quiet_since = state.last_handed.max(state.last_probe);
        Some(quiet_since.max(self.last_progress(kind)) + state.probe_after())
    }
}
