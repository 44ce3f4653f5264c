//! What a store holds.

use iotcore_gateway_tokio::{
    ClientId, DeviceId,
    auth::UnixTime,
    error::StoreError,
    store::{Recovered, SegmentStore, Store},
};
use tokio::time::Instant;

use crate::{
    operation::{Id, MAX_EXPIRES_AFTER, Publication, Request},
    options::StoreFolder,
};

/// What was read.
pub(super) struct Content {
    /// The gateway that the store belongs to; `None` if no header names it.
    pub(super) owner: Option<ClientId>,
    /// Whether only the options name it, because the headers are damaged.
    pub(super) is_owner_damaged: bool,
    /// In the order of acceptance.
    pub(super) messages: Vec<StoredMessage>,
    pub(super) recovered: Recovered,
}

/// A message, as the operation that sends it.
pub(super) struct StoredMessage {
    pub(super) device: DeviceId,
    pub(super) request: Request,
    pub(super) deadline: Option<UnixTime>,
}

impl Content {
    pub(super) fn read(folder: &StoreFolder) -> Result<Self, StoreError> {
        let mut store = SegmentStore::open_read_only(&folder.path)?;
        let (owner, is_owner_damaged) = match (store.owner(), folder.owner()) {
            (Err(StoreError::NoOwner), Some(named)) => (Some(named), true),
            (found, _) => (found?, false),
        };
        let mut content = Self {
            owner,
            is_owner_damaged,
            messages: Vec::new(),
            recovered: Recovered::default(),
        };
        if let Some(owner) = content.owner.clone() {
            content.recovered = store.restore(&owner, &mut |_, record| {
                let is_own = record.device == owner.gateway();
                let publication = Publication {
                    qos: record.qos,
                    payload: record.payload.to_vec().into(),
                    priority: record.priority,
                    expires_at: None,
                    tag: record.tag.cloned(),
                };
                content.messages.push(StoredMessage {
                    device: record.device.clone(),
                    request: Request::of_message(
                        Id::Number(content.messages.len() as i128 + 1),
                        (!is_own).then(|| record.device.to_string()),
                        record.topic,
                        publication,
                    ),
                    deadline: record.deadline,
                });
            })?;
        }
        Ok(content)
    }

    fn deadlines(&self) -> impl Iterator<Item = UnixTime> {
        self.messages.iter().filter_map(|message| message.deadline)
    }

    /// Returns whether any message expires.
    pub(super) fn has_deadlines(&self) -> bool {
        self.deadlines().next().is_some()
    }

    /// Returns whether this can be the date: no message expires later than one may.
    pub(super) fn is_plausible(&self, now: UnixTime) -> bool {
        self.deadlines()
            .all(|deadline| seconds_left(deadline, now) as f64 <= MAX_EXPIRES_AFTER)
    }
}

/// Returns the seconds until a deadline.
pub(super) fn seconds_left(deadline: UnixTime, now: UnixTime) -> u64 {
    deadline.as_secs().saturating_sub(now.as_secs())
}

impl StoredMessage {
    /// Returns the operation, as a relay reads it; `None` for one that expires if the date is not known.
    pub(super) fn operation(&self, now: Option<UnixTime>) -> Option<crate::output::Message> {
        let message = crate::output::Message::of(&self.request, Instant::now())?;
        let seconds = match self.deadline {
            None => None,
            Some(deadline) => Some(seconds_left(deadline, now?) as f64),
        };
        Some(message.expires_after(seconds))
    }
}
