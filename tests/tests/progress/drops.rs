//! A connection that drops repeatedly.

use core::time::Duration;
use std::collections::BTreeSet;

use iotcore_gateway::{DeviceAuth, DeviceKey, Event, OpId, Options, Outcome, Publication};
use iotcore_gateway_testkit::link::{BOUND, Link, Side};

use super::{MILLI, ROUND_TRIP, SECOND};

const DROPS: usize = 100;
/// The number of messages between two drops.
const BATCH: usize = 40;

/// Beyond this many, publishing waits.
const MOST_QUEUED: usize = 200;

/// A deterministic pseudorandom generator (Knuth's MMIX).
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005);
        self.0 = self.0.wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % limit
    }
}

/// A gateway with two devices, and the ends of its publications.
struct Session {
    link: Link,
    devices: [DeviceKey; 2],
    published: Vec<OpId>,
    ends: BTreeSet<OpId>,
    disconnected: usize,
}

impl Session {
    fn open(options: Options) -> Self {
        let mut link = Link::new(options);
        let (now, unix_now) = (link.now(), link.unix_now());
        link.gateway.open(now).unwrap();
        let devices = [BOUND[0], BOUND[1]].map(|id| {
            let id = id.try_into().unwrap();
            link.gateway
                .attach(id, DeviceAuth::ByAssociation, unix_now, now)
                .unwrap()
                .0
        });
        Self {
            link,
            devices,
            published: Vec::new(),
            ends: BTreeSet::new(),
            disconnected: 0,
        }
    }

    /// Publishes the next batch, of the devices in turn.
    fn publish(&mut self) {
        let now = self.link.now();
        for _ in 0..BATCH {
            let number = self.published.len();
            let device = self.devices[number % 2];
            let publication = Publication::telemetry(device, number.to_string());
            let op = self.link.gateway.publish(publication, now).unwrap();
            self.published.push(op);
        }
    }

    /// Advances time until the condition holds.
    fn run_until(&mut self, condition: impl Fn(&Link) -> bool) {
        let limit = self.link.now() + 60 * SECOND;
        while !condition(&self.link) {
            assert!(self.link.step(limit), "nothing happens any more");
            self.take_events();
        }
        self.take_events();
    }

    fn take_events(&mut self) {
        for event in self.link.events() {
            match event {
                Event::Done {
                    op,
                    outcome: Outcome::Acknowledged,
                } => assert!(self.ends.insert(op), "{op} ended twice"),
                Event::Disconnected(_) => self.disconnected += 1,
                Event::Failed { .. } => panic!("{event:?}"),
                _ => {}
            }
        }
    }

    /// Asserts that all has arrived, first deliveries in order.
    fn assert_nothing_is_lost(&self) {
        assert!(self.ends.iter().eq(&self.published), "every one has ended");
        for (n, device) in [BOUND[0], BOUND[1]].into_iter().enumerate() {
            let arrived = self.link.bridge.device(device).unwrap().telemetry();
            let mut seen = BTreeSet::new();
            let firsts: Vec<usize> = arrived
                .map(|event| str::from_utf8(&event.payload).unwrap().parse().unwrap())
                .filter(|number| seen.insert(*number))
                .collect();
            let sent: Vec<_> = (n..self.published.len()).step_by(2).collect();
            assert_eq!(firsts, sent, "{device}");
        }
    }
}

/// Cuts the connection at random bytes, a hundred times, and returns how long it took until all was delivered.
fn time_with_a_hundred_drops(options: Options) -> Duration {
    let mut random = Random(1);
    let mut session = Session::open(options);
    for _ in 0..DROPS {
        session.run_until(|link| link.gateway.stats().queued <= MOST_QUEUED - BATCH);
        session.publish();
        // A batch has more bytes than that, without those of CONNECT.
        let (side, bytes) = match random.below(2) {
            0 => (Side::Bridge, random.below(1_400)),
            _ => (Side::Gateway, random.below(160)),
        };
        session.link.cut_after(side, bytes);
        session.run_until(|link| !link.awaits_cut());
    }
    session.run_until(|link| link.gateway.stats().queued == 0);
    session.assert_nothing_is_lost();
    assert!(session.disconnected >= DROPS);
    session.link.elapsed()
}

#[test]
fn a_hundred_random_drops_lose_nothing_and_cost_a_backoff_and_some_round_trips_each() {
    let mut quick = Options::default();
    (quick.backoff.min, quick.backoff.max) = (5 * MILLI, 40 * MILLI);
    for options in [quick, Options::default()] {
        let longest = options.backoff.max;
        let elapsed = time_with_a_hundred_drops(options);
        // CONNECT, the attaches, the window, and what its answers let go.
        let bound = (longest + 4 * ROUND_TRIP) * DROPS as u32;
        assert!(elapsed <= bound, "{elapsed:?}, more than {bound:?}");
    }
}
