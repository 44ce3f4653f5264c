//! What happened at the bridge: a typed [`Event`], one readable line of it, and its JSON.

mod text;

use core::fmt;
use core::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};

use super::ConnectionId;
use super::close::CloseReason;
use super::errors::ErrorType;
use super::faults::Fault;

/// Something that happened. Displayed as one aligned line, without the time zone that only a clock
/// would know; serialised as one flat JSON object.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Event {
    /// When, counted from the start of the bridge; in JSON as seconds.
    #[serde(serialize_with = "as_seconds")]
    pub at: Duration,
    /// The connection that it happened on.
    pub connection: Option<ConnectionId>,
    /// The device or gateway that the connection belongs to, once CONNECT was accepted.
    pub client: Option<String>,
    /// What happened.
    #[serde(flatten)]
    pub kind: EventKind,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
#[non_exhaustive]
pub enum EventKind {
    /// A transport did not come up.
    TransportFailed {
        /// Why.
        reason: String,
    },
    /// A transport is up; CONNECT has not come yet.
    Accepted,
    /// CONNECT was accepted.
    Connected {
        /// Whether the client is a gateway.
        gateway: bool,
        /// Seconds; 0 turns the mechanism off.
        keep_alive: u16,
        /// How long the token is still valid, in seconds, without the skew.
        token_valid: i64,
    },
    /// CONNECT was refused.
    Refused {
        /// The client identifier, as it was sent.
        client_id: String,
        /// The CONNACK return code, unless the connection was closed without one.
        code: Option<u8>,
        /// Why.
        reason: String,
    },
    /// A device was attached, or an attached one attached again.
    Attached {
        /// The device.
        device: String,
        /// Whether it was attached before.
        again: bool,
    },
    /// A device is no longer attached.
    Detached {
        /// The device.
        device: String,
        /// Why.
        cause: DetachCause,
    },
    /// A filter of a SUBSCRIBE was answered.
    Subscribed {
        /// The topic filter.
        filter: String,
        /// The SUBACK return code: the QoS granted, or 0x80.
        code: u8,
    },
    /// A filter of an UNSUBSCRIBE was answered.
    Unsubscribed {
        /// The topic filter.
        filter: String,
    },
    /// A telemetry event was taken.
    Telemetry {
        /// The device that it is from.
        device: String,
        /// What followed `events/` in its topic.
        subfolder: Option<String>,
        /// 0 or 1.
        qos: u8,
        /// Whether the client marked it as a re-send.
        dup: bool,
        /// The payload.
        #[serde(flatten)]
        payload: Payload,
    },
    /// A state was taken.
    State {
        /// The device that it is from.
        device: String,
        /// 0 or 1.
        qos: u8,
        /// Whether the client marked it as a re-send.
        dup: bool,
        /// The payload.
        #[serde(flatten)]
        payload: Payload,
    },
    /// A PUBLISH was given up without an answer.
    Dropped {
        /// Its topic.
        topic: String,
        /// Why.
        reason: &'static str,
    },
    /// A config was sent.
    ConfigSent {
        /// The device that it is for.
        device: String,
        /// Its version; 1 is the empty one of a device never configured.
        version: u64,
        /// 0 or 1.
        qos: u8,
        /// Whether it was sent before, on the same connection and packet identifier.
        dup: bool,
        /// Its size, in bytes.
        length: usize,
    },
    /// A config was acknowledged: the cloud now counts the device as configured.
    ConfigAcknowledged {
        /// The device.
        device: String,
        /// The version.
        version: u64,
    },
    /// A command was sent.
    CommandSent {
        /// The device that it is for.
        device: String,
        /// Its subfolder.
        subfolder: Option<String>,
        /// 0 or 1.
        qos: u8,
        /// Whether it was sent before, on the same connection and packet identifier.
        dup: bool,
        /// Its size, in bytes.
        length: usize,
    },
    /// A command was acknowledged.
    CommandAcknowledged {
        /// The device.
        device: String,
        /// Its subfolder.
        subfolder: Option<String>,
    },
    /// Something failed for a gateway's device.
    ErrorReport {
        /// The code.
        error_type: ErrorType,
        /// The device.
        device: String,
        /// The bridge's words for it.
        description: String,
        /// Whether the gateway was told: it has subscribed to its errors, and no fault lost this.
        delivered: bool,
    },
    /// PINGREQ was answered.
    Ping,
    /// Something is to go wrong, now or from now on.
    FaultInjected {
        /// The fault.
        fault: Fault,
    },
    /// A fault has struck.
    FaultStruck {
        /// The fault, as it stood before.
        fault: Fault,
        /// What it struck, by MQTT's names.
        packet: String,
    },
    /// An answer that a fault withheld goes out.
    FaultReleased {
        /// The answer.
        packet: String,
    },
    /// The connection ended.
    Closed {
        /// Whether the bridge ended it.
        by_bridge: bool,
        /// Why.
        #[serde(serialize_with = "as_text")]
        reason: CloseReason,
    },
}

