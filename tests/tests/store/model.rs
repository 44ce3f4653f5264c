//! A user of the log that knows what must be there afterwards.

use std::collections::BTreeMap;
use std::num::NonZeroU64;

use iotcore_gateway::{
    ClientId, DeviceId,
    auth::UnixTime,
    message::{Priority, PublicationTopic, QoS, Tag},
    store::{
        Damage, LogEvent, LogOptions, Record, Recovered, Recovery, SegmentLog, SegmentNumber,
        StoreOp, StoreSeq, StoredRecord,
    },
};
use iotcore_gateway_testkit::disk::LossyDisk;

pub(crate) fn client() -> ClientId {
    ClientId::new(
        "plant".try_into().unwrap(),
        "us-central1".try_into().unwrap(),
        "sensors".try_into().unwrap(),
        "gateway-1".try_into().unwrap(),
    )
}

pub(crate) fn seq(number: u64) -> StoreSeq {
    NonZeroU64::new(number).unwrap().into()
}

/// What is put: all that a record may have follows from these numbers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Content {
    pub(crate) accepted: u64,
    pub(crate) device: u8,
    pub(crate) len: usize,
}

impl Content {
    pub(crate) fn put(&self, log: &mut SegmentLog, number: u64) {
        self.with_record(|record| {
            let op = StoreOp::Put {
                seq: seq(number),
                record,
            };
            log.apply(op).unwrap();
        });
    }

    pub(crate) fn with_record<T>(&self, with: impl FnOnce(Record<'_>) -> T) -> T {
        let device = DeviceId::try_from(format!("device-{}", self.device)).unwrap();
        let variant = self.accepted % 8;
        let topic = match variant {
            0 => PublicationTopic::State,
            1 => PublicationTopic::Telemetry(Some("alerts/é".try_into().unwrap())),
            _ => PublicationTopic::Telemetry(None),
        };
        let tag = Tag::try_from(format!("tag {}", self.accepted)).unwrap();
        let payload: Vec<u8> = (0..self.len)
            .map(|at| (self.accepted as usize * 31 + at * 7) as u8)
            .collect();
        with(Record {
            accepted: NonZeroU64::new(self.accepted).unwrap(),
            device: &device,
            topic: &topic,
            qos: QoS::AtLeastOnce,
            payload: &payload,
            deadline: (variant == 2).then(|| UnixTime::from_secs(self.accepted)),
            priority: match variant {
                3 => Priority::Urgent,
                _ => Priority::Ordinary,
            },
            tag: (variant == 4).then_some(&tag),
        })
    }

    fn is(&self, stored: &StoredRecord) -> bool {
        self.with_record(|record| record == stored.record())
    }
}

/// A record that was put.
#[derive(Clone, Debug)]
struct Kept {
    content: Content,
    /// A Commit after its Put has succeeded.
    is_confirmed: bool,
    /// It was removed: by then it may be gone.
    is_removed: bool,
    /// A Commit after its Remove has succeeded: it must not come back.
    is_gone: bool,
    /// It was removed, and is back because its Remove could not be read: it goes once that can be.
    is_revived: bool,
}

/// A log on a disk, and what was reported to the user.
#[derive(Debug)]
pub(crate) struct World {
    pub(crate) disk: LossyDisk,
    pub(crate) options: LogOptions,
    /// Limit on the bytes of all files. A restart needs room for two more.
    limit: u64,
    pub(crate) log: SegmentLog,
    records: BTreeMap<u64, Kept>,
    /// The numbers of Puts and of Removes that the Commit under way, if any, is about, and of those after it.
    under_way: Option<Changes>,
    since: Changes,
    next: u64,
    pub(crate) commits: u64,
    pub(crate) failures: u64,
    pub(crate) recoveries: u64,
    pub(crate) damage: Damage,
    /// Files were set aside: what is in them may be missing until they can be read, and what was removed may be back then.
    pub(crate) was_unread: bool,
    /// Bits were flipped: records may be missing, as many as are reported, and removed ones may be back.
    pub(crate) is_damaged: bool,
}

#[derive(Clone, Debug, Default)]
struct Changes {
    puts: Vec<u64>,
    removes: Vec<u64>,
}

impl World {
    pub(crate) fn new(seed: u64, options: LogOptions) -> Self {
        let disk = LossyDisk::new(seed);
        let recovery = Recovery::new(&client(), options, []);
        let (log, recovered) = recovery.finish().unwrap();
        assert_eq!(recovered, Recovered::default());
        Self {
            disk,
            options,
            limit: options.max_bytes,
            log,
            records: BTreeMap::new(),
            under_way: None,
            since: Changes::default(),
            next: 1,
            commits: 0,
            failures: 0,
            recoveries: 0,
            damage: Damage::default(),
            was_unread: false,
            is_damaged: false,
        }
    }

