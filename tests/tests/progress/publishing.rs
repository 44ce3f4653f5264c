//! Publications at a slow bridge.

use iotcore_gateway_testkit::bridge::service::Service;
use iotcore_gateway_testkit::progress::Workload;

use super::{MILLI, SECOND, assert_done_within, served};

#[test]
fn four_workers_with_two_seconds_for_each_publication_are_kept_busy() {
    let bridge = Service::one_queue().workers(4).publish(2 * SECOND);
    let progress = served(&Workload::publish(1_000, 64), bridge);
    assert_done_within(&progress, 500 * SECOND * 6 / 5, 1_050);
}

#[test]
fn a_thousand_publications_at_two_a_second_take_about_five_hundred_seconds_and_hardly_a_packet_twice()
 {
    let bridge = Service::one_queue().publish(500 * MILLI);
    let progress = served(&Workload::publish(1_000, 64), bridge);
    assert_done_within(&progress, 505 * SECOND, 1_050);
    assert!(progress.elapsed >= 500 * SECOND);
}
