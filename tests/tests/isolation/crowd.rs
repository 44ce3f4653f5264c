//! Many devices that publish, of which one may be in trouble, and how fast the others are.

use core::time::Duration;
use std::collections::BTreeMap;
use std::time::Instant;

use iotcore_gateway::{
    DeviceAuth, DeviceKey, Event, OpId, Options, Outcome, Publication, device::DeviceState,
};
use iotcore_gateway_testkit::bridge::service::Service;
use iotcore_gateway_testkit::link::{Link, Observer, device_id};

pub(super) const MILLI: Duration = Duration::from_millis(1);
pub(super) const SECOND: Duration = Duration::from_secs(1);

/// Longer than any test takes.
const LIMIT: Duration = Duration::from_secs(1_000);

/// What the healthy devices do. The first device is the one that may be in trouble.
#[derive(Clone, Copy, Debug)]
pub(super) struct Crowd {
    /// All devices.
    pub(super) devices: usize,
    /// How many publications each healthy device always has accepted and not acknowledged.
    pub(super) pending: usize,
    /// How many publications of each healthy device are measured, from the first second on.
    pub(super) measured: usize,
}

/// The trouble of the first device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Trouble {
    /// It publishes nothing.
    None,
    /// It publishes as much as it can, and the bridge never acknowledges anything.
    Unacknowledged,
}

/// How fast the healthy devices were.
#[derive(Clone, Copy, Debug)]
pub(super) struct Speed {
    /// From the first second until the last measured publication was acknowledged.
    pub(super) time: Duration,
    /// The latencies from a publication to its acknowledgement: the median, and the 99th percentile.
    pub(super) median: Duration,
    pub(super) worst: Duration,
}

impl Crowd {
    /// Runs it at a bridge, in virtual time.
    pub(super) fn run(self, bridge: Service, trouble: Trouble) -> Speed {
        let mut link = Link::with_devices(Options::default(), self.devices);
        let devices = attach(&mut link, self.devices);
        let (first, healthy) = devices.split_first().unwrap();
        let bridge = match trouble {
            Trouble::None => bridge,
            Trouble::Unacknowledged => bridge.ignoring_entirely([device_id(1)]),
        };
        link.bridge.set_service(bridge, link.now());
        if trouble == Trouble::Unacknowledged {
            fill(&mut link, *first);
        }
        let mut run = Run {
            crowd: self,
            start: link.now() + SECOND,
            pending: BTreeMap::new(),
            measured: healthy.iter().map(|device| (*device, 0)).collect(),
            latencies: Vec::new(),
        };
        for device in healthy {
            for _ in 0..self.pending {
                run.publish(&mut link, *device);
            }
        }
        run.finish(&mut link)
    }
}

struct Run {
    crowd: Crowd,
    /// When measuring begins.
    start: Instant,
    pending: BTreeMap<OpId, (DeviceKey, Instant)>,
    /// How many publications of each device were measured.
    measured: BTreeMap<DeviceKey, usize>,
    latencies: Vec<Duration>,
}

impl Run {
    fn publish(&mut self, link: &mut Link, device: DeviceKey) {
        let now = link.now();
        let publication = Publication::telemetry(device, "21.5");
        let op = link.gateway.publish(publication, now).unwrap();
        self.pending.insert(op, (device, now));
    }

    /// Runs until all was measured. A device goes on publishing until all have finished.
    fn finish(mut self, link: &mut Link) -> Speed {
        let end = link.now() + LIMIT;
        let all = self.measured.len() * self.crowd.measured;
        while self.latencies.len() < all {
            let events = link.events();
            if events.is_empty() {
                assert!(link.step(end), "{:?} did not finish", self.crowd);
            }
            for event in events {
                self.observe(link, &event);
            }
        }
        self.latencies.sort_unstable();
        Speed {
            time: link.now() - self.start,
            median: self.latencies[all / 2],
            worst: self.latencies[all * 99 / 100],
        }
    }

    fn observe(&mut self, link: &mut Link, event: &Event) {
        let Event::Done {
            op,
            outcome: Outcome::Acknowledged,
        } = event
        else {
            return;
        };
        let (device, since) = self.pending.remove(op).expect("a healthy device's");
        let measured = self.measured.get_mut(&device).unwrap();
        if since >= self.start && *measured < self.crowd.measured {
            *measured += 1;
            self.latencies.push(link.now() - since);
        }
        self.publish(link, device);
    }
}

/// Attaches so many devices, and waits until they are.
pub(super) fn attach<O: Observer>(link: &mut Link<O>, count: usize) -> Vec<DeviceKey> {
    let (now, unix_now) = (link.now(), link.unix_now());
    link.gateway.open(now).unwrap();
    let ids = (1..=count).map(|number| device_id(number).as_str().try_into().unwrap());
    let devices: Vec<_> = ids
        .map(|id| {
            link.gateway
                .attach(id, DeviceAuth::ByAssociation, unix_now, now)
                .unwrap()
                .0
        })
        .collect();
    let is_attached = |link: &Link<O>| {
        let mut states = devices
            .iter()
            .map(|device| link.gateway.device_state(*device));
        states.all(|state| state == Some(DeviceState::Attached))
    };
    assert!(link.run_until(60 * SECOND, is_attached));
    link.events();
    devices
}

/// Publishes for a device until its queue is full.
fn fill(link: &mut Link, device: DeviceKey) {
    let now = link.now();
    let publication = || Publication::telemetry(device, "21.5");
    while link.gateway.publish(publication(), now).is_ok() {}
}
