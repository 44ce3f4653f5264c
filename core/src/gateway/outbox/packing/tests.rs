use std::collections::BTreeMap;

use proptest::{collection::vec, prelude::*, sample::Index};

use super::*;
use crate::{
    clock::Moment,
    command::{DeviceKey, OpId, Priority, Publication, Slot},
    gateway::outbox::Window,
    mqtt::QoS,
    options::Options,
    quota::Quota,
    time::Duration,
};

const DEVICES: u32 = 3;

#[derive(Clone, Copy, Debug)]
enum Kind {
    Telemetry,
    Urgent,
    Once,
    Expiring,
    State,
}

#[derive(Clone, Debug)]
enum Step {
    Publish(u32, Kind, usize),
    Send(usize),
    /// Ends all but one in so many.
    End(usize),
    /// Puts back what a device has in flight, or makes it a suspect.
    PutBack(u32, bool),
    /// Looks one up, so that all are kept by operation from now on.
    Find(Index),
}

fn step() -> impl Strategy<Value = Step> {
    let kind = prop_oneof![
        Just(Kind::Telemetry),
        Just(Kind::Urgent),
        Just(Kind::Once),
        Just(Kind::Expiring),
        Just(Kind::State),
    ];
    prop_oneof![
        5 => (0..DEVICES, kind, 1..300_usize).prop_map(|(device, kind, count)| Step::Publish(device, kind, count)),
        2 => (0..200_usize).prop_map(Step::Send),
        2 => (2..20_usize).prop_map(Step::End),
        1 => (0..DEVICES, any::<bool>()).prop_map(|(device, are_suspects)| Step::PutBack(device, are_suspects)),
        1 => any::<Index>().prop_map(Step::Find),
    ]
}

/// An outbox on a connection, and what it should have.
struct Stage {
    outbox: Outbox,
    flight: Flight,
    ops: u64,
    /// The device and the kind of each publication that has not ended.
    live: BTreeMap<OpId, (u32, Kind)>,
    in_flight: BTreeMap<PacketId, EntryKey>,
    next_id: u16,
}

impl Stage {
    fn new() -> Self {
        let options = Options {
            window: u16::MAX,
            device_window: u16::MAX,
            quota: Quota::unpaced(),
            ..Options::default()
        };
        let mut outbox = Outbox::new(&options);
        let mut flight = Flight::new(&options);
        for slot in (0..DEVICES).map(Slot) {
            let id = format!("device-{}", slot.0).try_into().unwrap();
            outbox.add_device(slot, &id);
            outbox.open(&mut flight, slot);
        }
        Self {
            outbox,
            flight,
            ops: 0,
            live: BTreeMap::new(),
            in_flight: BTreeMap::new(),
            next_id: 1,
        }
    }

    fn now() -> Moment {
        Moment::default()
    }

    fn publish(&mut self, device: u32, kind: Kind) {
        let key = DeviceKey {
            slot: Slot(device),
            generation: 0,
        };
        let telemetry = Publication::telemetry(key, vec![7; 3]);
        let publication = match kind {
            Kind::Telemetry => telemetry,
            Kind::Urgent => telemetry.priority(Priority::Urgent),
            Kind::Once => telemetry.qos(QoS::AtMostOnce),
            Kind::Expiring => telemetry.expires_after(Duration::from_secs(1)),
            Kind::State => Publication::state(key, vec![7; 3]),
        };
        let op = OpId::after(self.ops);
        self.ops += 1;
        let flight = Some(&mut self.flight);
        let replaced = self.outbox.accept(flight, op, publication, Self::now());
        self.live.insert(op, (device, kind));
        if let Some(replaced) = replaced {
            let (op, _) = self.outbox.release(replaced);
            self.live.remove(&op);
        }
    }

    fn send(&mut self) {
        let window = Window {
            left: usize::from(u16::MAX),
            room: usize::MAX,
        };
        let Some(key) = self.outbox.next(&mut self.flight, window, Self::now()) else {
            return;
        };
        match self.outbox.entry(key).qos {
            QoS::AtMostOnce => {
                let end = self.outbox.entry(key).op.as_u64();
                self.outbox
                    .sent_once(&mut self.flight, key, end, Self::now());
            }
            QoS::AtLeastOnce => {
                let id = PacketId::new(self.next_id).unwrap();
                self.next_id += 1;
                self.in_flight.insert(id, key);
                self.outbox.sent(&mut self.flight, key, id, Self::now());
            }
        }
    }

