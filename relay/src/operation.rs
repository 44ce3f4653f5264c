//! The operations: their JSON format and their parsed form.

use std::fmt;

use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::Bytes;
use iotcore_gateway_tokio::QoS;
use serde::{Deserialize, Deserializer, Serialize, de::Error as _};
use serde_json::Value;

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

/// A parsed line of input.
#[derive(Debug)]
pub(crate) enum Operation {
    /// An operation that ends in one `done` or `failed`.
    Request(Request),
    /// Acknowledges a config or command.
    Acknowledge { delivery: u64 },
    /// Requests a snapshot of the gateway's counters and current state.
    Stats,
    /// Requests a list of the messages that have not ended.
    Unsent,
    /// Closes the gateway, as at the end of the input.
    Close,
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
        qos: QoS,
        payload: Bytes,
    },
    State {
        qos: QoS,
        payload: Bytes,
    },
}

/// The JSON objects of the input.
#[derive(Deserialize)]
#[serde(tag = "op", rename_all = "snake_case", deny_unknown_fields)]
enum JsonOperation {
    Attach {
        id: Id,
        device: String,
        #[serde(default, deserialize_with = "optional_text")]
        token: Option<String>,
        #[serde(default = "at_least_once", deserialize_with = "optional_quality")]
        config: Option<QoS>,
        #[serde(default = "at_least_once", deserialize_with = "optional_quality")]
        commands: Option<QoS>,
    },
    Detach {
        id: Id,
        device: String,
    },
    Authorize {
        id: Id,
        device: String,
        token: String,
    },
    Telemetry {
        id: Id,
        #[serde(default, deserialize_with = "optional_text")]
        device: Option<String>,
        #[serde(default, deserialize_with = "optional_text")]
        subfolder: Option<String>,
        #[serde(default = "at_least_once", deserialize_with = "optional_quality")]
        qos: Option<QoS>,
        #[serde(default, deserialize_with = "optional_text")]
        payload: Option<String>,
        #[serde(default, deserialize_with = "optional_text")]
        payload_base64: Option<String>,
    },
    State {
        id: Id,
        #[serde(default, deserialize_with = "optional_text")]
        device: Option<String>,
        #[serde(default = "at_least_once", deserialize_with = "optional_quality")]
        qos: Option<QoS>,
        #[serde(default, deserialize_with = "optional_text")]
        payload: Option<String>,
        #[serde(default, deserialize_with = "optional_text")]
        payload_base64: Option<String>,
    },
    Acknowledge {
        #[serde(deserialize_with = "delivery")]
        delivery: u64,
    },
    Stats {},
    Unsent {},
    Close {},
}

/// Parses an id. The errors here and below name what is wrong and never quote it, because it may be a misplaced token.
impl<'de> Deserialize<'de> for Id {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let whole = |number: serde_json::Number| match (number.as_u64(), number.as_i64()) {
            (Some(number), _) => Some(number.into()),
            (None, number) => number.map(i128::from),
        };
        match Value::deserialize(deserializer)? {
            Value::Number(number) => whole(number).map(Self::Number),
            Value::String(text) => Some(Self::Text(text)),
            _ => None,
        }
        .ok_or_else(|| D::Error::custom("`id` must be a whole number or a text"))
    }
}

fn at_least_once() -> Option<QoS> {
    Some(QoS::AtLeastOnce)
}

fn optional_quality<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<QoS>, D::Error> {
    match Value::deserialize(deserializer)? {
        Value::Null => Ok(None),
        value => match value.as_u64() {
            Some(0) => Ok(Some(QoS::AtMostOnce)),
            Some(1) => Ok(Some(QoS::AtLeastOnce)),
            _ => Err(D::Error::custom("a quality of service must be 0 or 1")),
        },
    }
}

fn optional_text<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    match Value::deserialize(deserializer)? {
        Value::Null => Ok(None),
        Value::String(text) => Ok(Some(text)),
        _ => Err(D::Error::custom(
            "a payload, device, subfolder or token must be a text: put JSON into one, and other bytes into \
             `payload_base64`",
        )),
    }
}

fn delivery<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    let delivery = Value::deserialize(deserializer)?.as_u64();
    delivery.ok_or_else(|| D::Error::custom("`delivery` must be the number of a config or command"))
}

