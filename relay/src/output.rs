//! The events, and the writer for them.

mod counters;
mod device;
#[cfg(test)]
mod samples;
mod writer;

use std::{net::SocketAddr, time::Duration};

use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::Bytes;
use iotcore_gateway_tokio::{
    DeviceId, MessageKind,
    error_report::ErrorReport,
    message::{QoS, Tag},
};
use serde::Serialize;
use serde_json::{Map, Value};
use tokio::time::Instant;

pub(crate) use self::{
    counters::{Counters, PastDisconnect},
    device::{DeviceLine, device_state},
    writer::Output,
};
use crate::{
    codes::{CancelCode, CertaintyCode, DisconnectCode, InvalidCode, StoreCode},
    failure::Reason,
    operation::{Action, Id, Publication, Request},
};

/// One line of output.
#[derive(Debug, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub(crate) enum Event {
    /// The metrics are served at this address; the first event.
    Metrics { address: SocketAddr },
    /// The bridge accepted a connection.
    Connected,
    /// A connection, or an attempt at one, ended.
    Disconnected {
        reason: DisconnectCode,
        detail: String,
        certainty: CertaintyCode,
        /// Operations sent last and not yet answered, newest first: any of them may have made the bridge disconnect.
        suspects: Vec<Id>,
        /// Whether another client may be using the same gateway id.
        takeover_suspected: bool,
        /// The time until the next attempt; null if no other follows.
        retry_in_ms: Option<u64>,
    },
    /// A message was found in the store, under an id that the relay assigns.
    Restored(Restored),
    /// Something in the store was damaged at the start, and was set aside.
    StoreDamaged {
        places: u64,
        bytes: u64,
        detail: String,
    },
    /// Messages of a device were found in the store, and the input has not attached it.
    Unclaimed { device: String, messages: usize },
    /// A message is in the store.
    Stored { id: Id },
    /// The store cannot be written.
    StoreFailed { error: StoreCode, detail: String },
    /// The store can be written again.
    StoreRecovered,
    /// A message waits for room in the store.
    StoreFull {
        stored_bytes: usize,
        unclaimed_bytes: usize,
        detail: String,
    },
    /// An operation succeeded.
    Done { id: Id },
    /// An operation failed.
    Failed {
        id: Id,
        #[serde(flatten)]
        reason: Reason,
        /// The accepted message that was not sent, or not acknowledged, unless the store keeps it.
        #[serde(skip_serializing_if = "Option::is_none")]
        operation: Option<Message>,
    },
    /// A device is attached; repeated on each connection.
    Attached { device: String },
    /// A device is no longer attached, but the connection is still up.
    Detached { device: String, cause: String },
    /// A config for a device, or for the gateway itself.
    Config(CloudMessage),
    /// A command to a device, or to the gateway itself.
    Command(CloudMessage),
    /// The bridge reported an error.
    ErrorReport(Report),
    /// A device needs a new token for its attach.
    TokenNeeded { device: String },
    /// This connection has the token of the last one, which is not refreshed before it expires.
    TokenUnchanged,
    /// A message on the errors topic was no error report.
    UnreadableErrorReport {
        detail: String,
        #[serde(flatten)]
        payload: Payload,
    },
    /// The bridge granted a subscription that an `attach` asked for, or one of the gateway itself.
    Subscribed {
        device: String,
        subscription: String,
    },
    /// Such a subscription failed.
    SubscriptionFailed {
        device: String,
        subscription: String,
        #[serde(flatten)]
        reason: Reason,
    },
    /// A subscription was refused or not answered after it had been granted or had failed.
    SubscriptionLost {
        device: String,
        subscription: String,
        #[serde(flatten)]
        reason: Reason,
    },
    /// A subscription was granted at QoS 0 only.
    SubscriptionDowngraded {
        device: String,
        subscription: String,
    },
    /// The bridge sends no error reports until it grants the subscription to them.
    ErrorsTopicUnavailable {
        #[serde(flatten)]
        reason: Reason,
    },
    /// Nothing has been read from the bridge for 5 s.
    ReadingPaused {
        /// The device with the most unacknowledged messages, if these are the reason; null otherwise.
        device: Option<String>,
    },
    /// Messages of this device were not acknowledged, and have held up other devices for 5 s.
    AcknowledgementsOverdue { device: String, messages: usize },
    /// Commands were dropped.
    Dropped { device: String, messages: usize },
    /// The gateway's counters and current state.
    Stats {
        #[serde(skip_serializing_if = "Option::is_none")]
        id: Option<Id>,
        connected: bool,
        /// Null if there was none.
        last_disconnect: Option<PastDisconnect>,
        #[serde(flatten)]
        counters: Counters,
    },
    /// All devices, and the gateway itself.
    Devices {
        #[serde(skip_serializing_if = "Option::is_none")]
        id: Option<Id>,
        devices: Vec<DeviceLine>,
    },
    /// Messages that have not ended, oldest first.
    Unsent {
        #[serde(skip_serializing_if = "Option::is_none")]
        id: Option<Id>,
        operations: Vec<Message>,
        /// Which of them the store has; left out without a store.
        #[serde(skip_serializing_if = "Option::is_none")]
        stored: Option<Vec<Id>>,
    },
    /// A line of input was invalid.
    Invalid {
        line: u64,
        /// Left out if it could not be read.
        #[serde(skip_serializing_if = "Option::is_none")]
        id: Option<Id>,
        error: InvalidCode,
        detail: String,
    },
    /// A message could not be cancelled.
    NotCancelled {
        /// Left out if it may be a misplaced token.
        #[serde(skip_serializing_if = "Option::is_none")]
        id: Option<Id>,
        error: CancelCode,
        detail: String,
    },
    /// The gateway is closed; the last event.
    Closed {
        unsent: usize,
        /// How many of them the store has; left out without a store.
        #[serde(skip_serializing_if = "Option::is_none")]
        stored: Option<usize>,
    },
}

