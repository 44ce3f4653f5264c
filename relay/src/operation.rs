//! The operations, as they are written and as they are meant.

use std::fmt;

use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::Bytes;
use iotcore_gateway_tokio::QoS;
use serde::{Deserialize, Deserializer, Serialize, de::Error as _};
use serde_json::Value;

/// The longest line, in bytes: the largest payload of 256 KiB with every byte of it escaped as `\u00..`, and room.
pub(crate) const MAX_LINE: usize = 2 * 1024 * 1024;

/// What an operation is known by: the number or text that it came with.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(untagged)]
pub(crate) enum Id {
    /// As it was written, but for fractions.
    Number(i128),
    Text(String),
}

/// What a line asks for.
#[derive(Debug)]
pub(crate) enum Operation {
    /// What ends in one `done` or `failed`.
    Request(Request),
    /// Acknowledges a config or command.
    Acknowledge { delivery: u64 },
    /// Tells what the gateway has done and holds.
    Stats,
    /// Tells which messages have not ended.
    Unsent,
    /// The end, as at the end of the input.
    Close,
}

/// An operation with an id.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    pub(crate) id: Id,
    /// None: the gateway itself.
    pub(crate) device: Option<String>,
    pub(crate) action: Action,
}

/// What is to be done for a device.
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

/// The objects as they are written.
#[derive(Deserialize)]
#[serde(tag = "op", rename_all = "snake_case", deny_unknown_fields)]
enum Written {
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

/// The errors here and below name what is wrong and never quote it: it may be a token in the wrong place.
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
    /// Reads one line.
    pub(crate) fn parse(line: &[u8]) -> Result<Self, InvalidLine> {
        let written = serde_json::from_slice(line).map_err(InvalidLine::Json)?;
        let (id, device, action) = match written {
            Written::Attach {
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
            Written::Detach { id, device } => (id, Some(device), Action::Detach),
            Written::Authorize { id, device, token } => {
                (id, Some(device), Action::Authorize { token })
            }
            Written::Telemetry {
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
            Written::State {
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
            Written::Acknowledge { delivery } => return Ok(Self::Acknowledge { delivery }),
            Written::Stats {} => return Ok(Self::Stats),
            Written::Unsent {} => return Ok(Self::Unsent),
            Written::Close {} => return Ok(Self::Close),
        };
        Ok(Self::Request(Request { id, device, action }))
    }
}

impl Action {
    /// What it carries, if it is a message to the cloud.
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

/// A line that is of no use: the writer's mistake.
#[derive(Debug)]
pub(crate) enum InvalidLine {
    /// Not JSON, or not an operation.
    Json(serde_json::Error),
    /// Not one payload.
    Payload,
    /// The payload in base64 is none.
    Base64(base64::DecodeError),
    /// `qos` is null.
    NoQuality,
    /// Longer than [`MAX_LINE`].
    TooLong { len: usize },
    /// An operation with this id has not ended yet.
    IdInUse(Id),
    /// No config or command had this number.
    NoDelivery(u64),
}

impl fmt::Display for InvalidLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            // Every line is the parser's first.
            Self::Json(error) => f.write_str(
                &without_long_words(&error.to_string())
                    .replace(" at line 1 column ", " at column "),
            ),
            Self::Payload => {
                f.write_str("give either `payload`, a text, or `payload_base64`, and not both")
            }
            Self::Base64(error) => write!(f, "`payload_base64` is not base64: {error}"),
            Self::NoQuality => f.write_str("`qos` must be 0 or 1; without it, it is 1"),
            Self::TooLong { len } => {
                write!(f, "the line has {len} bytes, and may have {MAX_LINE}")
            }
            Self::IdInUse(id) => {
                write!(
                    f,
                    "the operation with the id {id} has not ended yet: give each another id"
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

/// The parser quotes what it does not know. No name of ours is so long, but a token in the wrong place is.
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
