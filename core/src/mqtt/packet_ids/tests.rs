use std::collections::{BTreeMap, VecDeque};

use proptest::prelude::*;

use super::*;

fn id(number: u16) -> PacketId {
    PacketId::new(number).expect("tests name identifiers from 1")
}

fn taken(count: u16) -> PacketIds<u32> {
    let mut ids = PacketIds::new();
    for number in 1..=count {
        let tag = u32::from(number) + 100;
        assert_eq!(ids.take(Awaits::PubAck, tag), Some(id(number)));
    }
    ids
}

#[test]
fn an_acknowledgement_completes_its_operation_once() {
    let mut ids = taken(2);
    assert_eq!(
        ids.acknowledge(id(2), Awaits::PubAck),
        Acknowledged::Matched(102)
    );
    assert_eq!(
        ids.acknowledge(id(2), Awaits::PubAck),
        Acknowledged::Unsolicited
    );
    assert_eq!(ids.find(id(1)), Found::InFlight(Awaits::PubAck, 101));
    assert_eq!((ids.in_flight(), ids.free()), (1, 65_534));
}

#[test]
fn an_acknowledgement_of_another_kind_changes_nothing() {
    let mut ids = PacketIds::new();
    let id = ids.take(Awaits::SubAck, 7).expect("all are free");
    for other in [Awaits::PubAck, Awaits::UnsubAck] {
        assert_eq!(ids.acknowledge(id, other), Acknowledged::Unsolicited);
    }
    assert_eq!(ids.find(id), Found::InFlight(Awaits::SubAck, 7));
    ids.quarantine(id);
    assert_eq!(
        ids.acknowledge(id, Awaits::PubAck),
        Acknowledged::Unsolicited
    );
    assert_eq!(ids.find(id), Found::Quarantined);
    assert_eq!(ids.acknowledge(id, Awaits::SubAck), Acknowledged::Late);
}

#[test]
fn an_acknowledgement_of_an_id_never_taken_is_unsolicited() {
    let mut ids = taken(1);
    assert_eq!(
        ids.acknowledge(id(2), Awaits::PubAck),
        Acknowledged::Unsolicited
    );
    assert_eq!(
        ids.acknowledge(id(65_535), Awaits::PubAck),
        Acknowledged::Unsolicited
    );
    assert_eq!(ids.find(id(65_535)), Found::Free);
}

#[test]
fn a_late_acknowledgement_completes_nothing_and_frees_the_id() {
    let mut ids = taken(1);
    ids.quarantine(id(1));
    assert_eq!(
        (ids.in_flight(), ids.quarantined(), ids.free()),
        (0, 1, 65_534)
    );
    assert_eq!(ids.acknowledge(id(1), Awaits::PubAck), Acknowledged::Late);
    assert_eq!(
        (ids.in_flight(), ids.quarantined(), ids.free()),
        (0, 0, 65_535)
    );
    assert_eq!(
        ids.acknowledge(id(1), Awaits::PubAck),
        Acknowledged::Unsolicited
    );
}

#[test]
fn only_an_id_in_flight_can_be_quarantined() {
    let mut ids = taken(2);
    ids.acknowledge(id(2), Awaits::PubAck);
    for _ in 0..2 {
        ids.quarantine(id(1));
    }
    ids.quarantine(id(2));
    ids.quarantine(id(9));
    assert_eq!(
        (ids.in_flight(), ids.quarantined(), ids.free()),
        (0, 1, 65_534)
    );
    assert_eq!(ids.find(id(2)), Found::Free);
}

#[test]
fn fresh_ids_go_first_then_the_longest_free() {
    let mut ids = taken(3);
    for number in [2, 1] {
        ids.acknowledge(id(number), Awaits::PubAck);
    }
    for number in 4..=65_535 {
        assert_eq!(ids.take(Awaits::PubAck, 0), Some(id(number)));
    }
    ids.acknowledge(id(3), Awaits::PubAck);
    for expected in [Some(2), Some(1), Some(3), None] {
        assert_eq!(ids.take(Awaits::PubAck, 0), expected.map(id));
    }
}

#[test]
fn when_none_is_free_none_is_taken() {
    let mut ids = taken(65_535);
    assert_eq!((ids.in_flight(), ids.free()), (65_535, 0));
    assert_eq!(ids.take(Awaits::PubAck, 0), None);
    ids.quarantine(id(65_535));
    assert_eq!(ids.take(Awaits::PubAck, 0), None);
    ids.acknowledge(id(65_535), Awaits::PubAck);
    assert_eq!(ids.take(Awaits::PubAck, 0), Some(id(65_535)));
}

#[test]
fn an_id_whose_packet_was_sent_again_is_free_after_as_many_acknowledgements() {
    for copies in 2..=4 {
        let mut ids = taken(1);
        for _ in 1..copies {
            ids.sent_again(id(1));
        }
        assert_eq!(
            ids.acknowledge(id(1), Awaits::PubAck),
            Acknowledged::Matched(101)
        );
        for _ in 1..copies {
            assert_eq!((ids.in_flight(), ids.quarantined()), (0, 1));
            assert_eq!(ids.find(id(1)), Found::Quarantined);
            assert_eq!(ids.acknowledge(id(1), Awaits::PubAck), Acknowledged::Late);
        }
        assert_eq!((ids.quarantined(), ids.free()), (0, 65_535));
        assert_eq!(
            ids.acknowledge(id(1), Awaits::PubAck),
            Acknowledged::Unsolicited
        );
    }
}

#[test]
fn an_id_that_is_quarantined_waits_for_every_copy_too() {
    let mut ids = taken(1);
    ids.sent_again(id(1));
    ids.quarantine(id(1));
    for quarantined in [1, 0] {
        assert_eq!(ids.acknowledge(id(1), Awaits::PubAck), Acknowledged::Late);
        assert_eq!(ids.quarantined(), quarantined);
    }
}