    /// Returns the numbers of the records that were not removed.
    pub(crate) fn live(&self) -> Vec<u64> {
        let live = self.records.iter().filter(|(_, kept)| !kept.is_removed);
        live.map(|(number, _)| *number).collect()
    }

    /// Numbers what follows from here on.
    pub(crate) fn skip_to(&mut self, number: u64) {
        self.next = number;
    }

    pub(crate) fn put(&mut self, device: u8, len: usize) -> u64 {
        let number = self.next;
        self.next += 1;
        // The order of acceptance is not that of the numbers.
        let content = Content {
            accepted: number ^ 1,
            device,
            len,
        };
        let content = Content {
            accepted: content.accepted + 2,
            ..content
        };
        content.put(&mut self.log, number);
        let kept = Kept {
            content,
            is_confirmed: false,
            is_removed: false,
            is_gone: false,
            is_revived: false,
        };
        self.records.insert(number, kept);
        self.since.puts.push(number);
        number
    }

    pub(crate) fn remove(&mut self, number: u64) {
        self.log
            .apply(StoreOp::Remove { seq: seq(number) })
            .unwrap();
        self.since.removes.push(number);
        if let Some(kept) = self.records.get_mut(&number) {
            kept.is_removed = true;
        }
    }

    /// Returns the numbers of the records whose Remove is not confirmed.
    pub(crate) fn not_gone(&self) -> Vec<u64> {
        let left = self.records.iter().filter(|(_, kept)| !kept.is_gone);
        left.map(|(number, _)| *number).collect()
    }

    /// Removes what was not confirmed.
    pub(crate) fn take_back(&mut self) {
        let kept = self.records.iter();
        let unconfirmed = kept.filter(|(_, kept)| !kept.is_removed && !kept.is_confirmed);
        let unconfirmed: Vec<_> = unconfirmed.map(|(number, _)| *number).collect();
        unconfirmed
            .into_iter()
            .for_each(|number| self.remove(number));
    }

    /// Asks for a Commit, unless one is under way.
    pub(crate) fn commit(&mut self) {
        if self.under_way.is_none() {
            self.under_way = Some(std::mem::take(&mut self.since));
            let through = seq(self.next);
            self.log.apply(StoreOp::Commit { through }).unwrap();
            self.take_events();
        }
    }

    pub(crate) fn is_committing(&self) -> bool {
        self.under_way.is_some()
    }

    /// Executes one operation; returns whether there was one.
    pub(crate) fn step(&mut self) -> bool {
        let was_one = self.disk.step(&mut self.log);
        self.take_events();
        let stats = self.log.stats();
        let used = stats.disk_bytes - stats.set_aside_bytes;
        assert!(used <= self.limit, "{used} bytes");
        was_one
    }

    /// Executes operations until no more are wanted.
    pub(crate) fn run(&mut self) {
        let mut steps = 0;
        while self.step() {
            steps += 1;
            assert!(steps < 100_000, "it never ends: {:?}", self.log.poll_disk());
        }
        assert!(!self.is_committing(), "a Commit was not answered");
    }

    fn take_events(&mut self) {
        while let Some(event) = self.log.poll_event() {
            if matches!(event, LogEvent::SetAside { .. }) {
                self.was_unread = true;
                continue;
            }
            let changes = self.under_way.take().expect("an answer nobody waits for");
            match event {
                LogEvent::Committed { .. } => {
                    self.commits += 1;
                    self.confirm(&changes);
                }
                LogEvent::Failed(_) => {
                    self.failures += 1;
                    self.apply_again(changes);
                }
                event => panic!("{event:?}"),
            }
        }
    }

    fn confirm(&mut self, changes: &Changes) {
        for number in &changes.puts {
            if let Some(kept) = self.records.get_mut(number) {
                kept.is_confirmed = true;
            }
        }
        for number in &changes.removes {
            if let Some(kept) = self.records.get_mut(number) {
                kept.is_gone = true;
            }
        }
    }

    /// Puts again what is not confirmed and not removed. Some Removes are lost, and that must be harmless.
    fn apply_again(&mut self, mut changes: Changes) {
        let since = std::mem::take(&mut self.since);
        changes.puts.extend(since.puts);
        changes.removes.extend(since.removes);
        for number in changes.puts {
            let kept = &self.records[&number];
            if !kept.is_removed && !kept.is_confirmed {
                kept.content.clone().put(&mut self.log, number);
                self.since.puts.push(number);
            }
        }
        for number in changes.removes {
            if !number.is_multiple_of(5) {
                self.remove(number);
            }
        }
    }

