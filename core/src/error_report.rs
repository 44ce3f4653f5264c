//! Error reports: the bridge publishes them to a gateway's errors topic, at QoS 0 and best effort.

use core::{
    error::Error,
    fmt::{self, Write as _},
    num::NonZeroU16,
};

use std::sync::Arc;

use serde_json::{Map, Value};

const ERROR_TYPE: &str = "error_type";
const DEVICE_ID: &str = "device_id";
const DESCRIPTION: &str = "description";
const MESSAGE_INFO: &str = "mqtt_message_info";
const MESSAGE_TYPE: &str = "message_type";
const TOPIC: &str = "topic";
const PACKET_ID: &str = "packet_id";

/// Why the bridge did not do something, in its own words.
///
/// All strings come from the bridge and are not validated; `Display` writes them on one line for humans, with control
/// characters escaped. Cheap to clone.
///
/// ```
/// # use iotcore_gateway::error_report::{ErrorReport, ErrorType, Retry};
/// let report = ErrorReport::parse(
///     br#"{"error_type":"GATEWAY_ATTACHMENT_ERROR","device_id":"boiler-7","description":"Denied.",
///          "mqtt_message_info":{"message_type":"PUBLISH","topic":"/devices/boiler-7/attach",
///          "packet_id":10}}"#,
/// )?;
/// assert_eq!(report.error_type(), &ErrorType::AttachmentError);
/// assert_eq!(report.error_type().retry(), Retry::Never);
/// assert_eq!(
///     report.to_string(),
///     "GATEWAY_ATTACHMENT_ERROR for device boiler-7: Denied. \
///      (PUBLISH, topic /devices/boiler-7/attach, packet identifier 10)",
/// );
/// # Ok::<(), iotcore_gateway::error_report::ErrorReportError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ErrorReport {
    /// Shared by everything that refers to one report, and small in the events without a report.
    fields: Arc<Fields>,
}

#[derive(Debug, PartialEq, Eq)]
struct Fields {
    error_type: ErrorType,
    device_id: Option<String>,
    description: String,
    message: Option<MqttMessageInfo>,
    unknown_fields: Vec<(String, String)>,
}

impl ErrorReport {
    /// Maximum payload size, in bytes. Reports observed in the field have a few hundred.
    pub const MAX_BYTES: usize = 64 * 1024;

    /// Parses the payload of a message on the errors topic.
    ///
    /// The message that caused the error may be described by an object `mqtt_message_info`, as captured on the wire, or
    /// by fields beside the others, as documented; if a field is in both, that of the object is used. The packet
    /// identifier may be a number or a numeric string. A field that is absent, null, empty or zero counts as missing. A
    /// field of another type or out of range is kept among the [unknown fields](Self::unknown_fields). If a field is
    /// repeated, the last one is used.
    ///
    /// # Errors
    /// If the payload is larger than [`MAX_BYTES`](Self::MAX_BYTES), not JSON (or nested deeper than 127 levels), not
    /// an object, or has no string `error_type`: an error of the bridge.
    pub fn parse(payload: &[u8]) -> Result<Self, ErrorReportError> {
        if payload.len() > Self::MAX_BYTES {
            return Err(ErrorReportError::TooLarge {
                len: payload.len(),
                max: Self::MAX_BYTES,
            });
        }
        let value = serde_json::from_slice(payload)
            .map_err(|error| ErrorReportError::NotJson(error.to_string()))?;
        let Value::Object(mut fields) = value else {
            return Err(ErrorReportError::NotAnObject);
        };
        let error_type = take_text(&mut fields, ERROR_TYPE).ok_or(ErrorReportError::NoErrorType)?;
        let device_id = take_text(&mut fields, DEVICE_ID);
        let description = take_text(&mut fields, DESCRIPTION).unwrap_or_default();
        let mut nested = take_object(&mut fields, MESSAGE_INFO);
        let message = MqttMessageInfo::take(&mut nested, &mut fields);
        let nested = nested
            .iter()
            .map(|(name, value)| (format!("{MESSAGE_INFO}.{name}"), value));
        let flat = fields.iter().map(|(name, value)| (name.clone(), value));
        let fields = Fields {
            error_type: error_type.into(),
            device_id,
            description,
            message,
            unknown_fields: flat
                .chain(nested)
                .map(|(name, v)| (name, v.to_string()))
                .collect(),
        };
        Ok(Self {
            fields: Arc::new(fields),
        })
    }

    /// Returns what went wrong.
    #[must_use]
    pub fn error_type(&self) -> &ErrorType {
        &self.fields.error_type
    }

