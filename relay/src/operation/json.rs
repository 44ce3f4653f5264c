//! The JSON format of the operations.

use std::time::Duration;

use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::Bytes;
use iotcore_gateway_tokio::message::{Priority, QoS, Tag};
use serde::{Deserialize, Deserializer, de::Error as _};
use serde_json::{Number, Value};
use tokio::time::Instant;

use super::{Action, Id, InvalidLine, Operation, Publication, Question, Request};
use crate::failure::Reason;

/// The longest time after which a message expires, in seconds: a year. What is longer is in milliseconds, or a date.
pub(crate) const MAX_EXPIRES_AFTER: f64 = 31_536_000.0;

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
        #[serde(default, deserialize_with = "optional_priority")]
        priority: Priority,
        #[serde(default, deserialize_with = "optional_seconds")]
        expires_after: Option<Number>,
        #[serde(default, deserialize_with = "optional_text")]
        tag: Option<String>,
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
        #[serde(default, deserialize_with = "optional_priority")]
        priority: Priority,
        #[serde(default, deserialize_with = "optional_seconds")]
        expires_after: Option<Number>,
        #[serde(default, deserialize_with = "optional_text")]
        tag: Option<String>,
    },
    Cancel {
        id: Id,
    },
    Acknowledge {
        #[serde(deserialize_with = "delivery")]
        delivery: u64,
    },
    Stats {
        #[serde(default)]
        id: Option<Id>,
    },
    Devices {
        #[serde(default)]
        id: Option<Id>,
    },
    Unsent {
        #[serde(default)]
        id: Option<Id>,
    },
    Close {},
}

/// Parses an id. The errors here and below name what is wrong and never quote it, because it may be a misplaced token.
impl<'de> Deserialize<'de> for Id {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let whole = |number: Number| match (number.as_u64(), number.as_i64()) {
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
            "a payload, device, subfolder, tag or token must be a text: put JSON into one, and other bytes into \
             `payload_base64`",
        )),
    }
}

fn optional_priority<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Priority, D::Error> {
    match Value::deserialize(deserializer)? {
        Value::Null => Ok(Priority::Ordinary),
        value => match value.as_str() {
            Some("ordinary") => Ok(Priority::Ordinary),
            Some("urgent") => Ok(Priority::Urgent),
            _ => Err(D::Error::custom(
                "`priority` must be \"ordinary\" or \"urgent\"",
            )),
        },
    }
}

fn optional_seconds<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Number>, D::Error> {
    match Value::deserialize(deserializer)? {
        Value::Null => Ok(None),
        Value::Number(seconds) => Ok(Some(seconds)),
        _ => Err(D::Error::custom(
            "`expires_after` must be a number of seconds",
        )),
    }
}

fn delivery<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    let delivery = Value::deserialize(deserializer)?.as_u64();
    delivery.ok_or_else(|| D::Error::custom("`delivery` must be the number of a config or command"))
}

impl Operation {
    /// Parses one line, which was read at this time.
    pub(crate) fn parse(line: &[u8], read_at: Instant) -> Result<Self, InvalidLine> {
        // The parser would take an array for an object with these members.
        if !line.trim_ascii_start().starts_with(b"{") {
            return Err(InvalidLine::no_object(line));
        }
        let written =
            serde_json::from_slice(line).map_err(|error| InvalidLine::unparsed(line, error))?;
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
                (id, Some(device), Ok(action))
            }
            JsonOperation::Detach { id, device } => (id, Some(device), Ok(Action::Detach)),
            JsonOperation::Authorize { id, device, token } => {
                (id, Some(device), Ok(Action::Authorize { token }))
            }
            JsonOperation::Telemetry {
                id,
                device,
                subfolder,
                qos,
                payload,
                payload_base64,
                priority,
                expires_after,
                tag,
            } => {
                let publication = Written {
                    qos: qos.ok_or(InvalidLine::NoQuality)?,
                    payload: bytes(payload, payload_base64)?,
                    priority,
                    expires_after,
                    tag,
                };
                let action = publication
                    .check(read_at)
                    .map(|publication| Action::Telemetry {
                        subfolder,
                        publication,
                    });
                (id, device, action)
            }
            JsonOperation::State {
                id,
                device,
                qos,
                payload,
                payload_base64,
                priority,
                expires_after,
                tag,
            } => {
                let publication = Written {
                    qos: qos.ok_or(InvalidLine::NoQuality)?,
                    payload: bytes(payload, payload_base64)?,
                    priority,
                    expires_after,
                    tag,
                };
                (id, device, publication.check(read_at).map(Action::State))
            }
            JsonOperation::Cancel { id } => return Ok(Self::Cancel { id }),
            JsonOperation::Acknowledge { delivery } => return Ok(Self::Acknowledge { delivery }),
            JsonOperation::Stats { id } => return Ok(Self::question(id, Question::Stats)),
            JsonOperation::Devices { id } => return Ok(Self::question(id, Question::Devices)),
            JsonOperation::Unsent { id } => return Ok(Self::question(id, Question::Unsent)),
            JsonOperation::Close {} => return Ok(Self::Close),
        };
        Ok(match action {
            Ok(action) => Self::Request(Request { id, device, action }),
            Err(reason) => Self::Refused { id, reason },
        })
    }

    fn question(id: Option<Id>, about: Question) -> Self {
        Self::Question { id, about }
    }
}

/// A message to the cloud, whose limits are not checked yet.
struct Written {
    qos: QoS,
    payload: Bytes,
    priority: Priority,
    /// In seconds.
    expires_after: Option<Number>,
    tag: Option<String>,
}

impl Written {
    fn check(self, read_at: Instant) -> Result<Publication, Reason> {
        let life = self.expires_after.as_ref().map(duration).transpose()?;
        Ok(Publication {
            qos: self.qos,
            payload: self.payload,
            priority: self.priority,
            expires_at: life.map(|life| read_at + life),
            tag: self.tag.map(Tag::try_from).transpose()?,
        })
    }
}

fn duration(seconds: &Number) -> Result<Duration, Reason> {
    let value = seconds
        .as_f64()
        .filter(|value| (0.0..=MAX_EXPIRES_AFTER).contains(value));
    value.map(Duration::from_secs_f64).ok_or_else(|| {
        Reason::illegal_expiry(format_args!(
            "`expires_after` is {seconds}: it must be from 0 to {MAX_EXPIRES_AFTER} seconds"
        ))
    })
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
