//! Checks that a store keeps what the driver relies on, for stores of one's own.
//!
//! [`check`] opens a store again and again, as restarts do, and reports the first thing that is wrong. It cannot see whether a
//! commit is synced, so that it survives a power cut, whether a second process is locked out, nor what becomes of a write
//! that is torn, or of what follows a failed commit: test these yourself.

use core::fmt;
use std::error::Error;
use std::num::NonZeroU64;

use iotcore_gateway::auth::UnixTime;
use iotcore_gateway::driver::error::StoreError;
use iotcore_gateway::driver::store::Store;
use iotcore_gateway::message::{Priority, PublicationTopic, QoS, Tag};
use iotcore_gateway::store::{Record, Recovered, StoreFailure, StoreOp, StoreSeq};
use iotcore_gateway::{ClientId, DeviceId};

/// What a store does that it must not, or fails to do.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum StoreFault {
    /// It cannot be opened, or read.
    Unusable(StoreError),
    /// An operation has failed.
    Failed(StoreFailure),
    /// After a restart, other records were there than were kept.
    Differs {
        /// What was done before.
        after: &'static str,
        /// The numbers and payloads that were to be there, in the order of acceptance.
        expected: Vec<(u64, String)>,
        /// Those that were.
        found: Vec<(u64, String)>,
    },
    /// A record came back with another field than it was put with.
    Changed {
        /// Its number.
        seq: u64,
        /// The record that came back.
        found: String,
    },
    /// It counted other records than it passed on.
    Miscounted {
        /// The number that it returned.
        counted: u64,
        /// The number that it passed on.
        passed: u64,
    },
    /// Another gateway got the store, and would have sent what is in it.
    GivenToAnother,
}

impl fmt::Display for StoreFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unusable(error) => error.fmt(f),
            Self::Failed(failure) => failure.fmt(f),
            Self::Differs {
                after,
                expected,
                found,
            } => write!(
                f,
                "after {after}, {found:?} was there instead of {expected:?}"
            ),
            Self::Changed { seq, found } => write!(f, "record {seq} came back as {found}"),
            Self::Miscounted { counted, passed } => {
                write!(
                    f,
                    "{passed} records were passed on, and {counted} were counted"
                )
            }
            Self::GivenToAnother => f.write_str("another gateway was given the store"),
        }
    }
}

impl Error for StoreFault {}

/// What a record is made of here.
struct Sample {
    accepted: u64,
    payload: String,
    device: DeviceId,
    topic: PublicationTopic,
    priority: Priority,
    deadline: Option<UnixTime>,
    tag: Option<Tag>,
}

impl Sample {
    /// All that a record may have, by its place in the order of acceptance.
    fn new(accepted: u64, payload: &str) -> Self {
        let is_even = accepted.is_multiple_of(2);
        Self {
            accepted,
            payload: payload.to_owned(),
            device: format!("sensor-{}", accepted % 3).parse().expect("legal"),
            topic: match accepted % 3 {
                0 => PublicationTopic::State,
                1 => PublicationTopic::Telemetry(None),
                _ => PublicationTopic::Telemetry(Some("alerts".parse().expect("legal"))),
            },
            priority: match is_even {
                true => Priority::Urgent,
                false => Priority::Ordinary,
            },
            deadline: is_even.then(|| UnixTime::from_secs(1_900_000_000 + accepted)),
            tag: is_even.then(|| format!("reading {accepted}").parse().expect("legal")),
        }
    }

    fn record(&self) -> Record<'_> {
        Record {
            accepted: NonZeroU64::new(self.accepted).expect("not zero"),
            device: &self.device,
            topic: &self.topic,
            qos: QoS::AtLeastOnce,
            payload: self.payload.as_bytes(),
            deadline: self.deadline,
            priority: self.priority,
            tag: self.tag.as_ref(),
        }
    }
}

/// Checks a store. `open` opens the same one each time, empty at first; it was dropped before.
///
/// ```
/// use iotcore_gateway::driver::store::SegmentStore;
/// use iotcore_gateway_testkit::{simulation::SimDisk, store_check};
///
/// let disk = SimDisk::new(7);
/// store_check::check(|| Ok(SegmentStore::on(disk.clone())))?;
/// # Ok::<(), store_check::StoreFault>(())
/// ```
///
/// # Errors
///
/// [`StoreFault`] is the first thing that is wrong.
pub fn check<S: Store>(open: impl FnMut() -> Result<S, StoreError>) -> Result<(), StoreFault> {
    let mut checked = Checked {
        open,
        kept: Vec::new(),
    };
    checked.restart("nothing", |_| Ok(()))?;
    checked.restart("puts", |store| {
        // Numbers need not be in the order of acceptance.
        for (seq, accepted) in [(1, 2), (2, 1), (3, 4), (4, 3), (5, 5), (6, 6)] {
            store.put(seq, accepted, &format!("payload {accepted}"))?;
        }
        store.commit(6)
    })?;
    checked.restart("removals of what is there, and of what is not", |store| {
        for seq in [3, 4, 400] {
            store.remove(seq)?;
        }
        store.commit(6)
    })?;
    checked.restart("a replacement, a longer one, and an empty one", |store| {
        store.put(2, 1, "another")?;
        store.put(5, 5, &"long ".repeat(20_000))?;
        store.put(6, 6, "")?;
        store.commit(6)
    })?;
    checked.restart("a put and its removal in one group", |store| {
        store.put(7, 7, "payload 7")?;
        store.remove(7)?;
        store.put(8, 8, "payload 8")?;
        store.commit(8)
    })?;
    checked.restart("a removal that was followed by the same number", |store| {
        store.remove(8)?;
        store.commit(8)?;
        store.put(8, 9, "payload 9")?;
        store.commit(8)
    })?;
    checked.restart("a commit of nothing", |store| store.commit(8))?;
    checked.refuses_another()?;
    checked.restart("another gateway had tried", |store| {
        for seq in [1, 2, 5, 6, 8] {
            store.remove(seq)?;
        }
        store.commit(8)
    })
}

