//! The end of a life, and what is found at the start of the next one.

use iotcore_gateway::{
    OpId,
    store::{Recovered, StoredRecord},
};

use super::{Group, Model};
use crate::lives::{
    DEVICES,
    message::{End, Message, Status, number},
};

impl Model {
    /// Records that a bit was flipped: it may cost one record.
    pub(in super::super) fn flip(&mut self) {
        self.counts.one("flipped bits");
        self.has_flipped = true;
        self.losses_left += 1;
        self.comebacks_left += 1;
    }

    /// Records that the log could not read what it writes anew: it may set the segment aside, and then Removes are lost.
    pub(in super::super) fn miss_read(&mut self) {
        self.counts.one("reads of the log that failed");
        self.is_unreadable = true;
    }

    /// Records whether removals are under way, just before a life ends: what they concern may come back.
    pub(in super::super) fn note_removals(&mut self, wants_store: bool) {
        self.was_removing |= wants_store || self.is_in_trouble || !self.group.is_empty();
    }

    /// Ends a life. `lost` are the records that its log could not read any more.
    pub(in super::super) fn die(&mut self, lost: u64) {
        self.counts.one("lives");
        self.reported += lost;
        self.ops.clear();
        self.unstored.clear();
        self.never_put.clear();
        self.group = Group::default();
        self.is_in_trouble = false;
        self.was_open = false;
        self.last_put = None;
        self.offline_before = self.messages.len();
        for message in &mut self.messages {
            message.strikes = 0;
            message.is_stored = false;
        }
    }

    /// Checks what is found after that. `is_unread`: a read has failed; `has_failed`: some
    /// operation has, in any life.
    pub(in super::super) fn recover(
        &mut self,
        found: &[StoredRecord],
        recovered: &Recovered,
        is_unread: bool,
        has_failed: bool,
    ) {
        self.note(|| format!("recovered: {recovered:?}"));
        let places = recovered.damaged.places + recovered.unfinished.places;
        self.reported += places;
        self.counts.many("places reported", places);
        self.counts.many("restored", found.len() as u64);
        let may_be_damaged = self.has_flipped || self.is_unreadable || is_unread;
        // What a failed sync has left in the middle may look damaged.
        if !may_be_damaged && !has_failed && !recovered.damaged.is_none() {
            self.find(format!("nothing is damaged: {recovered:?}"));
        }
        let numbers: Vec<_> = found.iter().map(|record| self.identify(record)).collect();
        self.check_missing(&numbers, is_unread);
        if !may_be_damaged && !has_failed && !self.was_removing {
            self.check_taken_back(&numbers);
        }
        self.is_unreadable |= is_unread;
        self.seqs.clear();
        (self.found_seq, self.found_place) = (0, 0);
        let mut last: Option<usize> = None;
        for (number, record) in numbers.iter().zip(found) {
            let Some(number) = *number else {
                return;
            };
            self.find_again(number, record);
            if self.messages[number].is_back {
                continue;
            }
            if let Some(last) = last.filter(|last| *last >= number) {
                self.find(format!("{number} is found after {last}"));
            }
            last = Some(number);
        }
    }

    fn identify(&mut self, record: &StoredRecord) -> Option<usize> {
        let record = record.record();
        let number = number(record.payload).filter(|number| *number < self.messages.len());
        let is_right = number.is_some_and(|number| self.messages[number].draft.is(&record));
        if !is_right {
            self.find(format!("{record:?} was never published"));
        }
        number
    }

    /// Checks that nothing comes back that was taken back, or would replace a newer state.
    fn check_taken_back(&mut self, found: &[Option<usize>]) {
        let found: Vec<_> = found.iter().flatten().copied().collect();
        for number in &found {
            let message = &self.messages[*number];
            let device = message.draft.device;
            let has_newer = || {
                let mut newer = found.iter().filter(|newer| *newer > number);
                newer.any(|newer| self.messages[*newer].is_state_of(device))
            };
            let was_taken_back = message.status == Status::Ended(End::Withdrawn);
            if was_taken_back || message.is_outdated && !has_newer() {
                return self.find(format!("{number} was taken back or replaced, and is back"));
            }
        }
    }

