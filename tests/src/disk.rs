//! A disk that loses what was not synced, for a log of segments.
//!
//! [`LossyDisk`] executes the operations of a log in memory, as Linux does: a write is visible at once, and durable once the
//! file was synced; an entry of the folder is durable once the folder was. [`LossyDisk::cut_power`] keeps or loses each page
//! of 4 KiB that was not synced, or tears it between sectors of 512 bytes, and keeps or loses each such change of an entry,
//! all drawn from the disk's seed. After a sync that failed, the pages count as clean, and may not have been written
//! ([`LossyDisk::fail`]).
//!
//! ```
//! use iotcore_gateway::store::{LogOptions, Recovery, StoreOp, StoreSeq};
//! # use iotcore_gateway::ClientId;
//! use iotcore_gateway_testkit::disk::LossyDisk;
//!
//! # let client = ClientId::new("p".parse()?, "us-central1".parse()?, "reg".parse()?, "gw-1".parse()?);
//! let mut disk = LossyDisk::new(7);
//! let mut recovery = Recovery::new(&client, LogOptions::default(), disk.files());
//! assert_eq!(disk.read_all(&mut recovery), []);
//! let (mut log, recovered) = recovery.finish()?;
//! assert_eq!(recovered.records, 0);
//!
//! log.apply(StoreOp::Commit { through: StoreSeq::FIRST })?;
//! disk.run(&mut log);
//! disk.cut_power();
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod counts;
mod entries;
mod fault;
mod file;

use core::mem;
use std::collections::{BTreeMap, BTreeSet};

use iotcore_gateway::store::{
    DiskOp, Recovery, SegmentLog, SegmentNumber, StoreFailure, StoreFailureKind, StoredRecord,
};

pub use self::{
    counts::DiskCounts,
    fault::{DiskFault, FaultRates},
    file::{PAGE, SECTOR},
};
use self::{
    entries::{Change, Entries, FileKey},
    file::File,
};
use crate::random::Random;

/// A folder on a disk that may lose power, fail, fill up, and return other bytes than were written.
#[derive(Clone, Debug)]
pub struct LossyDisk {
    random: Random,
    files: BTreeMap<FileKey, File>,
    next_file: FileKey,
    entries: Entries,
    /// Those that cannot be read.
    unreadable: BTreeSet<FileKey>,
    /// The fault of the next operation, or of the next one of its kind.
    fault: Option<DiskFault>,
    rates: FaultRates,
    /// Limit on the bytes of all files.
    limit: u64,
    counts: DiskCounts,
}

/// The result of an operation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Executed {
    /// It is done; it was no read.
    Done,
    /// The bytes that were read.
    Read(Vec<u8>),
}