struct Checked<O> {
    open: O,
    /// What was kept, by number.
    kept: Vec<(u64, Sample)>,
}

/// A store that is open, and what it is to keep.
struct Opened<'a, S> {
    store: S,
    kept: &'a mut Vec<(u64, Sample)>,
}

fn client_id(gateway: &str) -> ClientId {
    let part = "part".parse().expect("legal");
    let gateway = gateway.parse().expect("legal");
    ClientId::new(
        part,
        "us-central1".parse().expect("legal"),
        "registry".parse().expect("legal"),
        gateway,
    )
}

fn number(seq: u64) -> StoreSeq {
    NonZeroU64::new(seq).expect("not zero").into()
}

impl<S: Store, O: FnMut() -> Result<S, StoreError>> Checked<O> {
    /// Opens the store, does something, and looks at what is there after a restart.
    fn restart(
        &mut self,
        after: &'static str,
        act: impl FnOnce(&mut Opened<'_, S>) -> Result<(), StoreFault>,
    ) -> Result<(), StoreFault> {
        let mut store = (self.open)().map_err(StoreFault::Unusable)?;
        let mut ignored = |_: StoreSeq, _: Record<'_>| {};
        store
            .restore(&client_id("gateway-1"), &mut ignored)
            .map_err(StoreFault::Unusable)?;
        let kept = &mut self.kept;
        let mut opened = Opened { store, kept };
        act(&mut opened)?;
        opened.store.tidy();
        drop(opened);
        self.compare(after)
    }

    fn compare(&mut self, after: &'static str) -> Result<(), StoreFault> {
        self.kept.sort_by_key(|(_, sample)| sample.accepted);
        let mut store = (self.open)().map_err(StoreFault::Unusable)?;
        let (mut found, mut changed) = (Vec::new(), None);
        let mut each = |seq: StoreSeq, record: Record<'_>| {
            let seq = seq.as_u64();
            let kept = self.kept.iter().find(|(number, _)| *number == seq);
            if kept.is_some_and(|(_, sample)| sample.record() != record) {
                changed = changed.take().or(Some((seq, format!("{record:?}"))));
            }
            let payload = String::from_utf8_lossy(record.payload);
            found.push((seq, payload.into_owned()));
        };
        let Recovered { records, .. } = store
            .restore(&client_id("gateway-1"), &mut each)
            .map_err(StoreFault::Unusable)?;
        let kept = self.kept.iter();
        let expected = Vec::from_iter(kept.map(|(seq, sample)| (*seq, sample.payload.clone())));
        let passed = found.len() as u64;
        if found != expected {
            return Err(StoreFault::Differs {
                after,
                expected,
                found,
            });
        }
        if let Some((seq, found)) = changed {
            return Err(StoreFault::Changed { seq, found });
        }
        match records == passed {
            true => Ok(()),
            false => Err(StoreFault::Miscounted {
                counted: records,
                passed,
            }),
        }
    }

    fn refuses_another(&mut self) -> Result<(), StoreFault> {
        let mut store = (self.open)().map_err(StoreFault::Unusable)?;
        let mut ignored = |_: StoreSeq, _: Record<'_>| {};
        match store.restore(&client_id("gateway-2"), &mut ignored) {
            Ok(_) => Err(StoreFault::GivenToAnother),
            Err(_) => Ok(()),
        }
    }
}

impl<S: Store> Opened<'_, S> {
    fn put(&mut self, seq: u64, accepted: u64, payload: &str) -> Result<(), StoreFault> {
        let sample = Sample::new(accepted, payload);
        self.apply(StoreOp::Put {
            seq: number(seq),
            record: sample.record(),
        })?;
        self.kept.retain(|(kept, _)| *kept != seq);
        self.kept.push((seq, sample));
        Ok(())
    }

    fn remove(&mut self, seq: u64) -> Result<(), StoreFault> {
        self.kept.retain(|(kept, _)| *kept != seq);
        self.apply(StoreOp::Remove { seq: number(seq) })
    }

    fn commit(&mut self, through: u64) -> Result<(), StoreFault> {
        let through = number(through);
        self.apply(StoreOp::Commit { through })
    }

    fn apply(&mut self, op: StoreOp<'_>) -> Result<(), StoreFault> {
        self.store.apply(op).map_err(StoreFault::Failed)
    }
}