/// A message that was found in the store, without its payload.
#[derive(Debug, Serialize)]
pub(crate) struct Restored {
    id: Id,
    device: String,
    kind: &'static str,
    subfolder: Option<String>,
    bytes: usize,
    tag: Option<String>,
}

/// A message from the cloud.
#[derive(Debug, Serialize)]
pub(crate) struct CloudMessage {
    /// Null for the gateway itself.
    device: Option<String>,
    subfolder: Option<String>,
    #[serde(flatten)]
    payload: Payload,
    delivery: u64,
}

/// A message to the cloud, in the format of the operation that sends it.
#[derive(Debug, Serialize)]
pub(crate) struct Message {
    op: &'static str,
    id: Id,
    #[serde(skip_serializing_if = "Option::is_none")]
    device: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    subfolder: Option<String>,
    qos: u8,
    #[serde(flatten)]
    payload: Payload,
    /// Left out if it is ordinary.
    #[serde(skip_serializing_if = "Option::is_none")]
    priority: Option<&'static str>,
    /// The time that is left, in seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    expires_after: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tag: Option<String>,
}

/// A payload: text if it is valid UTF-8, base64 otherwise.
#[derive(Debug, Serialize)]
pub(crate) enum Payload {
    #[serde(rename = "payload")]
    Text(String),
    #[serde(rename = "payload_base64")]
    Bytes(String),
}

/// An error report, with the bridge's own field names.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    error_type: String,
    device_id: Option<String>,
    description: String,
    mqtt_message_info: Option<ReportedPacket>,
    /// Fields that are unknown to this version.
    unknown_fields: Map<String, Value>,
}

/// The packet that an error report is about.
#[derive(Debug, Serialize)]
struct ReportedPacket {
    message_type: Option<String>,
    topic: Option<String>,
    packet_id: Option<u16>,
}

