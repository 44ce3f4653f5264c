//! What the bridge answers at some rate is done in about the time that this rate and the link need, with hardly a packet
//! more.
#![forbid(unsafe_code)]

use core::time::Duration;

use iotcore_gateway::Options;
use iotcore_gateway_testkit::bridge::service::Service;
use iotcore_gateway_testkit::progress::{Progress, Workload, run};

mod attaching;
mod drops;
mod grid;
mod ignored;
mod least;
mod pace;
mod publishing;
mod slow_links;

const MILLI: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);

/// To the bridge and back, with the default network.
const ROUND_TRIP: Duration = Duration::from_millis(40);

/// Runs a workload with default options on a bridge that takes its time.
fn served(workload: &Workload, service: Service) -> Progress {
    run(workload, Options::default(), |link| {
        link.bridge.set_service(service, link.now());
    })
}

/// The packets that the bridge answers.
fn packets(progress: &Progress) -> u64 {
    progress.attaches + progress.subscribes + progress.publishes
}

/// Returns whether all was done on one connection, no operation failed, and nothing is left in the buffers but some
/// PUBACKs.
fn is_clean(progress: &Progress) -> bool {
    let is_done = progress.is_done && progress.connections == 1;
    is_done && progress.failures == 0 && progress.unsent < 64
}

/// Asserts that all was done in this time, with at most so many packets.
fn assert_done_within(progress: &Progress, limit: Duration, most_packets: u64) {
    let is_in_time = progress.elapsed <= limit && packets(progress) <= most_packets;
    assert!(
        is_clean(progress) && is_in_time,
        "more than {limit:?}, or {most_packets} packets: {progress:?}"
    );
}
