//! Attaches and subscriptions at a slow bridge.

use iotcore_gateway::{
    DeviceAuth, DeviceKey, Event, Failure, OpId, Options, cause::DetachCause, device::DeviceState,
};
use iotcore_gateway_testkit::Fault;
use iotcore_gateway_testkit::bridge::faults::PacketKind;
use iotcore_gateway_testkit::bridge::service::{Service, ServiceKind};
use iotcore_gateway_testkit::link::{Link, device_id};
use iotcore_gateway_testkit::progress::Workload;

use super::{MILLI, ROUND_TRIP, SECOND, assert_done_within, served};

/// Requests the attach of a device, by its number.
pub(super) fn attach(link: &mut Link, number: usize) -> (DeviceKey, OpId) {
    let (id, unix_now, now) = (device_id(number), link.unix_now(), link.now());
    let id = id.as_str().try_into().unwrap();
    link.gateway
        .attach(id, DeviceAuth::ByAssociation, unix_now, now)
        .unwrap()
}

#[test]
fn two_hundred_devices_are_attached_as_fast_as_a_bridge_answers_one_at_a_time() {
    let bridge = Service::one_queue().attach(400 * MILLI);
    let progress = served(&Workload::attach(200), bridge);
    assert_done_within(&progress, 80 * SECOND + 2 * ROUND_TRIP, 210);
}

#[test]
fn a_thousand_devices_are_attached_and_subscribed_through_one_queue_without_a_failure() {
    let bridge = Service::one_queue()
        .attach(100 * MILLI)
        .subscribe(20 * MILLI);
    let progress = served(&Workload::attach(1_000).and_subscribe(), bridge);
    assert_done_within(&progress, 141 * SECOND, 3_030);
    assert!(progress.elapsed >= 140 * SECOND);
}

#[test]
fn pubacks_that_come_after_the_timeout_attach_each_device_once_and_its_operation_stays_failed() {
    let mut options = Options::default();
    options.attach_timeout = SECOND;
    let mut link = Link::with_devices(options, 20);
    let now = link.now();
    let late: Fault = "puback delay 2000".parse().unwrap();
    link.bridge.inject(late, now).unwrap();
    link.gateway.open(now).unwrap();
    let begun: Vec<_> = (1..=20).map(|number| attach(&mut link, number)).collect();
    link.run(60 * SECOND);
    let events = link.events();
    for (device, op) in begun {
        let of_device: Vec<_> = events
            .iter()
            .filter(|event| match event {
                Event::Attached { device: other } | Event::Detached { device: other, .. } => {
                    *other == device
                }
                Event::Failed { op: other, .. } | Event::Done { op: other, .. } => *other == op,
                _ => false,
            })
            .collect();
        let failure = Failure::TimedOut(SECOND);
        let is_right = matches!(
            of_device[..],
            [Event::Failed { failure: found, .. }, Event::Attached { .. }] if *found == failure
        );
        assert!(is_right, "{of_device:?}");
        let state = link.gateway.device_state(device);
        assert_eq!(state, Some(DeviceState::Attached));
    }
    let traffic = link.bridge.traffic();
    assert!(traffic.received(PacketKind::Attach) <= 22);
    assert_eq!(traffic.connections(), 1);
}

#[test]
fn the_errors_topic_is_asked_for_with_backoff_until_the_bridge_is_well_again() {
    let mut link = Link::with_devices(Options::default(), 1);
    let now = link.now();
    let deaf = Service::one_queue().losing(ServiceKind::Subscribe, 1_000);
    link.bridge.set_service(deaf, now);
    link.gateway.open(now).unwrap();
    let (device, _) = attach(&mut link, 1);
    link.run(200 * SECOND);
    let asked = link.bridge.traffic().received(PacketKind::Subscribe);
    // Each attempt takes its timeout and then 1, 2, 4, 8 s.
    assert_eq!(asked, 6);
    let events = link.events();
    let told: Vec<_> = events
        .iter()
        .filter(|event| matches!(event, Event::ErrorsTopicUnavailable { .. }))
        .collect();
    assert_eq!(told.len(), 1, "{told:?}");
    link.bridge.set_service(Service::default(), link.now());
    link.run(62 * SECOND);
    let asked = link.bridge.traffic().received(PacketKind::Subscribe);
    assert_eq!(asked, 7, "granted");
    link.run(120 * SECOND);
    assert_eq!(link.bridge.traffic().received(PacketKind::Subscribe), asked);
    // A report arrives.
    let now = link.now();
    link.bridge.detach_with_error(&device_id(1), now).unwrap();
    link.run(SECOND);
    let is_report = |event: &Event| match event {
        Event::Detached {
            device: lost,
            cause,
        } => *lost == device && matches!(cause, DetachCause::Reported(_)),
        _ => false,
    };
    assert!(link.events().iter().any(is_report));
    assert_eq!(link.bridge.traffic().connections(), 1);
}
