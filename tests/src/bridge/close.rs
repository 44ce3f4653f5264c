//! Reasons why a connection ends.

use core::error::Error;
use core::fmt;

use super::codec::Malformed;

/// The reason why a connection ended, and which side ended it.
///
/// MQTT 3.1.1 cannot convey the reason to the client, which only sees the end of the stream.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CloseReason {
    /// The client sent DISCONNECT.
    Disconnect,
    /// The transport ended without DISCONNECT.
    ConnectionLost,
    /// CONNECT was refused, with or without a CONNACK.
    Refused,
    /// The client sent something that is not MQTT.
    Malformed(Malformed),
    /// A packet arrived before CONNECT [MQTT-3.1.0-1].
    NotConnected {
        /// The packet's name in MQTT.
        packet: &'static str,
    },
    /// A second CONNECT arrived [MQTT-3.1.0-2].
    SecondConnect,
    /// No CONNECT arrived in time.
    ConnectTimeout,
    /// Nothing arrived for one and a half keep-alive intervals [MQTT-3.1.2-24].
    KeepAlive {
        /// The client's keep alive, in seconds.
        seconds: u16,
    },
    /// Nothing arrived for 20 minutes.
    Idle,
    /// The client's token expired ten minutes ago.
    TokenExpired,
    /// Another client connected with the same identifier.
    TakenOver,
    /// The device was blocked.
    Blocked,
    /// A PUBLISH to a topic that the bridge does not have, or to another device's topic.
    IllegalTopic {
        /// The topic.
        topic: String,
    },
    /// An attach or detach from a device that is not a gateway.
    NotGateway {
        /// The topic of the control message.
        topic: String,
    },
    /// A PUBLISH with QoS 2, or an acknowledgement of one.
    QosTwo {
        /// The packet's name in MQTT.
        packet: &'static str,
    },
    /// The payload exceeds its limit.
    Oversize {
        /// The topic.
        topic: String,
        /// The size, in bytes.
        length: usize,
        /// The maximum size, in bytes.
        limit: usize,
    },
    /// A device sent states less than a second apart.
    StateTooFast,
    /// The registry has no topic for telemetry.
    NoTelemetryTopic,
    /// A SUBSCRIBE that is not supported.
    ForbiddenSubscribe {
        /// The first topic filter that was refused.
        filter: String,
    },
    /// A PUBLISH with the retain flag.
    Retain,
    /// A gateway tried to attach itself.
    AttachSelf,
    /// A gateway tried to attach a gateway.
    NestedGateway {
        /// The other gateway.
        device: String,
    },
    /// The client does not read.
    NotReading {
        /// The number of bytes waiting for it.
        waiting: usize,
    },
    /// The client does not acknowledge.
    NotAcknowledging {
        /// How many messages wait for their PUBACK.
        count: usize,
    },
    /// The operator dropped the connection.
    Operator,
    /// An injected fault.
    Fault,
    /// The bridge is shut down.
    ShutDown,
}

impl CloseReason {
    /// Returns whether the bridge ended the connection, rather than the client or the network.
    #[must_use]
    pub fn is_by_bridge(&self) -> bool {
        !matches!(self, Self::Disconnect | Self::ConnectionLost)
    }
}

impl fmt::Display for CloseReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Disconnect => f.write_str("the client said DISCONNECT"),
            Self::ConnectionLost => f.write_str("the connection broke or was closed by the client"),
            Self::Refused => f.write_str("the connection was refused"),
            Self::Malformed(malformed) => write!(f, "the client sent {malformed}"),
            Self::NotConnected { packet } => write!(f, "{packet} arrived before CONNECT"),
            Self::SecondConnect => f.write_str("a second CONNECT"),
            Self::ConnectTimeout => f.write_str("no CONNECT arrived in time"),
            Self::KeepAlive { seconds } => write!(
                f,
                "nothing arrived for one and a half times the keep alive of {seconds} s"
            ),
            Self::Idle => f.write_str("nothing arrived for 20 minutes"),
            Self::TokenExpired => f.write_str("the authorization token expired"),
            Self::TakenOver => {
                f.write_str("there is another active connection with the same device ID")
            }
            Self::Blocked => f.write_str("the device was blocked"),
            Self::IllegalTopic { topic } => {
                write!(f, "PUBLISH to {topic:?}, not a topic of this client")
            }
            Self::NotGateway { topic } => {
                write!(
                    f,
                    "control message {topic:?} from a device that is no gateway"
                )
            }
            Self::QosTwo { packet } => write!(f, "{packet} of QoS 2, which is not supported"),
            Self::Oversize {
                topic,
                length,
                limit,
            } => write!(f, "{length} bytes to {topic:?}; the limit is {limit}"),
            Self::StateTooFast => f.write_str("device state can be updated only once every 1s"),
            Self::NoTelemetryTopic => f.write_str("the registry has no topic for telemetry"),
            Self::ForbiddenSubscribe { filter } => {
                write!(f, "SUBSCRIBE to {filter:?}, which is not supported")
            }
            Self::Retain => f.write_str("PUBLISH with the retain flag"),
            Self::AttachSelf => f.write_str("the gateway attached itself"),
            Self::NestedGateway { device } => {
                write!(f, "the gateway attached {device:?}, a gateway")
            }
            Self::NotReading { waiting } => {
                write!(
                    f,
                    "the client does not read; {waiting} bytes are waiting for it"
                )
            }
            Self::NotAcknowledging { count } => {
                write!(f, "{count} messages wait for the client's PUBACK")
            }
            Self::Operator => f.write_str("dropped by the operator"),
            Self::Fault => f.write_str("a fault that was asked for"),
            Self::ShutDown => f.write_str("the bridge is shut down"),
        }
    }
}

impl Error for CloseReason {}
