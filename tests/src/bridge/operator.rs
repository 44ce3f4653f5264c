//! The operator's interface: the part of the service that is not MQTT.

use core::error::Error;
use core::fmt;
use std::time::Instant;

use bytes::Bytes;

use super::close::CloseReason;
use super::connection::{Client, Handled, Message};
use super::event::DetachCause;
use super::quotas::{MAX_EVENT, MAX_STATE, MAX_SUBFOLDER};
use super::registry::RegistryError;
use super::topic::SubscriptionKind;
use super::wire::Context;
use super::{Bridge, ConnectionId};

/// The reason why an operator's request failed. Nothing has changed.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum OperatorError {
    /// The registry has no device with that name.
    UnknownDevice {
        /// The name.
        device: String,
    },
    /// The device is neither connected nor attached (FAILED_PRECONDITION).
    NotConnected {
        /// The device.
        device: String,
    },
    /// The device is connected, but its commands are not subscribed to (FAILED_PRECONDITION).
    NotSubscribed {
        /// The device.
        device: String,
    },
    /// The device is not attached to any gateway.
    NotAttached {
        /// The device.
        device: String,
    },
    /// An injected service cannot be limited to one client.
    ServiceOfOne {
        /// The client.
        device: String,
    },
    /// Too many commands wait for the client's PUBACK (RESOURCE_EXHAUSTED).
    Backlog {
        /// The device.
        device: String,
    },
    /// The payload exceeds its limit.
    TooLarge {
        /// Its size, in bytes.
        length: usize,
        /// The maximum size, in bytes.
        limit: usize,
    },
    /// The subfolder is empty, contains `+`, `#` or U+0000, or has more than 256 characters.
    Subfolder {
        /// The subfolder.
        subfolder: String,
    },
    /// The registry rejected the change.
    Registry(RegistryError),
}

impl Bridge {
    /// Sets a device's config and returns its version. Subscribed connections receive it at once, others when they
    /// subscribe.
    ///
    /// # Errors
    /// An unknown device, or more than 64 KiB.
    pub fn send_config(
        &mut self,
        device: &str,
        payload: impl Into<Bytes>,
        now: Instant,
    ) -> Result<u64, OperatorError> {
        let payload = payload.into();
        self.check_device(device)?;
        check_size(payload.len(), MAX_STATE)?;
        let record = self.world.record(device);
        record.config = payload;
        record.config_version += 1;
        let version = record.config_version;
        self.serve_all(now, |client, cx| client.deliver_config(device, cx));
        Ok(version)
    }

    /// Sends a command to a device, on each connection that has subscribed to its commands.
    ///
    /// # Errors
    /// An unknown device, one that is not connected or not subscribed (commands are never stored),
    /// more than 256 KiB, an illegal subfolder, or a client that acknowledges nothing.
    pub fn send_command(
        &mut self,
        device: &str,
        subfolder: Option<&str>,
        payload: impl Into<Bytes>,
        now: Instant,
    ) -> Result<(), OperatorError> {
        let payload = payload.into();
        self.check_device(device)?;
        check_size(payload.len(), MAX_EVENT)?;
        check_subfolder(subfolder)?;
        self.check_listening(device)?;
        self.serve_all(now, |client, cx| {
            match client.subscribed(device, SubscriptionKind::Commands) {
                None => Ok(()),
                Some(qos) => {
                    let message = Message::Command {
                        device: device.to_owned(),
                        subfolder: subfolder.map(str::to_owned),
                        payload: payload.clone(),
                    };
                    client.deliver(message, qos, cx)
                }
            }
        });
        Ok(())
    }

    /// Detaches a device from its gateway with `GATEWAY_DETACHMENT_DEVICE_ERROR`.
    ///
    /// # Errors
    /// An unknown device, or one that is not attached.
    pub fn detach_with_error(&mut self, device: &str, now: Instant) -> Result<(), OperatorError> {
        self.check_device(device)?;
        match self.detach_everywhere(device, DetachCause::Operator, now) {
            true => Ok(()),
            false => Err(OperatorError::NotAttached {
                device: device.to_owned(),
            }),
        }
    }

    /// Ends the connection that a device or gateway has made itself.
    ///
    /// # Errors
    /// An unknown device, or one that has not connected.
    pub fn drop_connection(&mut self, client: &str, now: Instant) -> Result<(), OperatorError> {
        self.check_device(client)?;
        match self.close_client(client, CloseReason::Operator, now) {
            true => Ok(()),
            false => Err(OperatorError::NotConnected {
                device: client.to_owned(),
            }),
        }
    }

    /// Blocks or unblocks a device.
    ///
    /// Assumed: blocking ends its connection and detaches it with an error report.
    ///
    /// # Errors
    /// An unknown device.
    pub fn set_blocked(
        &mut self,
        device: &str,
        blocked: bool,
        now: Instant,
    ) -> Result<(), OperatorError> {
        self.world.registry.set_blocked(device, blocked)?;
        if blocked {
            self.close_client(device, CloseReason::Blocked, now);
            self.detach_everywhere(device, DetachCause::Blocked, now);
        }
        Ok(())
    }

    /// Replaces a device's public keys, at most three in PEM. Existing connections stay open.
    ///
    /// # Errors
    /// An unknown device, too many keys, or one that cannot be used.
    pub fn set_public_keys(&mut self, device: &str, keys: &[&str]) -> Result<(), OperatorError> {
        Ok(self.world.registry.set_public_keys(device, keys)?)
    }

    /// Binds a device to a gateway.
    ///
    /// # Errors
    /// See [`Registry::bind`](super::registry::Registry::bind).
    pub fn bind(&mut self, gateway: &str, device: &str) -> Result<(), OperatorError> {
        Ok(self.world.registry.bind(gateway, device)?)
    }

