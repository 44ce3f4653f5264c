//! The events, and the one who writes them.

use std::io;

use base64::{Engine, engine::general_purpose::STANDARD};
use iotcore_gateway_tokio::{ErrorReport, Message, MessageKind};
use serde::Serialize;
use serde_json::{Map, Value};
use tokio::io::{AsyncWriteExt, Stdout};

use crate::{failure::Reason, input::Id};

/// One line of output.
#[derive(Debug, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub(crate) enum Event {
    /// The bridge accepted a connection.
    Connected,
    /// A connection, or an attempt at one, ended.
    Disconnected {
        reason: &'static str,
        detail: String,
        /// Until the next attempt; null when there is none.
        retry_in_ms: Option<u64>,
    },
    /// An operation ended well.
    Done { id: Id },
    /// An operation ended otherwise.
    Failed {
        id: Id,
        #[serde(flatten)]
        reason: Reason,
    },
    /// A device is attached; again on each connection.
    Attached { device: String },
    /// A device is no longer attached, though the connection lives on.
    Detached { device: String, cause: String },
    /// A config for a device, or for the gateway itself.
    Config(Downward),
    /// A command to a device, or to the gateway itself.
    Command(Downward),
    /// The bridge reported an error.
    ErrorReport(Report),
    /// A device's token has expired.
    TokenNeeded { device: String },
    /// A line of input was of no use.
    Invalid { line: u64, error: String },
    /// The end.
    Closed { unsent: usize },
}

/// A message from the cloud.
#[derive(Debug, Serialize)]
pub(crate) struct Downward {
    /// Null for the gateway itself.
    device: Option<String>,
    subfolder: Option<String>,
    #[serde(flatten)]
    payload: Payload,
    delivery: u64,
}

/// A payload: text if it is UTF-8.
#[derive(Debug, Serialize)]
enum Payload {
    #[serde(rename = "payload")]
    Text(String),
    #[serde(rename = "payload_base64")]
    Bytes(String),
}

/// An error report, under the bridge's own names.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    error_type: String,
    device_id: Option<String>,
    description: String,
    mqtt_message_info: Option<ReportedPacket>,
    /// Fields that this version does not know.
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
    /// A config or command; `is_own` says that it is for the gateway itself.
    pub(crate) fn message(message: &Message, is_own: bool) -> Self {
        let text = String::from_utf8(message.payload.to_vec());
        let mut downward = Downward {
            device: (!is_own).then(|| message.device.to_string()),
            subfolder: None,
            payload: text.map_or_else(
                |error| Payload::Bytes(STANDARD.encode(error.as_bytes())),
                Payload::Text,
            ),
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

/// Writes events to standard output, one a line.
#[derive(Debug)]
pub(crate) struct Output {
    stdout: Stdout,
    line: Vec<u8>,
}

impl Output {
    pub(crate) fn new() -> Self {
        Self {
            stdout: tokio::io::stdout(),
            line: Vec::new(),
        }
    }

    /// Ends once the line was handed to whoever reads the output. Not cancel safe.
    pub(crate) async fn write(&mut self, event: &Event) -> io::Result<()> {
        self.line.clear();
        serde_json::to_writer(&mut self.line, event)?;
        self.line.push(b'\n');
        self.stdout.write_all(&self.line).await?;
        self.stdout.flush().await
    }
}

/// Tells whoever runs the program what is no event of the protocol, on standard error.
pub(crate) fn note(text: impl std::fmt::Display) {
    use std::io::Write as _;
    let _ = writeln!(io::stderr(), "relay: {text}");
}
