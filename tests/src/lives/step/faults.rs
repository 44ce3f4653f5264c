//! The faults of the network, of the bridge and of the disk, drawn.

use core::time::Duration;

use iotcore_gateway::{cause::TransportEnd, store::SegmentNumber};

use super::World;
use crate::{
    Service,
    bridge::service::ServiceKind,
    disk::{DiskFault, FaultRates, LossyDisk},
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

    /// Decides which files can be read from the next start on.
    pub(super) fn fail_reads(&mut self) {
        if !self.setup.reads_fail {
            return;
        }
        let files = self.disk.files();
        let written = files.iter().map(|(segment, _)| *segment);
        let newest = written
            .filter(|segment| is_used(&self.disk, *segment))
            .max();
        let kind = self.random.below(8);
        let mask = self.random.next();
        self.disk.set_unreadable(|segment| match kind {
            0 | 1 => Some(*segment) == newest,
            2 => mask >> (segment.as_u64() % 64) & 1 != 0,
            3 => true,
            _ => false,
        });
        if kind == 4 {
            self.disk.fail(DiskFault::Read);
        }
        if kind <= 4 {
            self.model
                .note(|| format!("reads fail: {kind}, newest {newest:?}"));
            self.model.counts.one("starts with reads that fail");
        }
    }
}

/// Returns whether a segment was written to since it has its number.
fn is_used(disk: &LossyDisk, segment: SegmentNumber) -> bool {
    let own = segment.as_u64().to_le_bytes();
    disk.bytes(segment).get(16..24) == Some(&own)
}
