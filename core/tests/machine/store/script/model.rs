//! What must be on the disk.

use std::collections::{BTreeMap, BTreeSet};

use iotcore_gateway::{Event, Failure, OpId, message::PublicationTopic};

use super::{
    super::{Kept, Kit, Records},
    DEVICES, MAX_BYTES,
};

/// Identifies a publication over restarts: its payload. They grow in the order of acceptance.
pub(super) type Label = u64;

/// How a publication has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Delivered,
    Superseded,
    /// Its user took it back.
    Withdrawn,
    Failed,
    /// The gateway was closed before.
    Closed,
}

#[derive(Clone, Debug)]
struct Publication {
    op: OpId,
    device: usize,
    is_state: bool,
    is_volatile: bool,
    is_stored: bool,
    /// Whether it was durable at any time.
    was_durable: bool,
    /// Whether it, and all newer states of its device, had ended at any time.
    is_released: bool,
    end: Option<End>,
}

impl Publication {
    /// Returns whether it has not ended, or by a close.
    fn is_left(&self) -> bool {
        matches!(self.end, None | Some(End::Closed))
    }
}

#[derive(Debug, Default)]
pub(super) struct Model {
    labels: Label,
    /// All of this process.
    publications: BTreeMap<Label, Publication>,
    removed: BTreeSet<u64>,
    /// Whether the store could not be written, and has not been since.
    is_failing: bool,
}

fn label(kept: &Kept) -> Label {
    kept.text().parse().unwrap()
}

fn bytes(records: &Records) -> usize {
    records.values().map(|kept| kept.payload.len() + 320).sum()
}

impl Model {
    pub(super) fn next_label(&mut self) -> Label {
        self.labels += 1;
        self.labels
    }

    pub(super) fn accept(
        &mut self,
        label: Label,
        op: OpId,
        device: usize,
        is_state: bool,
        is_volatile: bool,
    ) {
        let publication = Publication {
            op,
            device,
            is_state,
            is_volatile,
            is_stored: false,
            was_durable: false,
            is_released: false,
            end: None,
        };
        self.publications.insert(label, publication);
    }

    pub(super) fn newest_unended(&self) -> impl Iterator<Item = OpId> {
        let newest = self.publications.values().rev();
        newest.filter(|one| one.end.is_none()).map(|one| one.op)
    }

    fn of_op(&mut self, op: OpId) -> Option<&mut Publication> {
        self.publications.values_mut().find(|one| one.op == op)
    }

    /// Follows an operation that was taken.
    pub(super) fn take(&mut self, op: &str) {
        let words: Vec<_> = op.split(' ').collect();
        let seq = words[1].parse().unwrap();
        match words[0] {
            "put" => {
                assert!(!self.removed.contains(&seq), "{op} after its removal");
                let label: Label = words[2].parse().unwrap();
                let of = &self.publications[&label];
                assert_eq!(of.end, None, "{op} after its end");
                assert!(!of.is_volatile && !of.is_stored, "{op}: {of:?}");
            }
            "remove" => _ = self.removed.insert(seq),
            _ => {}
        }
    }

    /// Follows a commit that was answered.
    pub(super) fn commit(&mut self, durable: &Records) {
        assert!(bytes(durable) <= MAX_BYTES, "{durable:?}");
        for kept in durable.values() {
            if let Some(of) = self.publications.get_mut(&label(kept)) {
                of.was_durable = true;
            }
        }
    }

    pub(super) fn read(&mut self, event: Event) {
        match event {
            Event::Stored { op } => {
                let of = self.of_op(op).expect("of a publication");
                assert!(
                    !of.is_stored && !of.is_volatile && of.end.is_none(),
                    "{of:?}"
                );
                assert!(of.was_durable);
                of.is_stored = true;
            }
            Event::Done { op, .. } => self.end(op, End::Delivered),
            Event::Failed { op, failure, .. } => match failure {
                Failure::Superseded => self.end(op, End::Superseded),
                Failure::Closed => self.end(op, End::Closed),
                Failure::Cancelled | Failure::Detached => self.end(op, End::Withdrawn),
                _ => self.end(op, End::Failed),
            },
            Event::StoreFailed { .. } => self.is_failing = true,
            Event::StoreRecovered => self.is_failing = false,
            _ => {}
        }
    }

    fn end(&mut self, op: OpId, end: End) {
        let Some(of) = self.of_op(op) else { return };
        assert_eq!(of.end.replace(end), None);
        let device = of.device;
        let states = self.publications.values_mut().rev();
        let states = states.filter(|one| one.is_state && one.device == device);
        let newest = states.take_while(|one| one.end.is_some());
        newest.for_each(|one| one.is_released = true);
    }

