//! The operations: their JSON format and their parsed form.

mod invalid;
mod json;
mod line_id;
mod not_cancelled;

use std::{fmt, time::Duration};

use bytes::Bytes;
use iotcore_gateway_tokio::message::{Priority, PublicationTopic, QoS, Subfolder, Tag};
use serde::Serialize;
use tokio::time::Instant;

pub(crate) use self::{
    invalid::InvalidLine, json::MAX_EXPIRES_AFTER, line_id::id_of_invalid,
    not_cancelled::NotCancelled,
};
use crate::failure::Reason;

/// The maximum length of a line in bytes: the largest payload of 256 KiB with every byte escaped as `\u00..`, and some
/// reserve.
pub(crate) const MAX_LINE: usize = 2 * 1024 * 1024;

/// The id of an operation: the number or text that the input chose for it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(untagged)]
pub(crate) enum Id {
    /// Kept as it was written, except for fractions.
    Number(i128),
    Text(String),
}

impl Id {
    /// Returns the id of the nth message that was found in the store.
    pub(crate) fn of_restored(n: usize) -> Self {
        Self::Text(format!("restored-{n}"))
    }

    /// Returns whether it is as long as a token, which may be misplaced.
    pub(crate) fn may_be_token(&self) -> bool {
        const SHORTEST_TOKEN: usize = 128;
        matches!(self, Self::Text(text) if text.len() >= SHORTEST_TOKEN)
    }
}

/// A parsed line of input.
#[derive(Debug)]
pub(crate) enum Operation {
    /// An operation that ends in one `done` or `failed`.
    Request(Request),
    /// Such an operation with a value beyond its limits.
    Refused { id: Id, reason: Reason },
    /// Cancels the message that was requested with this id.
    Cancel { id: Id },
    /// Acknowledges a config or command.
    Acknowledge { delivery: u64 },
    /// Asks what is, and is answered at once.
    Question {
        /// What its answer repeats.
        id: Option<Id>,
        about: Question,
    },
    /// Closes the gateway, as at the end of the input.
    Close,
}

/// What a question is about.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Question {
    /// The gateway's counters and current state.
    Stats,
    /// The devices.
    Devices,
    /// The messages that have not ended.
    Unsent,
}

/// An operation with an id.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    pub(crate) id: Id,
    /// The device; `None` for the gateway itself.
    pub(crate) device: Option<String>,
    pub(crate) action: Action,
}

/// The action that a request asks for.
#[derive(Clone, Debug)]
pub(crate) enum Action {
    Attach {
        token: Option<String>,
        config: Option<QoS>,
        commands: Option<QoS>,
    },
    Detach,
    Authorize {
        token: String,
    },
    Telemetry {
        subfolder: Option<String>,
        publication: Publication,
    },
    State(Publication),
}

/// What the messages to the cloud have in common.
#[derive(Clone, Debug)]
pub(crate) struct Publication {
    pub(crate) qos: QoS,
    pub(crate) payload: Bytes,
    pub(crate) priority: Priority,
    /// When it is not to be sent any more, counted from when its line was read.
    pub(crate) expires_at: Option<Instant>,
    pub(crate) tag: Option<Tag>,
}

/// The kind of a request that is no message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Control {
    Attach,
    Detach,
    Authorize,
}

impl Request {
    /// Constructs the request of a message that was accepted before; `device` is `None` for the gateway itself.
    pub(crate) fn of_message(
        id: Id,
        device: Option<String>,
        topic: &PublicationTopic,
        publication: Publication,
    ) -> Self {
        let action = match topic {
            PublicationTopic::State => Action::State(publication),
            PublicationTopic::Telemetry(subfolder) => Action::Telemetry {
                subfolder: subfolder.as_ref().map(Subfolder::to_string),
                publication,
            },
        };
        Self { id, device, action }
    }
}

impl Action {
    /// Returns its message to the cloud, if it is one.
    pub(crate) fn publication(&self) -> Option<&Publication> {
        match self {
            Self::Telemetry { publication, .. } | Self::State(publication) => Some(publication),
            Self::Attach { .. } | Self::Detach | Self::Authorize { .. } => None,
        }
    }

    /// Returns when it is not to be sent any more, if it is a message that expires.
    pub(crate) fn expires_at(&self) -> Option<Instant> {
        self.publication()?.expires_at
    }
}

impl Publication {
    pub(crate) fn is_urgent(&self) -> bool {
        self.priority == Priority::Urgent
    }

    /// Returns the time until it expires, if it does.
    pub(crate) fn time_left(&self, now: Instant) -> Option<Duration> {
        self.expires_at.map(|at| at.saturating_duration_since(now))
    }
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) => number.fmt(f),
            Self::Text(text) => write!(f, "{text:?}"),
        }
    }
}
