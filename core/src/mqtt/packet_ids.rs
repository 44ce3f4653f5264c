//! The state of each packet identifier: free, in flight, or in quarantine.

use super::codec::PacketId;

#[cfg(test)]
mod tests;

/// The number of packet identifiers.
const ALL: usize = 65_535;

/// The packet identifiers of one connection, and the caller's tag of each one in flight.
///
/// An identifier is out of use until each copy of its packet was acknowledged, and is reused as late as possible: all
/// unused ones are taken first, then the one that has been free longest. So a repeated or late acknowledgement completes
/// nothing. Every call takes constant time; memory grows with the highest identifier used, by one small entry each.
#[derive(Debug)]
pub(crate) struct PacketIds<T> {
    /// The entry of identifier `n` is at `n - 1`; those beyond the end are unused.
    entries: Vec<Entry<T>>,
    /// The first and the last of the linked list of free entries; the first has been free longest.
    free: Option<(PacketId, PacketId)>,
    in_flight: usize,
    quarantined: usize,
}

#[derive(Debug, Clone, Copy)]
enum Entry<T> {
    Free { next: Option<PacketId> },
    InFlight(Outstanding, T),
    Quarantined(Outstanding),
}

/// The acknowledgements of an identifier that can still arrive.
#[derive(Debug, Clone, Copy)]
struct Outstanding {
    awaits: Awaits,
    /// How many, at least 1. `u16::MAX` stands for more than can be counted, and does not decrease.
    count: u16,
}

impl Outstanding {
    /// Returns what is outstanding after one more copy was sent.
    fn more(self) -> Self {
        let count = self.count.saturating_add(1);
        Self { count, ..self }
    }

    /// Returns what is outstanding after one acknowledgement; `None` if nothing is.
    fn less(self) -> Option<Self> {
        let count = match self.count {
            u16::MAX => u16::MAX,
            count => count - 1,
        };
        (count > 0).then_some(Self { count, ..self })
    }
}

/// The acknowledgement that a packet identifier waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::enum_variant_names, reason = "these are the packets' names")]
pub(crate) enum Awaits {
    PubAck,
    SubAck,
    UnsubAck,
}

/// The result of an acknowledgement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Acknowledged<T> {
    /// It is the first for the packet with this tag. Its identifier is free now, or in quarantine if the packet was sent
    /// more than once.
    Matched(T),
    /// It acknowledges a packet whose operation had ended. Its identifier was in quarantine; it is free now if each copy
    /// was acknowledged.
    Late,
    /// It matches nothing: the identifier is free, or waits for another kind. Nothing has changed.
    Unsolicited,
}

/// The state of a packet identifier.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Found<T> {
    InFlight(Awaits, T),
    Quarantined,
    Free,
}

impl<T: Copy> PacketIds<T> {
    /// Creates the table; all 65,535 identifiers are free.
    pub(crate) fn new() -> Self {
        Self {
            entries: Vec::new(),
            free: None,
            in_flight: 0,
            quarantined: 0,
        }
    }

    /// Takes an identifier for a new packet; returns `None` if none is free.
    #[inline]
    pub(crate) fn take(&mut self, awaits: Awaits, tag: T) -> Option<PacketId> {
        let id = self.take_fresh().or_else(|| self.take_freed())?;
        *self.entry(id)? = Entry::InFlight(Outstanding { awaits, count: 1 }, tag);
        self.in_flight += 1;
        Some(id)
    }

    /// Records that the packet of an identifier in flight was sent once more. Does nothing for any other identifier.
    pub(crate) fn sent_again(&mut self, id: PacketId) {
        if let Some(Entry::InFlight(outstanding, _)) = self.entry(id) {
            *outstanding = outstanding.more();
        }
    }