#[test]
fn only_the_packet_of_an_id_in_flight_is_sent_again() {
    let mut ids = taken(2);
    ids.quarantine(id(1));
    ids.acknowledge(id(2), Awaits::PubAck);
    for number in [1, 2, 3] {
        ids.sent_again(id(number));
    }
    assert_eq!(ids.acknowledge(id(1), Awaits::PubAck), Acknowledged::Late);
    assert_eq!(ids.free(), 65_535);
}

#[test]
fn an_id_whose_packet_was_sent_more_often_than_can_be_counted_stays_out_of_use() {
    let mut ids = taken(1);
    for _ in 0..70_000 {
        ids.sent_again(id(1));
    }
    ids.acknowledge(id(1), Awaits::PubAck);
    for _ in 0..70_000 {
        assert_eq!(ids.acknowledge(id(1), Awaits::PubAck), Acknowledged::Late);
    }
    assert_eq!(ids.quarantined(), 1);
}

#[test]
fn an_entry_is_small() {
    assert_eq!(size_of::<Entry<u64>>(), 16);
    assert_eq!(size_of::<Entry<u32>>(), 8);
}

/// An identifier that is not free.
struct Used {
    awaits: Awaits,
    /// None once it is in quarantine.
    tag: Option<u32>,
    /// The copies of its packet that were not acknowledged.
    copies: u16,
}

/// A reference model without the linked list.
#[derive(Default)]
struct Model {
    used: BTreeMap<PacketId, Used>,
    fresh: u16,
    freed: VecDeque<PacketId>,
}

impl Model {
    fn take(&mut self, awaits: Awaits, tag: u32) -> Option<PacketId> {
        let id = match self.fresh.checked_add(1) {
            Some(next) => {
                self.fresh = next;
                id(next)
            }
            None => self.freed.pop_front()?,
        };
        let used = Used {
            awaits,
            tag: Some(tag),
            copies: 1,
        };
        self.used.insert(id, used);
        Some(id)
    }

    fn sent_again(&mut self, id: PacketId) {
        if let Some(used) = self.used.get_mut(&id).filter(|used| used.tag.is_some()) {
            used.copies += 1;
        }
    }

    fn acknowledge(&mut self, id: PacketId, awaits: Awaits) -> Acknowledged<u32> {
        let Some(used) = self.used.get_mut(&id).filter(|used| used.awaits == awaits) else {
            return Acknowledged::Unsolicited;
        };
        used.copies -= 1;
        let tag = used.tag.take();
        if used.copies == 0 {
            self.used.remove(&id);
            self.freed.push_back(id);
        }
        tag.map_or(Acknowledged::Late, Acknowledged::Matched)
    }

    fn quarantine(&mut self, id: PacketId) {
        if let Some(used) = self.used.get_mut(&id) {
            used.tag = None;
        }
    }

    fn find(&self, id: PacketId) -> Found<u32> {
        match self.used.get(&id).map(|used| (used.awaits, used.tag)) {
            Some((awaits, Some(tag))) => Found::InFlight(awaits, tag),
            Some((_, None)) => Found::Quarantined,
            None => Found::Free,
        }
    }
}

#[derive(Debug, Clone)]
enum Step {
    Take(Awaits, u32),
    Acknowledge(u16, Awaits),
    SentAgain(u16),
    Quarantine(u16),
}

fn awaits() -> impl Strategy<Value = Awaits> {
    prop_oneof![6 => Just(Awaits::PubAck), 1 => Just(Awaits::SubAck), 1 => Just(Awaits::UnsubAck)]
}

/// Steps on the first ids and on those just below the wrap, near which a test starts.
fn step() -> impl Strategy<Value = Step> {
    let number = || prop_oneof![1..=12_u16, 65_524..=65_535_u16];
    prop_oneof![
        4 => (awaits(), any::<u32>()).prop_map(|(awaits, tag)| Step::Take(awaits, tag)),
        4 => (number(), awaits()).prop_map(|(number, awaits)| Step::Acknowledge(number, awaits)),
        2 => number().prop_map(Step::SentAgain),
        1 => number().prop_map(Step::Quarantine),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn every_history_matches_the_model(
        before in prop_oneof![Just(0_u32), 65_520..=65_535_u32],
        steps in proptest::collection::vec(step(), 1..200),
    ) {
        let mut ids = PacketIds::new();
        let mut model = Model::default();
        let start = (0..before).map(|tag| Step::Take(Awaits::PubAck, tag));
        for step in start.chain(steps) {
            match step {
                Step::Take(awaits, tag) => {
                    prop_assert_eq!(ids.take(awaits, tag), model.take(awaits, tag));
                }
                Step::Acknowledge(number, awaits) => {
                    let id = id(number);
                    prop_assert_eq!(ids.acknowledge(id, awaits), model.acknowledge(id, awaits));
                    prop_assert_eq!(ids.find(id), model.find(id));
                }
                Step::SentAgain(number) => {
                    ids.sent_again(id(number));
                    model.sent_again(id(number));
                }
                Step::Quarantine(number) => {
                    ids.quarantine(id(number));
                    model.quarantine(id(number));
                    prop_assert_eq!(ids.find(id(number)), model.find(id(number)));
                }
            }
            prop_assert_eq!(ids.in_flight() + ids.quarantined(), model.used.len());
            prop_assert_eq!(ids.free(), 65_535 - model.used.len());
        }
        let quarantined = model.used.values().filter(|used| used.tag.is_none()).count();
        prop_assert_eq!(ids.quarantined(), quarantined);
    }
}
