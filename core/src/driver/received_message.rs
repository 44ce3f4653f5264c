//! Configs and commands as they arrive from the bridge.

use bytes::Bytes;

use crate::command::DeliveryId;

/// A config or command on its way from the gateway to its reader.
pub(crate) struct ReceivedMessage {
    pub(crate) kind: MessageKind,
    pub(crate) payload: Bytes,
    pub(crate) delivery: DeliveryId,
    /// Older configs that nobody took, to be acknowledged with this one.
    pub(crate) replaced: Vec<DeliveryId>,
}

impl ReceivedMessage {
    /// Returns the deliveries to acknowledge, oldest first.
    pub(crate) fn deliveries(&self) -> impl Iterator<Item = DeliveryId> {
        self.replaced.iter().copied().chain([self.delivery])
    }
}

/// Whether a message is a config or a command.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum MessageKind {
    /// The device's newest configuration.
    Config,
    /// A command, which the bridge does not store.
    Command {
        /// The part of its topic after `commands/`.
        subfolder: Option<String>,
    },
}
