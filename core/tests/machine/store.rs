//! The machine's half of the store: what it has put, made durable and removed, and what it does with what was found.

mod claims;
mod closing;
mod deadlines;
mod ends;
mod failing;
mod found_states;
mod packing;
mod polls;
mod putting;
mod removing;
mod restoring;
mod room;
mod script;
mod settings;
mod states;

use std::{
    collections::BTreeMap,
    num::NonZeroU64,
    ops::{Deref, DerefMut},
    time::Duration,
};

use iotcore_gateway::{
    DeviceKey, Event, OpId, Options, Publication,
    auth::UnixTime,
    message::{Priority, PublicationTopic, QoS, Tag},
    options::Durability,
    store::{Record, StoreFailure, StoreFailureKind, StoreOp, StoreSeq},
};

use super::peer::{Harness, UNIX_NOW};

/// A record on the mocked disk.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Kept {
    accepted: NonZeroU64,
    device: String,
    topic: PublicationTopic,
    qos: QoS,
    payload: Vec<u8>,
    deadline: Option<UnixTime>,
    priority: Priority,
    tag: Option<Tag>,
}

impl From<Record<'_>> for Kept {
    fn from(record: Record<'_>) -> Self {
        Self {
            accepted: record.accepted,
            device: record.device.to_string(),
            topic: record.topic.clone(),
            qos: record.qos,
            payload: record.payload.to_vec(),
            deadline: record.deadline,
            priority: record.priority,
            tag: record.tag.cloned(),
        }
    }
}

impl Kept {
    /// Restores it into a gateway, which has to accept it.
    fn restore(&self, seq: u64, harness: &mut Harness, unix_now: UnixTime) -> OpId {
        let device = self.device.as_str().try_into().unwrap();
        let record = Record {
            accepted: self.accepted,
            device: &device,
            topic: &self.topic,
            qos: self.qos,
            payload: &self.payload,
            deadline: self.deadline,
            priority: self.priority,
            tag: self.tag.as_ref(),
        };
        let now = harness.now;
        let restored = harness.gateway.restore(number(seq), record, unix_now, now);
        restored.unwrap()
    }

    fn text(&self) -> &str {
        std::str::from_utf8(&self.payload).unwrap()
    }
}

fn number(seq: u64) -> StoreSeq {
    NonZeroU64::new(seq).unwrap().into()
}

/// The records of a disk, by their numbers.
type Records = BTreeMap<u64, Kept>;

/// A disk on which the test executes the operations: what was written, and what of it is durable.
#[derive(Debug, Default)]
struct Disk {
    written: Records,
    durable: Records,
    /// The commit that was not answered yet.
    commit: Option<StoreSeq>,
}

/// A gateway with a store.
struct Kit {
    harness: Harness,
    disk: Disk,
}

impl Deref for Kit {
    type Target = Harness;

    fn deref(&self) -> &Harness {
        &self.harness
    }
}

impl DerefMut for Kit {
    fn deref_mut(&mut self) -> &mut Harness {
        &mut self.harness
    }
}

/// Returns options with a store, and this linger.
fn lingering(linger: Duration) -> Options {
    let mut options = Options::default();
    options.durability = Durability {
        linger: Some(linger),
        ..Durability::default()
    };
    options
}

impl From<Harness> for Kit {
    fn from(harness: Harness) -> Self {
        Self {
            harness,
            disk: Disk::default(),
        }
    }
}

impl Kit {
    /// Creates a gateway that has not been opened: what it accepts is put at once.
    fn offline() -> Self {
        Harness::new(lingering(Duration::ZERO)).into()
    }

    /// Creates an open gateway with one attached device.
    fn attached(linger: Duration) -> (Self, DeviceKey) {
        let (harness, device) = Harness::attached(lingering(linger));
        (harness.into(), device)
    }

    /// Publishes for the gateway itself.
    fn publish_own(&mut self, payload: &str) -> OpId {
        let own = self.gateway.own_key();
        self.publish(own, payload)
    }

    fn publish_state(&mut self, device: DeviceKey, payload: &str) -> OpId {
        self.accept(Publication::state(device, payload.to_owned()))
    }

    fn accept(&mut self, publication: Publication) -> OpId {
        let now = self.now;
        self.gateway.publish(publication, now).unwrap()
    }

    fn cancel(&mut self, op: OpId) {
        let now = self.now;
        self.gateway.cancel(op, now).unwrap();
    }

    /// Takes and executes the next operation, and returns its description.
    fn next_op(&mut self) -> Option<String> {
        let written = &mut self.disk.written;
        Some(match self.harness.gateway.poll_store()? {
            StoreOp::Put { seq, record } => {
                let text = String::from_utf8_lossy(record.payload).into_owned();
                written.insert(seq.as_u64(), record.into());
                format!("put {seq} {text}")
            }
            StoreOp::Remove { seq } => {
                written.remove(&seq.as_u64());
                format!("remove {seq}")
            }
            StoreOp::Commit { through } => {
                let before = self.disk.commit.replace(through);
                assert_eq!(before, None, "two commits are outstanding");
                format!("commit {through}")
            }
            other => panic!("an operation unknown to this test: {other:?}"),
        })
    }

    /// Takes and executes all operations that there are, and returns their descriptions.
    fn ops(&mut self) -> Vec<String> {
        std::iter::from_fn(|| self.next_op()).collect()
    }

    /// Answers the outstanding commit: what was written is durable.
    fn commit(&mut self) {
        let through = self.disk.commit.take().expect("no commit is outstanding");
        self.disk.durable = self.disk.written.clone();
        let now = self.now;
        self.gateway.handle_stored(through, now);
    }

    /// Executes and answers until there is nothing to do; returns all operations.
    fn save(&mut self) -> Vec<String> {
        let mut all = Vec::new();
        for _ in 0..100 {
            all.extend(self.ops());
            if self.disk.commit.is_none() {
                return all;
            }
            self.commit();
        }
        panic!("it does not come to rest: {all:?}");
    }

    /// Answers that nothing since the last answer is durable: the disk is as it was.
    fn fail(&mut self, kind: StoreFailureKind) {
        self.disk.commit = None;
        self.disk.written = self.disk.durable.clone();
        let now = self.now;
        self.gateway.handle_store_failed(failure(kind), now);
    }

    /// Returns the operations that were reported as stored since the last call; the other events are lost.
    fn stored(&mut self) -> Vec<OpId> {
        let events = self.events().into_iter();
        let stored = events.filter_map(|event| match event {
            Event::Stored { op } => Some(op),
            _ => None,
        });
        stored.collect()
    }

    /// Returns the payloads of the records that are durable.
    fn durable(&self) -> Vec<&str> {
        self.disk.durable.values().map(Kept::text).collect()
    }

    /// Returns what a new gateway finds on the disk after the power was cut.
    fn restart(self, options: Options) -> (Self, Vec<OpId>) {
        let records = self.disk.durable;
        let mut harness = Harness::new(options);
        let restore = |(seq, kept): (&u64, &Kept)| kept.restore(*seq, &mut harness, UNIX_NOW);
        let ops = records.iter().map(restore).collect();
        let disk = Disk {
            written: records.clone(),
            durable: records,
            commit: None,
        };
        (Self { harness, disk }, ops)
    }
}

fn failure(kind: StoreFailureKind) -> StoreFailure {
    StoreFailure::new(kind, "as the test says")
}
