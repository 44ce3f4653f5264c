//! The publications, numbered so that each can be recognised at the bridge.

use std::collections::BTreeSet;
use std::time::Instant;

use iotcore_gateway::{
    DeviceKey, OpId, Outcome,
    message::{Priority, QoS, Tag},
};

use super::{DEVICES, Finding, Model, OperationKind, PACKET_OVERHEAD};
use crate::script::{Rule, Terms};

/// All publications of a run, by their numbers.
#[derive(Debug, Default)]
pub(super) struct Publications {
    all: Vec<Published>,
    /// Those that were accepted and have not ended.
    pending: BTreeSet<u32>,
    /// The urgent telemetry of them.
    urgent: BTreeSet<u32>,
    /// When they expire, those of them that do.
    pub(super) deadlines: BTreeSet<(Instant, u32)>,
    /// How many of each device have not ended, and how many bytes their payloads have.
    pub(super) loads: [(usize, usize); DEVICES.len()],
}

/// One publication.
#[derive(Clone, Debug)]
pub(super) struct Published {
    pub(super) device: usize,
    pub(super) is_state: bool,
    pub(super) qos: QoS,
    pub(super) terms: Terms,
    /// Its operation, from its acceptance to its end.
    pub(super) op: Option<OpId>,
    /// The length of its payload, in bytes.
    size: usize,
    /// When it is too old.
    pub(super) expires_at: Option<Instant>,
    /// Whether its user has cancelled it.
    pub(super) is_cancelled: bool,
    /// Whether it was ever queued for transmission.
    pub(super) is_begun: bool,
    /// Whether it was ever accepted.
    is_accepted: bool,
    arrivals: u32,
}

impl Publications {
    /// Returns whether a publication has this number.
    pub(super) fn is_known(&self, number: u32) -> bool {
        (number as usize) < self.all.len()
    }

    pub(super) fn at(&self, number: u32) -> &Published {
        &self.all[number as usize]
    }

    pub(super) fn at_mut(&mut self, number: u32) -> &mut Published {
        &mut self.all[number as usize]
    }

    /// Records that a publication was accepted.
    fn begin(&mut self, number: u32, op: OpId, size: usize, expires_at: Option<Instant>) {
        let published = self.at_mut(number);
        (published.is_accepted, published.op) = (true, Some(op));
        (published.size, published.expires_at) = (size, expires_at);
        let device = published.device;
        if published.terms.priority == Priority::Urgent && !published.is_state {
            self.urgent.insert(number);
        }
        self.pending.insert(number);
        self.deadlines.extend(expires_at.map(|at| (at, number)));
        let (count, bytes) = &mut self.loads[device];
        (*count, *bytes) = (*count + 1, *bytes + size);
    }

    /// Records the end of a publication.
    fn end(&mut self, number: u32) {
        if !self.pending.remove(&number) {
            return;
        }
        self.urgent.remove(&number);
        let published = self.at_mut(number);
        published.op = None;
        let Published {
            device,
            size,
            expires_at,
            ..
        } = *published;
        if let Some(at) = expires_at {
            self.deadlines.remove(&(at, number));
        }
        let (count, bytes) = &mut self.loads[device];
        (*count, *bytes) = (*count - 1, *bytes - size);
    }

    /// Ends all of them, because the process has ended.
    pub(super) fn restart(&mut self) {
        for number in core::mem::take(&mut self.pending) {
            self.at_mut(number).op = None;
        }
        self.urgent.clear();
        self.deadlines.clear();
        self.loads = Default::default();
    }

    /// Returns those that have not ended, in the order of acceptance.
    pub(super) fn pending(&self) -> impl Iterator<Item = (u32, &Published)> {
        self.pending.iter().map(|&number| (number, self.at(number)))
    }

    /// Returns whether a newer publication may have taken the place of this telemetry: an ordinary one takes no urgent
    /// one's.
    pub(super) fn may_be_dropped(&self, number: u32) -> bool {
        let old = self.at(number);
        let newer = &self.all[number as usize + 1..];
        newer.iter().any(|new| {
            new.device == old.device
                && (new.terms.priority == Priority::Urgent
                    || old.terms.priority == Priority::Ordinary)
        })
    }

    /// Returns the urgent telemetry that has not ended, in the order of acceptance.
    pub(super) fn urgent(&self) -> impl Iterator<Item = (u32, &Published)> {
        self.urgent.iter().map(|&number| (number, self.at(number)))
    }

    /// Returns the newest pending state of a device.
    pub(super) fn newest_state(&self, device: usize) -> Option<u32> {
        let is_newest = |of: &Published| of.device == device && of.is_state;
        let mut pending = self.pending.iter().rev().copied();
        pending.find(|&number| is_newest(self.at(number)))
    }
}

/// Returns the payload of a publication: its number, padded to the requested size.
pub(crate) fn payload(number: u32, size: u16) -> String {
    format!(
        "{:x<width$}",
        format!("p{number}."),
        width = usize::from(size)
    )
}

