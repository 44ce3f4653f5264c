//! A sans-IO state machine for gateways.
#![forbid(unsafe_code)]
#![warn(missing_docs)]
#![cfg_attr(not(test), deny(clippy::unwrap_used, clippy::indexing_slicing))]

mod backoff;
mod command;
#[cfg(feature = "driver")]
pub mod driver;
mod error;
mod error_report;
mod event;
mod gateway;
mod id;
#[cfg(feature = "jwt")]
mod jwt;
mod mqtt;
mod options;
pub mod quota;
mod stats;
mod time;
mod timers;
mod token;
mod topic;

pub use command::{DeliveryId, DeviceKey, OpId, Publication, PublicationTopic, Subscription};
pub use error::{Certainty, CommandError, Failure, PublishError};
pub use error_report::{ErrorReport, ErrorReportError, ErrorType, MqttMessageInfo, Retry};
pub use event::{
    DetachCause, DisconnectReason, Disconnected, Event, Outcome, Refusal, TransportEnd,
};
pub use gateway::{DeviceState, Gateway, Unsent};
pub use id::{ClientId, DeviceId, IdError, IdKind, IdProblem, Location, ProjectId, RegistryId};
#[cfg(feature = "jwt")]
pub use jwt::{Algorithm, AlgorithmError, KeyError, MintError, SigningKey};
pub use mqtt::{PacketType, QoS, Violation};
pub use options::{Acknowledge, Backoff, Options, OptionsError, QueueLimit, Reconnect};
pub use stats::Stats;
pub use time::UnixTime;
pub use token::{Token, TokenError};
pub use topic::{Subfolder, SubfolderError, SubfolderProblem};