    /// Returns the device that the error is about (not the gateway that receives the report), if it was named.
    #[must_use]
    pub fn device_id(&self) -> Option<&str> {
        self.fields.device_id.as_deref()
    }

    /// Returns the bridge's description for humans; may be empty.
    #[must_use]
    pub fn description(&self) -> &str {
        &self.fields.description
    }

    /// Returns the MQTT packet that caused the error, if one did.
    #[must_use]
    pub fn message(&self) -> Option<&MqttMessageInfo> {
        self.fields.message.as_ref()
    }

    /// Returns the fields that this version of the crate does not know or could not use: name and compact JSON. A field
    /// of the nested object is named `mqtt_message_info.NAME`.
    pub fn unknown_fields(&self) -> impl Iterator<Item = (&str, &str)> {
        self.fields
            .unknown_fields
            .iter()
            .map(|(name, json)| (name.as_str(), json.as_str()))
    }
}

impl fmt::Display for ErrorReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", OneLine(self.fields.error_type.as_str()))?;
        if let Some(device_id) = &self.fields.device_id {
            write!(f, " for device {}", OneLine(device_id))?;
        }
        if !self.fields.description.is_empty() {
            write!(f, ": {}", OneLine(&self.fields.description))?;
        }
        match &self.fields.message {
            Some(message) => write!(f, " ({message})"),
            None => Ok(()),
        }
    }
}

/// The MQTT packet that caused an error. At least one of its fields is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MqttMessageInfo {
    message_type: Option<String>,
    topic: Option<String>,
    packet_id: Option<NonZeroU16>,
}

impl MqttMessageInfo {
    /// Takes the known fields out of the nested object or, if missing there, out of the report.
    fn take(nested: &mut Map<String, Value>, flat: &mut Map<String, Value>) -> Option<Self> {
        let mut text = |name| take_text(nested, name).or_else(|| take_text(flat, name));
        let (message_type, topic) = (text(MESSAGE_TYPE), text(TOPIC));
        let packet_id = take_packet_id(nested).or_else(|| take_packet_id(flat));
        let known = message_type.is_some() || topic.is_some() || packet_id.is_some();
        known.then_some(Self {
            message_type,
            topic,
            packet_id,
        })
    }

    /// Returns the type of packet, such as `PUBLISH`.
    #[must_use]
    pub fn message_type(&self) -> Option<&str> {
        self.message_type.as_deref()
    }

    /// Returns the topic, if the packet has one.
    #[must_use]
    pub fn topic(&self) -> Option<&str> {
        self.topic.as_deref()
    }

    /// Returns the packet identifier, if the packet has one, on the connection that the report arrived on.
    #[must_use]
    pub const fn packet_id(&self) -> Option<NonZeroU16> {
        self.packet_id
    }
}

impl fmt::Display for MqttMessageInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}",
            OneLine(self.message_type().unwrap_or("packet of unknown type"))
        )?;
        if let Some(topic) = self.topic() {
            write!(f, ", topic {}", OneLine(topic))?;
        }
        match self.packet_id {
            Some(id) => write!(f, ", packet identifier {id}"),
            None => Ok(()),
        }
    }
}

/// The kind of an error: its code in a report.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum ErrorType {
    /// `GATEWAY_ATTACHMENT_ERROR`: the bridge refused to attach the device.
    AttachmentError,
    /// `GATEWAY_DEVICE_NOT_FOUND`: a message for a device that is not attached to this gateway.
    DeviceNotFound,
    /// `GATEWAY_INVALID_MQTT_TOPIC`: the bridge cannot parse the topic, or the device in it is invalid.
    InvalidMqttTopic,
    /// `GATEWAY_UNEXPECTED_PACKET_ID`: an acknowledgement that matches no pending packet.
    UnexpectedPacketId,
    /// `GATEWAY_UNEXPECTED_MESSAGE_TYPE`: a packet that the bridge does not support.
    UnexpectedMessageType,
    /// `GATEWAY_DETACHMENT_DEVICE_ERROR`: the bridge detached the device because of the device's own error.
    DetachmentDeviceError,
    /// `UNKNOWN`: the bridge does not know the cause.
    Unknown,
    /// A code that this version of the crate does not know.
    Other(String),
}

