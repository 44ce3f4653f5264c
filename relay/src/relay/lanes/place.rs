//! The order of the requests of a device.

/// The place of a request among those of its device. Nothing passes an attach or a detach; between these, what provides a
/// token goes first, because messages may wait for it, and then what is urgent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Place {
    /// The number of the latest attach or detach of the device; its own, if it is one.
    pub(super) barrier: u64,
    pub(super) rank: Rank,
    /// The place in the input, among those of all devices.
    pub(crate) number: u64,
}

impl Place {
    pub(super) fn is_urgent(self) -> bool {
        self.rank == Rank::Urgent
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Rank {
    /// An attach, a detach or a token.
    Control,
    Urgent,
    Ordinary,
}