impl LossyDisk {
    /// Creates an empty folder on a disk without faults and of unlimited size.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self {
            random: Random::new(seed),
            files: BTreeMap::new(),
            next_file: FileKey::default(),
            unreadable: BTreeSet::new(),
            entries: Entries::default(),
            fault: None,
            rates: FaultRates::default(),
            limit: u64::MAX,
            counts: DiskCounts::default(),
        }
    }

    /// Returns the files that are in the folder now, with their sizes.
    #[must_use]
    pub fn files(&self) -> Vec<(SegmentNumber, u64)> {
        let entries = self.entries.current().iter();
        entries
            .map(|(number, key)| (*number, self.files[key].len()))
            .collect()
    }

    /// Returns the bytes of all files in the folder.
    #[must_use]
    pub fn used(&self) -> u64 {
        self.files().iter().map(|(_, len)| len).sum()
    }

    /// Returns what has happened so far.
    #[must_use]
    pub fn counts(&self) -> DiskCounts {
        self.counts
    }

    /// Limits the bytes of all files: a file that is created beyond that stays incomplete, and fails as full.
    pub fn set_limit(&mut self, bytes: u64) {
        self.limit = bytes;
    }

    /// Sets how often operations fail by themselves.
    pub fn set_rates(&mut self, rates: FaultRates) {
        self.rates = rates;
    }

    /// Lets the next operation of a fault's kind fail.
    pub fn fail(&mut self, fault: DiskFault) {
        self.fault = Some(fault);
    }

    /// Takes a fault back that has not happened yet.
    pub fn fail_nothing(&mut self) {
        self.fault = None;
    }

    /// Lets each read of some files fail, under whatever names, and of no others.
    pub fn set_unreadable(&mut self, is_unreadable: impl Fn(&SegmentNumber) -> bool) {
        let entries = self.entries.current().iter();
        let unreadable = entries.filter(|(segment, _)| is_unreadable(segment));
        self.unreadable = unreadable.map(|(_, key)| *key).collect();
    }

    /// Puts a file into the folder, durably.
    pub fn insert(&mut self, segment: SegmentNumber, bytes: Vec<u8>) {
        let key = self.add_file(File::durable(bytes));
        self.entries.change(Change::Link(segment, key));
        self.entries.sync();
    }

    /// Returns the bytes of a file as they are read now; none if there is no such file.
    #[must_use]
    pub fn bytes(&self, segment: SegmentNumber) -> &[u8] {
        self.file(segment).map_or(&[], File::bytes)
    }

    /// Flips one bit of a file, in the cache and on the device. Does nothing beyond its end.
    pub fn flip_bit(&mut self, segment: SegmentNumber, offset: u64, bit: u8) {
        let key = self.entries.current().get(&segment).copied();
        if let Some(file) = key.and_then(|key| self.files.get_mut(&key)) {
            file.flip(offset as usize, bit);
            self.counts.flipped_bits += 1;
        }
    }

    /// Executes an operation, unless it fails.
    ///
    /// # Errors
    ///
    /// A fault was injected, or the disk is full.
    ///
    /// # Panics
    ///
    /// If no file system would execute it: there is no such file, or it ends before.
    pub fn execute(&mut self, op: &DiskOp<'_>) -> Result<Executed, StoreFailure> {
        self.counts.operations += 1;
        let fault = self.draw_fault(op);
        let result = match fault {
            Some(fault) => Err(self.fail_now(op, fault)),
            None => self.execute_now(op),
        };
        self.counts.failed += u64::from(result.is_err());
        result
    }

    /// Executes one operation of a log, if it has one. Returns whether it had.
    pub fn step(&mut self, log: &mut SegmentLog) -> bool {
        let Some(op) = log.poll_disk() else {
            return false;
        };
        match self.execute(&op) {
            Ok(Executed::Done) => log.handle_done(),
            Ok(Executed::Read(bytes)) => log.handle_read(&bytes),
            Err(failure) => log.handle_failed(failure),
        }
        true
    }

    /// Executes the operations of a log until it has none.
    pub fn run(&mut self, log: &mut SegmentLog) {
        while self.step(log) {}
    }

    /// Reads all that a recovery asks for; returns its records.
    pub fn read_all(&mut self, recovery: &mut Recovery) -> Vec<StoredRecord> {
        let mut records = Vec::new();
        loop {
            records.extend(core::iter::from_fn(|| recovery.poll_record()));
            let Some(op) = recovery.poll_disk() else {
                return records;
            };
            match self.execute(&op) {
                Ok(Executed::Done) => {}
                Ok(Executed::Read(bytes)) => recovery.handle_read(&bytes),
                Err(failure) => recovery.handle_failed(&failure),
            }
        }
    }

    /// Cuts the power: of what was not synced, anything may be lost.
    pub fn cut_power(&mut self) {
        let mut random = self.random.clone();
        // Often all of it or nothing: these are the likeliest in the field.
        let share = random.pick(&[0, 100, 50, 50, 90, 10]);
        let tears = random.percent(30);
        self.cut_power_with(|| match random.percent(share) {
            true if tears && random.percent(30) => Fate::Torn(random.byte()),
            true => Fate::Kept,
            false => Fate::Lost,
        });
        self.random = random;
    }

    /// Cuts the power, and decides what becomes of each page and of each change of an entry that was not synced, in the
    /// order of the files and their pages, and then that of the changes.
    pub fn cut_power_with(&mut self, mut decide: impl FnMut() -> Fate) {
        self.counts.power_cuts += 1;
        for file in self.files.values_mut() {
            file.cut_power(&mut decide, &mut self.counts);
        }
        self.counts.lost_entries += self.entries.cut_power(|| decide() != Fate::Lost);
        let entries = self.entries.current();
        self.files
            .retain(|key, _| entries.values().any(|entry| entry == key));
    }

    /// Returns how many decisions a power cut now would take.
    #[must_use]
    pub fn undecided(&self) -> usize {
        let pages = self.files.values().map(File::undecided);
        pages.sum::<usize>() + self.entries.undecided()
    }

    fn file(&self, segment: SegmentNumber) -> Option<&File> {
        self.files.get(self.entries.current().get(&segment)?)
    }

    fn file_mut(&mut self, segment: SegmentNumber) -> &mut File {
        let key = self.entries.current().get(&segment);
        let file = key.and_then(|key| self.files.get_mut(key));
        file.unwrap_or_else(|| panic!("there is no segment {segment}"))
    }

    fn add_file(&mut self, file: File) -> FileKey {
        let key = self.next_file;
        self.next_file = key.next();
        self.files.insert(key, file);
        key
    }

    fn draw_fault(&mut self, op: &DiskOp<'_>) -> Option<DiskFault> {
        if let Some(fault) = self.fault.take_if(|fault| fault.concerns(op)) {
            return Some(fault);
        }
        if let DiskOp::Read { segment, .. } = op {
            let key = self.entries.current().get(segment);
            if key.is_some_and(|key| self.unreadable.contains(key)) {
                return Some(DiskFault::Read);
            }
        }
        self.rates.draw(op, &mut self.random)
    }

    fn execute_now(&mut self, op: &DiskOp<'_>) -> Result<Executed, StoreFailure> {
        match *op {
            DiskOp::Create { segment, bytes } => {
                let room = self.limit.saturating_sub(self.used());
                self.create(segment, bytes.min(room));
                if bytes > room {
                    return Err(failure(StoreFailureKind::Full));
                }
            }
            DiskOp::Write {
                segment,
                offset,
                bytes,
            } => self.file_mut(segment).write(offset as usize, bytes),
            DiskOp::Sync { segment } => {
                let written = self.file_mut(segment).sync();
                self.counts.syncs += 1;
                self.counts.device_bytes += written;
            }
            DiskOp::SyncFolder => self.entries.sync(),
            DiskOp::Recycle { segment, to } => self.entries.change(Change::Rename(segment, to)),
            DiskOp::Delete { segment } => self.entries.change(Change::Unlink(segment)),
            DiskOp::Read {
                segment,
                offset,
                len,
            } => {
                let bytes = self
                    .file(segment)
                    .map(|file| file.read(offset as usize, len));
                let bytes = bytes.ok_or_else(|| failure(StoreFailureKind::Broken))?;
                return Ok(Executed::Read(bytes.to_vec()));
            }
        }
        Ok(Executed::Done)
    }

    /// Lets an operation fail, after a part of it.
    fn fail_now(&mut self, op: &DiskOp<'_>, fault: DiskFault) -> StoreFailure {
        let part = self.random.next();
        match *op {
            DiskOp::Create { segment, bytes } => self.create(segment, part % (bytes + 1)),
            DiskOp::Write {
                segment,
                offset,
                bytes,
            } => {
                let len = part as usize % (bytes.len() + 1);
                self.file_mut(segment).write(offset as usize, &bytes[..len]);
            }
            DiskOp::Sync { segment } => {
                self.counts.syncs += 1;
                self.counts.failed_syncs += 1;
                let mut random = self.random.clone();
                let mut counts = mem::take(&mut self.counts);
                self.file_mut(segment).fail_sync(&mut random, &mut counts);
                (self.random, self.counts) = (random, counts);
            }
            _ => {}
        }
        failure(fault.failure())
    }

    fn create(&mut self, segment: SegmentNumber, bytes: u64) {
        let key = self.add_file(File::zeros(bytes as usize));
        self.entries.change(Change::Link(segment, key));
    }
}

/// What becomes of something that was not synced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It is durable.
    Kept,
    /// It is lost.
    Lost,
    /// Of a page, the sectors whose bits are set are durable. An entry is durable as a whole.
    Torn(u8),
}

fn failure(kind: StoreFailureKind) -> StoreFailure {
    StoreFailure::new(kind, "the disk fails on purpose")
}