    fn check_missing(&mut self, found: &[Option<usize>], is_unread: bool) {
        let mut missing = Vec::new();
        let newest_states: Vec<_> = (0..DEVICES.len())
            .map(|device| {
                let is_state = |number: &&usize| self.messages[**number].is_state_of(device);
                found.iter().flatten().filter(is_state).max().copied()
            })
            .collect();
        for (number, message) in self.messages.iter_mut().enumerate() {
            if found.contains(&Some(number)) {
                continue;
            }
            // A state that was replaced, or a newer one.
            let is_replaced = message.status == Status::Ended(End::Superseded)
                && newest_states[message.draft.device] > Some(number);
            if message.must_be_there() && !is_replaced {
                missing.push(number);
                message.status = Status::Damaged;
            } else {
                message.forget();
            }
        }
        if is_unread || self.is_unreadable {
            return self.check_unread(found);
        }
        if missing.is_empty() {
            return;
        }
        let count = missing.len() as u64;
        self.lost += count;
        self.counts.many("lost to flipped bits", count);
        if count > self.losses_left {
            self.find(format!("{missing:?} must be in the store, and are not"));
        } else if self.lost > self.reported {
            self.find(format!("{missing:?} are lost, and that is not reported"));
        }
        self.losses_left = self.losses_left.saturating_sub(count);
    }

    /// Checks that what could not be read is back once all can be.
    fn check_unread(&mut self, found: &[Option<usize>]) {
        if !self.is_calm || self.has_flipped {
            return;
        }
        let is_missing = |(number, message): &(usize, &Message)| {
            let is_damaged = message.status == Status::Damaged;
            is_damaged && !message.was_over && !found.contains(&Some(*number))
        };
        let missing = self.messages.iter().enumerate().find(is_missing);
        if let Some((number, _)) = missing {
            self.find(format!("{number} could not be read, and is not back"));
        }
    }

    /// Records that a message was found.
    fn find_again(&mut self, number: usize, record: &StoredRecord) {
        let seq = record.seq().as_u64();
        let place = record.record().accepted.get();
        self.found_seq = self.found_seq.max(seq);
        self.found_place = self.found_place.max(place);
        let message = &mut self.messages[number];
        message.is_outdated = false;
        let was_gone = core::mem::take(&mut message.is_gone);
        let was_lost = message.status == Status::Lost;
        if matches!(message.status, Status::Ended(end) if end != End::Closed) {
            message.is_back = true;
            message.was_over = true;
            // Its Remove may be on the disk all the same.
            message.is_durable &= message.status == Status::Ended(End::Superseded);
        }
        message.is_back |= matches!(message.status, Status::Damaged | Status::Lost);
        let has_other = message.seq != Some(seq) || message.place != Some(place);
        if has_other {
            self.find(format!("{number} is found as {seq}"));
        }
        if self.seqs.insert(seq, number).is_some() {
            self.find(format!("{seq} is found twice"));
        }
        if (was_gone || was_lost) && !self.is_unreadable {
            if self.comebacks_left == 0 {
                self.find(format!("{number} was gone, and is back"));
            }
            self.counts.one("back because of flipped bits");
            self.comebacks_left = self.comebacks_left.saturating_sub(1);
        }
    }

    /// Records that the next of those that were found is restored.
    pub(in super::super) fn restore(&mut self, record: &StoredRecord, op: OpId) {
        let Some(number) = number(record.record().payload) else {
            return;
        };
        self.note(|| format!("{op} restores {number}"));
        self.ops.insert(op, number);
        let message = &mut self.messages[number];
        message.status = Status::Live(op);
        message.is_stored = true;
        message.accepted_at = self.now;
    }

    /// Records that the log has repaired itself: all that was found is durable.
    pub(in super::super) fn repaired(&mut self) {
        let found: Vec<_> = self.seqs.values().copied().collect();
        for number in found {
            let message = &self.messages[number];
            let is_left = match message.status {
                Status::Live(_) => true,
                // The record of a state that was replaced stays until a newer one need not.
                Status::Ended(end) => matches!(end, End::Closed | End::Superseded),
                Status::Lost | Status::Damaged => false,
            };
            if message.is_stored && is_left {
                self.keep(number);
            }
        }
    }

    /// Checks that everything has ended.
    pub(in super::super) fn check_ended(&mut self) {
        let is_left = |message: &Message| matches!(message.status, Status::Live(_));
        if let Some(number) = self.messages.iter().position(is_left) {
            self.find(format!("{number} is not delivered"));
        }
    }
}

impl Message {
    /// Returns whether it is in the store, whatever has happened.
    fn must_be_there(&self) -> bool {
        let stays = match self.status {
            Status::Live(_) => true,
            Status::Ended(end) => matches!(end, End::Closed | End::Superseded),
            Status::Lost | Status::Damaged => false,
        };
        stays && self.is_durable && !self.is_outdated
    }

    /// It is not in the store, and need not be.
    fn forget(&mut self) {
        self.status = match self.status {
            Status::Live(_) | Status::Ended(End::Closed) => Status::Lost,
            // It may be found later: its removal need not be durable.
            Status::Ended(End::Superseded) => Status::Ended(End::Failed),
            other => other,
        };
    }
}