impl Event {
    /// Constructs the event for the failure of an operation; `operation` is there if it was a valid message.
    pub(crate) fn failed(id: Id, reason: Reason, operation: Option<Message>) -> Self {
        Self::Failed {
            id,
            reason,
            operation,
        }
    }

    /// Constructs the event for a config or command; `is_own` means that it is for the gateway itself.
    pub(crate) fn message(message: &iotcore_gateway_tokio::Message, is_own: bool) -> Self {
        let mut downward = CloudMessage {
            device: (!is_own).then(|| message.device.to_string()),
            subfolder: None,
            payload: (&message.payload).into(),
            delivery: message.delivery().as_u64(),
        };
        if let MessageKind::Command { subfolder } = &message.kind {
            downward.subfolder.clone_from(subfolder);
            Self::Command(downward)
        } else {
            Self::Config(downward)
        }
    }
}

impl Message {
    /// Constructs the line of a request, if that is a message.
    pub(crate) fn of(request: &Request, now: Instant) -> Option<Self> {
        let (op, subfolder, publication) = parts(&request.action)?;
        Some(Self {
            op,
            id: request.id.clone(),
            device: request.device.clone(),
            subfolder,
            qos: u8::from(publication.qos == QoS::AtLeastOnce),
            payload: (&publication.payload).into(),
            priority: publication.is_urgent().then_some("urgent"),
            expires_after: publication
                .time_left(now)
                .filter(|left| !left.is_zero())
                .map(seconds),
            tag: publication.tag.as_ref().map(Tag::to_string),
        })
    }

    /// Sets when it expires, also if that is now: in so many seconds.
    pub(crate) fn expires_after(mut self, seconds: Option<f64>) -> Self {
        self.expires_after = seconds;
        self
    }
}

/// Returns the kind, subfolder and rest of a message.
fn parts(action: &Action) -> Option<(&'static str, Option<String>, &Publication)> {
    match action {
        Action::Telemetry {
            subfolder,
            publication,
        } => Some(("telemetry", subfolder.clone(), publication)),
        Action::State(publication) => Some(("state", None, publication)),
        Action::Attach { .. } | Action::Detach | Action::Authorize { .. } => None,
    }
}

impl Restored {
    /// Constructs the event of a request, if that is a message, of this device.
    pub(crate) fn of(request: &Request, device: &DeviceId) -> Option<Self> {
        let (kind, subfolder, publication) = parts(&request.action)?;
        Some(Self {
            id: request.id.clone(),
            device: device.to_string(),
            kind,
            subfolder,
            bytes: publication.payload.len(),
            tag: publication.tag.as_ref().map(Tag::to_string),
        })
    }
}

impl From<&Bytes> for Payload {
    fn from(payload: &Bytes) -> Self {
        match str::from_utf8(payload) {
            Ok(text) => Self::Text(text.to_owned()),
            Err(_) => Self::Bytes(STANDARD.encode(payload)),
        }
    }
}

impl From<&ErrorReport> for Report {
    fn from(report: &ErrorReport) -> Self {
        let packet = report.message().map(|packet| ReportedPacket {
            message_type: packet.message_type().map(str::to_owned),
            topic: packet.topic().map(str::to_owned),
            packet_id: packet.packet_id().map(Into::into),
        });
        let unknown = report.unknown_fields().map(|(name, json)| {
            let value = serde_json::from_str(json);
            (name.to_owned(), value.unwrap_or_else(|_| json.into()))
        });
        Self {
            error_type: report.error_type().to_string(),
            device_id: report.device_id().map(str::to_owned),
            description: report.description().to_owned(),
            mqtt_message_info: packet,
            unknown_fields: unknown.collect(),
        }
    }
}

/// Returns a number of seconds, in whole milliseconds.
fn seconds(time: Duration) -> f64 {
    Duration::from_millis(u64::try_from(time.as_millis()).unwrap_or(u64::MAX)).as_secs_f64()
}
