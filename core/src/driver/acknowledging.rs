//! When the driver acknowledges configs and commands.

/// When a config or command is acknowledged to the bridge. The acknowledgement tells the cloud that the device has it.
///
/// Acknowledgements keep the order of the messages [MQTT-4.6.0-2] in both modes, so a missing one holds back those of
/// all devices, and at `max_unacknowledged` of them the driver stops reading from the bridge.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Acknowledging {
    /// When it is taken from [`Messages`](crate::driver::Messages), the default. While nobody reads a device's
    /// messages, its newest config and up to 16 messages in all are acknowledged on arrival, and kept.
    #[default]
    WhenTaken,
    /// When [`Message::acknowledge`](crate::driver::Message::acknowledge) is called.
    Manual,
}
