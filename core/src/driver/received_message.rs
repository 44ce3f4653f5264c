//! Configs and commands as they arrive from the bridge.

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
