//! How often in a row the peer has closed a connection soon after it was given a packet, and before answering it.

/// A packet with this many strikes is a suspect: it is sent last and alone.
const SUSPECT_AFTER: u8 = 3;

/// A packet that was alone when this many connections ended is not sent any more.
const GUILTY_AFTER: u8 = 2;

/// The strikes of one publication, attach or SUBSCRIBE. They outlive connections; an answer clears them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Strikes {
    connections: u8,
    /// Those of them on which it was alone.
    alone: u8,
    is_suspect: bool,
}

impl Strikes {
    /// Adds the end of a connection. To a suspect only the end of one on which it was alone is added.
    pub(crate) fn add(&mut self, was_alone: bool) {
        if was_alone || !self.is_suspect {
            self.connections = self.connections.saturating_add(1);
            self.alone = self.alone.saturating_add(was_alone.into());
            self.is_suspect |= self.connections >= SUSPECT_AFTER;
        }
    }

    /// Adds the strikes of another one.
    pub(crate) fn take_over(&mut self, other: Self) {
        self.connections = self.connections.saturating_add(other.connections);
        self.alone = self.alone.saturating_add(other.alone);
        self.is_suspect |= other.is_suspect || self.connections >= SUSPECT_AFTER;
    }

    /// Makes it a suspect without strikes, because of others before it.
    pub(crate) fn suspect(&mut self) {
        self.is_suspect = true;
    }

    /// Clears the strikes of what is not a suspect yet.
    pub(crate) fn forgive(&mut self) {
        if !self.is_suspect {
            self.clear();
        }
    }

    pub(crate) fn clear(&mut self) {
        *self = Self::default();
    }

    pub(crate) fn is_suspect(self) -> bool {
        self.is_suspect
    }

    pub(crate) fn is_guilty(self) -> bool {
        self.alone >= GUILTY_AFTER
    }

    /// Returns whether it was alone when a connection ended.
    pub(crate) fn was_alone(self) -> bool {
        self.alone > 0
    }

    pub(crate) fn connections(self) -> u32 {
        self.connections.into()
    }
}