    fn end(&mut self, key: EntryKey) {
        if let Some(id) = self.outbox.entry(key).packet_id() {
            assert_eq!(self.in_flight.remove(&id), Some(key));
        }
        let (op, device) = self.outbox.finish(&mut self.flight, key, false);
        let (expected, _) = self.live.remove(&op).unwrap();
        assert_eq!(device, Slot(expected));
    }

    fn put_back(&mut self, device: u32, are_suspects: bool) {
        let in_flight = self.in_flight.values().copied();
        let of_device = |key: &EntryKey| self.outbox.entry(*key).device == Slot(device);
        let keys: Vec<_> = in_flight.filter(of_device).collect();
        for &key in keys.iter().filter(|_| are_suspects) {
            self.outbox.strikes_mut(key).suspect();
        }
        let returned = self.outbox.put_back(&mut self.flight, keys);
        for id in returned.packet_ids {
            self.in_flight.remove(&id);
        }
        for key in returned.superseded {
            let (op, _) = self.outbox.release(key);
            self.live.remove(&op);
        }
    }

    fn run(&mut self, step: Step) {
        match step {
            Step::Publish(device, kind, count) => {
                (0..count).for_each(|_| self.publish(device, kind));
            }
            Step::Send(count) => (0..count).for_each(|_| self.send()),
            Step::End(one_in) => {
                let all = self.outbox.all().into_iter().enumerate();
                for (_, key) in all.filter(|(at, _)| at % one_in != 0) {
                    self.end(key);
                }
            }
            Step::PutBack(device, are_suspects) => self.put_back(device, are_suspects),
            Step::Find(index) if !self.live.is_empty() => {
                let ops: Vec<_> = self.live.keys().copied().collect();
                self.assert_found(*index.get(&ops));
            }
            Step::Find(_) => {}
        }
    }

    fn pack(&mut self) {
        let in_flight = &mut self.in_flight;
        self.outbox.pack(Some(&mut self.flight), |id, key| {
            in_flight.insert(id, key).expect("it is in flight");
        });
    }

    fn assert_found(&mut self, op: OpId) {
        let key = self.outbox.find(op).unwrap();
        assert_eq!(self.outbox.entry(key).op, op);
    }

    fn check(&self) {
        let ops = |keys: Vec<EntryKey>| keys.into_iter().map(|key| self.outbox.entry(key).op);
        assert!(ops(self.outbox.all()).eq(self.live.keys().copied()));
        for (id, key) in &self.in_flight {
            assert_eq!(self.outbox.entry(*key).packet_id(), Some(*id));
        }
        for device in (0..DEVICES).map(Slot) {
            let in_flight = self.in_flight.values().copied();
            let of_device = |key: &EntryKey| self.outbox.entry(*key).device == device;
            let in_flight = in_flight.filter(of_device).collect();
            let found = self.outbox.all_of(device, in_flight, Some(&self.flight));
            let live = self.live.iter();
            let expected = live.filter(|(_, (of, _))| Slot(*of) == device);
            assert!(ops(found).eq(expected.map(|(op, _)| *op)));
        }
        let places = self.outbox.entries.places();
        assert!(
            places <= 4 * 64 || places <= 4 * self.live.len(),
            "{places}"
        );
    }

    /// Ends everything in the order in which it would be sent, or handed over, or expire.
    fn drain(&mut self) {
        while let Some(key) = self.outbox.handed_over(&self.flight, u64::MAX) {
            self.end(key);
        }
        let late = Self::now() + Duration::from_secs(2);
        let expiring = self.live.iter().filter(|(op, (_, kind))| {
            let mut in_flight = self.in_flight.values();
            matches!(kind, Kind::Expiring)
                && !in_flight.any(|key| self.outbox.entry(*key).op == **op)
        });
        let expiring = expiring.count();
        for _ in 0..expiring {
            let key = self.outbox.pop_expired(late).expect("it expires");
            self.end(key);
        }
        assert_eq!(self.outbox.pop_expired(late), None);
        for key in self.outbox.all() {
            self.end(key);
        }
        assert_eq!(self.outbox.len(), 0);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn after_a_peak_all_that_is_left_is_found_wherever_it_is(steps in vec(step(), 0..40)) {
        let mut stage = Stage::new();
        for step in steps {
            stage.run(step);
            stage.pack();
            stage.check();
        }
        stage.drain();
    }
}