    /// Ends the process, and starts another on the same disk.
    pub(crate) fn restart(&mut self) {
        self.recoveries += 1;
        let sizes = self.disk.files().into_iter().map(|(_, size)| size);
        let largest = sizes
            .max()
            .unwrap_or(0)
            .max(u64::from(self.options.segment_bytes));
        self.limit = self.options.max_bytes.max(self.disk.used() + 2 * largest);
        self.under_way = None;
        self.since = Changes::default();
        let mut recovery = Recovery::new(&client(), self.options, self.disk.files());
        let found = self.disk.read_all(&mut recovery);
        let (log, recovered) = recovery.finish().expect("it always opens");
        self.log = log;
        self.was_unread |= recovered.set_aside > 0;
        self.check(&found, &recovered);
        self.damage.places += recovered.damaged.places + recovered.unfinished.places;
        self.damage.bytes += recovered.damaged.bytes + recovered.unfinished.bytes;
        let found: BTreeMap<u64, StoredRecord> = found
            .into_iter()
            .map(|record| (record.seq().as_u64(), record))
            .collect();
        let since = &mut self.since;
        for (number, kept) in &mut self.records {
            // What was removed and is found lives again, unless that was confirmed.
            let is_found = found.contains_key(number);
            if is_found && (kept.is_removed || !kept.is_confirmed) {
                // The Remove may still take effect, and the Put be lost, until the log has written it anew, which it does
                // before it answers a Commit.
                kept.is_confirmed = false;
                since.puts.push(*number);
            }
            // A Put that was never confirmed and is not found may still come back, in a file whose new name is lost.
            kept.is_revived |= is_found && kept.is_removed && recovered.set_aside > 0;
            let is_unread = recovered.set_aside > 0 && kept.is_confirmed && !kept.is_removed;
            kept.is_removed = !is_found && !is_unread;
            kept.is_gone &= !is_found;
        }
    }

    fn check(&self, found: &[StoredRecord], recovered: &Recovered) {
        assert_eq!(recovered.records, found.len() as u64);
        let order = |record: &StoredRecord| (record.record().accepted, record.seq());
        assert!(found.is_sorted_by_key(order), "out of order");
        for record in found {
            let number = record.seq().as_u64();
            let kept = self.records.get(&number);
            let kept = kept.unwrap_or_else(|| panic!("{number} was never put, or lost before"));
            assert!(kept.content.is(record), "{number} has changed: {record:?}");
            let may_be_back = self.is_damaged || self.was_unread;
            assert!(!kept.is_gone || may_be_back, "{number} is back");
            assert!(recovered.highest_seq >= Some(record.seq()));
            assert!(recovered.highest_accepted >= Some(record.record().accepted));
        }
        let is_found = |number: u64| found.iter().any(|record| record.seq().as_u64() == number);
        let missing = self
            .records
            .iter()
            .filter(|(number, kept)| kept.is_confirmed && !kept.is_removed && !is_found(**number));
        let missing = missing.filter(|(_, kept)| !kept.is_revived);
        let missing: Vec<_> = missing.map(|(number, _)| *number).collect();
        if recovered.set_aside > 0 {
            assert!(!recovered.damaged.is_none(), "{recovered:?}");
        } else if self.is_damaged {
            let mut places = recovered.damaged.places + recovered.unfinished.places;
            if self.was_unread {
                // What was damaged by then may have been in what could not be read.
                places += self.damage.places;
            }
            assert!(
                missing.len() as u64 <= places,
                "{missing:?} of {recovered:?}"
            );
        } else {
            assert_eq!(missing, [0; 0], "confirmed, and lost: {recovered:?}");
            // After a failure, a file may come back half overwritten under its old name.
            let may_be_mixed = self.disk.counts().failed > 0;
            assert!(recovered.damaged.is_none() || may_be_mixed, "{recovered:?}");
        }
    }
}

/// Commits what was applied, and expects that to succeed.
pub(crate) fn commit(world: &mut World) {
    let commits = world.commits;
    world.commit();
    world.run();
    assert_eq!(world.commits, commits + 1);
}

pub(crate) fn segment(number: u64) -> SegmentNumber {
    SegmentNumber::from_file_name(&format!("{number:016x}.seg")).unwrap()
}
