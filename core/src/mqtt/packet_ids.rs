//! Which packet identifiers are free, in flight, or in quarantine.

use super::codec::PacketId;

#[cfg(test)]
mod tests;

/// How many packet identifiers there are.
const ALL: usize = 65_535;

/// The packet identifiers of one connection, and the ticket that each one in flight stands for.
///
/// An identifier is used again as late as possible: every fresh one goes out before the first that
/// was freed, and of those the one that has been free longest. A repeated or late acknowledgement
/// thus meets a free identifier, and completes nothing. Every call takes constant time; memory
/// grows with the highest identifier used, by one small entry each.
#[derive(Debug)]
pub(crate) struct PacketIds<T> {
    /// The entry of identifier `n` is at `n - 1`; those beyond the end are fresh.
    entries: Vec<Entry<T>>,
    /// Of the free entries, a linked list: the one that has been free longest, and the last one.
    free: Option<(PacketId, PacketId)>,
    in_flight: usize,
    quarantined: usize,
}

#[derive(Debug, Clone, Copy)]
enum Entry<T> {
    Free { next: Option<PacketId> },
    InFlight(Awaits, T),
    Quarantined(Awaits),
}

/// The acknowledgement that a packet identifier waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::enum_variant_names, reason = "these are the packets' names")]
pub(crate) enum Awaits {
    PubAck,
    SubAck,
    UnsubAck,
}

/// What an acknowledgement was for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Acknowledged<T> {
    /// The packet with this ticket. Its identifier is free now.
    Matched(T),
    /// A packet whose operation had ended. Its identifier was in quarantine and is free now.
    Late,
    /// Nothing: the identifier is free, or awaits another kind. Nothing has changed.
    Unsolicited,
}

/// What a packet identifier stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Found<T> {
    InFlight(Awaits, T),
    Quarantined,
    Free,
}

impl<T: Copy> PacketIds<T> {
    /// All 65,535 are free.
    pub(crate) fn new() -> Self {
        Self {
            entries: Vec::new(),
            free: None,
            in_flight: 0,
            quarantined: 0,
        }
    }

    /// Takes the identifier for a new packet; `None` when none is free.
    pub(crate) fn take(&mut self, awaits: Awaits, ticket: T) -> Option<PacketId> {
        let id = self.take_fresh().or_else(|| self.take_freed())?;
        *self.entry(id)? = Entry::InFlight(awaits, ticket);
        self.in_flight += 1;
        Some(id)
    }

    /// Frees the identifier that an acknowledgement of the kind `awaits` is for.
    pub(crate) fn acknowledge(&mut self, id: PacketId, awaits: Awaits) -> Acknowledged<T> {
        match self.entry(id) {
            Some(&mut Entry::InFlight(awaited, ticket)) if awaited == awaits => {
                self.in_flight -= 1;
                self.release(id);
                Acknowledged::Matched(ticket)
            }
            Some(&mut Entry::Quarantined(awaited)) if awaited == awaits => {
                self.quarantined -= 1;
                self.release(id);
                Acknowledged::Late
            }
            _ => Acknowledged::Unsolicited,
        }
    }

    /// Forgets the ticket of an identifier in flight, but keeps the identifier out of use until its
    /// acknowledgement comes after all. Changes nothing for any other identifier.
    pub(crate) fn quarantine(&mut self, id: PacketId) {
        if let Some(entry) = self.entry(id)
            && let Entry::InFlight(awaits, _) = *entry
        {
            *entry = Entry::Quarantined(awaits);
            self.in_flight -= 1;
            self.quarantined += 1;
        }
    }

    /// What an identifier stands for.
    pub(crate) fn find(&self, id: PacketId) -> Found<T> {
        match self.entries.get(index(id)) {
            Some(&Entry::InFlight(awaits, ticket)) => Found::InFlight(awaits, ticket),
            Some(Entry::Quarantined(_)) => Found::Quarantined,
            Some(Entry::Free { .. }) | None => Found::Free,
        }
    }

    /// Identifiers whose acknowledgement completes an operation.
    pub(crate) fn in_flight(&self) -> usize {
        self.in_flight
    }

    /// Identifiers out of use because their acknowledgement may still come.
    pub(crate) fn quarantined(&self) -> usize {
        self.quarantined
    }

    /// Identifiers that can be taken.
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

    /// Puts an identifier behind all that are free.
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
