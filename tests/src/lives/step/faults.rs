//! The faults of the network, of the bridge and of the disk, drawn.

use core::time::Duration;

use iotcore_gateway::cause::TransportEnd;

use super::World;
use crate::{
    Service,
    bridge::service::ServiceKind,
    disk::{DiskFault, FaultRates},
    link::Network,
    lives::DEVICES,
};

impl World {
    pub(super) fn disturb_network(&mut self) {
        match self.random.below(10) {
            0..5 => {
                self.model.note(|| "cut".into());
                self.link.cut();
            }
            5 => {
                self.link.go_half_open();
            }
            6..8 => {
                let count = 1 + self.random.below(4) as u32;
                self.link.fail_dials(count, TransportEnd::DialFailed);
                self.link.cut();
            }
            8 => {
                let time = Duration::from_millis(self.random.below(20_000));
                match self.random.percent(50) {
                    true => self.link.stall(time),
                    false => self.link.sleep(time),
                }
            }
            _ => {
                let latency = Duration::from_millis(self.random.pick(&[1, 20, 20, 400]));
                self.link.network = Network {
                    latency,
                    ..self.link.network
                };
            }
        }
    }

    pub(super) fn disturb_bridge(&mut self) {
        let now = self.link.now();
        let orderly = self.setup.is_orderly;
        let device = DEVICES[1 + self.random.below(3) as usize];
        match self.random.below(10) {
            0..4 => {
                let time = Duration::from_millis(self.random.pick(&[0, 5, 100, 1_500]));
                let mut service = Service::one_queue().publish(time).attach(time);
                if !orderly && self.random.percent(50) {
                    service = service.workers(3).losing(ServiceKind::Publish, 100);
                }
                self.model.note(|| format!("{service:?}"));
                self.link.bridge.set_service(service, now);
            }
            4..6 => self.link.bridge.stall(Duration::from_secs(3), now),
            _ if orderly => {}
            6 => {
                let _ = self.link.bridge.detach_with_error(device, now);
            }
            7 => {
                let blocked = self.random.percent(50);
                let _ = self.link.bridge.set_blocked(device, blocked, now);
            }
            8 => {
                let _ = self.link.bridge.drop_connection(DEVICES[0], now);
            }
            _ => {
                let faults = [
                    "puback delay 700 3",
                    "puback hold 2",
                    "cut instead telemetry",
                    "cut after telemetry",
                    "refuse 1 connack 3",
                ];
                let fault = self.random.pick(&faults).parse().expect("a fault");
                let _ = self.link.bridge.inject(fault, now);
            }
        }
    }

    pub(super) fn disturb_disk(&mut self) {
        match self.random.below(10) {
            0..3 => {
                let fault = self.random.pick(&[
                    DiskFault::Any,
                    DiskFault::Full,
                    DiskFault::Write,
                    DiskFault::Sync,
                    DiskFault::Sync,
                    DiskFault::SyncFolder,
                ]);
                self.model.note(|| format!("{fault:?}"));
                self.disk.fail(fault);
            }
            3..5 => {
                let limit = self.disk.used() + self.random.below(10_000);
                self.model.counts.one("full disks");
                self.model.note(|| format!("the disk is full at {limit}"));
                self.disk.set_limit(limit);
            }
            5..7 => {
                let time = Duration::from_millis(self.random.pick(&[1, 30, 300, 2_500]));
                self.model.counts.one("slow disks");
                self.model.note(|| format!("the disk takes {time:?}"));
                self.disk_time = time;
                self.was_slow = true;
            }
            7 => {
                let rate = 1 + self.random.below(40) as u8;
                self.model.note(|| format!("{rate} % of operations fail"));
                self.disk.set_rates(FaultRates {
                    write: rate,
                    sync: rate,
                    read: 0,
                    entry: rate,
                });
            }
            _ => self.mend_disk(),
        }
    }

    pub(in super::super) fn mend_disk(&mut self) {
        self.model.note(|| "the disk is well".into());
        self.disk.set_rates(FaultRates::default());
        self.disk.set_limit(u64::MAX);
        self.disk_time = Duration::ZERO;
    }

    /// Lets reads fail at the next start.
    pub(super) fn fail_read(&mut self) {
        self.model.counts.one("starts with reads that fail");
        self.disk.fail(DiskFault::Read);
    }
}