    /// Records an acknowledgement of the kind `awaits`. Frees its identifier if no other is outstanding.
    #[inline(always)]
    pub(crate) fn acknowledge(&mut self, id: PacketId, awaits: Awaits) -> Acknowledged<T> {
        match self.entry(id) {
            Some(&mut Entry::InFlight(outstanding, tag)) if outstanding.awaits == awaits => {
                self.in_flight -= 1;
                self.settle(id, outstanding);
                Acknowledged::Matched(tag)
            }
            Some(&mut Entry::Quarantined(outstanding)) if outstanding.awaits == awaits => {
                self.quarantined -= 1;
                self.settle(id, outstanding);
                Acknowledged::Late
            }
            _ => Acknowledged::Unsolicited,
        }
    }

    /// Frees an identifier that was acknowledged once more, unless that is not the last time.
    #[inline(always)]
    fn settle(&mut self, id: PacketId, outstanding: Outstanding) {
        match outstanding.less() {
            Some(rest) => self.hold(id, rest),
            None => self.release(id),
        }
    }

    /// Takes the tag of an identifier in flight, but keeps the identifier out of use until its acknowledgements arrive
    /// late. Does nothing for any other identifier.
    pub(crate) fn quarantine(&mut self, id: PacketId) -> Option<T> {
        let &mut Entry::InFlight(outstanding, tag) = self.entry(id)? else {
            return None;
        };
        self.in_flight -= 1;
        self.hold(id, outstanding);
        Some(tag)
    }

    /// Returns the tag of an identifier in flight.
    #[inline]
    pub(crate) fn find_in_flight(&self, id: PacketId) -> Option<T> {
        match self.find(id) {
            Found::InFlight(_, tag) => Some(tag),
            Found::Quarantined | Found::Free => None,
        }
    }

    /// Returns the state of an identifier.
    pub(crate) fn find(&self, id: PacketId) -> Found<T> {
        match self.entries.get(index(id)) {
            Some(&Entry::InFlight(outstanding, tag)) => Found::InFlight(outstanding.awaits, tag),
            Some(Entry::Quarantined(_)) => Found::Quarantined,
            Some(Entry::Free { .. }) | None => Found::Free,
        }
    }

    /// Returns the number of identifiers whose acknowledgement completes an operation.
    pub(crate) fn in_flight(&self) -> usize {
        self.in_flight
    }

    /// Returns the number of identifiers that are out of use because their acknowledgement may still arrive.
    #[cfg(test)]
    pub(crate) fn quarantined(&self) -> usize {
        self.quarantined
    }

    /// Returns the number of identifiers that can be taken.
    pub(crate) fn free(&self) -> usize {
        ALL - self.in_flight - self.quarantined
    }

    fn entry(&mut self, id: PacketId) -> Option<&mut Entry<T>> {
        self.entries.get_mut(index(id))
    }

    fn take_fresh(&mut self) -> Option<PacketId> {
        let id = u16::try_from(self.entries.len() + 1).ok()?;
        self.entries.push(Entry::Free { next: None });
        PacketId::new(id)
    }

    fn take_freed(&mut self) -> Option<PacketId> {
        let (first, last) = self.free?;
        self.free = match self.entries.get(index(first)) {
            Some(Entry::Free { next: Some(next) }) => Some((*next, last)),
            _ => None,
        };
        Some(first)
    }

    /// Puts an identifier into quarantine. Never inlined: almost every packet is sent and acknowledged once.
    #[inline(never)]
    fn hold(&mut self, id: PacketId, outstanding: Outstanding) {
        if let Some(entry) = self.entry(id) {
            *entry = Entry::Quarantined(outstanding);
            self.quarantined += 1;
        }
    }

    /// Appends an identifier to the list of free ones.
    fn release(&mut self, id: PacketId) {
        let first = match self.free {
            Some((first, last)) => {
                if let Some(entry) = self.entry(last) {
                    *entry = Entry::Free { next: Some(id) };
                }
                first
            }
            None => id,
        };
        self.free = Some((first, id));
        if let Some(entry) = self.entry(id) {
            *entry = Entry::Free { next: None };
        }
    }
}

fn index(id: PacketId) -> usize {
    usize::from(id.get()) - 1
}
