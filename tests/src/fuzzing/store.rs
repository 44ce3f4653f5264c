//! The store: a folder of any bytes, then any steps on it.

use std::collections::BTreeMap;
use std::num::NonZeroU64;

use iotcore_gateway::{
    ClientId, DeviceId,
    message::{Priority, PublicationTopic, QoS},
    store::{
        LogEvent, LogOptions, OpenError, Record, Recovered, Recovery, SegmentLog, SegmentNumber,
        StoreOp, StoreSeq,
    },
};

use super::source::Source;
use crate::disk::{DiskFault, LossyDisk};

/// More operations than any of these scripts can cause.
const MOST_OPERATIONS: u64 = 1_000_000;

const OPTIONS: LogOptions = LogOptions {
    segment_bytes: 4096,
    max_bytes: 16 * 4096,
};

/// Runs the target. The bytes are up to three files, with segments of the gateway's own or of anything, and then steps.
///
/// # Panics
///
/// If an undamaged store does not hold what was confirmed, holds what was removed, does not open, grows beyond its limit, or
/// never has enough.
pub fn run(data: &[u8]) {
    let mut source = Source::new(data);
    let mut disk = LossyDisk::new(u64::from(source.number()));
    for number in 1..=u64::from(source.byte() % 4) {
        let segment = number_of(number);
        let len = usize::from(source.byte());
        let (written, bytes) = (source.byte().is_multiple_of(2), source.take(len));
        let mut file = match written {
            true => written_segment(&disk, bytes),
            false => bytes.to_vec(),
        };
        let end = file.len() - file.len() / 8 * usize::from(source.byte().is_multiple_of(8));
        file.truncate(end);
        disk.insert(segment, file);
    }
    if let Some(mut session) = Session::open(disk) {
        // What was found may be anything: from here on, it has to be found again.
        while !source.is_empty() {
            session.step(&mut source);
        }
        session.finish();
    }
}

fn number_of(number: u64) -> SegmentNumber {
    let name = format!("{number:016x}.seg");
    SegmentNumber::from_file_name(&name).expect("it is the name of a segment")
}

/// Returns the first segment that a log writes of these bytes, one record for each of them.
fn written_segment(disk: &LossyDisk, bytes: &[u8]) -> Vec<u8> {
    let mut other = LossyDisk::new(disk.counts().operations);
    let mut session = Session::open(other.clone()).expect("an empty folder opens");
    for byte in bytes.iter().take(16) {
        session.put(*byte);
    }
    session.commit();
    session.run();
    other = session.disk;
    other.bytes(number_of(1)).to_vec()
}

fn client() -> ClientId {
    let part = "part-of-a-name";
    ClientId::new(
        part.try_into().expect("a project"),
        part.try_into().expect("a location"),
        part.try_into().expect("a registry"),
        part.try_into().expect("a device"),
    )
}

/// A log, and what it must hold.
struct Session {
    disk: LossyDisk,
    log: SegmentLog,
    limit: u64,
    next: u64,
    /// The lengths of what was put: with `true` once that is confirmed.
    kept: BTreeMap<u64, (usize, bool)>,
    gone: BTreeMap<u64, bool>,
    is_damaged: bool,
    /// A file could not be read: what was removed from it may be back.
    was_unread: bool,
}

impl Session {
    /// Opens a folder; `None` if it is refused.
    fn open(mut disk: LossyDisk) -> Option<Self> {
        let mut recovery = Recovery::new(&client(), OPTIONS, disk.files());
        let found = disk.read_all(&mut recovery);
        let before = disk.files();
        let (log, recovered) = match recovery.finish() {
            Ok(opened) => opened,
            Err(OpenError::Unfinished) => panic!("it was not read to its end"),
            Err(_) => {
                assert_eq!(before, disk.files());
                return None;
            }
        };
        check_report(&recovered, found.len());
        let sizes = before.iter().map(|(_, size)| *size);
        let largest = sizes.clone().max().unwrap_or(0).max(4096);
        let highest = recovered.highest_seq.map_or(0, StoreSeq::as_u64);
        Some(Self {
            limit: OPTIONS.max_bytes.max(sizes.sum::<u64>() + 2 * largest),
            next: highest.saturating_add(1).min(u64::MAX - 100_000),
            kept: found
                .iter()
                .map(|record| {
                    (
                        record.seq().as_u64(),
                        (record.record().payload.len(), false),
                    )
                })
                .collect(),
            gone: BTreeMap::new(),
            is_damaged: false,
            was_unread: false,
            disk,
            log,
        })
    }

