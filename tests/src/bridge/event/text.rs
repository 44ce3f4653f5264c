//! Formats events for people. Text that comes from a client is escaped, so that an event always stays one line.

use core::fmt;

use super::{DetachCause, Event, EventKind, Payload, UnservedCause};

impl EventKind {
    fn name(&self) -> &'static str {
        match self {
            Self::TransportFailed { .. } => "FAILED",
            Self::Accepted => "ACCEPTED",
            Self::Connected { .. } => "CONNECTED",
            Self::Refused { .. } => "REFUSED",
            Self::Attached { .. } => "ATTACHED",
            Self::Detached { .. } => "DETACHED",
            Self::Subscribed { .. } => "SUBSCRIBED",
            Self::Unsubscribed { .. } => "UNSUBSCRIBED",
            Self::Telemetry { .. } => "TELEMETRY",
            Self::State { .. } => "STATE",
            Self::Dropped { .. } => "DROPPED",
            Self::Unserved { .. } => "UNSERVED",
            Self::ConfigSent { .. } => "CONFIG SENT",
            Self::ConfigAcknowledged { .. } => "CONFIG ACK",
            Self::CommandSent { .. } => "COMMAND SENT",
            Self::CommandAcknowledged { .. } => "COMMAND ACK",
            Self::ErrorReport { .. } => "ERROR",
            Self::Ping => "PING",
            Self::FaultInjected { .. } => "FAULT SET",
            Self::FaultStruck { .. } => "FAULT",
            Self::FaultReleased { .. } => "FAULT END",
            Self::Closed { .. } => "CLOSED",
        }
    }
}

/// Columns: seconds, connection, client, kind, details.
impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let connection = self.connection.map(|id| id.to_string()).unwrap_or_default();
        let client = self.client.as_deref().unwrap_or("-");
        let line = format!(
            "{:>9.3}  {connection:<4} {client:<16} {}",
            self.at.as_secs_f64(),
            self.kind,
        );
        f.write_str(line.trim_end())
    }
}

/// Columns: kind, details.
impl fmt::Display for EventKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:<12} {}", self.name(), Detail(self))
    }
}

impl fmt::Display for DetachCause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Requested => "the gateway asked for it",
            Self::StateTooFast => "states less than a second apart",
            Self::TokenExpired => "its token expired",
            Self::AttachedElsewhere => "another gateway attached it",
            Self::Unbound => "it was unbound from the gateway",
            Self::Blocked => "it was blocked",
            Self::Operator => "by the operator",
        })
    }
}

impl fmt::Display for UnservedCause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::BufferFull => "the buffer is full",
            Self::Lost => "lost at random",
            Self::Ignored => "the device is ignored",
        })
    }
}

/// At most 60 characters of text, or the first bytes in hexadecimal; always the length.
impl fmt::Display for Payload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes", self.0.len())?;
        match core::str::from_utf8(&self.0) {
            Ok("") => Ok(()),
            Ok(text) => {
                let shown: String = text.chars().take(60).collect();
                let more = if shown.len() < text.len() { "…" } else { "" };
                write!(f, "  {shown:?}{more}")
            }
            Err(_) => {
                f.write_str("  ")?;
                let shown = self.0.iter().take(24);
                shown.clone().try_for_each(|byte| write!(f, "{byte:02x}"))?;
                f.write_str(if self.0.len() > 24 { "…" } else { "" })
            }
        }
    }
}

/// The details of an event beyond its name.
struct Detail<'a>(&'a EventKind);

impl fmt::Display for Detail<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            EventKind::Accepted | EventKind::Ping => Ok(()),
            EventKind::TransportFailed { reason } => f.write_str(reason),
            EventKind::Connected {
                gateway,
                keep_alive,
                token_valid,
            } => {
                let role = if *gateway { "gateway" } else { "device" };
                write!(
                    f,
                    "as {role}, keep alive {keep_alive} s, token valid for {token_valid} s"
                )
            }
            EventKind::Refused {
                client_id,
                code,
                reason,
            } => match code {
                Some(code) => write!(f, "CONNACK {code} for {client_id:?}: {reason}"),
                None => write!(f, "no CONNACK for {client_id:?}: {reason}"),
            },
            EventKind::Attached { device, again } => {
                write!(
                    f,
                    "{device}{}",
                    if *again { " (it was already)" } else { "" }
                )
            }
            EventKind::Detached { device, cause } => write!(f, "{device}: {cause}"),
            EventKind::Subscribed { filter, code: 0x80 } => {
                write!(f, "{}  refused (0x80)", filter.escape_debug())
            }
            EventKind::Subscribed { filter, code } => {
                write!(f, "{}  QoS {code}", filter.escape_debug())
            }
            EventKind::Unsubscribed { filter } => filter.escape_debug().fmt(f),
            EventKind::Telemetry {
                device,
                subfolder,
                qos,
                dup,
                payload,
            } => {
                write!(
                    f,
                    "{}  QoS {qos}{}  {payload}",
                    Path(device, subfolder),
                    Dup(*dup)
                )
            }
            EventKind::State {
                device,
                qos,
                dup,
                payload,
            } => write!(f, "{device}  QoS {qos}{}  {payload}", Dup(*dup)),
            EventKind::Dropped { topic, reason } => write!(f, "{}: {reason}", topic.escape_debug()),
            EventKind::Unserved { packet, cause } => write!(f, "{packet}: {cause}"),
            EventKind::ConfigSent {
                device,
                version,
                qos,
                dup,
                length,
            } => {
                write!(
                    f,
                    "{device}  version {version}  QoS {qos}{}  {length} bytes",
                    Dup(*dup)
                )
            }
            EventKind::ConfigAcknowledged { device, version } => {
                write!(f, "{device}  version {version}")
            }
            EventKind::CommandSent {
                device,
                subfolder,
                qos,
                dup,
                length,
            } => {
                let path = Path(device, subfolder);
                write!(f, "{path}  QoS {qos}{}  {length} bytes", Dup(*dup))
            }
            EventKind::CommandAcknowledged { device, subfolder } => {
                write!(f, "{}", Path(device, subfolder))
            }
            EventKind::ErrorReport {
                error_type,
                device,
                description,
                delivered,
            } => {
                let unheard = if *delivered { "" } else { "  (not delivered)" };
                let device = device.escape_debug();
                write!(f, "{device}  {error_type}: {description}{unheard}")
            }
            EventKind::FaultInjected { fault } => fault.fmt(f),
            EventKind::FaultStruck { fault, packet } => write!(f, "{packet}: {fault}"),
            EventKind::FaultReleased { packet } => write!(f, "{packet} is sent"),
            EventKind::Closed { by_bridge, reason } => {
                let who = if *by_bridge {
                    "by the bridge"
                } else {
                    "by the client"
                };
                write!(f, "{who}: {reason}")
            }
        }
    }
}

/// A device, with an optional subfolder, as one word.
struct Path<'a>(&'a str, &'a Option<String>);

impl fmt::Display for Path<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.1 {
            Some(subfolder) => write!(f, "{}/{}", self.0, subfolder.escape_debug()),
            None => f.write_str(self.0),
        }
    }
}

struct Dup(bool);

impl fmt::Display for Dup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0 { " DUP" } else { "" })
    }
}
