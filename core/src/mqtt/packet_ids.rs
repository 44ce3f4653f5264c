//! The state of each packet identifier: free, in flight, or in quarantine.

use super::codec::PacketId;

#[cfg(test)]
mod tests;

/// The number of packet identifiers.
const ALL: usize = 65_535;

/// The packet identifiers of one connection, and the caller's tag of each one in flight.
///
/// An identifier is reused as late as possible: all unused ones are taken first, then the one that has been free
/// longest. So a repeated or late acknowledgement finds a free identifier, and completes nothing. Every call takes
/// constant time; memory grows with the highest identifier used, by one small entry each.
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

/// The result of an acknowledgement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Acknowledged<T> {
    /// It acknowledges the packet with this tag. Its identifier is free now.
    Matched(T),
    /// It acknowledges a packet whose operation had ended. Its identifier was in quarantine and is free now.
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
        *self.entry(id)? = Entry::InFlight(awaits, tag);
        self.in_flight += 1;
        Some(id)
    }

    /// Frees an identifier after an acknowledgement of the kind `awaits`.
    pub(crate) fn acknowledge(&mut self, id: PacketId, awaits: Awaits) -> Acknowledged<T> {
        match self.entry(id) {
            Some(&mut Entry::InFlight(awaited, tag)) if awaited == awaits => {
                self.in_flight -= 1;
                self.release(id);
                Acknowledged::Matched(tag)
            }
            Some(&mut Entry::Quarantined(awaited)) if awaited == awaits => {
                self.quarantined -= 1;
                self.release(id);
                Acknowledged::Late
            }
            _ => Acknowledged::Unsolicited,
        }
    }

    /// Takes the tag of an identifier in flight, but keeps the identifier out of use until its acknowledgement arrives
    /// late. Does nothing for any other identifier.
    pub(crate) fn quarantine(&mut self, id: PacketId) -> Option<T> {
        let entry = self.entry(id)?;
        let Entry::InFlight(awaits, tag) = *entry else {
            return None;
        };
        *entry = Entry::Quarantined(awaits);
        self.in_flight -= 1;
        self.quarantined += 1;
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
            Some(&Entry::InFlight(awaits, tag)) => Found::InFlight(awaits, tag),
            Some(Entry::Quarantined(_)) => Found::Quarantined,
            Some(Entry::Free { .. }) | None => Found::Free,
        }
    }

    /// Returns the number of identifiers whose acknowledgement completes an operation.
    #[cfg(test)]
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
