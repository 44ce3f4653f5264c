//! The bridge's events: typed as [`Event`], as one readable line, and as JSON.

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

/// An event. Displayed as one aligned line, without a time zone; serialised as one flat JSON object.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Event {
    /// The time since the start of the bridge; in JSON as seconds.
    #[serde(serialize_with = "as_seconds")]
    pub at: Duration,
    /// The connection on which it happened.
    pub connection: Option<ConnectionId>,
    /// The device or gateway that the connection belongs to, once CONNECT was accepted.
    pub client: Option<String>,
    /// What happened.
    #[serde(flatten)]
    pub kind: EventKind,
}

/// The kinds of events.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
#[non_exhaustive]
pub enum EventKind {
    /// A transport could not be established.
    TransportFailed {
        /// The reason.
        reason: String,
    },
    /// A transport was established; CONNECT has not arrived yet.
    Accepted,
    /// CONNECT was accepted.
    Connected {
        /// Whether the client is a gateway.
        gateway: bool,
        /// Seconds; 0 disables the keep-alive.
        keep_alive: u16,
        /// The remaining lifetime of the token, in seconds, without the skew.
        token_valid: i64,
    },
    /// CONNECT was refused.
    Refused {
        /// The client identifier as sent.
        client_id: String,
        /// The CONNACK return code, unless the connection was closed without one.
        code: Option<u8>,
        /// The reason.
        reason: String,
    },
    /// A device was attached or re-attached.
    Attached {
        /// The device.
        device: String,
        /// Whether it was already attached.
        again: bool,
    },
    /// A device is no longer attached.
    Detached {
        /// The device.
        device: String,
        /// The cause.
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
    /// A telemetry event was received.
    Telemetry {
        /// The device that sent it.
        device: String,
        /// The part of its topic after `events/`.
        subfolder: Option<String>,
        /// 0 or 1.
        qos: u8,
        /// Whether the client marked it as a retransmission.
        dup: bool,
        /// The payload.
        #[serde(flatten)]
        payload: Payload,
    },
    /// A state was received.
    State {
        /// The device that sent it.
        device: String,
        /// 0 or 1.
        qos: u8,
        /// Whether the client marked it as a retransmission.
        dup: bool,
        /// The payload.
        #[serde(flatten)]
        payload: Payload,
    },
    /// A PUBLISH was dropped without an answer.
    Dropped {
        /// Its topic.
        topic: String,
        /// The reason.
        reason: &'static str,
    },
    /// A packet was dropped by the [service](super::service) and had no effect.
    Unserved {
        /// The packet, with MQTT's names.
        packet: String,
        /// The cause.
        cause: UnservedCause,
    },
    /// A config was sent.
    ConfigSent {
        /// The device that it is for.
        device: String,
        /// Its version; 1 is the empty config of a device that was never configured.
        version: u64,
        /// 0 or 1.
        qos: u8,
        /// Whether it is a retransmission on the same connection and with the same packet identifier.
        dup: bool,
        /// Its size, in bytes.
        length: usize,
    },
    /// A config was acknowledged: the cloud now considers the device configured.
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
        /// Whether it is a retransmission on the same connection and with the same packet identifier.
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
    /// An operation for a gateway's device failed.
    ErrorReport {
        /// The code.
        error_type: ErrorType,
        /// The device.
        device: String,
        /// The bridge's description.
        description: String,
        /// Whether the gateway was informed: it has subscribed to its errors, and no fault dropped the report.
        delivered: bool,
    },
    /// PINGREQ was answered.
    Ping,
    /// A fault was injected. It acts at once, or on what follows.
    FaultInjected {
        /// The fault.
        fault: Fault,
    },
    /// A fault took effect.
    FaultStruck {
        /// The fault, as it was before.
        fault: Fault,
        /// The packet that it affected, with MQTT's names.
        packet: String,
    },
    /// An answer that a fault withheld was sent.
    FaultReleased {
        /// The answer.
        packet: String,
    },
    /// The connection ended.
    Closed {
        /// Whether the bridge ended it.
        by_bridge: bool,
        /// The reason.
        #[serde(serialize_with = "as_text")]
        reason: CloseReason,
    },
}

/// The reason why a device is no longer attached, although its gateway is still connected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum DetachCause {
    /// The gateway requested it.
    Requested,
    /// It sent states less than a second apart.
    StateTooFast,
    /// The device's own token expired ten minutes ago.
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

/// The reason why a packet is never answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum UnservedCause {
    /// Its queue has no room.
    BufferFull,
    /// It is one of the share that is lost at random.
    Lost,
    /// Its device is ignored.
    Ignored,
}

/// A message's payload: in JSON the member `payload` if it is text, otherwise `payload_base64`.
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
