//! Probes: packets beyond the window, while the peer answers nothing.

use crate::mqtt::Kind;

/// The kinds of packets of which one probe is due, and which packet it is.
#[derive(Debug, Default)]
pub(crate) struct Probes {
    control: bool,
    subscription: bool,
    publication: bool,
    place: u32,
}

/// 2³² divided by the golden ratio: its multiples spread evenly.
pub(crate) const STEP: u32 = 0x9e37_79b9;

impl Probes {
    #[inline]
    pub(crate) fn is_due(&self, kind: Kind) -> bool {
        match kind {
            Kind::Control => self.control,
            Kind::Subscription => self.subscription,
            Kind::Publication => self.publication,
        }
    }

    pub(crate) fn set(&mut self, kind: Kind, is_due: bool) {
        *self.due_mut(kind) = is_due;
    }

    /// Returns the place of the next probe in its queue, as a fraction of 2³².
    pub(crate) fn place(&self) -> u32 {
        self.place
    }

    /// Records that a probe was queued.
    pub(crate) fn sent(&mut self, kind: Kind) {
        *self.due_mut(kind) = false;
        self.place = self.place.wrapping_add(STEP);
    }

    fn due_mut(&mut self, kind: Kind) -> &mut bool {
        match kind {
            Kind::Control => &mut self.control,
            Kind::Subscription => &mut self.subscription,
            Kind::Publication => &mut self.publication,
        }
    }
}
