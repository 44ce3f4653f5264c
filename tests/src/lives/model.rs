//! What must be in the store, and what must have arrived, whatever has happened.

mod arrivals;
mod operations;
mod recovery;

use core::{ops::Range, time::Duration};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use iotcore_gateway::{Event, Failure, OpId, message::QoS};

use self::operations::Group;
use super::{
    Counts, DEVICES,
    message::{Draft, End, Lane, Message, Status},
};

/// The last lines of the history that are kept.
const KEPT_LINES: usize = 300;

/// The messages of all lives.
#[derive(Clone, Debug)]
pub(super) struct Model {
    messages: Vec<Message>,
    /// The publications of this life.
    ops: BTreeMap<OpId, usize>,
    /// Those that wait for `Stored` in this life.
    unstored: BTreeSet<usize>,
    /// Messages below this number have been without a connection.
    offline_before: usize,
    /// The numbers in the store: what was found, and what was put in this life.
    seqs: BTreeMap<u64, usize>,
    /// Those that were removed in this life without a Put.
    never_put: BTreeSet<u64>,
    /// The highest that were found.
    found_seq: u64,
    found_place: u64,
    last_put: Option<usize>,
    group: Group,
    /// The last Commit has failed.
    pub(super) is_in_trouble: bool,
    /// The newest of each order of its own that has arrived.
    newest: BTreeMap<(usize, Lane), usize>,
    /// The order of messages below this number is excused, by device.
    excused: [usize; DEVICES.len()],
    was_open: bool,
    /// The bits that were flipped, less the records that were lost, and those that came back.
    has_flipped: bool,
    losses_left: u64,
    comebacks_left: u64,
    /// The places that were reported as damaged.
    reported: u64,
    lost: u64,
    /// Whether removals were under way when a life ended, and no Commit has succeeded since: a power cut may undo what a killed
    /// process has only written.
    was_removing: bool,
    /// Reads have failed: anything may have been overlooked.
    is_unreadable: bool,
    /// All can be read from now on.
    pub(super) is_calm: bool,
    pub(super) now: Instant,
    pub(super) linger: Option<Duration>,
    pub(super) counts: Counts,
    history: Vec<String>,
    broken: Option<String>,
}

