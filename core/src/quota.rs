//! The bridge's limits, as the service documents them.
//!
//! What a kilobyte is, the documentation leaves open. Where 1,024 bytes are the established
//! reading, sizes here use it; where nothing settles it, the smaller reading stands, because what
//! the bridge does above a limit is mostly undocumented.

use crate::time::Duration;

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

/// Most devices that may be attached to one gateway at a time (quotas of the service).
pub const MAX_ATTACHED_DEVICES: usize = 1_000;

/// Shortest time between two states of one device (quotas of the service). An attached device that
/// is faster gets detached; a gateway that is faster with its own state loses its connection (both
/// seen in the field).
pub const MIN_STATE_INTERVAL: Duration = Duration::from_secs(1);

/// Throughput of one device in each direction, in bytes a second (512 KB; quotas of the service).
pub const MAX_DEVICE_BYTES_PER_SECOND: usize = 512_000;

/// The bridge closes a connection on which the client was silent for so long, whatever its keep
/// alive (documentation of the MQTT bridge); a keep alive must stay below it.
pub const IDLE_LIMIT: Duration = Duration::from_secs(20 * 60);

/// Longest time between a token's `iat` and its `exp` (the service's rules for tokens).
pub const MAX_TOKEN_LIFETIME: Duration = Duration::from_secs(24 * 60 * 60);

/// How far a token's times may be off the bridge's clock, either way (the service's rules for
/// tokens). An expired token ends a live connection only after this time on top.
pub const CLOCK_SKEW: Duration = Duration::from_secs(10 * 60);
