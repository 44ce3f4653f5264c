//! How often in a row the peer has closed a connection soon after it was given a packet, and before answering it.

/// A packet with this many strikes is a suspect: it is sent last and alone.
const SUSPECT_AFTER: u8 = 3;

/// A packet with this many strikes, the last ones while it was alone, is not sent any more.
const GUILTY_AFTER: u8 = 5;

/// The strikes of one publication, attach or SUBSCRIBE. They outlive connections; an answer clears them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Strikes(u8);

impl Strikes {
    /// Adds the end of a connection. To a suspect only the end of one on which it was alone is added.
    pub(crate) fn add(&mut self, was_alone: bool) {
        if was_alone || !self.is_suspect() {
            self.0 = self.0.saturating_add(1);
        }
    }

    pub(crate) fn clear(&mut self) {
        self.0 = 0;
    }

    pub(crate) fn is_suspect(self) -> bool {
        self.0 >= SUSPECT_AFTER
    }

    pub(crate) fn is_guilty(self) -> bool {
        self.0 >= GUILTY_AFTER
    }

    pub(crate) fn connections(self) -> u32 {
        self.0.into()
    }
}
