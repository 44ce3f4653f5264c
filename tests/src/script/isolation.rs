//! Isolation in the calm at the end of a script: beside a device whose publications are never acknowledged, those of the
//! others take little more than the least time.

use core::time::Duration;

use iotcore_gateway::{Options, device::DeviceState, message::QoS};

use super::broken::Rule;
use super::calm::PAYLOAD;
use super::run::Run;
use super::step::{Command, DEVICES, Terms};
use crate::link::BOUND;
use crate::model::{Pace, Work};

/// The smallest window that has shares.
const SHARED_WINDOW: u16 = 100;

/// The number of publications of the device that is never acknowledged.
const IGNORED: u32 = 200;

/// The largest number of messages that is reserved for a device.
const MAX_RESERVED: usize = 32;

/// The number of publications of the others.
const OTHERS: u32 = 24;

/// From when on the others must not notice.
const FIRST: Duration = Duration::from_secs(1);

impl Run {
    /// Checks how long the publications of the others take: 1.1 × 1.2 × the least time, after the first second.
    pub(super) fn check_isolation(&mut self) {
        let attached = (1..=BOUND.len()).filter(|device| self.is_attached(*device));
        let Some(ignored) = attached.max() else {
            return;
        };
        let options = &self.drafted.options;
        // Of a smaller total, no device has a share; and at a pace, all devices have the same one.
        let shares = 2 * (options.quota.max_devices + 1);
        let has_shares = options.window >= SHARED_WINDOW && options.total_queue.messages >= shares;
        if !has_shares || options.quota.messages_per_second.is_some() {
            return;
        }
        let connections = self.link.bridge.traffic().connections();
        let service = self.world.service();
        let ignoring = service.clone().ignoring_publications([DEVICES[ignored]]);
        self.model().slow_down(&ignoring);
        let now = self.link.now();
        self.link.bridge.set_service(ignoring, now);
        for _ in 0..IGNORED {
            self.command(Command::Telemetry {
                device: ignored,
                qos: QoS::AtLeastOnce,
                size: PAYLOAD,
                terms: Terms::default(),
            });
        }
        let others: Vec<usize> = (0..=BOUND.len())
            .filter(|device| *device != ignored && self.is_attached(*device))
            .collect();
        let limit = self.limit_beside(others.len() as u32);
        let mut left = OTHERS;
        let end = self.link.now() + limit;
        while self.is_publishing(&mut left, &others) && self.link.step(end) && !self.is_broken() {
            self.look();
        }
        if self.has_lasted(connections) && self.is_publishing(&mut left, &others) {
            let name = DEVICES[ignored];
            let what = format!(
                "beside {name}, which is never acknowledged, {left} publications were not accepted, and others did \
                 not end, in {limit:?}"
            );
            self.link.observer.find(Rule::Liveness, &what);
        }
        let now = self.link.now();
        self.link.bridge.set_service(service, now);
    }

    fn limit_beside(&mut self, senders: u32) -> Duration {
        let mut options = self.drafted.options.clone();
        options.total_queue.messages = messages_beside(&options, senders as usize);
        let pace = Pace {
            world: &self.world,
            options: &options,
        };
        let work = Work {
            publications: OTHERS,
            senders,
            payload: usize::from(PAYLOAD),
            ..Work::default()
        };
        pace.least(&work).mul_f64(1.2 * 1.1) + pace.round_trip() + FIRST
    }

    /// Publishes as much as there is room for, and returns whether work of these devices is left.
    fn is_publishing(&mut self, left: &mut u32, devices: &[usize]) -> bool {
        self.publish_for(left, devices);
        *left > 0 || self.model().has_unfinished(devices)
    }

    fn is_attached(&self, device: usize) -> bool {
        let state = self.keys[device].and_then(|key| self.link.gateway.device_state(key));
        device == 0 || state == Some(DeviceState::Attached)
    }
}

/// Returns how many messages the others may have accepted while one device holds all that it may: what is reserved for
/// them, and what it leaves of the rest, which all share.
fn messages_beside(options: &Options, others: usize) -> usize {
    let (total, devices) = (options.total_queue.messages, options.quota.max_devices + 1);
    let reserved = (total / 2 / devices).min(MAX_RESERVED);
    let shared = total - devices * reserved;
    let held = options.device_queue.messages.min(IGNORED as usize);
    shared.saturating_sub(held.saturating_sub(reserved)) + others * reserved
}