/// Why a device is no longer attached, while its gateway's connection lives on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum DetachCause {
    /// The gateway asked for it.
    Requested,
    /// It sent states less than a second apart.
    StateTooFast,
    /// Its own token expired ten minutes ago.
    TokenExpired,
    /// Another gateway attached it.
    AttachedElsewhere,
    /// It was unbound from the gateway.
    Unbound,
    /// It was blocked.
    Blocked,
    /// The operator detached it.
    Operator,
}

/// A message's payload: in JSON the member `payload` if it is text, else `payload_base64`.
#[derive(Clone, PartialEq, Eq)]
pub struct Payload(pub Bytes);

impl fmt::Debug for Payload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Payload({self})")
    }
}

impl Serialize for Payload {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(1))?;
        match core::str::from_utf8(&self.0) {
            Ok(text) => map.serialize_entry("payload", text)?,
            Err(_) => map.serialize_entry("payload_base64", &STANDARD.encode(&self.0))?,
        }
        map.end()
    }
}

fn as_seconds<S: Serializer>(at: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64(at.as_millis() as f64 / 1000.0)
}

fn as_text<T: fmt::Display, S: Serializer>(value: &T, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn telemetry(payload: &'static [u8]) -> Event {
        Event {
            at: Duration::from_millis(12_345),
            connection: Some(ConnectionId(7)),
            client: Some("my-gateway".to_owned()),
            kind: EventKind::Telemetry {
                device: "dev".to_owned(),
                subfolder: Some("a/b".to_owned()),
                qos: 1,
                dup: false,
                payload: Payload(Bytes::from_static(payload)),
            },
        }
    }

    #[test]
    fn an_event_is_one_aligned_line() {
        assert_eq!(
            telemetry(b"21.5\n").to_string(),
            "   12.345  #7   my-gateway       TELEMETRY    dev/a/b  QoS 1  5 bytes  \"21.5\\n\""
        );
        assert!(
            telemetry(&[0xFF; 30])
                .to_string()
                .ends_with(&format!("30 bytes  {}…", "ff".repeat(24)))
        );
    }

    #[test]
    fn an_event_stays_one_line_whatever_a_client_sends() {
        let evil = || "a\n\u{1b}[2J".to_owned();
        let device = || "dev".to_owned();
        for kind in [
            EventKind::Subscribed {
                filter: evil(),
                code: 0,
            },
            EventKind::Subscribed {
                filter: evil(),
                code: 0x80,
            },
            EventKind::Unsubscribed { filter: evil() },
            EventKind::Telemetry {
                device: device(),
                subfolder: Some(evil()),
                qos: 0,
                dup: false,
                payload: Payload(Bytes::from(evil())),
            },
            EventKind::Dropped {
                topic: evil(),
                reason: "",
            },
            EventKind::Refused {
                client_id: evil(),
                code: None,
                reason: String::new(),
            },
            EventKind::ErrorReport {
                error_type: ErrorType::Unknown,
                device: evil(),
                description: String::new(),
                delivered: true,
            },
            EventKind::Closed {
                by_bridge: true,
                reason: CloseReason::IllegalTopic { topic: evil() },
            },
        ] {
            let line = Event {
                kind,
                ..telemetry(b"")
            }
            .to_string();
            assert!(!line.contains(char::is_control), "{line:?}");
        }
    }

    #[test]
    fn an_event_is_one_flat_json_object() {
        let json = |event: &Event| serde_json::to_string(event).unwrap();
        assert_eq!(
            json(&telemetry(b"21.5")),
            r#"{"at":12.345,"connection":7,"client":"my-gateway","event":"telemetry","device":"dev","subfolder":"a/b","qos":1,"dup":false,"payload":"21.5"}"#
        );
        assert!(json(&telemetry(&[0xFF])).ends_with(r#""payload_base64":"/w=="}"#));
        let closed = Event {
            kind: EventKind::Closed {
                by_bridge: false,
                reason: CloseReason::Disconnect,
            },
            ..telemetry(b"")
        };
        assert!(json(&closed).ends_with(
            r#""event":"closed","by_bridge":false,"reason":"the client said DISCONNECT"}"#
        ));
    }
}
