//! The operations on the store, and their answers.

use iotcore_gateway::{
    message::QoS,
    store::{Record, StoreOp},
};

use super::Model;
use crate::lives::message::{End, Lane, Message, Status, number};

/// The operations since the last Commit, and those that it is about.
#[derive(Clone, Debug, Default)]
pub(super) struct Group {
    puts: Vec<usize>,
    removes: Vec<u64>,
    is_committing: bool,
}

impl Group {
    pub(super) fn is_empty(&self) -> bool {
        self.puts.is_empty() && self.removes.is_empty()
    }
}

impl Model {
    /// Checks an operation of the gateway.
    pub(in super::super) fn apply(&mut self, op: &StoreOp<'_>) {
        if self.linger.is_none() {
            self.find(format!("there is no store: {op:?}"));
        }
        if self.group.is_committing {
            self.find(format!("a Commit is outstanding: {op:?}"));
        }
        match op {
            StoreOp::Put { seq, record } => self.put(seq.as_u64(), record),
            StoreOp::Remove { seq } => self.remove(seq.as_u64()),
            StoreOp::Commit { .. } => {
                self.note(|| "commit".into());
                self.counts.one("commits");
                self.group.is_committing = true;
            }
            op => self.find(format!("{op:?}")),
        }
    }

    fn put(&mut self, seq: u64, record: &Record<'_>) {
        self.counts.one("puts");
        let number = number(record.payload).filter(|number| *number < self.messages.len());
        let Some(number) = number else {
            return self.find(format!("{record:?} was never published"));
        };
        self.note(|| format!("put {number} as {seq}"));
        if let Some(problem) = self.problem_of_put(number, seq, record) {
            self.find(format!("{number} is put as {seq}: {problem}"));
        }
        if self.messages[number].seq != Some(seq) {
            self.last_put = Some(number);
        }
        let message = &mut self.messages[number];
        message.seq = Some(seq);
        message.place = Some(record.accepted.get());
        self.seqs.insert(seq, number);
        self.group.puts.push(number);
    }

    fn problem_of_put(&self, number: usize, seq: u64, record: &Record<'_>) -> Option<&'static str> {
        let message = &self.messages[number];
        let is_again = message.seq == Some(seq);
        let waited = self.now - message.accepted_at;
        if !message.draft.is(record) {
            Some("it has changed")
        } else if self.never_put.contains(&seq) {
            Some("it was removed before")
        } else if message.draft.qos == QoS::AtMostOnce {
            Some("it is at QoS 0")
        } else if !matches!(message.status, Status::Live(_) | Status::Ended(End::Closed)) {
            Some("it has ended")
        } else if message.is_stored {
            Some("it is in the store")
        } else if !is_again && (self.seqs.contains_key(&seq) || seq <= self.found_seq) {
            Some("that is another's number")
        } else if !is_again && self.last_put > Some(number) {
            Some("a later one was put before")
        } else if record.accepted.get() <= self.found_place {
            Some("its place is that of something older")
        } else if number >= self.offline_before && Some(waited) < self.linger {
            Some("the bridge has not had the time to acknowledge it")
        } else {
            None
        }
    }

    fn remove(&mut self, seq: u64) {
        self.note(|| format!("remove {seq}"));
        self.counts.one("removes");
        self.group.removes.push(seq);
        let Some(&number) = self.seqs.get(&seq) else {
            // It has ended before its Put was taken, which must not follow.
            self.never_put.insert(seq);
            return;
        };
        let message = &self.messages[number];
        let is_over = match message.status {
            Status::Ended(End::Superseded) => {
                let device = message.draft.device;
                // After a start that overlooked something, an older one may seem newer.
                self.is_unreadable || self.has_newer_state(device, number)
            }
            Status::Ended(end) => end != End::Closed || message.is_outdated,
            _ => message.is_outdated,
        };
        if !is_over {
            let status = message.status;
            self.find(format!("{number} is removed, and is {status:?}"));
        }
    }

    /// Returns whether the store has a newer state of the device.
    fn has_newer_state(&self, device: usize, number: usize) -> bool {
        let mut newer = self.messages.iter().skip(number + 1);
        newer.any(|message| {
            let draft = &message.draft;
            draft.device == device && draft.lane == Lane::State && message.is_stored
        })
    }

    /// Records that all operations through the Commit are durable.
    pub(in super::super) fn committed(&mut self) {
        self.note(|| "committed".into());
        (self.is_in_trouble, self.was_removing) = (false, false);
        // The log repairs itself first.
        self.repaired();
        let group = core::mem::take(&mut self.group);
        for number in group.puts {
            self.keep(number);
        }
        for seq in group.removes {
            if let Some(number) = self.seqs.get(&seq) {
                self.messages[*number].is_gone = true;
            }
        }
    }

    /// Records that a message is durable.
    pub(super) fn keep(&mut self, number: usize) {
        let Message {
            draft, is_durable, ..
        } = &mut self.messages[number];
        *is_durable = true;
        let (device, lane) = (draft.device, draft.lane);
        if lane == Lane::State {
            self.let_go_of_states(device, 0..number);
        }
    }

    /// Records that the operations since the last Commit that succeeded are lost.
    pub(in super::super) fn commit_failed(&mut self) {
        self.note(|| "commit failed".into());
        self.counts.one("failed commits");
        self.is_in_trouble = true;
        self.group = Group::default();
    }
}