impl ErrorType {
    /// Returns the code as it appears in a report.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match self {
            Self::AttachmentError => "GATEWAY_ATTACHMENT_ERROR",
            Self::DeviceNotFound => "GATEWAY_DEVICE_NOT_FOUND",
            Self::InvalidMqttTopic => "GATEWAY_INVALID_MQTT_TOPIC",
            Self::UnexpectedPacketId => "GATEWAY_UNEXPECTED_PACKET_ID",
            Self::UnexpectedMessageType => "GATEWAY_UNEXPECTED_MESSAGE_TYPE",
            Self::DetachmentDeviceError => "GATEWAY_DETACHMENT_DEVICE_ERROR",
            Self::Unknown => "UNKNOWN",
            Self::Other(code) => code,
        }
    }

    /// Returns whether to try again, according to the service's table of error codes.
    ///
    /// A code outside the table is [`Retry::Never`], as is every code in the table except `UNKNOWN`: nothing suggests
    /// that the error is temporary, and a visible failure is better than a message that is sent forever.
    #[must_use]
    pub const fn retry(&self) -> Retry {
        match self {
            Self::Unknown => Retry::Backoff,
            Self::AttachmentError
            | Self::DeviceNotFound
            | Self::InvalidMqttTopic
            | Self::UnexpectedPacketId
            | Self::UnexpectedMessageType
            | Self::DetachmentDeviceError
            | Self::Other(_) => Retry::Never,
        }
    }
}

impl fmt::Display for ErrorType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl From<String> for ErrorType {
    fn from(code: String) -> Self {
        match code.as_str() {
            "GATEWAY_ATTACHMENT_ERROR" => Self::AttachmentError,
            "GATEWAY_DEVICE_NOT_FOUND" => Self::DeviceNotFound,
            "GATEWAY_INVALID_MQTT_TOPIC" => Self::InvalidMqttTopic,
            "GATEWAY_UNEXPECTED_PACKET_ID" => Self::UnexpectedPacketId,
            "GATEWAY_UNEXPECTED_MESSAGE_TYPE" => Self::UnexpectedMessageType,
            "GATEWAY_DETACHMENT_DEVICE_ERROR" => Self::DetachmentDeviceError,
            "UNKNOWN" => Self::Unknown,
            _ => Self::Other(code),
        }
    }
}

/// What the service recommends after an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Retry {
    /// Not until the problem is fixed.
    Never,
    /// Again, with exponential backoff.
    Backoff,
}

/// Why a payload is not an error report: an error of the bridge.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ErrorReportError {
    /// Larger than [`ErrorReport::MAX_BYTES`].
    TooLarge {
        /// Its length in bytes.
        len: usize,
        /// Maximum.
        max: usize,
    },
    /// Not JSON; contains the parser's message.
    NotJson(String),
    /// JSON, but not an object.
    NotAnObject,
    /// An object without a string `error_type`.
    NoErrorType,
}

impl fmt::Display for ErrorReportError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLarge { len, max } => {
                write!(f, "the error report has {len} bytes, the limit is {max}")
            }
            Self::NotJson(reason) => write!(f, "the error report is not JSON: {reason}"),
            Self::NotAnObject => f.write_str("the error report is not a JSON object"),
            Self::NoErrorType => write!(f, "the error report has no string {ERROR_TYPE:?}"),
        }
    }
}

impl Error for ErrorReportError {}

/// Takes a string; null and the empty string count as missing. A value of another type stays in `fields`.
fn take_text(fields: &mut Map<String, Value>, name: &str) -> Option<String> {
    if !matches!(fields.get(name)?, Value::String(_) | Value::Null) {
        return None;
    }
    match fields.remove(name)? {
        Value::String(text) if !text.is_empty() => Some(text),
        _ => None,
    }
}

/// Takes an object; null counts as an empty one. A value of another type stays in `fields`.
fn take_object(fields: &mut Map<String, Value>, name: &str) -> Map<String, Value> {
    if !matches!(fields.get(name), Some(Value::Object(_) | Value::Null)) {
        return Map::new();
    }
    match fields.remove(name) {
        Some(Value::Object(object)) => object,
        _ => Map::new(),
    }
}

/// Takes the packet identifier; null, the empty string and zero count as missing. Any other value that is not a packet
/// identifier stays in `fields`.
fn take_packet_id(fields: &mut Map<String, Value>) -> Option<NonZeroU16> {
    let id = match fields.get(PACKET_ID)? {
        Value::Null => 0,
        Value::String(text) if text.is_empty() => 0,
        Value::String(text) => text.parse().ok()?,
        Value::Number(number) => number.as_u64()?.try_into().ok()?,
        _ => return None,
    };
    fields.remove(PACKET_ID);
    NonZeroU16::new(id)
}

/// A string from the peer, with everything escaped that could break a line or hide what follows.
struct OneLine<'a>(&'a str);

impl fmt::Display for OneLine<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for character in self.0.chars() {
            match character {
                '"' | '\'' | '\\' => f.write_char(character)?,
                _ => write!(f, "{}", character.escape_debug())?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
