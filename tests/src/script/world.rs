//! The world of a script: how long the bridge takes, and what the link carries.

use core::num::NonZeroU32;
use core::time::Duration;

use super::step::DEVICES;
use crate::bridge::service::{Service, ServiceKind};
use crate::link::{Network, Rate};

/// The service and the link of a session. By default, the bridge answers at once, and the link carries everything.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct World {
    /// The service, without the devices that it ignores.
    pub service: Service,
    /// The devices that it ignores.
    pub ignored: Ignored,
    /// What the link carries.
    pub rate: Rate,
    /// The buffer in front of it.
    pub capacity: usize,
    /// What remains of all this when the faults are over.
    pub calm: CalmWorld,
}

/// The devices that a service ignores.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Ignored {
    /// None.
    #[default]
    None,
    /// The attaches of a device, by its index in [`DEVICES`].
    Attaches(usize),
    /// The telemetry and states of a device.
    Publications(usize),
    /// Everything of a device.
    All(usize),
}

/// The world in which a session ends, when the faults are over.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CalmWorld {
    /// The same one, as far as it answers everything at a constant rate.
    #[default]
    Steady,
    /// One that answers at once.
    Kind,
}

impl Default for World {
    fn default() -> Self {
        Self {
            service: Service::default(),
            ignored: Ignored::None,
            rate: Rate::default(),
            capacity: usize::MAX,
            calm: CalmWorld::Steady,
        }
    }
}

impl World {
    /// Returns whether the bridge takes time or ignores something, or the link has a rate.
    pub fn is_slow(&self) -> bool {
        !self.service().is_default() || self.rate != Rate::default()
    }

    /// Returns the service of the session.
    pub fn service(&self) -> Service {
        let service = self.service.clone();
        match self.ignored {
            Ignored::None => service,
            Ignored::Attaches(device) => service.ignoring([DEVICES[device]]),
            Ignored::Publications(device) => service.ignoring_publications([DEVICES[device]]),
            Ignored::All(device) => service.ignoring_entirely([DEVICES[device]]),
        }
    }

    /// Returns the network of the session.
    pub fn network(&self) -> Network {
        Network {
            capacity: self.capacity,
            rate: self.rate,
            ..Network::default()
        }
    }

    /// Returns the world that remains when the faults are over: it answers everything, at a constant rate.
    #[must_use]
    pub fn calm(&self) -> Self {
        match self.calm {
            CalmWorld::Kind => Self::default(),
            CalmWorld::Steady => Self {
                service: steady(&self.service),
                ignored: Ignored::None,
                ..self.clone()
            },
        }
    }
}

/// Returns a service with the same queues, workers and times that answers everything at a constant rate.
fn steady(service: &Service) -> Service {
    let mut steady = Service {
        queues: service.queues,
        workers: service.workers,
        ..Service::default()
    };
    for kind in ServiceKind::ALL {
        let time = service.work(kind).time;
        steady = match kind {
            ServiceKind::Attach => steady.attach(time),
            ServiceKind::Subscribe => steady.subscribe(time),
            ServiceKind::Publish => steady.publish(time),
            ServiceKind::Ping => steady.ping(time),
        };
    }
    steady
}

/// Returns whether a service completes what a device sends in the order of its arrival, all of it.
pub(crate) fn keeps_order(service: &Service) -> bool {
    let loses = ServiceKind::ALL
        .iter()
        .any(|kind| service.work(*kind).lost > 0);
    service.workers == NonZeroU32::MIN
        && service.queues == crate::bridge::service::Queues::One
        && service.buffer.is_none()
        && service.ignored.is_empty()
        && service.ignored_publications.is_empty()
        && service.ignored_entirely.is_empty()
        && !loses
}

/// A service that a step injects as a fault, in three small numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slowness {
    /// How slow it is, from 0 for fast.
    pub speed: u8,
    /// What it is like: its queues, its workers, and what it loses.
    pub style: u8,
    /// Its seed.
    pub seed: u8,
}

/// The times of a [`Slowness`] for a publication; an attach takes three times as long.
const SPEEDS: [Duration; 6] = [
    Duration::ZERO,
    Duration::from_millis(20),
    Duration::from_millis(200),
    Duration::from_secs(1),
    Duration::from_secs(4),
    Duration::from_secs(20),
];

/// The number of [styles](Slowness::style).
const STYLES: u8 = 11;

impl Slowness {
    /// Takes any numbers.
    pub fn from_bytes(speed: u8, style: u8, seed: u8) -> Self {
        Self {
            speed: speed % SPEEDS.len() as u8,
            style: style % STYLES,
            seed,
        }
    }

    /// Returns the service.
    pub fn service(self) -> Service {
        let time = SPEEDS[usize::from(self.speed)];
        let one = Service::one_queue()
            .seed(self.seed.into())
            .attach(time * 3)
            .subscribe(time * 2)
            .publish(time)
            .ping(time);
        let per_kind = Service {
            queues: Service::per_kind().queues,
            ..one.clone()
        };
        let kind = ServiceKind::ALL[usize::from(self.seed) % ServiceKind::ALL.len()];
        match self.style {
            0 => one,
            1 => per_kind,
            2 => per_kind.workers(4),
            3 => one.heavy_tail(1.5, 20),
            4 => per_kind.heavy_tail(1.1, 50),
            5 => one.bursts(time * 10),
            6 => one.buffer(3),
            7 => per_kind.losing(kind, 200),
            8 => one.ignoring([DEVICES[1]]),
            9 => one.ignoring_publications([DEVICES[3]]),
            _ => per_kind.ignoring_entirely([DEVICES[2]]),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_calm_world_answers_everything_at_a_constant_rate() {
        let second = Duration::from_secs(1);
        let world = World {
            service: Service::per_kind()
                .workers(2)
                .attach(second)
                .publish(second * 2)
                .heavy_tail(1.5, 20)
                .bursts(second * 10)
                .losing(ServiceKind::Attach, 100)
                .stall(second, second),
            ignored: Ignored::All(1),
            rate: Rate::both(2_000),
            ..World::default()
        };
        let calm = world.calm();
        let steady = Service::per_kind()
            .workers(2)
            .attach(second)
            .publish(second * 2);
        assert_eq!(calm.service(), steady);
        assert_eq!(calm.rate, world.rate);
        let kind = World {
            calm: CalmWorld::Kind,
            ..world
        };
        assert!(!kind.calm().is_slow());
    }

    #[test]
    fn a_service_keeps_the_order_if_it_has_one_queue_and_one_worker() {
        let styles = (0..STYLES).map(|style| Slowness::from_bytes(3, style, 1).service());
        let ordered: Vec<bool> = styles.map(|service| keeps_order(&service)).collect();
        assert_eq!(
            ordered,
            [
                true, false, false, true, false, true, false, false, false, false, false
            ]
        );
        assert!(keeps_order(&Service::default()));
    }
}
