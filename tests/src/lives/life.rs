//! How a life begins and ends.

use core::time::Duration;

use iotcore_gateway::{
    Input, Options,
    store::{LogOptions, Recovery, SegmentLog, SegmentNumber},
};

use super::{DEVICES, world::World};
use crate::{
    disk::{Fate, FaultRates},
    link::Link,
};

/// How a life ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Death<'a> {
    /// `kill -9`: what was written can be read.
    Killed,
    /// The power is cut: of what was not synced, anything may be lost.
    PowerCut,
    /// The same, with these results.
    Cut(&'a [Fate]),
}

/// Returns the log in an empty folder.
pub(super) fn empty_log(link: &Link, options: LogOptions) -> SegmentLog {
    let recovery = Recovery::new(link.gateway.client_id(), options, []);
    recovery.finish().expect("an empty folder").0
}

impl World {
    /// Begins a life with what is on the disk.
    pub(super) fn begin(&mut self, options: Options) {
        self.is_dead = false;
        self.dies_after = None;
        self.disk_time = Duration::ZERO;
        self.was_slow = false;
        self.disk_due = None;
        self.model.linger = options.durability.linger;
        self.max_bytes = options.durability.max_bytes;
        self.link.restart(options);
        self.link.spare();
        self.keys = [None; DEVICES.len()];
        self.keys[0] = Some(self.link.gateway.own_key());
        self.recover();
        self.failed_before = self.disk.counts().failed;
    }

    fn recover(&mut self) {
        let failed = self.disk.counts().failed;
        let client = self.link.gateway.client_id();
        let mut recovery = Recovery::new(client, self.setup.log, self.disk.files());
        let found = self.disk.read_all(&mut recovery);
        let is_unread = self.disk.counts().failed > failed;
        let recovered = match recovery.finish() {
            Ok((log, recovered)) => {
                self.log = log;
                recovered
            }
            Err(error) => return self.model.find(format!("it does not open: {error:?}")),
        };
        let sizes = self.disk.files().into_iter().map(|(_, size)| size);
        let largest = sizes.chain([self.setup.log.segment_bytes.into()]).max();
        let found_limit = self.disk.used() + 2 * largest.unwrap_or(0);
        self.disk_limit = self.setup.log.max_bytes.max(found_limit);
        self.model.now = self.link.now();
        let has_failed = self.disk.counts().failed > 0;
        self.model
            .recover(&found, &recovered, is_unread, has_failed);
        for record in &found {
            let input = Input::Restore {
                seq: record.seq(),
                record: record.record(),
                unix_now: self.link.unix_now(),
            };
            match self.link.apply(input).op() {
                Ok(op) => self.model.restore(record, op),
                Err(error) => self.model.find(format!("it cannot be restored: {error}")),
            }
        }
        self.link.apply(Input::Recovered(recovered));
    }

    /// Ends the life.
    pub(super) fn die(&mut self, death: Death<'_>) {
        let gateway = &self.link.gateway;
        // A close does not wait for a slow disk for ever.
        let was_left = gateway.is_closed() && (self.was_slow || self.has_failed());
        self.model.note_removals(gateway.wants_store() || was_left);
        // What has arrived has arrived.
        self.link.cut();
        for event in self.link.bridge_events() {
            self.model.take_of_bridge(&event);
        }
        self.model.note(|| format!("{death:?}"));
        match death {
            Death::Killed => self.model.counts.one("kills"),
            Death::PowerCut => self.disk.cut_power(),
            Death::Cut(fates) => {
                let mut fates = fates.iter().copied();
                self.disk
                    .cut_power_with(|| fates.next().unwrap_or(Fate::Lost));
            }
        }
        self.model.die(self.log.stats().lost);
        self.disk.set_rates(FaultRates::default());
        self.disk.set_limit(u64::MAX);
        if self.setup.flips && self.random.percent(40) {
            self.flip();
        }
    }

    fn flip(&mut self) {
        let files = self.disk.files();
        if files.is_empty() {
            return;
        }
        let (segment, len) = self.random.pick::<(SegmentNumber, u64)>(&files);
        // Mostly where something is written.
        let bytes = self.disk.bytes(segment);
        let used = bytes.iter().rposition(|byte| *byte != 0).unwrap_or(0) as u64;
        let end = if self.random.percent(80) { used } else { len };
        let offset = self.random.below(end.max(1));
        let bit = self.random.byte();
        self.disk.flip_bit(segment, offset, bit);
        self.model.flip();
    }

    /// Closes the gateway in order.
    pub(super) fn close(&mut self) {
        self.model.close();
        self.link.apply(Input::Close);
        let is_closed = self.run_until(Duration::from_secs(60), |world| {
            world.link.gateway.is_closed()
        });
        if !self.is_alive() {
            return;
        }
        if !is_closed {
            return self.model.find("it does not close");
        }
        self.model.counts.one("closes");
        self.check_closed();
    }

    /// Checks what a closed gateway has left in the store, if the disk could take it in time.
    pub(super) fn check_closed(&mut self) {
        if !self.model.is_in_trouble && !self.has_failed() && !self.was_slow {
            self.model.check_closed();
        }
    }
}
