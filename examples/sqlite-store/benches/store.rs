//! The store in segments beside one in SQLite, on this machine's disk: time and device writes for each message, side by side;
//! then how long a restart takes, and whether the folder shrinks after an outage.
//!
//! `cargo bench [-- FOLDER]` works in a folder of the disk that is to be measured (default: the one of the build).
#![forbid(unsafe_code)]
#![expect(clippy::print_stdout, reason = "a benchmark prints its figures")]

use std::{
    env,
    error::Error,
    fs,
    num::NonZeroU64,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use iotcore_gateway::{
    ClientId, DeviceId, Gateway, Options,
    auth::UnixTime,
    driver::store::{SegmentStore, Store},
    message::{Priority, PublicationTopic, QoS},
    store::{Record, StoreOp, StoreSeq},
};
use sqlite_store::SqliteStore;

type Outcome<T = ()> = Result<T, Box<dyn Error>>;

const PAYLOAD: usize = 256;
const MIB: f64 = 1024.0 * 1024.0;

/// Messages for each commit, and how many commits are measured of each store.
const GROUPS: [(u64, u64); 3] = [(1, 600), (100, 3_000), (10_000, 36)];
/// The commits of each store take turns in so many rounds.
const ROUNDS: u64 = 12;

fn main() -> Outcome {
    let folder = env::args()
        .skip(1)
        .find(|argument| !argument.starts_with("--"));
    let build = PathBuf::from(env!("CARGO_TARGET_TMPDIR"));
    let folder = folder.map_or(build, PathBuf::from).join("store-bench");
    drop(fs::remove_dir_all(&folder));
    fs::create_dir_all(&folder)?;
    let disk = Disk::of(&folder)?;
    println!("The disk: {}", disk.description);
    side_by_side(&folder, &disk)?;
    steady(&folder, &disk)?;
    restart(&folder, 1_000_000)?;
    outage(&folder, 500_000)?;
    fs::remove_dir_all(&folder)?;
    Ok(())
}

/// What a folder is on.
struct Disk {
    description: String,
    /// Counts what is written to it, by anybody.
    counters: PathBuf,
}

impl Disk {
    fn of(folder: &Path) -> Outcome<Self> {
        let folder = folder.canonicalize()?;
        let mounts = fs::read_to_string("/proc/mounts")?;
        let of_folder = mounts.lines().filter_map(|line| {
            let mut words = line.split(' ');
            let (device, point, kind) = (words.next()?, words.next()?, words.next()?);
            let is_on_it = folder.starts_with(point);
            is_on_it.then_some((point.len(), device, point, kind))
        });
        let (_, device, point, kind) = of_folder.max().ok_or("no such disk")?;
        let name = device.trim_start_matches("/dev/");
        Ok(Self {
            description: format!("{device}, {kind}, mounted on {point}"),
            counters: Path::new("/sys/class/block").join(name).join("stat"),
        })
    }

    /// Returns the bytes that were written to the device.
    fn written(&self) -> Outcome<u64> {
        let counters = fs::read_to_string(&self.counters)?;
        let sectors = counters
            .split_whitespace()
            .nth(6)
            .ok_or("no such counter")?;
        Ok(sectors.parse::<u64>()? * 512)
    }
}

/// A store under test, and what it took.
struct Subject {
    name: &'static str,
    store: Box<dyn Store>,
    next: u64,
    time: Duration,
    /// What was written to the device meanwhile: by anybody.
    written: u64,
}

impl Subject {
    fn new(name: &'static str, mut store: Box<dyn Store>) -> Outcome<Self> {
        store.restore(&client()?, &mut |_, _| {})?;
        Ok(Self {
            name,
            store,
            next: 1,
            time: Duration::ZERO,
            written: 0,
        })
    }

    /// Puts messages, and commits each group of them.
    fn put(&mut self, commits: u64, each: u64) -> Outcome {
        let device = device()?;
        let begun = Instant::now();
        for _ in 0..commits {
            for _ in 0..each {
                let number = NonZeroU64::new(self.next).ok_or("zero")?;
                let record = record(number, &device);
                self.store.apply(StoreOp::Put {
                    seq: number.into(),
                    record,
                })?;
                self.next += 1;
            }
            let through = number(self.next - 1)?;
            self.store.apply(StoreOp::Commit { through })?;
            self.store.tidy();
        }
        self.time += begun.elapsed();
        Ok(())
    }

    /// Removes the messages with these numbers, and commits each group of them.
    fn remove(&mut self, numbers: std::ops::Range<u64>, each: u64) -> Outcome {
        for seq in numbers {
            self.store.apply(StoreOp::Remove { seq: number(seq)? })?;
            if seq % each == 0 {
                let through = number(self.next - 1)?;
                self.store.apply(StoreOp::Commit { through })?;
                self.store.tidy();
            }
        }
        Ok(())
    }
}

fn client() -> Outcome<ClientId> {
    Ok(ClientId::new(
        "plant".parse()?,
        "us-central1".parse()?,
        "sensors".parse()?,
        "gateway-1".parse()?,
    ))
}

fn device() -> Outcome<DeviceId> {
    Ok("sensor-17".parse()?)
}

fn number(number: u64) -> Outcome<StoreSeq> {
    Ok(NonZeroU64::new(number).ok_or("zero is no number")?.into())
}

fn record(accepted: NonZeroU64, device: &DeviceId) -> Record<'_> {
    Record {
        accepted,
        device,
        topic: &PublicationTopic::Telemetry(None),
        qos: QoS::AtLeastOnce,
        payload: &[b'x'; PAYLOAD],
        deadline: None,
        priority: Priority::Ordinary,
        tag: None,
    }
}

