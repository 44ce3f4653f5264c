//! The segment log: what is written to the device for each byte of payload, what a message costs, and how long a million
//! records take to be read back.
//!
//!     cargo bench -p iotcore-gateway-testkit --bench store
//!     cargo bench -p iotcore-gateway-testkit --bench store -- --messages 100000    only Put and Remove, for a profiler
#![deny(unsafe_code)] // An allocator cannot be implemented without it.
#![expect(clippy::print_stdout, reason = "a benchmark prints its figures")]

use std::collections::BTreeMap;
use std::num::NonZeroU64;
use std::time::Duration;

use iotcore_gateway::{
    ClientId, DeviceId,
    message::{Priority, PublicationTopic, QoS},
    store::{
        DiskOp, LogEvent, LogOptions, Record, Recovery, SegmentLog, SegmentNumber, StoreOp,
        StoreSeq,
    },
};
use iotcore_gateway_testkit::disk::LossyDisk;
use rustix::time::{ClockId, clock_gettime};

#[path = "machine/allocator.rs"]
mod allocator;

const PAYLOAD: usize = 256;

fn client() -> ClientId {
    let part = "part-of-a-name";
    ClientId::new(
        part.try_into().unwrap(),
        part.try_into().unwrap(),
        part.try_into().unwrap(),
        "gateway-1".try_into().unwrap(),
    )
}

/// Returns the time that this thread has used the processor.
fn used() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

/// A log and what it is fed with.
struct Bench {
    log: SegmentLog,
    device: DeviceId,
    payload: [u8; PAYLOAD],
    next: NonZeroU64,
    files: BTreeMap<SegmentNumber, Vec<u8>>,
}

impl Bench {
    fn new() -> Self {
        let recovery = Recovery::new(&client(), LogOptions::default(), []);
        let (log, _) = recovery.finish().unwrap();
        Self {
            log,
            device: "sensor-17".try_into().unwrap(),
            payload: [7; PAYLOAD],
            next: NonZeroU64::MIN,
            files: BTreeMap::new(),
        }
    }

    fn put(&mut self) {
        let record = Record {
            accepted: self.next,
            device: &self.device,
            topic: &PublicationTopic::Telemetry(None),
            qos: QoS::AtLeastOnce,
            payload: &self.payload,
            deadline: None,
            priority: Priority::Ordinary,
            tag: None,
        };
        let seq = self.next.into();
        self.log.apply(StoreOp::Put { seq, record }).unwrap();
        self.next = self.next.saturating_add(1);
    }

    /// Removes what was put so many Puts ago.
    fn remove(&mut self, ago: u64) {
        if let Some(seq) = NonZeroU64::new(self.next.get().saturating_sub(ago)) {
            self.log.apply(StoreOp::Remove { seq: seq.into() }).unwrap();
        }
    }

    fn commit(&mut self) {
        let through = StoreSeq::from(self.next);
        self.log.apply(StoreOp::Commit { through }).unwrap();
    }

    fn committed(&mut self) {
        let event = self.log.poll_event();
        assert!(
            matches!(event, Some(LogEvent::Committed { .. })),
            "{event:?}"
        );
    }

    /// Executes all operations in memory.
    fn run(&mut self) {
        while let Some(op) = self.log.poll_disk() {
            match op {
                DiskOp::Create { segment, bytes } => {
                    self.files.insert(segment, vec![0; bytes as usize]);
                }
                DiskOp::Write {
                    segment,
                    offset,
                    bytes,
                } => {
                    let file = self.files.get_mut(&segment).unwrap();
                    file[offset as usize..][..bytes.len()].copy_from_slice(bytes);
                }
                DiskOp::Recycle { segment, to } => {
                    let file = self.files.remove(&segment).unwrap();
                    self.files.insert(to, file);
                }
                DiskOp::Delete { segment } => {
                    self.files.remove(&segment);
                }
                DiskOp::Read {
                    segment,
                    offset,
                    len,
                } => {
                    let file = &self.files[&segment][offset as usize..];
                    self.log.handle_read(&file[..len.min(file.len())]);
                    continue;
                }
                DiskOp::Sync { .. } | DiskOp::SyncFolder => {}
            }
            self.log.handle_done();
        }
    }

