//! Error reports: the messages on a gateway's topic `/devices/{gateway}/errors`.

use core::fmt;

use bytes::Bytes;
use serde::{Serialize, Serializer};
use serde_json::{Value, json};

use super::settings::{ErrorPacketId, ErrorShape, Settings};

/// The bridge's error code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ErrorType {
    /// An attach was refused.
    GatewayAttachmentError,
    /// A message was for a device that is not attached.
    GatewayDeviceNotFound,
    /// A topic cannot be parsed, or does not contain a valid device id.
    GatewayInvalidMqttTopic,
    /// An acknowledgement does not match any packet.
    GatewayUnexpectedPacketId,
    /// A packet used QoS 2.
    GatewayUnexpectedMessageType,
    /// The bridge detached a device.
    GatewayDetachmentDeviceError,
    /// Any other error.
    Unknown,
}

/// An error report before it is serialized to JSON.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Report {
    pub(crate) error_type: ErrorType,
    pub(crate) device: String,
    pub(crate) description: String,
    /// The packet that caused it, if any.
    pub(crate) about: Option<AboutPacket>,
}

/// The packet that an error report is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct AboutPacket {
    pub(crate) message_type: &'static str,
    /// Empty if the packet has no topic.
    pub(crate) topic: String,
    /// 0 if the packet has no identifier.
    pub(crate) packet_id: u16,
}

impl ErrorType {
    /// Returns the code as a report contains it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::GatewayAttachmentError => "GATEWAY_ATTACHMENT_ERROR",
            Self::GatewayDeviceNotFound => "GATEWAY_DEVICE_NOT_FOUND",
            Self::GatewayInvalidMqttTopic => "GATEWAY_INVALID_MQTT_TOPIC",
            Self::GatewayUnexpectedPacketId => "GATEWAY_UNEXPECTED_PACKET_ID",
            Self::GatewayUnexpectedMessageType => "GATEWAY_UNEXPECTED_MESSAGE_TYPE",
            Self::GatewayDetachmentDeviceError => "GATEWAY_DETACHMENT_DEVICE_ERROR",
            Self::Unknown => "UNKNOWN",
        }
    }
}

impl fmt::Display for ErrorType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl Serialize for ErrorType {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

impl Report {
    /// Serializes the report. Documented: the names of the fields. Inferred, from captured reports of the bridge's
    /// predecessor: their nesting and order, and that a report without a packet omits the packet's fields.
    pub(crate) fn to_json(&self, settings: &Settings) -> Bytes {
        let mut report = format!(
            r#"{{"error_type":"{}","description":{},"device_id":{}"#,
            self.error_type,
            Value::from(self.description.as_str()),
            Value::from(self.device.as_str()),
        );
        if let Some(about) = &self.about {
            let packet_id = match settings.error_packet_id {
                ErrorPacketId::Number => json!(about.packet_id),
                ErrorPacketId::Text => json!(about.packet_id.to_string()),
            };
            let fields = format!(
                r#""message_type":"{}","topic":{},"packet_id":{packet_id}"#,
                about.message_type,
                Value::from(about.topic.as_str()),
            );
            report += &match settings.error_shape {
                ErrorShape::Nested => format!(r#","mqtt_message_info":{{{fields}}}"#),
                ErrorShape::Flat => format!(",{fields}"),
                ErrorShape::Absent => String::new(),
            };
        }
        report.push('}');
        Bytes::from(report)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn json(report: &Report, settings: Settings) -> String {
        String::from_utf8(report.to_json(&settings).to_vec()).unwrap()
    }

    #[test]
    fn a_report_about_no_packet_has_three_members() {
        let report = Report {
            error_type: ErrorType::GatewayDetachmentDeviceError,
            device: "dev".to_owned(),
            description: "Device detached because of a device error.".to_owned(),
            about: None,
        };
        assert_eq!(
            json(&report, Settings::default()),
            r#"{"error_type":"GATEWAY_DETACHMENT_DEVICE_ERROR","description":"Device detached because of a device error.","device_id":"dev"}"#
        );
    }

    #[test]
    fn the_packet_is_left_out() {
        let about = AboutPacket {
            message_type: "PUBLISH",
            topic: "/devices/dev/attach".to_owned(),
            packet_id: 10,
        };
        let report = Report {
            error_type: ErrorType::GatewayAttachmentError,
            device: "dev".to_owned(),
            description: String::new(),
            about: Some(about),
        };
        let settings = Settings {
            error_shape: ErrorShape::Absent,
            ..Settings::default()
        };
        assert_eq!(
            json(&report, settings),
            r#"{"error_type":"GATEWAY_ATTACHMENT_ERROR","description":"","device_id":"dev"}"#
        );
    }

    #[test]
    fn the_packet_is_nested_or_flat_and_its_id_a_number_or_text() {
        let report = Report {
            error_type: ErrorType::GatewayDeviceNotFound,
            device: "dev".to_owned(),
            description: "\"quoted\"".to_owned(),
            about: Some(AboutPacket {
                message_type: "PUBLISH",
                topic: "/devices/dev/state".to_owned(),
                packet_id: 10,
            }),
        };
        let mut settings = Settings::default();
        assert_eq!(
            json(&report, settings),
            r#"{"error_type":"GATEWAY_DEVICE_NOT_FOUND","description":"\"quoted\"","device_id":"dev","mqtt_message_info":{"message_type":"PUBLISH","topic":"/devices/dev/state","packet_id":10}}"#
        );
        settings.error_shape = ErrorShape::Flat;
        settings.error_packet_id = ErrorPacketId::Text;
        assert_eq!(
            json(&report, settings),
            r#"{"error_type":"GATEWAY_DEVICE_NOT_FOUND","description":"\"quoted\"","device_id":"dev","message_type":"PUBLISH","topic":"/devices/dev/state","packet_id":"10"}"#
        );
    }
}
