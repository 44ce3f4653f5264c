//! Devices that the bridge never answers.

use core::time::Duration;

use iotcore_gateway::{Options, device::DeviceState};
use iotcore_gateway_testkit::bridge::faults::PacketKind;
use iotcore_gateway_testkit::bridge::service::Service;
use iotcore_gateway_testkit::link::{Link, device_id};
use iotcore_gateway_testkit::progress::Workload;

use super::{MILLI, ROUND_TRIP, SECOND, assert_done_within, attaching::attach, served};

const HOUR: Duration = Duration::from_secs(3_600);

#[test]
fn a_hundred_devices_that_the_bridge_ignores_hardly_delay_nine_hundred_good_ones() {
    let workload = Workload::attach(1_000).ignored(1..=100);
    let bridge = Service::one_queue()
        .attach(100 * MILLI)
        .ignoring((1..=100).map(device_id));
    let progress = served(&workload, bridge);
    assert_done_within(&progress, 90 * SECOND * 3 / 2, 1_100);
}

#[test]
fn a_new_device_is_attached_at_once_after_four_hours_with_one_that_the_bridge_ignores() {
    let mut link = Link::with_devices(Options::default(), 2);
    link.set_token_lifetime(24 * HOUR);
    let now = link.now();
    let bridge = Service::one_queue().ignoring([device_id(1)]);
    link.bridge.set_service(bridge, now);
    link.gateway.open(now).unwrap();
    let (ignored, _) = attach(&mut link, 1);
    link.run(4 * HOUR);
    let traffic = link.bridge.traffic();
    let asked = traffic.received(PacketKind::Attach);
    assert!((200..300).contains(&asked), "{asked}");
    let again = traffic.received_again(PacketKind::Attach);
    assert_eq!(again, asked - 1, "with the same identifier");
    let (device, _) = attach(&mut link, 2);
    link.run(ROUND_TRIP);
    let state = |link: &Link, device| link.gateway.device_state(device);
    assert_eq!(state(&link, device), Some(DeviceState::Attached));
    assert_ne!(state(&link, ignored), Some(DeviceState::Attached));
    assert_eq!(
        link.bridge.traffic().connections(),
        1,
        "no identifier ran out"
    );
}
