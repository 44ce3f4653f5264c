//! A gateway on a bridge that takes its time.
#![forbid(unsafe_code)]

use core::time::Duration;

use iotcore_gateway::{DeviceAuth, Options};
use iotcore_gateway_testkit::bridge::faults::PacketKind;
use iotcore_gateway_testkit::bridge::service::{Service, ServiceKind};
use iotcore_gateway_testkit::link::{Link, device_id};

const SECOND: Duration = Duration::from_secs(1);

/// Opens a gateway and attaches this many devices, without advancing time.
fn attaching(options: Options, service: Service, count: usize) -> Link {
    let mut link = Link::with_devices(options, count);
    let (now, unix_now) = (link.now(), link.unix_now());
    link.bridge.set_service(service, now);
    link.gateway.open(now).unwrap();
    for device in (1..=count).map(device_id) {
        let device = device.as_str().try_into().unwrap();
        link.gateway
            .attach(device, DeviceAuth::ByAssociation, unix_now, now)
            .unwrap();
    }
    link
}

#[test]
fn a_thousand_devices_are_attached_one_after_the_other() {
    let mut options = Options::default();
    options.attach_window = 10;
    let service = Service::per_kind().attach(2 * SECOND);
    let mut link = attaching(options, service, 1_000);
    link.run(1_000 * SECOND);
    let halfway = link.bridge.attached("gateway-1").count();
    assert!((499..=500).contains(&halfway), "{halfway}");
    link.run(1_010 * SECOND);
    assert_eq!(link.bridge.attached("gateway-1").count(), 1_000);
    let traffic = link.bridge.traffic();
    assert_eq!(traffic.received(PacketKind::Attach), 1_000);
    assert_eq!(traffic.most_unanswered(ServiceKind::Attach), 10);
    assert_eq!(traffic.connections(), 1);
}

#[test]
fn a_thousand_attaches_that_wait_at_once_cost_no_time() {
    let mut options = Options::default();
    options.attach_window = 1_000;
    options.attach_timeout = 3_000 * SECOND;
    let service = Service::per_kind()
        .attach(2 * SECOND)
        .heavy_tail(1.5, 20)
        .workers(4);
    let mut link = attaching(options, service, 1_000);
    assert!(link.run_until(3_000 * SECOND, |link| {
        link.bridge.attached("gateway-1").count() == 1_000
    }));
    let traffic = link.bridge.traffic();
    assert_eq!(traffic.most_unanswered(ServiceKind::Attach), 1_000);
    assert_eq!(traffic.completed(ServiceKind::Attach), 1_000);
    assert_eq!(traffic.last_completed(), Some(link.now()));
}
