//! A gateway with its log, the disk, the bridge, and the model that watches them.

use core::time::Duration;
use std::time::Instant;

use iotcore_gateway::{
    DeviceKey, Input,
    store::{DiskOp, LogEvent, SegmentLog},
};

use super::{Broken, Counts, DEVICES, Model, life::empty_log, setup::Setup};
use crate::{disk::LossyDisk, link::Link, random::Random};

/// So often something may happen at one instant.
const MOST_ROUNDS: u32 = 10_000;

#[derive(Debug)]
pub(super) struct World {
    pub(super) random: Random,
    pub(super) setup: Setup,
    pub(super) link: Link,
    pub(super) disk: LossyDisk,
    pub(super) log: SegmentLog,
    pub(super) model: Model,
    /// How long the disk takes for an operation.
    pub(super) disk_time: Duration,
    /// Whether it took long for one in this life.
    pub(super) was_slow: bool,
    /// When it has executed the one that it is asked for.
    pub(super) disk_due: Option<Instant>,
    /// The life ends once the disk has executed so many more operations.
    pub(super) dies_after: Option<u64>,
    pub(super) is_dead: bool,
    /// Operations of the disk that had failed when the life began.
    pub(super) failed_before: u64,
    /// The limit on the files of the log: that of its options, or what it found and two segments.
    pub(super) disk_limit: u64,
    /// The limit on what the gateway reserves in the store.
    pub(super) max_bytes: usize,
    pub(super) keys: [Option<DeviceKey>; DEVICES.len()],
}

impl World {
    pub(super) fn new(seed: u64) -> Self {
        let mut random = Random::new(seed);
        let setup = Setup::draw(&mut random);
        Self::with_setup(setup, random, LossyDisk::new(seed))
    }

    pub(super) fn with_setup(setup: Setup, random: Random, disk: LossyDisk) -> Self {
        let link = Link::new(setup.calm_options(Duration::ZERO));
        let log = empty_log(&link, setup.log);
        let model = Model::new(link.now());
        Self {
            random,
            setup,
            link,
            disk,
            log,
            model,
            disk_time: Duration::ZERO,
            was_slow: false,
            disk_due: None,
            dies_after: None,
            is_dead: false,
            failed_before: 0,
            disk_limit: 0,
            max_bytes: 0,
            keys: [None; DEVICES.len()],
        }
    }

    /// Returns whether the life goes on.
    pub(super) fn is_alive(&self) -> bool {
        !self.is_dead && !self.model.is_broken()
    }

    /// Lets time pass, as long as the life goes on.
    pub(super) fn run(&mut self, duration: Duration) {
        self.run_until(duration, |_| false);
    }

    /// Does the same until a condition holds; returns whether it does.
    pub(super) fn run_until(&mut self, limit: Duration, condition: impl Fn(&Self) -> bool) -> bool {
        let end = self.link.now() + limit;
        let (mut last, mut rounds) = (self.link.now(), 0);
        loop {
            rounds = if self.link.now() > last {
                0
            } else {
                rounds + 1
            };
            last = self.link.now();
            if rounds > MOST_ROUNDS {
                self.model.find("time stands still");
            }
            let due = self.serve_store();
            if condition(self) {
                return true;
            }
            if !self.is_alive() {
                return false;
            }
            let until = due.map_or(end, |due| due.min(end));
            if !self.link.step(until) && self.link.now() >= end {
                self.serve_store();
                return condition(self);
            }
        }
    }

    /// Passes on what the gateway asks of the store, as far as the disk is done with it. Returns when that is done with the
    /// next operation.
    pub(super) fn serve_store(&mut self) -> Option<Instant> {
        loop {
            self.take_events();
            self.pass_on();
            if !self.is_alive() {
                return None;
            }
            if self.log.poll_disk().is_none() {
                self.disk_due = None;
                self.rest();
                return None;
            }
            let now = self.link.now();
            let due = *self.disk_due.get_or_insert(now + self.disk_time);
            if due > now {
                return Some(due);
            }
            if self.dies_after == Some(0) {
                self.is_dead = true;
                return None;
            }
            self.dies_after = self.dies_after.map(|operations| operations - 1);
            self.disk_due = None;
            self.execute();
            self.answer();
        }
    }

