//! The least time and the fewest packets that a bridge, the link and the windows allow.

use core::time::Duration;

use super::ROUND_TRIP;

/// The default window of each kind of packets.
const WINDOW: u32 = 100;

/// Returns the least time from the first of so many packets until the last answer, at a bridge that answers one after
/// the other: it works all the time, or each window takes a round trip.
fn stage(count: u32, each: Duration) -> Duration {
    let (windows, rest) = match count {
        0 => return Duration::ZERO,
        count => ((count - 1) / WINDOW, (count - 1) % WINDOW + 1),
    };
    let by_work = each * count;
    let by_windows = (ROUND_TRIP + each) * windows + each * rest;
    ROUND_TRIP + by_work.max(by_windows)
}

/// Returns the least time for attaches, each followed by two subscriptions if they take any time, from the dial on.
pub(super) fn attaching(
    devices: u32,
    attach: Duration,
    subscribe: Option<Duration>,
    is_one_queue: bool,
) -> Duration {
    let connack = ROUND_TRIP;
    let attached = stage(devices, attach);
    let Some(subscribe) = subscribe else {
        return connack + attached;
    };
    let after_last_attach = attached + ROUND_TRIP + subscribe * 2;
    let after_first_attach = ROUND_TRIP + attach + stage(devices * 2, subscribe);
    // The errors topic is subscribed too.
    let work = ROUND_TRIP + attach * devices + subscribe * (devices * 2 + 1);
    let work = if is_one_queue { work } else { Duration::ZERO };
    connack + after_last_attach.max(after_first_attach).max(work)
}

/// Returns the least time for so many publications of the gateway itself, from the dial on.
pub(super) fn publishing(count: u32, each: Duration) -> Duration {
    ROUND_TRIP + stage(count, each)
}

/// Returns the least time in which a link carries these bytes to the bridge and the last answer returns, from the dial
/// on. CONNECT and the errors topic come on top.
pub(super) fn carrying(bytes: usize, bytes_per_second: u32) -> Duration {
    let carried = Duration::from_secs_f64(bytes as f64 / f64::from(bytes_per_second));
    ROUND_TRIP + carried + ROUND_TRIP
}

/// Returns the length of a PUBLISH at QoS 1.
pub(super) fn publish_length(topic: &str, payload: usize) -> usize {
    let remaining = 2 + topic.len() + 2 + payload;
    let length_bytes = match remaining {
        0..128 => 1,
        128..16_384 => 2,
        _ => 3,
    };
    1 + length_bytes + remaining
}

/// Returns the length of a short SUBSCRIBE.
pub(super) fn subscribe_length(filter: &str) -> usize {
    2 + 2 + 2 + filter.len() + 1
}