    /// Begins another process, with what was found.
    pub(super) fn restart<'a>(&mut self, found: impl Iterator<Item = (&'a Kept, OpId)>) {
        self.publications.clear();
        self.removed.clear();
        self.is_failing = false;
        for (kept, op) in found {
            let device = DEVICES.iter().position(|id| *id == kept.device).unwrap();
            let is_state = kept.topic == PublicationTopic::State;
            self.accept(label(kept), op, device, is_state, false);
            let of = self.publications.get_mut(&label(kept)).unwrap();
            (of.is_stored, of.was_durable) = (true, true);
        }
    }

    /// Checks what holds at any time.
    pub(super) fn check(&self, kit: &Kit) {
        let durable = &kit.disk.durable;
        let labels: Vec<_> = durable.values().map(label).collect();
        assert!(
            labels.is_sorted_by(|a, b| a < b),
            "out of order: {labels:?}"
        );
        let places = durable.values().map(|kept| kept.accepted);
        assert!(places.is_sorted_by(|a, b| a < b), "{durable:?}");
        assert!(kit.gateway.stats().stored_bytes <= MAX_BYTES);
        let is_committing = kit.gateway.wants_store() || kit.disk.commit.is_some();
        let is_leaving = is_committing || self.is_failing;
        for (label, of) in &self.publications {
            let is_on_disk = labels.contains(label);
            if of.is_stored && of.end.is_none() && !self.is_outdated(*label) {
                assert!(is_on_disk, "{label} is lost: {labels:?}");
            }
            let comes_back = of.end == Some(End::Withdrawn)
                || self.is_outdated(*label) && !self.has_newer(*label, &labels);
            if is_on_disk && comes_back {
                assert!(is_leaving, "{label} would come back: {labels:?}");
            }
            if of.is_state && of.was_durable && of.end == Some(End::Superseded) {
                self.check_replaced(*label, of, &labels);
            }
        }
    }

    /// Checks that a state that was durable, or a newer one, is on the disk, unless a newer one has arrived or all have
    /// ended.
    fn check_replaced(&self, replaced: Label, of: &Publication, labels: &[Label]) {
        let states = self.publications.range(replaced..);
        let states = states.filter(|(_, one)| one.is_state && one.device == of.device);
        let states: Vec<_> = states.collect();
        let is_delivered = states
            .iter()
            .any(|(_, one)| one.end == Some(End::Delivered));
        let was_settled = states
            .iter()
            .any(|(label, one)| **label > replaced && one.was_durable);
        let is_there = states.iter().any(|(label, _)| labels.contains(label));
        assert!(
            is_delivered || of.is_released || was_settled || is_there,
            "no state of {}: {labels:?}",
            DEVICES[of.device]
        );
    }

    /// Checks that the disk has what has not ended otherwise than by a close, and nothing else but states that were replaced by one at QoS 0 that
    /// waits.
    pub(super) fn check_at_rest(&self, kit: &Kit) {
        let durable = kit.disk.durable.values().map(label);
        let durable: Vec<_> = durable.filter(|label| !self.is_replaced(*label)).collect();
        let kept = self.publications.iter();
        let kept = kept
            .filter(|(label, one)| one.is_left() && !one.is_volatile && !self.is_outdated(**label));
        let kept: Vec<_> = kept.map(|(label, _)| *label).collect();
        assert_eq!(durable, kept);
        let stats = kit.gateway.stats();
        assert_eq!(stats.stored, durable.len());
        if !self
            .publications
            .keys()
            .any(|label| self.is_replaced(*label))
        {
            assert_eq!(stats.stored_bytes, bytes(&kit.disk.durable));
        }
    }

    /// Returns whether one of these is a newer state of its device.
    fn has_newer(&self, label: Label, labels: &[Label]) -> bool {
        let device = self.publications[&label].device;
        let mut newer = self.publications.range(label + 1..);
        newer.any(|(label, one)| one.is_state && one.device == device && labels.contains(label))
    }

    /// Returns whether this is a state, and a newer one of its device has arrived.
    fn is_outdated(&self, label: Label) -> bool {
        let of = &self.publications[&label];
        let newer = self.publications.range(label + 1..);
        let mut newer = newer.filter(|(_, one)| one.is_state && one.device == of.device);
        of.is_state && newer.any(|(_, one)| one.end == Some(End::Delivered))
    }

    /// Returns whether this is a state that was replaced by one at QoS 0 that waits.
    fn is_replaced(&self, label: Label) -> bool {
        let of = &self.publications[&label];
        let newer = self.publications.range(label + 1..);
        let mut newer = newer.filter(|(_, one)| one.is_state && one.device == of.device);
        of.end == Some(End::Superseded) && newer.any(|(_, one)| one.is_volatile && one.is_left())
    }
}
