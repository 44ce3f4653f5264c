//! Devices that publish what the bridge closes the connection at, and what the others deliver meanwhile.

use core::time::Duration;
use std::{
    collections::{BTreeMap, VecDeque},
    time::Instant,
};

use iotcore_gateway::{DeviceKey, Event, Failure, OpId, Options, Outcome, Publication};
use iotcore_gateway_testkit::{
    bridge::service::Service,
    link::{GATEWAY, Link, device_id},
};

use super::crowd::{MILLI, SECOND, attach};

const HOUR: Duration = Duration::from_secs(3_600);

/// The payload at which the bridge closes the connection, and the same in hexadecimal.
const POISON: &str = "bad";
const POISON_HEX: &str = "626164";

/// Who publishes poison. Each other device publishes something a second after its last publication was acknowledged.
#[derive(Clone, Copy, Debug)]
struct Poison {
    /// All devices.
    devices: usize,
    /// How many of them, the first ones, publish poison.
    poisoned: usize,
    /// How many publications each of these has at the start.
    each: usize,
    /// Whether each publishes the next one when one has failed.
    again: bool,
}

/// What the others delivered in an hour.
#[derive(Clone, Copy, Debug, Default)]
struct Delivered {
    count: usize,
    /// The longest time from a publication to its acknowledgement.
    worst: Duration,
    /// How many poisonous publications were given up.
    given_up: usize,
}

impl Poison {
    /// Runs it for an hour, in virtual time.
    fn run(self) -> Delivered {
        let mut link = Link::with_devices(Options::default(), self.devices);
        let devices = attach(&mut link, self.devices);
        let (poisoned, healthy) = devices.split_at(self.poisoned);
        let service = Service::one_queue().workers(50).publish(20 * MILLI);
        link.bridge.set_service(service, link.now());
        for number in 1..=self.poisoned {
            inject_poison(&mut link, number);
        }
        for device in poisoned {
            for _ in 0..self.each {
                publish(&mut link, *device, POISON);
            }
        }
        let mut run = Run {
            poison: self,
            pending: BTreeMap::new(),
            due: VecDeque::new(),
            delivered: Delivered::default(),
        };
        for device in healthy {
            run.publish(&mut link, *device);
        }
        run.finish(&mut link)
    }

    /// Asserts that the others deliver at least so many percent of what they deliver without it, and that nothing takes
    /// longer than `worst`.
    fn assert_isolated(self, percent: usize, worst: Duration) -> Delivered {
        let without = Self { each: 0, ..self }.run();
        let beside = self.run();
        assert!(
            beside.count * 100 >= without.count * percent && beside.worst <= worst,
            "{beside:?} instead of {without:?}"
        );
        beside
    }
}

fn inject_poison(link: &mut Link, device: usize) {
    let fault = format!("poison telemetry {} {POISON_HEX}", device_id(device));
    let now = link.now();
    link.bridge.inject(fault.parse().unwrap(), now).unwrap();
}

fn publish(link: &mut Link, device: DeviceKey, payload: &str) -> OpId {
    let publication = Publication::telemetry(device, payload.to_owned());
    let now = link.now();
    link.gateway.publish(publication, now).unwrap()
}

struct Run {
    poison: Poison,
    pending: BTreeMap<OpId, (DeviceKey, Instant)>,
    /// When the healthy devices publish next.
    due: VecDeque<(Instant, DeviceKey)>,
    delivered: Delivered,
}

impl Run {
    fn publish(&mut self, link: &mut Link, device: DeviceKey) {
        let op = publish(link, device, "21.5");
        self.pending.insert(op, (device, link.now()));
    }

    fn finish(mut self, link: &mut Link) -> Delivered {
        let end = link.now() + HOUR;
        while link.now() < end {
            let now = link.now();
            while let Some((at, device)) = self.due.front().copied()
                && at <= now
            {
                self.due.pop_front();
                self.publish(link, device);
            }
            let events = link.events();
            if events.is_empty() {
                let next = self.due.front().map_or(end, |(at, _)| *at);
                link.step(next.min(end));
            }
            for event in events {
                self.observe(link, event);
            }
        }
        let unacknowledged = self.pending.values().map(|(_, since)| end - *since);
        let longest = unacknowledged.max().unwrap_or_default();
        self.delivered.worst = self.delivered.worst.max(longest);
        self.delivered
    }

    fn observe(&mut self, link: &mut Link, event: Event) {
        match event {
            Event::Done {
                op,
                outcome: Outcome::Acknowledged,
            } => {
                let (device, since) = self.pending.remove(&op).expect("a healthy device's");
                self.delivered.count += 1;
                self.delivered.worst = self.delivered.worst.max(link.now() - since);
                self.due.push_back((link.now() + SECOND, device));
            }
            Event::Failed {
                op,
                device,
                failure,
                ..
            } => {
                assert!(!self.pending.contains_key(&op), "{failure}");
                assert!(matches!(failure, Failure::Suspected { .. }), "{failure}");
                self.delivered.given_up += 1;
                if self.poison.again {
                    publish(link, device, POISON);
                }
            }
            Event::Disconnected(ended) => assert!(!ended.takeover_suspected),
            _ => {}
        }
    }
}

#[test]
fn nineteen_devices_deliver_nine_tenths_beside_one_that_always_publishes_poison() {
    let poison = Poison {
        devices: 20,
        poisoned: 1,
        each: 1,
        again: true,
    };
    poison.assert_isolated(90, 120 * SECOND);
}

#[test]
fn nineteen_devices_deliver_nine_tenths_beside_a_queue_of_a_hundred_poisons() {
    let poison = Poison {
        devices: 20,
        poisoned: 1,
        each: 100,
        again: false,
    };
    poison.assert_isolated(90, 120 * SECOND);
}

#[test]
fn twenty_devices_deliver_most_beside_ten_that_have_one_poison_each() {
    let poison = Poison {
        devices: 30,
        poisoned: 10,
        each: 1,
        again: false,
    };
    let delivered = poison.assert_isolated(85, 500 * SECOND);
    assert_eq!(delivered.given_up, 10);
}

#[test]
fn sixty_devices_deliver_what_they_have_soon_after_twelve_hang_ups_beside_a_poison() {
    let mut link = Link::with_devices(Options::default(), 60);
    let devices = attach(&mut link, 60);
    let service = Service::per_kind()
        .workers(4)
        .attach(200 * MILLI)
        .publish(100 * MILLI);
    link.bridge.set_service(service, link.now());
    let mut pending = Vec::new();
    for device in devices.iter().cycle().take(1_200) {
        pending.push(publish(&mut link, *device, "21.5"));
    }
    for number in 0..12 {
        link.run(Duration::from_millis(500 + number * 977 % 1_900));
        let now = link.now();
        // Between two connections there is none to close.
        let _ = link.bridge.drop_connection(GATEWAY, now);
    }
    inject_poison(&mut link, 2);
    publish(&mut link, devices[1], POISON);
    let start = link.now();
    // 30 s of work for the bridge, and one trial.
    while !pending.is_empty() {
        assert!(link.now() - start < 90 * SECOND, "{} left", pending.len());
        link.run(SECOND);
        for event in link.events() {
            if let Event::Done { op, .. } = event {
                pending.retain(|pending| *pending != op);
            }
        }
    }
}