    /// Puts a group, removes the one before, and commits.
    fn group(&mut self, size: u64) {
        for _ in 0..size {
            self.put();
            self.remove(size + 1);
        }
        self.commit();
    }
}

/// Returns the bytes written to the device for each byte of payload, once segments are recycled.
fn amplification(group: u64, removes: bool) -> f64 {
    let mut disk = LossyDisk::new(1);
    let mut bench = Bench::new();
    let mut written = 0;
    let messages = (40_000 / group).max(10) * group;
    // The last files are created in the second round.
    for round in 0..4 {
        let before = disk.counts().device_bytes;
        for _ in 0..messages / group {
            match removes {
                true => bench.group(group),
                false => {
                    (0..group).for_each(|_| bench.put());
                    bench.commit();
                }
            }
            disk.run(&mut bench.log);
            bench.committed();
        }
        written = disk.counts().device_bytes - before;
        assert!(round == 0 || written > 0);
    }
    written as f64 / (messages * PAYLOAD as u64) as f64
}

/// Returns the time and the allocations of a Put and a Remove.
fn message(group: u64) -> (Duration, f64) {
    let mut bench = Bench::new();
    let mut round = |messages: u64| {
        for _ in 0..messages / group {
            bench.group(group);
            bench.run();
            bench.committed();
        }
    };
    let messages = 200_000 / group * group;
    round(messages);
    let before = allocator::allocations();
    let started = used();
    round(messages);
    let elapsed = used() - started;
    let allocations = allocator::allocations() - before;
    (
        elapsed / messages as u32,
        allocations as f64 / messages as f64,
    )
}

/// Returns the time to read so many records back, on a disk in memory, and the memory of a log for each that lives.
fn read_back(records: u64) -> (Duration, f64) {
    let mut disk = LossyDisk::new(1);
    let mut bench = Bench::new();
    for _ in 0..records / 1_000 {
        (0..1_000).for_each(|_| bench.put());
        bench.commit();
        disk.run(&mut bench.log);
        bench.committed();
    }
    drop(bench);
    let files = disk.files();
    let started = used();
    let mut recovery = Recovery::new(&client(), LogOptions::default(), files);
    let mut found = 0;
    loop {
        while recovery.poll_record().is_some() {
            found += 1;
        }
        let Some(DiskOp::Read {
            segment,
            offset,
            len,
        }) = recovery.poll_disk()
        else {
            break;
        };
        let bytes = disk.bytes(segment);
        let end = bytes.len().min(offset as usize + len);
        recovery.handle_read(&bytes[offset as usize..end]);
    }
    let (log, recovered) = recovery.finish().unwrap();
    let elapsed = used() - started;
    assert_eq!((found, recovered.records), (records, records));
    let with_log = allocator::live_bytes();
    drop(log);
    let memory = with_log - allocator::live_bytes();
    (elapsed, memory as f64 / records as f64)
}

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    if let Some(at) = arguments
        .iter()
        .position(|argument| argument == "--messages")
    {
        let messages: u64 = arguments[at + 1].parse().expect("a number of messages");
        let mut bench = Bench::new();
        for _ in 0..messages / 100 {
            bench.group(100);
            bench.run();
            bench.committed();
        }
        return;
    }
    println!("Payloads of {PAYLOAD} bytes; a Put and a Remove of each");
    for group in [1, 100, 10_000] {
        let written = amplification(group, true);
        let grown = amplification(group, false);
        let (time, allocations) = message(group);
        println!(
            "{group:>6} a commit: {written:.2} bytes written for each of the payload ({grown:.2} while the folder grows), \
             {} ns and {allocations:.4} allocations a message",
            time.as_nanos()
        );
    }
    let (time, memory) = read_back(1_000_000);
    println!(
        "1,000,000 records read back in {:.2} s of the processor; {memory:.1} bytes of memory for each that lives",
        time.as_secs_f64()
    );
}