/// Returns the resident memory of this process, in bytes.
fn resident() -> Outcome<u64> {
    Ok(field("/proc/self/status", "VmRSS:")? * 1024)
}

fn field(file: &str, name: &str) -> Outcome<u64> {
    let text = fs::read_to_string(file)?;
    let value = text
        .lines()
        .find_map(|line| line.strip_prefix(name)?.split_whitespace().next());
    Ok(value.ok_or("no such field")?.parse()?)
}

fn side_by_side(folder: &Path, disk: &Disk) -> Outcome {
    println!(
        "\n{PAYLOAD} bytes a message      µs a message     bytes written to the device for each of payload"
    );
    for (each, commits) in GROUPS {
        let (segments, sqlite) = (folder.join("segments"), folder.join("sqlite"));
        fs::create_dir_all(&sqlite)?;
        let sqlite_store = Box::new(SqliteStore::open(sqlite.join("messages.db"))?);
        let mut subjects = [
            Subject::new("segments", Box::new(SegmentStore::open(&segments)?))?,
            Subject::new("SQLite", sqlite_store)?,
        ];
        for round in 0..ROUNDS {
            // Neither is always the first.
            let order = if round % 2 == 0 { [0, 1] } else { [1, 0] };
            for index in order {
                let written = disk.written()?;
                subjects[index].put(commits / ROUNDS, each)?;
                let written = disk.written()? - written;
                subjects[index].written += written;
            }
        }
        let messages = (each * (commits / ROUNDS) * ROUNDS) as f64;
        for Subject {
            name,
            time,
            written,
            ..
        } in &subjects
        {
            let micros = time.as_secs_f64() * 1e6 / messages;
            // Not the median of the rounds: a segment is larger than what is put in some of them.
            let times = *written as f64 / (messages * PAYLOAD as f64);
            println!("{each:>6} a commit, {name:<9} {micros:>10.2} {times:>24.2}");
        }
        let ratio = subjects[0].time.as_secs_f64() / subjects[1].time.as_secs_f64();
        println!("{each:>6} a commit, ratio     {ratio:>10.2}");
        drop(subjects);
        fs::remove_dir_all(segments)?;
        fs::remove_dir_all(sqlite)?;
    }
    Ok(())
}