    /// Unbinds a device from a gateway.
    ///
    /// Assumed: a device that is attached to the gateway is detached with an error report.
    ///
    /// # Errors
    /// An unknown device or gateway, or a gateway in place of a device, which is never bound.
    pub fn unbind(
        &mut self,
        gateway: &str,
        device: &str,
        now: Instant,
    ) -> Result<(), OperatorError> {
        self.world.registry.unbind(gateway, device)?;
        let connection = self.world.connected.get(gateway).copied();
        let attached = self
            .client(gateway)
            .is_some_and(|client| client.speaks_for(device));
        if let (Some(connection), true) = (connection, attached) {
            self.detach_on(connection, device, DetachCause::Unbound, now);
        }
        Ok(())
    }

    /// Checks that a command can reach a device. Commands are sent to connections that have subscribed to them.
    fn check_listening(&self, device: &str) -> Result<(), OperatorError> {
        let clients = || {
            self.connections
                .values()
                .filter_map(super::BridgeConnection::client)
        };
        let commands = SubscriptionKind::Commands;
        let listens = |client: &&Client| client.subscribed(device, commands).is_some();
        let device = device.to_owned();
        if !clients().any(|client| client.speaks_for(&device)) {
            return Err(OperatorError::NotConnected { device });
        }
        if !clients().any(|client| listens(&client)) {
            return Err(OperatorError::NotSubscribed { device });
        }
        match clients().filter(listens).all(Client::has_room_for_command) {
            true => Ok(()),
            false => Err(OperatorError::Backlog { device }),
        }
    }

    pub(super) fn check_device(&self, device: &str) -> Result<(), OperatorError> {
        match self.world.registry.find(device) {
            Some(_) => Ok(()),
            None => Err(OperatorError::UnknownDevice {
                device: device.to_owned(),
            }),
        }
    }

    pub(super) fn serve_all(
        &mut self,
        now: Instant,
        mut act: impl FnMut(&mut Client, &mut Context<'_>) -> Handled,
    ) {
        let now = self.world.advance_to(now);
        for connection in self.connections.values_mut() {
            connection.serve(&mut self.world, now, &mut act);
        }
    }

    fn close_client(&mut self, client: &str, reason: CloseReason, now: Instant) -> bool {
        self.world.advance_to(now);
        let id = self.world.connected.get(client);
        match id.and_then(|id| self.connections.get_mut(id)) {
            Some(connection) => {
                connection.end(reason, &mut self.world);
                true
            }
            None => false,
        }
    }

    fn detach_everywhere(&mut self, device: &str, cause: DetachCause, now: Instant) -> bool {
        let connections = self.world.attached.get(device).cloned().unwrap_or_default();
        for connection in &connections {
            self.detach_on(*connection, device, cause, now);
        }
        !connections.is_empty()
    }

    fn detach_on(&mut self, id: ConnectionId, device: &str, cause: DetachCause, now: Instant) {
        let now = self.world.advance_to(now);
        if let Some(connection) = self.connections.get_mut(&id) {
            connection.serve(&mut self.world, now, |client, cx| {
                client.lose(device, cause, cx);
                Ok(())
            });
        }
    }
}

fn check_size(length: usize, limit: usize) -> Result<(), OperatorError> {
    match length <= limit {
        true => Ok(()),
        false => Err(OperatorError::TooLarge { length, limit }),
    }
}

/// Checks a subfolder. Documented: at most 256 characters, without `+`, `#` and U+0000.
fn check_subfolder(subfolder: Option<&str>) -> Result<(), OperatorError> {
    let legal = |subfolder: &str| {
        !subfolder.is_empty()
            && !subfolder.contains(['+', '#', '\0'])
            && subfolder.chars().count() <= MAX_SUBFOLDER
    };
    match subfolder {
        Some(subfolder) if !legal(subfolder) => Err(OperatorError::Subfolder {
            subfolder: subfolder.to_owned(),
        }),
        _ => Ok(()),
    }
}

impl From<RegistryError> for OperatorError {
    fn from(error: RegistryError) -> Self {
        match error {
            RegistryError::Unknown { id } => Self::UnknownDevice { device: id },
            other => Self::Registry(other),
        }
    }
}

impl fmt::Display for OperatorError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnknownDevice { device } => write!(f, "the registry has no device {device:?}"),
            Self::NotConnected { device } => {
                write!(
                    f,
                    "device {device:?} is not connected (FAILED_PRECONDITION)"
                )
            }
            Self::NotSubscribed { device } => write!(
                f,
                "device {device:?} has not subscribed to /devices/{device}/commands/# \
                 (FAILED_PRECONDITION)"
            ),
            Self::NotAttached { device } => write!(f, "device {device:?} is not attached"),
            Self::ServiceOfOne { device } => write!(
                f,
                "a service is that of all clients, and cannot be limited to {device:?}"
            ),
            Self::Backlog { device } => write!(
                f,
                "too many commands wait for the PUBACK of device {device:?} (RESOURCE_EXHAUSTED)"
            ),
            Self::TooLarge { length, limit } => {
                write!(f, "{length} bytes; the limit is {limit} bytes")
            }
            Self::Subfolder { subfolder } => write!(
                f,
                "subfolder {subfolder:?}: 1 to {MAX_SUBFOLDER} characters without '+', '#' and \
                 U+0000 are allowed"
            ),
            Self::Registry(error) => error.fmt(f),
        }
    }
}

impl Error for OperatorError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Registry(error) => Some(error),
            _ => None,
        }
    }
}
