//! A sans-IO state machine for gateways.
#![forbid(unsafe_code)]
#![warn(missing_docs)]
#![cfg_attr(not(test), deny(clippy::unwrap_used, clippy::indexing_slicing))]

mod error_report;
mod id;
#[cfg(feature = "jwt")]
mod jwt;
pub mod quota;
mod time;
mod token;
#[cfg_attr(
    not(test),
    expect(
        dead_code,
        reason = "the gateway, which builds topics, is still to come"
    )
)]
mod topic;

pub use error_report::{ErrorReport, ErrorReportError, ErrorType, MqttMessageInfo, Retry};
pub use id::{ClientId, DeviceId, IdError, IdKind, IdProblem, Location, ProjectId, RegistryId};
#[cfg(feature = "jwt")]
pub use jwt::{Algorithm, AlgorithmError, KeyError, MintError, SigningKey};
pub use time::UnixTime;
pub use token::{Token, TokenError};
pub use topic::{Subfolder, SubfolderError, SubfolderProblem};