    fn step(&mut self, source: &mut Source<'_>) {
        match source.byte() % 16 {
            0..=4 => self.put(source.byte()),
            5 | 6 => {
                let at = usize::from(source.byte());
                if let Some(number) = self.kept.keys().nth(at % self.kept.len().max(1)).copied() {
                    self.remove(number);
                }
            }
            7 | 8 => {
                self.commit();
                self.run();
            }
            9 => {
                self.disk.step(&mut self.log);
                self.check_bounds();
            }
            10 => {
                self.disk.cut_power();
                self.reopen();
            }
            11 => self.reopen(),
            12 => {
                let files = self.disk.files();
                if let Some((segment, len)) = files.get(usize::from(source.byte()) % 4) {
                    let offset = u64::from(source.number()) % (*len).max(1);
                    self.disk.flip_bit(*segment, offset, source.byte());
                    self.is_damaged = true;
                }
            }
            13 => self.disk.fail(source.pick(&[
                DiskFault::Any,
                DiskFault::Full,
                DiskFault::Write,
                DiskFault::Sync,
                DiskFault::SyncFolder,
            ])),
            14 => self.run(),
            _ => self.disk.set_limit(match source.byte() {
                0..128 => u64::MAX,
                room => self.disk.used() + u64::from(room) * 64,
            }),
        }
    }

    fn put(&mut self, len: u8) {
        let device: DeviceId = "sensor".try_into().expect("a device");
        let number = NonZeroU64::new(self.next).expect("it counts up from one");
        let len = usize::from(len) * if len.is_multiple_of(16) { 40 } else { 1 };
        let payload = vec![len as u8; len];
        let record = Record {
            accepted: number,
            device: &device,
            topic: &PublicationTopic::State,
            qos: QoS::AtLeastOnce,
            payload: &payload,
            deadline: None,
            priority: Priority::Ordinary,
            tag: None,
        };
        let seq = number.into();
        self.log
            .apply(StoreOp::Put { seq, record })
            .expect("it is small");
        self.kept.insert(self.next, (len, false));
        self.next += 1;
    }

    fn remove(&mut self, number: u64) {
        let seq = NonZeroU64::new(number).expect("it was put").into();
        self.log
            .apply(StoreOp::Remove { seq })
            .expect("it is small");
        self.kept.remove(&number);
        self.gone.insert(number, false);
    }

    fn commit(&mut self) {
        let through = StoreSeq::FIRST;
        self.log
            .apply(StoreOp::Commit { through })
            .expect("it is small");
    }

    /// Executes all operations, and takes the answer to a Commit, of which there is one: then all is confirmed, or forgotten.
    fn run(&mut self) {
        let before = self.disk.counts().operations;
        while self.disk.step(&mut self.log) {
            self.check_bounds();
            assert!(self.disk.counts().operations - before < MOST_OPERATIONS);
        }
        while let Some(event) = self.log.poll_event() {
            match event {
                LogEvent::Committed { .. } => {
                    self.kept
                        .values_mut()
                        .for_each(|(_, is_confirmed)| *is_confirmed = true);
                    self.gone
                        .values_mut()
                        .for_each(|is_confirmed| *is_confirmed = true);
                }
                LogEvent::Failed(_) => {
                    self.kept.retain(|_, (_, is_confirmed)| *is_confirmed);
                    self.gone.clear();
                }
                LogEvent::SetAside { .. } => self.was_unread = true,
                event => panic!("{event:?}"),
            }
        }
    }

    fn check_bounds(&self) {
        let stats = self.log.stats();
        assert!(
            stats.disk_bytes - stats.set_aside_bytes <= self.limit,
            "{stats:?}"
        );
        assert!(stats.live_bytes <= stats.disk_bytes, "{stats:?}");
    }

    fn reopen(&mut self) {
        self.disk.fail_nothing();
        let opened = Self::open(self.disk.clone()).expect("it is this client's");
        let is_missing = |(number, (len, is_confirmed)): (&u64, &(usize, bool))| {
            *is_confirmed && opened.kept.get(number).map(|(found, _)| found) != Some(len)
        };
        let missing = self.kept.iter().find(|kept| is_missing(*kept));
        let back = self
            .gone
            .iter()
            .find(|(number, is_confirmed)| **is_confirmed && opened.kept.contains_key(number));
        assert!(
            self.is_damaged || missing.is_none(),
            "it is lost: {missing:?}"
        );
        let may_be_back = self.is_damaged || self.was_unread;
        assert!(may_be_back || back.is_none(), "it is back: {back:?}");
        // A Remove that was not confirmed may still take effect.
        let (gone, next) = (std::mem::take(&mut self.gone), self.next);
        let was_unread = self.was_unread;
        *self = opened;
        self.was_unread = was_unread;
        self.gone = gone
            .into_iter()
            .filter(|(number, _)| !self.kept.contains_key(number))
            .collect();
        self.next = self.next.max(next);
    }

    /// Ends all faults: then a Commit succeeds, and what it confirms is there afterwards.
    fn finish(&mut self) {
        self.disk.fail_nothing();
        self.disk.set_limit(u64::MAX);
        self.run();
        let all: Vec<u64> = self.kept.keys().copied().collect();
        let half = all.len() / 2;
        all.into_iter()
            .take(half)
            .for_each(|number| self.remove(number));
        self.commit();
        self.run();
        self.disk.cut_power();
        self.reopen();
    }
}

fn check_report(recovered: &Recovered, found: usize) {
    assert_eq!(recovered.records, found as u64);
    let has_any = recovered.highest_seq.is_some() && recovered.highest_accepted.is_some();
    assert!(found == 0 || has_any, "{recovered:?}");
}