impl Model {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            messages: Vec::new(),
            ops: BTreeMap::new(),
            unstored: BTreeSet::new(),
            offline_before: 0,
            seqs: BTreeMap::new(),
            never_put: BTreeSet::new(),
            found_seq: 0,
            found_place: 0,
            last_put: None,
            group: Group::default(),
            is_in_trouble: false,
            newest: BTreeMap::new(),
            excused: [0; DEVICES.len()],
            was_open: false,
            has_flipped: false,
            losses_left: 0,
            comebacks_left: 0,
            reported: 0,
            lost: 0,
            was_removing: false,
            is_unreadable: false,
            is_calm: false,
            now,
            linger: None,
            counts: Counts::default(),
            history: Vec::new(),
            broken: None,
        }
    }

    /// Records that a guarantee does not hold.
    pub(super) fn find(&mut self, what: impl Into<String>) {
        let what = what.into();
        self.note(|| format!("broken: {what}"));
        self.broken.get_or_insert(what);
    }

    pub(super) fn is_broken(&self) -> bool {
        self.broken.is_some()
    }

    /// Adds a line to the history.
    pub(super) fn note(&mut self, line: impl FnOnce() -> String) {
        if self.history.len() >= 2 * KEPT_LINES {
            self.history.drain(..KEPT_LINES);
        }
        self.history.push(line());
    }

    /// Returns the first guarantee that does not hold, and the history.
    pub(super) fn into_result(self) -> Result<Counts, (String, Vec<String>)> {
        match self.broken {
            Some(what) => Err((what, self.history)),
            None => Ok(self.counts),
        }
    }

    /// Returns the number of the next message.
    pub(super) fn next_number(&self) -> usize {
        self.messages.len()
    }

    /// Returns the publications that have not ended.
    pub(super) fn live(&self) -> Vec<OpId> {
        let ops = self
            .messages
            .iter()
            .filter_map(|message| match message.status {
                Status::Live(op) => Some(op),
                _ => None,
            });
        ops.collect()
    }

    /// Records that a publication was accepted.
    pub(super) fn accept(&mut self, draft: Draft, op: OpId) {
        let number = self.messages.len();
        self.note(|| format!("{op} accepts {number}: {draft:?}"));
        self.counts.one("accepted");
        if draft.qos == QoS::AtLeastOnce && self.linger.is_some() {
            self.unstored.insert(number);
        }
        if draft.lane == Lane::State && self.states(draft.device).any(Message::may_be_stored) {
            // It is put at once, and what was accepted before it, too.
            self.offline_before = number + 1;
        }
        self.ops.insert(op, number);
        self.messages.push(Message {
            draft,
            accepted_at: self.now,
            status: Status::Live(op),
            seq: None,
            place: None,
            is_durable: false,
            is_gone: false,
            is_stored: false,
            is_outdated: false,
            is_back: false,
            was_over: false,
            strikes: 0,
            arrivals: 0,
        });
    }

    /// Checks an event of the gateway.
    pub(super) fn take(&mut self, event: &Event) {
        match event {
            Event::Done { op, .. } => self.end(*op, End::Delivered),
            Event::Failed { op, failure, .. } => {
                if self.ops.contains_key(op) {
                    self.note(|| format!("{op} failed: {failure}"));
                    self.count_failure(failure);
                }
                self.end(*op, failure.into());
            }
            Event::Stored { op } => self.told_stored(*op),
            Event::StoreFailed { .. } => self.counts.one("times told that the store failed"),
            Event::StoreRecovered => self.counts.one("times told that it recovered"),
            Event::Connected => {
                self.note(|| "connected".into());
                self.was_open = true;
            }
            Event::Disconnected(_) => self.disconnected(),
            _ => {}
        }
    }

    fn count_failure(&mut self, failure: &Failure) {
        self.counts.one(match failure {
            Failure::Superseded => "superseded",
            Failure::Dropped => "dropped",
            Failure::Expired => "expired",
            Failure::Cancelled => "cancelled",
            Failure::Detached => "detached",
            Failure::DeviceRefused => "refused with their device",
            Failure::Closed | Failure::GaveUp => "left unsent by a close",
            _ => "failed otherwise",
        });
    }

    fn end(&mut self, op: OpId, end: End) {
        let Some(&number) = self.ops.get(&op) else {
            return;
        };
        self.note(|| format!("{op} has ended, {number}: {end:?}"));
        if self.messages[number].status != Status::Live(op) {
            return self.find(format!("{op} ends again"));
        }
        self.messages[number].status = Status::Ended(end);
        self.unstored.remove(&number);
        let Draft {
            device, lane, qos, ..
        } = self.messages[number].draft;
        if end == End::Delivered {
            self.counts.one("delivered");
            if qos == QoS::AtLeastOnce && self.messages[number].arrivals == 0 {
                self.find(format!("{number} is acknowledged, and has not arrived"));
            }
        }
        if lane == Lane::State {
            self.end_state(device, number, end);
        }
        if end == End::Superseded && self.has_newer_settled_state(device, number) {
            self.messages[number].status = Status::Ended(End::Failed);
        }
    }

    /// The record of a state that was replaced need not stay once a newer one is delivered, or all newer ones have ended.
    fn end_state(&mut self, device: usize, number: usize, end: End) {
        if end == End::Delivered {
            self.let_go_of_states(device, 0..number);
            self.outdate_states(device, number);
        }
        let is_left = |message: &Message| {
            message.is_state_of(device) && matches!(message.status, Status::Live(_))
        };
        if end != End::Closed {
            let newest = self.messages.iter().rposition(is_left);
            let count = self.messages.len();
            self.let_go_of_states(device, newest.unwrap_or(0)..count);
        }
    }

    fn has_newer_settled_state(&self, device: usize, number: usize) -> bool {
        let mut newer = self.messages.iter().skip(number + 1);
        newer.any(|message| {
            let draft = &message.draft;
            // Also if it has ended since.
            let is_kept = message.is_durable && message.is_stored;
            let is_settled = is_kept || message.status == Status::Ended(End::Delivered);
            draft.device == device && draft.lane == Lane::State && is_settled
        })
    }

    fn states(&self, device: usize) -> impl Iterator<Item = &Message> {
        let states = self.messages.iter();
        states.filter(move |message| message.is_state_of(device))
    }

    /// The records of states that are older than a delivered one have to go.
    fn outdate_states(&mut self, device: usize, before: usize) {
        for (number, message) in self.messages.iter_mut().enumerate().take(before) {
            if message.is_state_of(device) {
                message.is_outdated = true;
                self.unstored.remove(&number);
            }
        }
    }

    /// The records of the states of a device that were replaced, and have these numbers, need not stay.
    fn let_go_of_states(&mut self, device: usize, numbers: Range<usize>) {
        for message in &mut self.messages[numbers] {
            let is_replaced = message.status == Status::Ended(End::Superseded);
            if is_replaced && message.draft.device == device {
                message.status = Status::Ended(End::Failed);
            }
        }
    }

    fn told_stored(&mut self, op: OpId) {
        let Some(&number) = self.ops.get(&op) else {
            return self.find(format!("{op} is stored, and is no publication"));
        };
        self.note(|| format!("{op} is stored, {number}"));
        self.counts.one("stored");
        let message = &mut self.messages[number];
        let problem = match message {
            Message { status, .. } if *status != Status::Live(op) => "has ended",
            Message {
                is_stored: true, ..
            } => "was so before",
            Message {
                is_durable: false, ..
            } => "was not committed",
            _ => {
                message.is_stored = true;
                self.unstored.remove(&number);
                return;
            }
        };
        self.find(format!("{op} is stored, and {problem}"));
    }

    /// Checks that everything is stored that has waited for long enough: nothing is left to be done for the store.
    pub(super) fn check_rest(&mut self, is_open: bool) {
        let Some(linger) = self.linger else {
            return;
        };
        if self.is_in_trouble {
            return;
        }
        let is_late = |number: &&usize| {
            let message = &self.messages[**number];
            !is_open || message.accepted_at + linger <= self.now
        };
        if let Some(number) = self.unstored.iter().find(is_late) {
            self.find(format!("{number} is not stored"));
        }
    }

    /// Checks that a gateway that has closed has put everything that is left.
    pub(super) fn check_closed(&mut self) {
        let is_missing = |message: &Message| {
            message.status == Status::Ended(End::Closed)
                && message.draft.qos == QoS::AtLeastOnce
                && !message.is_durable
                && !message.is_outdated
        };
        if self.linger.is_some()
            && let Some(number) = self.messages.iter().position(is_missing)
        {
            self.find(format!(
                "{number} is left unsent by a close, and not in the store"
            ));
        }
    }
}
