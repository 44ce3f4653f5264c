//! How the relay handles its input and output.

use std::{net::SocketAddr, path::PathBuf, sync::Arc};

use clap::ValueEnum;
use iotcore_gateway_tokio::{DeviceId, options::QueueLimit};

use super::drain_timeout::DrainTimeout;
use crate::{keys::Keys, operation::Publication};

/// When configs and commands are acknowledged to the bridge.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Acknowledge {
    /// Once their line has been written to standard output
    Taken,
    /// On the operation `acknowledge`
    Manual,
}

/// What to do with messages for which there is no room.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Overflow {
    /// Let them wait, and then leave them in the input
    Wait,
    /// Drop the oldest waiting telemetry event of the device for each
    DropOldest,
}

/// How the relay handles its input and output.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    /// The id of the gateway itself.
    pub(crate) gateway: DeviceId,
    pub(crate) acknowledge: Acknowledge,
    pub(crate) device_queue: DeviceQueue,
    /// The limit of all messages that have not ended at which the input is no longer read.
    pub(crate) total_queue: QueueLimit,
    pub(crate) overflow: Overflow,
    pub(crate) drain_timeout: DrainTimeout,
    pub(crate) has_store: bool,
    /// Where the metrics are served.
    pub(crate) metrics: Option<SocketAddr>,
    /// The file with the gateway's private key.
    pub(crate) key: PathBuf,
    pub(crate) keys: Arc<Keys>,
}

/// The limits of the messages of one device that the gateway holds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct DeviceQueue {
    /// At which an ordinary message waits.
    pub(crate) ordinary: QueueLimit,
    /// At which an urgent one waits.
    pub(crate) urgent: QueueLimit,
}

impl DeviceQueue {
    /// Returns the limit at which a message waits.
    pub(crate) fn of(self, publication: &Publication) -> QueueLimit {
        match publication.is_urgent() {
            true => self.urgent,
            false => self.ordinary,
        }
    }
}
