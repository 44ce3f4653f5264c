//! Probes: packets beyond the window, while the peer answers nothing.

use crate::{clock::PeerTime, mqtt::Kind};

/// For each kind of packets, the deadline of a probe that a timeout has found passed, and which packet a probe is.
///
/// A deadline stands for the silence that it ends: it moves with anything that the peer answers or the transport takes.
/// It is not cleared when a probe is not wanted any more, because only inputs that are not spurious may change what a
/// later one does.
#[derive(Debug, Default)]
pub(crate) struct Probes {
    control: Option<PeerTime>,
    subscription: Option<PeerTime>,
    publication: Option<PeerTime>,
    place: u32,
}

/// 2³² divided by the golden ratio: its multiples spread evenly.
pub(crate) const STEP: u32 = 0x9e37_79b9;

impl Probes {
    /// Returns the last deadline of a probe that a timeout has found passed, if none was sent since.
    #[inline]
    pub(crate) fn due_since(&self, kind: Kind) -> Option<PeerTime> {
        match kind {
            Kind::Control => self.control,
            Kind::Subscription => self.subscription,
            Kind::Publication => self.publication,
        }
    }

    /// Records that a timeout was reported after the deadline of a probe.
    pub(crate) fn set_due(&mut self, kind: Kind, since: PeerTime) {
        *self.due_mut(kind) = Some(since);
    }

    /// Returns the place of the next probe in its queue, as a fraction of 2³².
    pub(crate) fn place(&self) -> u32 {
        self.place
    }

    /// Records that a probe was queued.
    pub(crate) fn sent(&mut self, kind: Kind) {
        *self.due_mut(kind) = None;
        self.place = self.place.wrapping_add(STEP);
    }

    fn due_mut(&mut self, kind: Kind) -> &mut Option<PeerTime> {
        match kind {
            Kind::Control => &mut self.control,
            Kind::Subscription => &mut self.subscription,
            Kind::Publication => &mut self.publication,
        }
    }
}
