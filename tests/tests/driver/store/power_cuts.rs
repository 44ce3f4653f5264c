//! Power cuts at any moment, at a bridge that is cut off as well.

use std::{collections::BTreeSet, time::Duration};

use iotcore_gateway::{Options, driver::Delivery};
use iotcore_gateway_testkit::{random::Random, simulation::JobTime};

use super::{super::Sent, Dials, Machine, Process, Server, is_stored};

/// How many messages a machine publishes in its life.
const MESSAGES: usize = 60;

/// A machine in the field: what was reported to it, and what the bridge has received.
struct Field {
    machine: Machine,
    random: Random,
    options: Options,
    published: usize,
    /// Messages that were reported as stored.
    stored: BTreeSet<usize>,
    /// What the bridge has received, in this order.
    arrived: Vec<usize>,
    server: Option<Server>,
}

impl Field {
    fn new(seed: u64) -> Self {
        let mut random = Random::new(seed);
        let mut options = Options::default();
        let lingers = [
            Duration::ZERO,
            Duration::from_millis(300),
            Duration::from_secs(1),
        ];
        options.durability.linger = Some(random.pick(&lingers));
        let machine = Machine::with_segments(8 * 1024, seed);
        let times = [0, 1, 50, 400].map(Duration::from_millis);
        machine
            .world
            .net
            .set_job_time(JobTime::Takes(random.pick(&times)));
        Self {
            machine,
            random,
            options,
            published: 0,
            stored: BTreeSet::new(),
            arrived: Vec::new(),
            server: None,
        }
    }

    /// Lets a process live until the power is cut.
    fn live(&mut self) {
        let process = self.machine.start(self.options.clone());
        // Not before the store was read: a machine without power does not boot.
        let operations = 1 + self.random.below(40);
        self.machine.disk.lose_power_after(operations);
        let mut deliveries: Vec<(usize, Delivery)> = Vec::new();
        let steps = 5 + self.random.below(60);
        for _ in 0..steps {
            match self.random.below(10) {
                0..4 => self.publish(&process, &mut deliveries),
                4..7 => self.serve(),
                7 => self.toggle_link(),
                _ => {
                    let wait = Duration::from_millis(1 + self.random.below(900));
                    self.machine.world.pass(wait);
                }
            }
            self.note(&deliveries);
            if !self.machine.disk.has_power() {
                break;
            }
        }
        self.server = None;
        self.machine.lose_power(process);
        while Server::dialed(&self.machine.world).is_some() {}
    }

    fn publish(&mut self, process: &Process, deliveries: &mut Vec<(usize, Delivery)>) {
        if self.published < MESSAGES {
            let payload = self.published.to_string();
            if let Ok(delivery) = process.client.gateway().try_telemetry(payload) {
                deliveries.push((self.published, delivery));
                self.published += 1;
            }
            self.machine.world.run_until_idle();
        }
    }

    /// Acts as the bridge for a moment.
    fn serve(&mut self) {
        while let Some(server) = Server::dialed(&self.machine.world) {
            self.server = Some(server);
        }
        let Some(server) = &self.server else {
            return;
        };
        for packet in server.serve(&self.machine.world) {
            if let Sent::Publish { payload, .. } = packet {
                let payload = String::from_utf8(payload).unwrap();
                self.arrived.push(payload.parse().unwrap());
            }
        }
    }

    fn toggle_link(&mut self) {
        match self.server.take() {
            Some(server) => {
                self.machine.world.dials(Dials::Fail);
                server.close(&self.machine.world);
            }
            None => self.machine.world.dials(Dials::Succeed),
        }
    }

    fn note(&mut self, deliveries: &[(usize, Delivery)]) {
        let stored = deliveries
            .iter()
            .filter(|(_, delivery)| is_stored(delivery) == Some(Ok(())));
        self.stored.extend(stored.map(|(number, _)| *number));
    }

    /// Lets a last process deliver all that is left.
    fn deliver_the_rest(&mut self) {
        self.machine.world.dials(Dials::Succeed);
        let process = self.machine.start(self.options.clone());
        for _ in 0..100 {
            self.serve();
            if self.server.is_some() && process.unsent().is_empty() {
                return;
            }
            self.machine.world.pass(Duration::from_secs(1));
        }
        panic!("not delivered: {:?}", process.unsent());
    }
}

#[test]
fn what_is_reported_as_stored_arrives_after_any_power_cuts() {
    let (mut stored, mut again) = (0, 0);
    for seed in 0..150 {
        let mut field = Field::new(seed);
        for _ in 0..6 {
            field.live();
        }
        field.deliver_the_rest();
        let arrived = BTreeSet::from_iter(field.arrived.iter().copied());
        let lost = Vec::from_iter(field.stored.difference(&arrived));
        assert!(lost.is_empty(), "seed {seed}: {lost:?}");
        // The first copies come in the order of acceptance.
        let mut seen = BTreeSet::new();
        let firsts = field.arrived.iter().filter(|number| seen.insert(**number));
        assert!(firsts.is_sorted(), "seed {seed}: {:?}", field.arrived);
        stored += field.stored.len();
        again += field.arrived.len() - arrived.len();
    }
    assert!(stored > 3_000, "only {stored} messages were stored");
    assert!(again > 0, "no cut was between an arrival and its removal");
}
