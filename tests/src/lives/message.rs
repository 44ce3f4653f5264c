//! A publication of a life, and all that is known of it.

use core::time::Duration;
use std::time::Instant;

use bytes::Bytes;
use iotcore_gateway::{
    Failure, OpId, Publication,
    message::{Priority, PublicationTopic, QoS, Tag},
    store::Record,
};

use super::DEVICES;

/// What is published.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Draft {
    /// An index into [`DEVICES`].
    pub(super) device: usize,
    pub(super) lane: Lane,
    pub(super) qos: QoS,
    /// Begins with the number of the message.
    pub(super) payload: Bytes,
    pub(super) has_subfolder: bool,
    pub(super) is_tagged: bool,
    pub(super) expires_after: Option<Duration>,
}

/// What keeps an order of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Lane {
    Ordinary,
    Urgent,
    State,
}

/// A message, by its number: its place in the order of acceptance over all lives.
#[derive(Clone, Debug)]
pub(super) struct Message {
    pub(super) draft: Draft,
    pub(super) accepted_at: Instant,
    pub(super) status: Status,
    /// Its number in the store, once it was put.
    pub(super) seq: Option<u64>,
    /// Its place in the order of acceptance by the gateway.
    pub(super) place: Option<u64>,
    /// A Commit after its Put has succeeded, or it was found and the log has repaired itself: it must survive.
    pub(super) is_durable: bool,
    /// A Commit after its Remove has succeeded: it must not come back.
    pub(super) is_gone: bool,
    /// In this life, `Stored` was reported, or it was restored.
    pub(super) is_stored: bool,
    /// It is a state, and a newer one was delivered: it must not be sent after that.
    pub(super) is_outdated: bool,
    /// It has ended before, and was found again: its order is excused.
    pub(super) is_back: bool,
    /// It has ended before, and was found again: its Remove may take effect later.
    pub(super) was_over: bool,
    /// The connections that ended while it was waiting in this life.
    pub(super) strikes: u32,
    pub(super) arrivals: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Status {
    /// It has not ended, in this life.
    Live(OpId),
    Ended(End),
    /// It died with a life.
    Lost,
    /// Something was damaged, and it was not found: it may be, later.
    Damaged,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    Delivered,
    Superseded,
    /// The gateway has closed, or has given up connecting.
    Closed,
    /// Its user took it back.
    Withdrawn,
    Failed,
}

impl From<&Failure> for End {
    fn from(failure: &Failure) -> Self {
        match failure {
            Failure::Superseded => Self::Superseded,
            Failure::Closed | Failure::GaveUp => Self::Closed,
            Failure::Cancelled | Failure::Detached => Self::Withdrawn,
            _ => Self::Failed,
        }
    }
}

impl Message {
    pub(super) fn is_state_of(&self, device: usize) -> bool {
        self.draft.lane == Lane::State && self.draft.device == device
    }

    /// Returns whether its record may be in the store.
    pub(super) fn may_be_stored(&self) -> bool {
        let may_stay = matches!(
            self.status,
            Status::Live(_) | Status::Ended(End::Superseded)
        );
        // One that came back is there, although a newer one was delivered before.
        (may_stay || self.is_stored) && self.draft.qos == QoS::AtLeastOnce
    }
}

impl Draft {
    pub(super) fn publication(&self, device: iotcore_gateway::DeviceKey) -> Publication {
        let payload = self.payload.clone();
        let mut publication = match self.lane {
            Lane::State => Publication::state(device, payload),
            Lane::Ordinary | Lane::Urgent => Publication::telemetry(device, payload),
        };
        publication = publication.qos(self.qos).priority(self.priority());
        if self.has_subfolder {
            publication = publication.subfolder("alerts".try_into().expect("legal"));
        }
        if let Some(tag) = self.tag() {
            publication = publication.tag(tag);
        }
        match self.expires_after {
            Some(time) => publication.expires_after(time),
            None => publication,
        }
    }

    fn priority(&self) -> Priority {
        match self.lane {
            Lane::Urgent => Priority::Urgent,
            _ => Priority::Ordinary,
        }
    }

    fn tag(&self) -> Option<Tag> {
        let tag = format!("tag of {} bytes", self.payload.len());
        self.is_tagged
            .then(|| tag.as_str().try_into().expect("legal"))
    }

    /// Returns whether a record has all of it.
    pub(super) fn is(&self, record: &Record<'_>) -> bool {
        let topic = match (self.lane, record.topic) {
            (Lane::State, PublicationTopic::State) => true,
            (Lane::Ordinary | Lane::Urgent, PublicationTopic::Telemetry(subfolder)) => {
                subfolder.is_some() == self.has_subfolder
            }
            _ => false,
        };
        topic
            && record.device.as_str() == DEVICES[self.device]
            && record.payload == self.payload
            && record.qos == self.qos
            && record.priority == self.priority()
            && record.tag == self.tag().as_ref()
            && (record.deadline.is_none() || self.expires_after.is_some())
    }
}

/// Returns a payload that begins with the number of its message.
pub(super) fn payload(number: usize, len: usize) -> Bytes {
    let mut payload = format!("{number:06} ").into_bytes();
    payload.resize(len.max(payload.len()), b'.');
    payload.into()
}

/// Returns the number of the message with this payload.
pub(super) fn number(payload: &[u8]) -> Option<usize> {
    core::str::from_utf8(payload.get(..6)?).ok()?.parse().ok()
}
