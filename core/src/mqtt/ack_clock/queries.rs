//! What is known of the unanswered packets, and the room in the windows.

use super::{
    AckClock, Kind, RoundTrip,
    records::{NONE, Record, RecordKey},
};
use crate::{clock::PeerTime, mqtt::codec::PacketId};

impl<T: Copy> AckClock<T> {
    /// Returns the first packet that was sent of those that are overdue and still in the window of a kind.
    pub(in crate::mqtt) fn oldest_late(&self, kind: Kind) -> Option<T> {
        let lists = self.lists.iter().filter(|list| list.kind == kind);
        let late = lists.filter(|list| list.fresh != list.on_time);
        let oldest = late.map(|list| self.records.at(list.fresh));
        oldest
            .min_by_key(|record| record.end)
            .map(|record| record.tag)
    }

    /// Returns the unanswered packets of which a copy was handed over, newest first; also the one that ends at `cut`.
    pub(in crate::mqtt) fn newest_handed_over(&self, cut: Option<u64>) -> Vec<(PacketId, T)> {
        let handed = |record: &&Record<T>| {
            record.handed.is_some() || record.was_resent || Some(record.end) == cut
        };
        let mut newest = self.iter().filter(handed).collect::<Vec<_>>();
        newest.sort_unstable_by_key(|record| core::cmp::Reverse(record.end));
        let newest = newest.into_iter();
        newest
            .map(|record| (record.packet_id, record.tag))
            .collect()
    }

    /// Returns the tags of the unanswered packets.
    pub(in crate::mqtt) fn owners(&self) -> impl Iterator<Item = T> {
        self.iter().map(|record| record.tag)
    }

    /// Returns the unanswered packets that were handed over at `since` or later, oldest first; also the one that ends at `cut`.
    pub(in crate::mqtt) fn handed_since(
        &self,
        since: PeerTime,
        cut: Option<u64>,
    ) -> Vec<(PacketId, T)> {
        let recent = |record: &&Record<T>| {
            record.handed.is_some_and(|at| at >= since) || Some(record.end) == cut
        };
        let mut recent = self.iter().filter(recent).collect::<Vec<_>>();
        recent.sort_unstable_by_key(|record| record.end);
        let recent = recent.into_iter();
        recent
            .map(|record| (record.packet_id, record.tag))
            .collect()
    }

    /// Returns when the last copy of a packet was completely handed over.
    pub(in crate::mqtt) fn handed(&self, key: RecordKey) -> Option<PeerTime> {
        self.records.at(key).handed
    }

    /// Returns when a packet of any kind was last handed over.
    pub(in crate::mqtt) fn last_handed(&self) -> PeerTime {
        let kinds = self.kinds.iter().map(|kind| kind.last_handed);
        kinds.max().unwrap_or(PeerTime::START)
    }

    /// Returns how long the answers of a kind took.
    pub(in crate::mqtt) fn round_trip(&self, kind: Kind) -> RoundTrip {
        self.kind(kind).round_trip()
    }

    pub(in crate::mqtt) fn owner(&self, key: RecordKey) -> T {
        self.records.at(key).tag
    }

    /// Returns the offset in the stream up to which answers prove that the peer has read it.
    pub(in crate::mqtt) fn proven(&self) -> u64 {
        self.proven
    }

    /// Returns whether the deadline of a packet is still to come, of any kind but publications.
    pub(in crate::mqtt) fn awaits_others(&self) -> bool {
        let mut others = self
            .lists
            .iter()
            .filter(|list| list.kind != Kind::Publication);
        others.any(|list| {
            let head = self.records.get(list.window.head);
            let is_overtaken = list.window.head != list.fresh;
            list.on_time != NONE
                || !list.skipped.is_empty()
                || is_overtaken && head.is_some_and(|head| !head.is_late)
        })
    }

    /// Returns how many more packets of a kind may be sent for the first time. While packets `wait` to be sent again, a
    /// tenth of the window is kept for them.
    #[inline]
    pub(in crate::mqtt) fn room(&self, kind: Kind, wait: bool) -> usize {
        let kind = self.kind(kind);
        let reserve = match wait {
            true => kind.share_of_again().saturating_sub(kind.again),
            false => 0,
        };
        kind.window.saturating_sub(kind.in_window + reserve)
    }

    /// Returns how many packets of a kind are in its window and belong to an operation that has not ended.
    pub(in crate::mqtt) fn in_window(&self, kind: Kind) -> usize {
        let kind = self.kind(kind);
        kind.in_window - kind.disowned
    }

    /// Returns whether publications wait to be sent again.
    #[inline]
    pub(in crate::mqtt) fn has_again(&self) -> bool {
        !self.again.is_empty()
    }

    /// Returns whether one more packet of a kind may be sent again.
    #[inline]
    pub(in crate::mqtt) fn has_room_again(&self, kind: Kind) -> bool {
        let kind = self.kind(kind);
        kind.in_window < kind.window && kind.again < kind.share_of_again()
    }

    fn iter(&self) -> impl Iterator<Item = &Record<T>> {
        let chains = self
            .lists
            .iter()
            .flat_map(|list| [list.window, list.skipped]);
        chains
            .chain([self.again])
            .flat_map(|chain| self.records.iter_from(chain.head))
    }
}