/// Puts the first message, then puts messages and removes them, so that segments are used again.
fn steady(folder: &Path, disk: &Disk) -> Outcome {
    let folder = folder.join("steady");
    let mut subject = Subject::new("segments", Box::new(SegmentStore::open(&folder)?))?;
    let written = disk.written()?;
    subject.put(1, 1)?;
    println!(
        "\nThe first message is durable after {:.2?}, and {:.1} MiB written to the device",
        subject.time,
        (disk.written()? - written) as f64 / MIB
    );
    subject.remove(1..2, 1)?;
    for beside in ["", ", beside an old one that stays"] {
        circulate(&mut subject, 1_000)?;
        let written = disk.written()?;
        circulate(&mut subject, 3_000)?;
        let written = (disk.written()? - written) as f64;
        println!(
            "100 a commit, put and then removed by another{beside}: {:.2} bytes written to the device for each of payload",
            written / (300_000 * PAYLOAD) as f64
        );
        subject.put(1, 1)?;
    }
    drop(subject);
    fs::remove_dir_all(folder)?;
    Ok(())
}

/// Puts a hundred messages, and removes them: each with a commit.
fn circulate(subject: &mut Subject, rounds: u64) -> Outcome {
    for _ in 0..rounds {
        let first = subject.next;
        subject.put(1, 100)?;
        subject.remove(first..first + 100, 100)?;
    }
    Ok(())
}

fn restart(folder: &Path, messages: u64) -> Outcome {
    let folder = folder.join("restart");
    let mut subject = Subject::new("segments", Box::new(SegmentStore::open(&folder)?))?;
    subject.put(messages / 10_000, 10_000)?;
    drop(subject);

    let before = resident()?;
    let begun = Instant::now();
    let mut store = SegmentStore::open(&folder)?;
    let mut bytes = 0;
    let recovered = store.restore(&client()?, &mut |_, record| bytes += record.payload.len())?;
    let (took, memory) = (begun.elapsed(), resident()?.saturating_sub(before));
    println!(
        "\n{} messages, {:.0} MiB of payload, are read in {took:.2?}; the store has {:.1} MiB of memory then",
        recovered.records,
        bytes as f64 / MIB,
        memory as f64 / MIB,
    );
    drop(store);

    let mut options = Options::default();
    options.durability.linger = Some(Duration::from_secs(1));
    let mut gateway = Gateway::new(client()?, options, 1)?;
    let begun = Instant::now();
    let mut store = SegmentStore::open(&folder)?;
    let mut refused = None;
    store.restore(&client()?, &mut |seq, record| {
        let restored = gateway.restore(seq, record, UnixTime::from_secs(1_795_374_000), begun);
        refused = refused.take().or(restored.err());
    })?;
    println!("a gateway has them in {:.2?}", begun.elapsed());
    drop(store);
    fs::remove_dir_all(folder)?;
    refused.map_or(Ok(()), |error| Err(error.into()))
}

fn outage(folder: &Path, messages: u64) -> Outcome {
    let folder = folder.join("outage");
    let before = resident()?;
    let mut subject = Subject::new("segments", Box::new(SegmentStore::open(&folder)?))?;
    subject.put(messages / 100, 100)?;
    let full = size(&folder)?;
    let memory = resident()?.saturating_sub(before);
    let begun = Instant::now();
    subject.remove(1..messages + 1, 1_000)?;
    println!(
        "\nAfter an outage of {messages} messages the folder has {:.0} MiB, and the store {:.1} MiB of memory; once they are \
         delivered, {:.1} MiB of disk ({:.2?} for all removals)",
        full as f64 / MIB,
        memory as f64 / MIB,
        size(&folder)? as f64 / MIB,
        begun.elapsed(),
    );
    drop(subject);
    fs::remove_dir_all(folder)?;
    Ok(())
}

fn size(folder: &Path) -> Outcome<u64> {
    let files = fs::read_dir(folder)?;
    let sizes = files.map(|file| Ok(file?.metadata()?.len()));
    sizes.sum()
}
