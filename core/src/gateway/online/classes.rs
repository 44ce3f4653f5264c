//! Turns of the classes of packets, on a connection that has a pace.

/// What the pace of a connection lets go in turns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Class {
    Subscription,
    Attach,
    /// Overdue publications, and probes with one.
    Again,
    Detach,
    Publication,
}

/// Whose turn it is when the pace of the connection lets one packet go: the class that was sent last comes last.
#[derive(Debug)]
pub(crate) struct Classes([Class; 5]);

impl Default for Classes {
    fn default() -> Self {
        Self([
            Class::Subscription,
            Class::Attach,
            Class::Again,
            Class::Detach,
            Class::Publication,
        ])
    }
}

impl Classes {
    pub(crate) fn order(&self) -> [Class; 5] {
        self.0
    }

    /// Records that a packet of this class was queued.
    pub(crate) fn sent(&mut self, class: Class) {
        if let Some(at) = self.0.iter().position(|other| *other == class)
            && let Some(passed) = self.0.get_mut(at..)
        {
            passed.rotate_left(1);
        }
    }
}