/// Returns the tag of a publication: its number.
pub(crate) fn tag(number: u32) -> Tag {
    number.to_string().try_into().expect("short")
}

/// Parses the number of a publication from its payload.
pub(super) fn number_in(payload: &[u8]) -> Option<u32> {
    let text = core::str::from_utf8(payload).ok()?;
    let (number, filling) = text.strip_prefix('p')?.split_once('.')?;
    let is_filling = filling.bytes().all(|byte| byte == b'x');
    number.parse().ok().filter(|_| is_filling)
}

impl Model {
    /// Allocates the number of a publication that the user is about to make.
    pub(crate) fn draft(&mut self, device: usize, is_state: bool, qos: QoS, terms: Terms) -> u32 {
        self.publications.all.push(Published {
            device,
            is_state,
            qos,
            terms,
            op: None,
            size: 0,
            expires_at: None,
            is_cancelled: false,
            is_begun: false,
            is_accepted: false,
            arrivals: 0,
        });
        self.publications.all.len() as u32 - 1
    }

    /// Records that the gateway has accepted a publication of this size in bytes.
    pub(crate) fn accept(
        &mut self,
        number: u32,
        op: OpId,
        size: usize,
        expires_at: Option<Instant>,
    ) -> Result<(), Finding> {
        self.publications.begin(number, op, size, expires_at);
        self.largest_packet = self.largest_packet.max(size + PACKET_OVERHEAD);
        self.ask(op, OperationKind::Publish(number))
    }

    /// Records the end of a publication.
    pub(super) fn end_publication(&mut self, number: u32) {
        self.publications.end(number);
        self.outgoing.forget(number);
    }

    /// Records that the gateway refused a publication for lack of room.
    pub(crate) fn block(&mut self, key: DeviceKey) {
        if let Some(device) = self.device(key) {
            device.is_blocked = true;
        }
    }

    /// Returns the number of an operation's publication.
    pub(crate) fn number_of(&self, op: OpId) -> Option<u32> {
        self.pending().find_map(|(pending, kind)| match kind {
            OperationKind::Publish(number) if pending == op => Some(number),
            _ => None,
        })
    }

    /// Returns whether a device's user still waits for a notification that there is room.
    pub(crate) fn is_blocked(&self, device: usize) -> bool {
        self.devices[device].is_blocked
    }

    pub(super) fn check_published(&mut self, number: u32, outcome: Outcome) -> Result<(), Finding> {
        self.end_publication(number);
        let published = self.publications.at(number);
        let device = &mut self.devices[published.device];
        let finding = |what| {
            Err(Finding::new(
                Rule::Delivery,
                format!("publication {number} {what}"),
            ))
        };
        match (published.qos, outcome) {
            (QoS::AtMostOnce, Outcome::Transmitted) => Ok(()),
            (QoS::AtLeastOnce, Outcome::Acknowledged)
                if published.arrivals > 0 || self.is_deceived =>
            {
                Ok(())
            }
            (QoS::AtLeastOnce, Outcome::Acknowledged) if device.refused_publications > 0 => {
                device.refused_publications -= 1;
                Ok(())
            }
            (QoS::AtLeastOnce, Outcome::Acknowledged) => {
                finding("was acknowledged, and never arrived")
            }
            (qos, outcome) => finding(&format!("at {qos:?} ended in {outcome:?}")),
        }
    }

    /// Records that the bridge received a publication.
    pub(super) fn on_arrival(
        &mut self,
        device: &str,
        is_state: bool,
        qos: u8,
        payload: &[u8],
    ) -> Result<(), Finding> {
        if self.is_deceived {
            return Ok(());
        }
        let finding = |what: String| Err(Finding::new(Rule::Delivery, what));
        let published = number_in(payload).and_then(|number| {
            let published = self.publications.all.get_mut(number as usize)?;
            published.is_accepted.then_some((number, published))
        });
        let Some((number, published)) = published else {
            return finding(format!("an unknown publication arrived for {device}"));
        };
        published.arrivals += 1;
        let is_first = published.arrivals == 1;
        let as_asked = (
            DEVICES[published.device],
            published.is_state,
            published.qos as u8,
        );
        if as_asked != (device, is_state, qos) {
            return finding(format!(
                "publication {number} arrived for {device} at QoS {qos}, state {is_state}"
            ));
        }
        if qos == 0 && !is_first {
            return finding(format!("publication {number} arrived twice at QoS 0"));
        }
        let known = &mut self.devices[published.device];
        if is_state
            && self.is_calm
            && known
                .newest_state
                .replace(number)
                .is_some_and(|newest| newest > number)
        {
            return finding(format!(
                "state {number} arrived after a newer one of {device}"
            ));
        }
        let newest = &mut known.newest_arrivals[published.terms.priority as usize];
        let is_orderly =
            self.is_orderly && is_first && !is_state && !self.hang_ups.may_be_late(number);
        if is_orderly && newest.replace(number).is_some_and(|newest| newest > number) {
            return finding(format!(
                "publication {number} arrived after a later one of {device}"
            ));
        }
        Ok(())
    }
}