impl Operation {
    /// Parses one line.
    pub(crate) fn parse(line: &[u8]) -> Result<Self, InvalidLine> {
        let written = serde_json::from_slice(line).map_err(InvalidLine::Json)?;
        let (id, device, action) = match written {
            JsonOperation::Attach {
                id,
                device,
                token,
                config,
                commands,
            } => {
                let action = Action::Attach {
                    token,
                    config,
                    commands,
                };
                (id, Some(device), action)
            }
            JsonOperation::Detach { id, device } => (id, Some(device), Action::Detach),
            JsonOperation::Authorize { id, device, token } => {
                (id, Some(device), Action::Authorize { token })
            }
            JsonOperation::Telemetry {
                id,
                device,
                subfolder,
                qos,
                payload,
                payload_base64,
            } => {
                let action = Action::Telemetry {
                    subfolder,
                    qos: qos.ok_or(InvalidLine::NoQuality)?,
                    payload: bytes(payload, payload_base64)?,
                };
                (id, device, action)
            }
            JsonOperation::State {
                id,
                device,
                qos,
                payload,
                payload_base64,
            } => {
                let action = Action::State {
                    qos: qos.ok_or(InvalidLine::NoQuality)?,
                    payload: bytes(payload, payload_base64)?,
                };
                (id, device, action)
            }
            JsonOperation::Acknowledge { delivery } => return Ok(Self::Acknowledge { delivery }),
            JsonOperation::Stats {} => return Ok(Self::Stats),
            JsonOperation::Unsent {} => return Ok(Self::Unsent),
            JsonOperation::Close {} => return Ok(Self::Close),
        };
        Ok(Self::Request(Request { id, device, action }))
    }
}

impl Action {
    /// Returns the payload of a message to the cloud.
    pub(crate) fn payload(&self) -> Option<&[u8]> {
        match self {
            Self::Telemetry { payload, .. } | Self::State { payload, .. } => Some(payload),
            Self::Attach { .. } | Self::Detach | Self::Authorize { .. } => None,
        }
    }
}

fn bytes(text: Option<String>, base64: Option<String>) -> Result<Bytes, InvalidLine> {
    match (text, base64) {
        (Some(text), None) => Ok(text.into()),
        (None, Some(base64)) => {
            let decoded = STANDARD.decode(base64);
            decoded.map(Bytes::from).map_err(InvalidLine::Base64)
        }
        _ => Err(InvalidLine::Payload),
    }
}

/// An error in a line of input.
#[derive(Debug)]
pub(crate) enum InvalidLine {
    /// The line is not JSON, or not an operation.
    Json(serde_json::Error),
    /// The line has no payload, or more than one.
    Payload,
    /// The payload is not valid base64.
    Base64(base64::DecodeError),
    /// `qos` is null.
    NoQuality,
    /// The line is longer than [`MAX_LINE`].
    TooLong { len: usize },
    /// An operation with this id has not ended yet.
    IdInUse(Id),
    /// No config or command has this delivery number.
    NoDelivery(u64),
}

impl fmt::Display for InvalidLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            // The parser sees one line at a time, so that its line number is always 1.
            Self::Json(error) => f.write_str(
                &without_long_words(&error.to_string())
                    .replace(" at line 1 column ", " at column "),
            ),
            Self::Payload => {
                f.write_str("give either `payload`, a text, or `payload_base64`, and not both")
            }
            Self::Base64(error) => write!(f, "`payload_base64` is not base64: {error}"),
            Self::NoQuality => f.write_str("`qos` must be 0 or 1; the default is 1"),
            Self::TooLong { len } => {
                write!(
                    f,
                    "the line has {len} bytes, and may have at most {MAX_LINE}"
                )
            }
            Self::IdInUse(id) => {
                write!(
                    f,
                    "the operation with the id {id} has not ended yet: use a different id for each"
                )
            }
            Self::NoDelivery(delivery) => {
                write!(f, "no config or command had the delivery number {delivery}")
            }
        }
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

/// Shortens long words in the parser's message, which quotes unknown input. No name in this format is that long, but a
/// misplaced token is.
fn without_long_words(text: &str) -> String {
    const LONGEST: usize = 32;
    let words = text.split_inclusive(['`', '"', ' ']);
    let short = words.map(|word| match word.char_indices().nth(LONGEST) {
        Some(_) => format!(
            "…{}",
            word.trim_start_matches(|c| !['`', '"', ' '].contains(&c))
        ),
        None => word.to_owned(),
    });
    short.collect()
}
