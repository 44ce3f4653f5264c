//! The bridge's limits, as the service documents them.
//!
//! The documentation does not define a kilobyte. Sizes here use 1,024 bytes where that is the established meaning;
//! otherwise they use the smaller one, because it is mostly undocumented what the bridge does above a limit.

use core::num::NonZeroU32;

use crate::time::Duration;

/// Limits on what the gateway sends and how fast, so that the bridge has no reason to detach a device or to end the
/// connection.
///
/// What exceeds a size or a number is refused at once. What exceeds a rate waits, and is never dropped because of it;
/// [`Stats`](crate::Stats) counts how often and how long. The limits outlive connections and include retransmissions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Quota {
    /// Devices attached or to be attached, not counting the gateway, 1 to 1,000 (default 1,000).
    pub max_devices: usize,
    /// The largest payload of a telemetry event, in bytes (default 262,144).
    pub max_telemetry_bytes: usize,
    /// The largest payload of a state, in bytes (default 65,536).
    pub max_state_bytes: usize,
    /// Minimum time between two states of a device, or zero (default 1.25 s: the bridge accepts one per second, and
    /// states sent further apart may arrive closer together).
    pub state_interval: Duration,
    /// Bytes of payload per second, for each device (default 512,000). An idle device may send a quarter of a second's
    /// bytes at once, or one message if that is larger.
    pub device_bytes_per_second: Option<NonZeroU32>,
    /// Packets per second that attach, detach, subscribe or publish, for all devices together, sent again or not (default:
    /// no limit; an earlier service of this kind accepted 100). The kinds take turns. An idle connection may send a fifth
    /// of a second's packets and one more at once.
    pub messages_per_second: Option<NonZeroU32>,
}

impl Default for Quota {
    fn default() -> Self {
        Self {
            max_devices: MAX_ATTACHED_DEVICES,
            max_telemetry_bytes: MAX_TELEMETRY_BYTES,
            max_state_bytes: MAX_STATE_BYTES,
            state_interval: Duration::from_millis(1_250),
            device_bytes_per_second: NonZeroU32::new(MAX_DEVICE_BYTES_PER_SECOND),
            messages_per_second: None,
        }
    }
}

impl Quota {
    /// Disables all rate limits: for brokers other than the bridge.
    #[must_use]
    pub fn unpaced() -> Self {
        Self {
            state_interval: Duration::ZERO,
            device_bytes_per_second: None,
            messages_per_second: None,
            ..Self::default()
        }
    }
}

/// Largest payload of a telemetry event, in bytes (256 KiB; quotas of the service).
pub const MAX_TELEMETRY_BYTES: usize = 256 * 1024;

/// Largest payload of a command to a device, in bytes (256 KiB; quotas of the service).
pub const MAX_COMMAND_BYTES: usize = 256 * 1024;

/// Largest state of a device, in bytes (64 KiB; quotas of the service).
pub const MAX_STATE_BYTES: usize = 64 * 1024;

/// Largest config of a device, in bytes (64 KiB; quotas of the service).
pub const MAX_CONFIG_BYTES: usize = 64 * 1024;

/// Longest subfolder of a telemetry event or a command, in characters (the service's API
/// reference states it for commands).
pub const MAX_SUBFOLDER_CHARS: usize = 256;

/// Maximum number of devices attached to one gateway at a time (quotas of the service).
pub const MAX_ATTACHED_DEVICES: usize = 1_000;

/// Minimum time between two states of one device (quotas of the service). An attached device that is faster is
/// detached; a gateway that is faster with its own state loses its connection (both observed in the field).
pub const MIN_STATE_INTERVAL: Duration = Duration::from_secs(1);

/// Throughput of one device in each direction, in bytes per second (512 KB; quotas of the service).
pub const MAX_DEVICE_BYTES_PER_SECOND: u32 = 512_000;

/// The bridge closes a connection on which the client was silent for this long, whatever its keep alive (documentation
/// of the MQTT bridge); a keep alive must be shorter.
pub const IDLE_LIMIT: Duration = Duration::from_secs(20 * 60);

/// Maximum time between a token's `iat` and its `exp` (the service's rules for tokens).
pub const MAX_TOKEN_LIFETIME: Duration = Duration::from_secs(24 * 60 * 60);

/// How far a token's times may differ from the bridge's clock, either way (the service's rules for tokens). The bridge
/// ends a live connection only this long after its token has expired.
pub const CLOCK_SKEW: Duration = Duration::from_secs(10 * 60);
