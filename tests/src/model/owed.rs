//! What earlier faults still cost a gateway after they are over: the longest time until it works at full speed again.

use core::time::Duration;

use iotcore_gateway::Options;

/// What a deadline adds for bytes that may be hidden in buffers: 320 KiB at 2,000 bytes a second.
const HIDDEN_BYTES: Duration = Duration::from_secs(164);

/// The number of attempts after which the user of a refused device gives up, and two more: the one under way, and the
/// one whose answer is lost with a connection.
const ATTEMPTS: u32 = 8;

/// Returns the longest time for which a gateway may still wait because of faults that are over.
///
/// One after the other, at worst:
/// 1. The connection is dead, and the gateway has yet to notice: PINGREQ is sent after one keep alive, and overdue after
///    its timeout and the allowance for hidden bytes.
/// 2. The next attempt follows after the longest backoff. It may have begun before, with a peer that is silent: then
///    CONNACK is overdue first, and another backoff follows.
/// 3. An attach whose answer was lost is overdue after its timeout and the allowance, and tried again with backoff; so
///    is one that the bridge refuses, until the user gives up.
/// 4. A publication whose answer was lost is overdue after the longest acknowledgement timeout and the allowance; so is
///    a detach or a subscription, after the first timeout.
/// 5. A detach or a token refresh waits for the answers that are pending.
pub(crate) fn owed(options: &Options) -> Duration {
    let ping_timeout = options.keep_alive.min(options.connack_timeout);
    let noticed = options.keep_alive + ping_timeout + HIDDEN_BYTES;
    let connected = (options.backoff.max + options.connack_timeout) * 2;
    let attached = options.attach_timeout + HIDDEN_BYTES + options.backoff.max * ATTEMPTS;
    let answered = options.max_ack_timeout + HIDDEN_BYTES + options.ack_timeout + HIDDEN_BYTES;
    noticed + connected + attached + answered + options.drain_timeout * 2
}