    /// Lets the disk execute an operation.
    fn execute(&mut self) {
        let op = self.log.poll_disk();
        let is_read = matches!(op, Some(DiskOp::Read { .. }));
        let op = op.map(described).unwrap_or_default();
        let failed = self.disk.counts().failed;
        self.disk.step(&mut self.log);
        let has_failed = self.disk.counts().failed > failed;
        let end = if has_failed { ", which fails" } else { "" };
        self.model.note(|| format!("  {op}{end}"));
        if is_read && has_failed {
            self.model.miss_read();
        }
    }

    /// Takes the events of both sides.
    fn take_events(&mut self) {
        self.model.now = self.link.now();
        for event in self.link.bridge_events() {
            self.model.take_of_bridge(&event);
        }
        for event in self.link.events() {
            self.model.take(&event);
        }
        self.model.observe(self.link.gateway.is_open());
    }

    fn pass_on(&mut self) {
        while let Some(op) = self.link.gateway.poll_store() {
            self.model.apply(&op);
            self.log.apply(op).expect("no payload is so large");
        }
        self.answer();
    }

    fn answer(&mut self) {
        while let Some(event) = self.log.poll_event() {
            match event {
                LogEvent::Committed { through } => {
                    self.model.committed();
                    self.link.apply(Input::Stored(through));
                }
                LogEvent::Failed(failure) => {
                    self.model.note(|| failure.to_string());
                    self.model.commit_failed();
                    self.link.apply(Input::StoreFailed(failure));
                }
                LogEvent::SetAside { segment, .. } => {
                    self.model.note(|| format!("{segment} is set aside"));
                }
                event => self.model.find(format!("{event:?}")),
            }
        }
    }

    /// Checks what holds while the disk has nothing to do.
    fn rest(&mut self) {
        let stats = self.log.stats();
        let used = stats.disk_bytes - stats.set_aside_bytes;
        // What cannot be deleted stays, and is repaired into one more segment.
        let spare = match self.disk.counts().failed {
            0 => 0,
            _ => u64::from(self.setup.log.segment_bytes),
        };
        if used > self.disk_limit + spare {
            self.model.find(format!("{used} bytes on the disk"));
        }
        if self.has_failed() {
            return;
        }
        let (told, really) = (stats.disk_bytes, self.disk.used());
        if told != really {
            self.model
                .find(format!("{told} bytes on the disk, really {really}"));
        }
        self.model.repaired();
        self.model.check_rest(self.link.gateway.is_open());
    }

    /// Returns whether an operation of the disk has failed in this life.
    pub(super) fn has_failed(&self) -> bool {
        self.disk.counts().failed > self.failed_before
    }

    /// Ends the world, and returns what has happened.
    pub(super) fn finish(mut self, seed: u64) -> Result<Counts, Broken> {
        let counts = self.disk.counts();
        for (what, times) in [
            ("power cuts", counts.power_cuts),
            ("pages lost", counts.lost_pages),
            ("pages torn", counts.torn_pages),
            ("entries lost", counts.lost_entries),
            ("operations of the disk", counts.operations),
            ("failed operations of the disk", counts.failed),
            ("failed syncs", counts.failed_syncs),
        ] {
            self.model.counts.many(what, times);
        }
        self.model.counts.one("seeds");
        let result = self.model.into_result();
        result.map_err(|(what, history)| Broken {
            seed,
            what,
            history,
        })
    }
}

/// Describes an operation without its bytes.
fn described(op: DiskOp<'_>) -> String {
    match op {
        DiskOp::Write {
            segment,
            offset,
            bytes,
        } => format!("write {} at {offset} of {segment}", bytes.len()),
        op => format!("{op:?}"),
    }
}
